"""Vision transformers on random weights: the same numbers as other code, whatever the file."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Dinov2Config,
    Dinov2Model,
)

from e2eve.features import FeatureExtractor, build_extractor
from e2eve.features.frozen import Preprocessing
from e2eve.features.vision_transformers import DINO_V2, OPENAI, DreamSim, VisionTransformer, adapted
from e2eve.features.vision_transformers import resized_positions as resize

WIDTH, LAYERS, PATCH = 128, 2, 14
SIZES: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "patch_size": PATCH,
}
NAMES = ["dino", "dinov2", "clip", "dreamsim"]


def images(side: int, count: int = 2) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def random_state(patch: int = PATCH, grid: int = 4, **more: Any) -> dict[str, Tensor]:
    """Tensors by DINO's names, with `more` of them."""
    torch.manual_seed(patch)
    shapes = {
        "cls_token": (1, 1, WIDTH),
        "pos_embed": (1, grid**2 + 1, WIDTH),
        "patch_embed.proj.weight": (WIDTH, 3, patch, patch),
        "patch_embed.proj.bias": (WIDTH,),
        "norm.weight": (WIDTH,),
        "norm.bias": (WIDTH,),
    }
    for n in range(LAYERS):
        for norm in ("norm1", "norm2"):
            shapes |= {f"blocks.{n}.{norm}.weight": (WIDTH,), f"blocks.{n}.{norm}.bias": (WIDTH,)}
        sizes = {"attn.qkv": (3, 1), "attn.proj": (1, 1), "mlp.fc1": (4, 1), "mlp.fc2": (1, 4)}
        for name, (rows, columns) in sizes.items():
            shapes[f"blocks.{n}.{name}.weight"] = (rows * WIDTH, columns * WIDTH)
            shapes[f"blocks.{n}.{name}.bias"] = (rows * WIDTH,)
    return {name: torch.randn(shape) / 8 for name, shape in shapes.items()} | more


