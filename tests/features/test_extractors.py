"""Laws of the feature extractors; Inception runs on random weights."""

from pathlib import Path

import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from e2eve.features import build_extractor


@pytest.fixture(scope="module")
def inception_weights(tmp_path_factory) -> Path:
    """A file with the names of torch-fidelity's Inception-v3, random."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    torch.save({}, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        network = FeatureExtractorInceptionV3("x", ["2048"], feature_extractor_weights_path=path)
    torch.save(network.state_dict(), path)
    return path


JUDGES = ["efficientnet_lite0", "efficientnet_lite2", "inception_v3", "efficientnet_lite2_maps"]


@pytest.fixture(scope="module", params=JUDGES)
def extractor(request, inception_weights):
    weights = inception_weights if request.param == "inception_v3" else None
    return build_extractor(request.param, weights)


def pictures(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_a_vector_for_each_image_whatever_the_size_and_the_batch(extractor):
    images = pictures(2, 3, 31, 50)
    features = extractor(images)
    assert features.shape == (2, extractor.dim)
    torch.testing.assert_close(extractor(images[1:]), features[1:], rtol=1e-3, atol=1e-5)


def test_gives_no_gradient_and_stays_in_evaluation(extractor):
    assert not extractor(pictures(1, 3, 32, 32).requires_grad_()).requires_grad
    assert not extractor.train().training
    assert not list(extractor.parameters()) and not extractor.state_dict()


def test_only_inception_may_say_fid(extractor):
    assert (extractor.frechet_name == "FID") == (extractor.name == "inception_v3")


def test_efficientnet_at_another_side_is_a_coarser_look_at_the_same_picture():
    across, down = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="xy")
    disc = ((across - 32).hypot(down - 32) < 20) * 2.0 - 1
    picture = torch.stack([(across / 4).sin(), disc])[:, None].expand(-1, 3, -1, -1)
    coarse, fine = (build_extractor("efficientnet_lite0", side=s)(picture) for s in (96, 128))
    assert torch.cdist(coarse, fine).argmin(1).tolist() == [0, 1]


def test_unknown_extractors_are_refused():
    with pytest.raises(
        ValueError, match=r"'blip'.*efficientnet_lite0, efficientnet_lite2, inception_v3"
    ):
        build_extractor("blip")
