"""DINO, DINOv2, CLIP and DreamSim: vision transformers whose weights you bring, in a file.

One network (Dosovitskiy et al. 2021, arXiv 2010.11929) stands for all: PyTorch's own layers, sized
by the weights. Names of the published files are understood, and those of Hugging Face's.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from e2eve.features.frozen import (
    FeatureExtractor,
    Preprocessing,
    freeze,
    load_strictly,
    read_weights,
)

HEAD_WIDTH = 64  # in all of them
IMAGENET = Preprocessing(224, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
OPENAI = replace(
    IMAGENET,
    mean=(0.48145466, 0.4578275, 0.40821073),
    deviation=(0.26862954, 0.26130258, 0.27577711),
)

# Parts of names in published files, in this order, and what they are called here.
PUBLISHED_NAMES = {
    r"^(visual|vision_model|embeddings|encoder|transformer)\.": "",
    r"^(embeddings|encoder|transformer)\.": "",
    r"^(cls_token|class_embedding)$": "class_token",
    r"^(pos_embed|positional_embedding|position_embeddings?(\.weight)?)$": "positions",
    r"^(patch_embed\.proj|patch_embeddings\.projection|patch_embedding|conv1)\.": "patches.",
    r"^(pos_drop|ln_pre|pre_layrnorm)\.": "first_norm.",
    r"^(norm|layernorm|ln_post|post_layernorm)\.": "last_norm.",
    r"^visual_projection\.": "projection.",
    r"^(blocks|layers?|resblocks)\.": "layers.",
    r"\.(ln_|layer_norm)([12])\.": r".norm\2.",
    r"\.mlp\.(c_)?fc1?\.": ".linear1.",
    r"\.mlp\.(fc2|c_proj)\.": ".linear2.",
    r"\.ls([12])\.gamma$|\.layer_scale([12])\.lambda1$": r".scale\1\2",
    r"\.attention\.output\.dense\.|\.attention\.o_proj\.": ".attn.proj.",
    r"\.(self_attn|attn|attention(\.attention)?)\.": ".self_attn.",
    r"\.self_attn\.proj\.": ".self_attn.out_proj.",
    r"\.self_attn\.qkv\.": ".self_attn.in_proj_",
    r"\.(q|k|v)(uery|ey|alue)\.": r".\1_proj.",
}
UNUSED = ("mask_token", "embeddings.mask_token", "vision_model.embeddings.position_ids")


def quick_gelu(x: Tensor) -> Tensor:
    """OpenAI's approximation of GELU."""
    return x * torch.sigmoid(1.702 * x)


@dataclass(frozen=True)
class Family:
    """Vision transformers of one publication, of any size.

    Args:
        name, cosine_name, frechet_name, cmmd_name: as of `FeatureExtractor`.
        address: where weights are; they are not downloaded.
        licence: of these weights.
        preprocessing: with the side None: the one that the positions are for.
        epsilon: of layer normalisations.
        published: model and side for which the names of distances stand alone; with other weights
            they are followed by the model.
    """

    name: str
    cosine_name: str
    frechet_name: str
    address: str
    licence: str
    preprocessing: Preprocessing
    activation: Callable[[Tensor], Tensor] = functional.gelu
    epsilon: float = 1e-6
    cmmd_name: str = ""
    published: tuple[str, int] = ("ViT-L/14", 224)

    def path(self, weights: str | Path | None) -> Path:
        """Where the weights are, or a ValueError that says where to get them."""
        if weights is None:
            raise ValueError(
                f"{self.name} needs its weights, which are not downloaded: fetch them from "
                f"{self.address} (licence: {self.licence}) and give their path as "
                "`extractor_weights`."
            )
        return Path(weights)