def by_openai(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of Hugging Face's CLIP by OpenAI's names, with a text tower's beside them."""
    found = {"positional_embedding": torch.zeros(77, 8), "transformer.resblocks.0.x": torch.ones(1)}
    pairs = {
        "vision_model.embeddings.class_embedding": "class_embedding",
        "vision_model.embeddings.position_embedding.weight": "positional_embedding",
        "vision_model.embeddings.patch_embedding.weight": "conv1.weight",
    }
    for norm, theirs in {"pre_layrnorm": "ln_pre", "post_layernorm": "ln_post"}.items():
        for kind in ("weight", "bias"):
            pairs[f"vision_model.{norm}.{kind}"] = f"{theirs}.{kind}"
    found |= {f"visual.{theirs}": state[ours] for ours, theirs in pairs.items()}
    found["visual.proj"] = state["visual_projection.weight"].T
    parts = {
        "self_attn.out_proj": "attn.out_proj",
        "layer_norm1": "ln_1",
        "layer_norm2": "ln_2",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
    }
    for n in range(LAYERS):
        start, theirs = f"vision_model.encoder.layers.{n}", f"visual.transformer.resblocks.{n}"
        for kind in ("weight", "bias"):
            joined = [state[f"{start}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
            found[f"{theirs}.attn.in_proj_{kind}"] = torch.cat(joined)
            for ours, name in parts.items():
                found[f"{theirs}.{name}.{kind}"] = state[f"{start}.{ours}.{kind}"]
    return found


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> dict[str, Path]:
    """A file or folder of random weights for each extractor, by its name."""
    folder = tmp_path_factory.mktemp("weights")
    save_file(random_state(patch=16), folder / "dino.safetensors")
    scales: dict[str, Any] = {
        f"blocks.{n}.ls{k}.gamma": torch.rand(WIDTH) for n in range(LAYERS) for k in (1, 2)
    }
    state = random_state(grid=5, mask_token=torch.zeros(1, WIDTH), **scales)
    torch.save(state, folder / "dinov2.pth")
    save_file(clip_reference().state_dict(), folder / "clip.safetensors")
    return {
        "dino": folder / "dino.safetensors",
        "dinov2": folder / "dinov2.pth",
        "clip": folder / "clip.safetensors",
        "dreamsim": dreamsim_folder(folder / "dreamsim"),
    }


def clip_reference() -> CLIPVisionModelWithProjection:
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        **SIZES, intermediate_size=4 * WIDTH, image_size=56, projection_dim=32
    )
    return CLIPVisionModelWithProjection(config).eval()


def dreamsim_folder(folder: Path) -> Path:
    """What DreamSim's package leaves in its cache, small and random."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "ensemble_lora").mkdir()
    norms: dict[str, Any] = {
        "pos_drop.weight": torch.rand(WIDTH),
        "pos_drop.bias": torch.rand(WIDTH),
    }
    clip = random_state(proj=torch.randn(WIDTH, 32), **norms)
    torch.save(random_state(), folder / "checkpoints" / "dino_vitbase16_pretrain.pth")
    for name in ("clip", "open_clip"):
        torch.save({"state_dict": clip}, folder / f"{name}_vitb16_pretrain.pth.tar")
    start = "base_model.model.extractor_list.{}.model.blocks.1.attn.qkv.lora_{}.weight"
    changes = {}
    for number in range(3):
        changes[start.format(number, "A")] = torch.randn(4, WIDTH) / 8
        changes[start.format(number, "B")] = torch.randn(3 * WIDTH, 4) / 8
    torch.save(changes, folder / "ensemble_lora" / "adapter_model.bin")
    config = {"r": 4, "lora_alpha": 2, "target_modules": ["qkv"]}
    (folder / "ensemble_lora" / "adapter_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module", params=NAMES)
def extractor(request, weights) -> FeatureExtractor:
    return build_extractor(request.param, weights[request.param])


def test_a_vector_for_each_image_whatever_the_size_and_the_batch(extractor):
    features = extractor(images(50))
    assert features.shape == (2, extractor.dim)
    torch.testing.assert_close(extractor(images(50)[1:]), features[1:], rtol=1e-3, atol=1e-5)
    assert not features.requires_grad and not list(extractor.parameters())


def test_names_say_what_a_number_may_be_called(extractor):
    assert extractor.cosine_name in ("DINO-I", "DINOv2-I", "CLIP-I", "DreamSim")
    assert bool(extractor.cmmd_name) == (extractor.name == "clip")
    assert extractor.frechet_name not in ("FID", "FD-DINOv2")  # that of ViT-L/14


def test_dinov2_computes_what_transformers_compute(tmp_path):
    torch.manual_seed(0)
    reference = Dinov2Model(Dinov2Config(**SIZES, image_size=224, layerscale_value=0.3)).eval()
    with torch.no_grad():
        for value in reference.parameters():
            value.copy_(torch.randn_like(value) / 8)
    save_file(reference.state_dict(), tmp_path / "dinov2.safetensors")
    extractor = build_extractor("dinov2", tmp_path / "dinov2.safetensors")
    with torch.no_grad():
        expected = reference(extractor.preprocessing(images(224))).pooler_output
    torch.testing.assert_close(extractor(images(224)), expected, rtol=1e-4, atol=1e-4)


def test_clip_computes_what_transformers_compute_by_either_names(tmp_path, weights):
    reference = clip_reference()
    torch.save(by_openai(reference.state_dict()), tmp_path / "openai.pt")
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (OPENAI.mean, OPENAI.deviation))
    with torch.no_grad():
        expected = reference(((images(56) + 1) / 2 - mean) / deviation).image_embeds
    for path in (weights["clip"], tmp_path / "openai.pt"):
        extractor = build_extractor("clip", path)
        assert extractor.preprocessing.side == 56
        torch.testing.assert_close(extractor(images(56)), expected, rtol=1e-4, atol=1e-5)


def test_the_scales_of_layers_are_a_part_of_the_matrices_before_them(weights):
    state = torch.load(weights["dinov2"], weights_only=True)
    network = VisionTransformer(state, "x", DINO_V2, 56)
    scaled, matrix = state["blocks.1.ls2.gamma"], state["blocks.1.mlp.fc2.weight"]
    found = network.state_dict()["layers.1.linear2.weight"]
    torch.testing.assert_close(found, scaled[:, None] * matrix)


def test_positions_for_another_grid_are_a_picture_resized():
    own = torch.cat([torch.zeros(1, 2), torch.arange(32.0).view(16, 2)])
    assert resize(own, 4).equal(own)
    flat = torch.ones(17, 3)
    torch.testing.assert_close(resize(flat, 7), torch.ones(50, 3))
    assert resize(own, 9)[0].equal(own[0])


def test_dreamsim_is_three_networks_changed_centred_and_at_unit_length(weights):
    folder, picture = weights["dreamsim"], images(224)
    changes = torch.load(folder / "ensemble_lora" / "adapter_model.bin", weights_only=True)
    parts = []
    for number, (file, family) in enumerate(DreamSim.branches):
        state = torch.load(folder / file, weights_only=True)
        state = dict(state.get("state_dict", state))
        start = f"base_model.model.extractor_list.{number}.model.blocks.1.attn.qkv.lora_"
        added = changes[f"{start}B.weight"] @ changes[f"{start}A.weight"] * 2 / 4
        state["blocks.1.attn.qkv.weight"] = state["blocks.1.attn.qkv.weight"] + added
        network = VisionTransformer(state, file, family, 224).eval()
        if number == 0:
            network.last_norm = torch.nn.Identity()
        parts.append(network(replace(family.preprocessing, side=224)(picture)))
    joined = torch.cat(parts, 1).detach()
    expected = functional.normalize(joined - joined.mean(1, keepdim=True))
    found = build_extractor("dreamsim", folder)(picture)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_change_of_another_network_changes_nothing():
    state = {"blocks.0.attn.qkv.weight": torch.ones(3, 1)}
    names = [f"base_model.model.extractor_list.1.model.blocks.0.attn.qkv.lora_{k}" for k in "AB"]
    changes = {f"{names[0]}.weight": torch.ones(1, 1), f"{names[1]}.weight": torch.ones(3, 1)}
    assert adapted(state, changes, 0, 0.5) == state
    assert adapted(state, changes, 1, 0.5)["blocks.0.attn.qkv.weight"].eq(1.5).all()


@pytest.mark.parametrize("name", NAMES)
def test_missing_weights_say_where_they_are_and_under_which_licence(name, tmp_path):
    with pytest.raises(ValueError, match=r"https://.* \(licence: (MIT|Apache-2\.0)\)"):
        build_extractor(name)
    with pytest.raises(ValueError, match=r"no weights file|no adapter_model"):
        build_extractor(name, tmp_path / "none")


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"weight": torch.zeros(2)}, tmp_path / "linear.pth")
    with pytest.raises(ValueError, match="holds no weights of a vision transformer"):
        build_extractor("clip", tmp_path / "linear.pth")
    torch.save(random_state(register_tokens=torch.zeros(1, 4, WIDTH)), tmp_path / "reg.pth")
    with pytest.raises(ValueError, match=r"another network: register_tokens is \(1, 4, 128\)"):
        build_extractor("dinov2", tmp_path / "reg.pth")


def test_preprocessing_resizes_whole_and_stays_in_the_range_of_pixels():
    edge = torch.ones(1, 3, 8, 8)
    edge[..., 4:] = -1
    larger = Preprocessing(24, "bicubic")(edge)
    assert larger.shape == (1, 3, 24, 24) and larger.abs().max() <= 1
    torch.testing.assert_close(Preprocessing()(edge), edge)
    assert OPENAI(edge)[0, 0].amax().item() == pytest.approx((1 - 0.48145466) / 0.26862954)
