"""Laws of the perceptual distances; LPIPS runs on random weights, so nothing is downloaded."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from e2eve.features import build_perceptual
from e2eve.features.networks import (
    EfficientNetDistance,
    LpipsVgg,
    load_backbone,
    network_input,
)


@pytest.fixture(scope="module")
def vgg_weights(tmp_path_factory) -> Path:
    """A file with the names of torchvision's VGG-16, random and without its classifier."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    layers = make_layers(cfgs["D"], batch_norm=False)
    torch.save({f"features.{name}": w for name, w in layers.state_dict().items()}, path)
    return path


@pytest.fixture(scope="module", params=["efficientnet_lite0", "efficientnet_lite2", "lpips_vgg"])
def distance(request, vgg_weights):
    return build_perceptual(request.param, vgg_weights if request.param == "lpips_vgg" else None)


def pictures(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_zero_for_equal_and_symmetric_and_positive(distance):
    a, b = pictures(2, 3, 32, 32), pictures(2, 3, 32, 32, seed=1)
    assert distance(a, a).eq(0).all()
    assert distance(a, b).gt(0).all()
    torch.testing.assert_close(distance(a, b), distance(b, a))


def test_is_the_squared_difference_of_its_maps(distance):
    a, b = pictures(2, 3, 32, 32), pictures(2, 3, 32, 32, seed=1)
    pairs = list(zip(distance.maps(a), distance.maps(b), strict=True))
    slow = [sum((x[i] - y[i]).square().sum(0).mean() for x, y in pairs) for i in range(2)]
    torch.testing.assert_close(distance(a, b), torch.stack(slow))


def test_gradients_are_those_of_its_maps(distance):
    a, b = (pictures(2, 3, 32, 32, seed=seed).requires_grad_() for seed in (0, 1))
    pairs = zip(distance.maps(a), distance.maps(b), strict=True)
    slow = sum((x - y).square().sum(1).mean((1, 2)) for x, y in pairs)
    rows = torch.tensor([1.0, 3.0])
    for found, expected in zip(
        torch.autograd.grad(distance(a, b) @ rows, (a, b)),
        torch.autograd.grad(slow @ rows, (a, b)),
        strict=True,
    ):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


def test_each_row_alone_gives_the_same(distance):
    a, b = pictures(3, 3, 32, 32), pictures(3, 3, 32, 32, seed=1)
    alone = torch.cat([distance(a[i : i + 1], b[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(distance(a, b), alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [(16, 16), (33, 50), (64, 17)])
def test_any_size(distance, size):
    a = pictures(1, 3, *size)
    assert tuple(distance.maps(a)[0].shape[-2:]) == size
    assert distance(a, -a).shape == (1,)


@pytest.mark.parametrize("image", [pictures(1, 3, 32, 32), -torch.ones(1, 3, 32, 32)])
def test_gradient_reaches_the_first_image_and_is_finite(distance, image):
    a = image.clone().requires_grad_()
    distance(a, pictures(1, 3, 32, 32, seed=1)).sum().backward()
    assert a.grad.isfinite().all() and a.grad.abs().sum() > 0


def test_a_module_that_holds_it_neither_trains_nor_saves_it(distance):
    parent = nn.ModuleDict({"distance": distance, "layer": nn.Linear(2, 2)})
    parent.train()
    assert parent["layer"].training
    assert not any(module.training for module in distance.modules())
    assert not list(distance.parameters())
    assert set(parent.state_dict()) == {"layer.weight", "layer.bias"}


def test_efficientnet_distance_sees_checkerboards():
    """Even and odd pixels count alike: the first map is as fine as the image."""
    distance = EfficientNetDistance()
    grey = torch.zeros(1, 3, 32, 32)
    parity = torch.arange(32)[:, None] + torch.arange(32)
    checkers = (0.2 * (parity % 2 * 2.0 - 1)).expand_as(grey)
    even, odd = distance(grey, grey + checkers), distance(grey, grey - checkers)
    assert even > 0.01 and odd > 0.01


@pytest.mark.parametrize("size", [(32, 32), (33, 32), (31, 45)])
def test_dense_stem_holds_the_values_of_the_network(size):
    image, network = pictures(1, 3, *size), load_backbone()
    stem = network._swish(network._conv_stem(network_input(image)))
    dense = EfficientNetDistance()._dense_stem(image)
    torch.testing.assert_close(dense[..., ::2, ::2], stem)


def test_lpips_agrees_with_the_package(vgg_weights, monkeypatch):
    import lpips

    def without_classifier(pretrained):
        return SimpleNamespace(features=make_layers(cfgs["D"]))

    monkeypatch.setattr(lpips.pretrained_networks.tv, "vgg16", without_classifier)
    reference = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)
    state = torch.load(vgg_weights, weights_only=True)
    renamed = {name.split(".", 1)[1]: value for name, value in state.items()}
    for part in reference.net.children():
        part.load_state_dict({name: renamed[name] for name in part.state_dict()})
    a, b = pictures(2, 3, 64, 64), pictures(2, 3, 64, 64, seed=1)
    torch.testing.assert_close(LpipsVgg(vgg_weights)(a, b), reference(a, b).flatten())


def test_lpips_refuses_pictures_below_its_poolings(vgg_weights):
    with pytest.raises(ValueError, match="16 pixels or more per side, these have 8"):
        LpipsVgg(vgg_weights).maps(torch.zeros(1, 3, 8, 20))


def test_none_is_no_distance_and_unknown_names_are_refused():
    assert build_perceptual("none") is None
    with pytest.raises(
        ValueError, match=r"'alex'.*efficientnet_lite0, efficientnet_lite2, lpips_vgg, none"
    ):
        build_perceptual("alex")