META = "https://dl.fbaipublicfiles.com"
# Caron et al. 2021 (arXiv 2104.14294); DINO-I is of its ViT-S/16.
DINO = Family(
    "dino",
    "DINO-I",
    "Fréchet distance (DINO)",
    f"{META}/dino/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth",
    "Apache-2.0",
    IMAGENET,
)
# Without registers. Oquab et al. 2023 (arXiv 2304.07193); the distance is Stein et al.'s of 2023
# (arXiv 2306.04675).
DINO_V2 = Family(
    "dinov2",
    "DINOv2-I",
    "FD-DINOv2",
    f"{META}/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth",
    "Apache-2.0",
    IMAGENET,
)
# OpenAI's, Radford et al. 2021 (arXiv 2103.00020), whose own files are programs, which are not run.
# LAION's weights are another network, without the quick GELU.
CLIP = Family(
    "clip",
    "CLIP-I",
    "Fréchet distance (CLIP)",
    "https://huggingface.co/openai/clip-vit-base-patch32",
    "MIT",
    replace(OPENAI, side=None),
    quick_gelu,
    1e-5,
    "CMMD",
    ("ViT-L/14", 336),
)
# Fu et al. 2023 (arXiv 2306.09344).
DREAMSIM = Family(
    "dreamsim",
    "DreamSim",
    "Fréchet distance (DreamSim)",
    "https://github.com/ssundaram21/dreamsim, whose package downloads them at its first use",
    "MIT",
    Preprocessing(224, "bicubic"),
)


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a published file by the names of `VisionTransformer`, without a text tower.

    The scales of DINOv2's layers are multiplied into the matrices before them.
    """
    of_images = ("visual.", "vision_model.", "visual_projection.")
    chosen = [name for name in state if name.startswith(of_images)] or [*state]
    found: dict[str, Tensor] = {}
    for name in (name for name in chosen if name not in UNUSED):
        ours = name
        for pattern, replacement in PUBLISHED_NAMES.items():
            ours = re.sub(pattern, replacement, ours)
        found[ours] = state[name].float()
    if "proj" in found:
        found["projection.weight"] = found.pop("proj").T
    for name in [name for name in found if ".q_proj." in name]:
        parts = [found.pop(name.replace(".q_", f".{part}_")) for part in "qkv"]
        found[name.replace(".q_proj.", ".in_proj_")] = torch.cat(parts)
    for name in [name for name in found if ".scale" in name]:
        layer, scale = name.rpartition(".scale")[0], found.pop(name)
        matrix = f"{layer}.self_attn.out_proj" if name.endswith("1") else f"{layer}.linear2"
        found[f"{matrix}.weight"] = found[f"{matrix}.weight"] * scale[:, None]
        found[f"{matrix}.bias"] = found[f"{matrix}.bias"] * scale
    for name in {"class_token", "positions"} & {*found}:
        found[name] = found[name].reshape(-1, found[name].shape[-1])
    return found


class VisionTransformer(nn.Module):
    """The class token after the last layer, normalised and, in CLIP, projected.

    Args:
        state: as from a published file; shapes say how wide and deep the network is.
        source: what errors call it.
        side: of the images that it reads, pixels; None: the side that its positions are for.

    Raises:
        ValueError: where names or shapes are those of another network.
    """

    def __init__(
        self,
        state: Mapping[str, Tensor],
        source: object,
        family: Family,
        side: int | None = None,
    ) -> None:
        super().__init__()
        state, epsilon = renamed(state), family.epsilon
        if "patches.weight" not in state or "positions" not in state:
            raise ValueError(f"{source} holds no weights of a vision transformer.")
        width, _, self.patch, _ = state["patches.weight"].shape
        self.side = side or self.patch * round((len(state["positions"]) - 1) ** 0.5)
        state["positions"] = resized_positions(state["positions"], self.side // self.patch)
        self.class_token = nn.Parameter(torch.empty(1, width))
        self.positions = nn.Parameter(torch.empty_like(state["positions"]))
        self.patches = nn.Conv2d(3, width, self.patch, self.patch, bias="patches.bias" in state)
        has_first_norm = "first_norm.weight" in state
        self.first_norm = nn.LayerNorm(width, epsilon) if has_first_norm else nn.Identity()
        self.layers = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    width,
                    width // HEAD_WIDTH,
                    dim_feedforward=4 * width,
                    activation=family.activation,
                    layer_norm_eps=epsilon,
                    batch_first=True,
                    norm_first=True,
                )
                for _ in range(sum(name.endswith(".norm1.weight") for name in state))
            )
        )
        self.last_norm: nn.Module = nn.LayerNorm(width, epsilon)
        self.dim = width
        self.projection: nn.Module = nn.Identity()
        if "projection.weight" in state:
            self.dim = len(state["projection.weight"])
            self.projection = nn.Linear(width, self.dim, bias=False)
        load_strictly(self, state, source)

    @property
    def model(self) -> str:
        """What the literature calls it, such as "ViT-B/32"."""
        width = len(self.patches.weight)
        return f"ViT-{ {384: 'S', 768: 'B', 1024: 'L'}.get(width, width) }/{self.patch}"

    def forward(self, images: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch dim"]:
        patches = rearrange(self.patches(images), "b d h w -> b (h w) d")
        tokens = torch.cat([self.class_token.expand(len(patches), 1, -1), patches], 1)
        hidden = self.layers(self.first_norm(tokens + self.positions))
        return self.projection(self.last_norm(hidden[:, 0]))


def resized_positions(
    positions: Float[Tensor, "positions width"], grid: int
) -> Float[Tensor, "resized width"]:
    """Positions of the class token and of grid × grid patches, interpolated as DINOv2's code does.

    It adds 0.1 to the grid before it computes the scale, and its numbers are published with that.
    """
    own = round((len(positions) - 1) ** 0.5)
    if own == grid:
        return positions
    maps = rearrange(positions[1:], "(h w) d -> 1 d h w", h=own)
    maps = functional.interpolate(maps, scale_factor=(grid + 0.1) / own, mode="bicubic")
    return torch.cat([positions[:1], rearrange(maps, "1 d h w -> (h w) d")])


class TransformerFeatures(FeatureExtractor):
    """Features of one vision transformer, of images resized bicubically, whole, to its side."""

    def __init__(self, family: Family, weights: str | Path | None = None) -> None:
        super().__init__()
        path = family.path(weights)
        network = VisionTransformer(read_weights(path), path, family, family.preprocessing.side)
        self.preprocessing = replace(family.preprocessing, side=network.side)
        model = "" if (network.model, network.side) == family.published else f" ({network.model})"
        self.name, self.cosine_name = family.name, family.cosine_name
        self.frechet_name = family.frechet_name + model
        self.cmmd_name = family.cmmd_name and family.cmmd_name + model
        self.network, self.dim = freeze(network), network.dim

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        with torch.autocast(images.device.type, enabled=False):
            return self.network(self.preprocessing(images.float()))


class DreamSim(FeatureExtractor):
    """DreamSim's ensemble: cosines follow human judgements.

    DINO, CLIP and OpenCLIP (ViT-B/16 each) side by side, centred, at unit length. Weights are the
    folder that its package fills: the three networks, and low-rank changes of them in
    `ensemble_lora`.
    """

    name, cosine_name, frechet_name = DREAMSIM.name, DREAMSIM.cosine_name, DREAMSIM.frechet_name
    preprocessing = DREAMSIM.preprocessing
    branches = (
        ("checkpoints/dino_vitbase16_pretrain.pth", DINO),
        ("clip_vitb16_pretrain.pth.tar", CLIP),
        ("open_clip_vitb16_pretrain.pth.tar", replace(CLIP, activation=functional.gelu)),
    )

    def __init__(self, weights: str | Path | None = None) -> None:
        super().__init__()
        folder, side = DREAMSIM.path(weights), self.preprocessing.side
        changes, scale = _low_rank(folder / "ensemble_lora")
        networks: list[VisionTransformer] = []
        for number, (file, family) in enumerate(self.branches):
            state = adapted(read_weights(folder / file), changes, number, scale)
            networks.append(VisionTransformer(state, folder / file, family, side))
        self.dim = sum(network.dim for network in networks)
        networks[0].last_norm = nn.Identity()  # DINO's token is taken before it
        self.networks = freeze(nn.ModuleList(networks))

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch dim"]:
        with torch.autocast(images.device.type, enabled=False):
            resized = self.preprocessing(images.float())
            own = [replace(family.preprocessing, side=None) for _, family in self.branches]
            pairs = zip(self.networks, own, strict=True)
            joined = torch.cat([network(prepare(resized)) for network, prepare in pairs], 1)
            return functional.normalize(joined - reduce(joined, "b d -> b 1", "mean"))


# The pairs of matrices of a low-rank adaptation by name, and the factor of their product.
def _low_rank(folder: Path) -> tuple[dict[str, Tensor], float]:
    files = sorted(folder.glob("adapter_model.*"), reverse=True)  # safetensors before bin
    if not files or not (folder / "adapter_config.json").is_file():
        raise ValueError(
            f"{folder} holds no adapter_model and adapter_config.json: give DreamSim's own folder "
            "as `extractor_weights`."
        )
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    return read_weights(files[0]), config["lora_alpha"] / config["r"]


def adapted(
    state: Mapping[str, Tensor], changes: Mapping[str, Tensor], number: int, scale: float
) -> dict[str, Tensor]:
    """Weights of the ensemble's network `number`, with its low-rank changes B A added to them."""
    found, start = dict(state), f"base_model.model.extractor_list.{number}.model."
    for name, second in changes.items():
        if name.startswith(start) and ".lora_B" in name:
            weight = re.sub(r"\.lora_B(\.default)?\.", ".", name.removeprefix(start))
            first = changes[name.replace(".lora_B", ".lora_A")]
            found[weight] = found[weight].float() + scale * second.float() @ first.float()
    return found
