"""Metrics beside four libraries that the field quotes, on the same images and features."""

import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from e2eve.data import ToyFaces
from e2eve.data.images import to_tensor
from e2eve.features import Preprocessing, build_extractor, features_of
from e2eve.features.networks import LAST_LAYERS, LpipsVgg
from e2eve.metrics.feature_distances import frechet_distance, kernel_distance
from e2eve.reporting.progress import Report
from scripts.verification.findings import (
    Findings,
    Row,
    Table,
    installed,
    missing,
    named,
    relative,
    within,
)

LIMIT = 1e-5
GROUPS = {"regular": 10, "singular": 2}  # of features that are averaged into one
TEXT = (
    "Features of toy faces by EfficientNet-Lite2, in float64: means over groups of ten, 128 "
    "numbers of an image, and over pairs, 640. Of more features than images covariances are "
    "singular: the peers take the root of such a matrix all the same, ours needs none. LPIPS has "
    "random VGG weights, the same on each side, and the "
    "learned weights of channels that each package brings."
)

Features = Float[Tensor, "images dim"]


def find(quick: bool, report: Report) -> Findings:
    count = 150 if quick else 500
    report("metrics", 0, 3)
    a, b = (features(split, count) for split in ("val", "train"))
    report("metrics", 1, 3)
    rows = distance_rows(a, b)
    report("metrics", 2, 3)
    rows += lpips_rows(16 if quick else 100)
    table = resizing(4 if quick else 32)
    report("metrics", 3, 3)
    return Findings("The same metrics", TEXT, rows, [table])


def faces(split: str, side: int, count: int) -> list[np.ndarray]:
    drawn = ToyFaces(split, side)
    return [drawn[index] for index in range(count)]


def features(split: str, count: int) -> Features:
    extractor = build_extractor("efficientnet_lite2")
    return features_of(extractor, faces(split, 64, count)).double()


def distance_rows(a: Features, b: Features) -> list[Row]:
    """Fréchet and kernel distance of two sets of features."""
    rows = []
    for kind, size in GROUPS.items():
        sets = [reduce(each, "n (dim of) -> n dim", "mean", of=size) for each in (a, b)]
        claim = f"Fréchet distance of 2 × {len(a)} images, {sets[0].shape[1]} features: {kind}"
        for name, peer in FRECHET.items():
            if not installed(name):
                rows.append(missing(claim, name))
                continue
            found = relative(frechet_distance(*sets), peer(*sets))
            rows.append(within(claim, named(name), found, LIMIT))
    for name, peer in KERNEL.items():
        claim = f"kernel distance of 2 × {len(a)} images, one subset of all, {a.shape[1]} features"
        if installed(name):
            found = relative(kernel_distance(a, b), peer(a, b))
            rows.append(within(claim, named(name), found, LIMIT))
        else:
            rows.append(missing(claim, name))
    return rows


def statistics(features: Features) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance, as the libraries take them."""
    return features.numpy().mean(0), np.cov(features.numpy(), rowvar=False)


def fidelity_frechet(a: Features, b: Features) -> float:
    from torch_fidelity import metric_fid

    sets = [metric_fid.fid_features_to_statistics(each) for each in (a, b)]
    return float(*metric_fid.fid_statistics_to_metric(*sets, False).values())


def torchmetrics_frechet(a: Features, b: Features) -> float:
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=GivenFeatures(a.shape[1])).set_dtype(torch.float64)
    return compared(metric, a, b)


def clean_frechet(a: Features, b: Features) -> float:
    from cleanfid.fid import frechet_distance

    return root_of_scipy(frechet_distance, a, b)


def pytorch_frechet(a: Features, b: Features) -> float:
    from pytorch_fid.fid_score import calculate_frechet_distance

    return root_of_scipy(calculate_frechet_distance, a, b)


def root_of_scipy(distance: Callable[..., float], a: Features, b: Features) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `disp` will go, and singular matrices are told of
        return float(distance(*statistics(a), *statistics(b)))


def fidelity_kernel(a: Features, b: Features) -> float:
    from torch_fidelity import metric_kid

    asked = {"kid_subsets": 1, "kid_subset_size": len(a), "verbose": False, "rng_seed": 0}
    return metric_kid.kid_features_to_metric(a, b, **asked)[metric_kid.KEY_METRIC_KID_MEAN]


def torchmetrics_kernel(a: Features, b: Features) -> float:
    from torchmetrics.image.kid import KernelInceptionDistance

    network = GivenFeatures(a.shape[1])
    return compared(KernelInceptionDistance(network, subsets=1, subset_size=len(a)), a, b)


def clean_kernel(a: Features, b: Features) -> float:
    from cleanfid.fid import kernel_distance

    return kernel_distance(a.numpy(), b.numpy(), num_subsets=1)


class GivenFeatures(nn.Identity):
    """A network whose images are features already; torchmetrics asks for their number."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.num_features = dim


def compared(metric: Any, a: Features, b: Features) -> float:
    metric.update(a, real=True)
    metric.update(b, real=False)
    result = metric.compute()
    return float(result[0] if isinstance(result, tuple) else result)


FRECHET: dict[str, Callable[[Features, Features], float]] = {
    "torch-fidelity": fidelity_frechet,
    "torchmetrics": torchmetrics_frechet,
    "clean-fid": clean_frechet,
    "pytorch-fid": pytorch_frechet,
}
KERNEL: dict[str, Callable[[Features, Features], float]] = {
    "torch-fidelity": fidelity_kernel,
    "torchmetrics": torchmetrics_kernel,
    "clean-fid": clean_kernel,
}


@torch.no_grad()
def lpips_rows(count: int) -> list[Row]:
    """Distances of pairs of faces; the largest difference of any."""
    import lpips
    from torchmetrics.functional.image import lpips as torchmetrics_lpips

    torch.manual_seed(0)
    theirs = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False).eval()
    other = torchmetrics_lpips._LPIPS(net="vgg", pnet_rand=True).eval()
    other.net.load_state_dict(theirs.net.state_dict())
    weights = {
        f"features.{name.split('.', 1)[1]}": tensor
        for name, tensor in theirs.net.state_dict().items()
    }
    with TemporaryDirectory() as folder:
        torch.save(weights, path := Path(folder, "vgg.pth"))
        ours = LpipsVgg(path)
    assert len(ours.layers) == LAST_LAYERS[-1] + 1
    a, b = (to_tensor(np.stack(faces(split, 64, count))) for split in ("val", "train"))
    pairs = list(zip(a.split(10), b.split(10), strict=True))
    found = torch.cat([ours(*pair) for pair in pairs])
    claim = f"LPIPS of {count} pairs"
    rows = []
    for name, network in (("lpips", theirs), ("torchmetrics", other)):
        distances = torch.cat([network(*pair).flatten() for pair in pairs])
        rows.append(within(claim, named(name), relative(found, distances), LIMIT))
    return rows


def resizing(count: int) -> Table:
    """What each library makes of the same faces before a network of 299 pixels reads them."""
    sizes = (64, 512)
    images = {side: torch.from_numpy(np.stack(faces("val", side, count))) for side in sizes}
    found = {name: [way(images[side]) for side in sizes] for name, (_, way) in ways().items()}
    first, *_ = found.values()
    cells = [
        [name, ways()[name][0]]
        + [f"{(a - b).abs().mean():.2f}" for a, b in zip(made, first, strict=True)]
        for name, made in found.items()
    ]
    caption = (
        f"Resizing to 299 pixels, {count} faces: mean absolute difference to the first line, in "
        "grey levels of 255. Which one is meant has to be said beside every Fréchet distance."
    )
    return Table(caption, ("who", "how", "64 enlarged", "512 shrunk"), cells)


Resize = Callable[[Tensor], Tensor]


def ways() -> dict[str, tuple[str, Resize]]:
    """Libraries, what each does to images (bytes, channels last), and a function that does it."""
    from torch_fidelity import interpolate_compat_tensorflow as fidelity

    def floats(images: Tensor) -> Tensor:
        return images.movedim(-1, 1).float()

    def tensorflow(images: Tensor) -> Tensor:
        resize = fidelity.interpolate_bilinear_2d_like_tensorflow1x
        return resize(floats(images), size=(299, 299), align_corners=False)

    def plain(images: Tensor) -> Tensor:
        return interpolate(floats(images), (299, 299), mode="bilinear", align_corners=False)

    def antialiased(images: Tensor) -> Tensor:
        return interpolate(floats(images), (299, 299), mode="bilinear", antialias=True)

    def ours(images: Tensor) -> Tensor:
        prepared = Preprocessing(299, mean=(0.0,) * 3, deviation=(1.0,) * 3)
        return 255 * prepared(floats(images) / 127.5 - 1)

    def clean(images: Tensor) -> Tensor:
        from cleanfid.resize import build_resizer

        resize = build_resizer("clean")
        return floats(torch.from_numpy(np.stack([resize(each.numpy()) for each in images])))

    known: dict[str, tuple[str, Resize]] = {
        "e2eve, inception_v3 (FID)": (
            "torch-fidelity's: bilinear as in TensorFlow 1",
            tensorflow,
        ),
        "torch-fidelity": ("bilinear as in TensorFlow 1, no antialiasing", tensorflow),
        "torchmetrics, antialias=False": ("the same", tensorflow),
        "pytorch-fid": ("bilinear, half-pixel centres, no antialiasing", plain),
        "torchmetrics": ("bilinear, antialiased", antialiased),
        "e2eve, other networks": ("bilinear, antialiased", ours),
    }
    if installed("clean-fid"):
        known["clean-fid"] = ("Pillow's bicubic, antialiased, not rounded to bytes", clean)
    return known
