"""What shows of a region's edge when decoders paint: `python scripts/seams.py BUNDLE …`.

Ids are those of held-out ToyFaces, decoded by each tokenizer and pasted back: what an edit would
look like whose ids are right. Measured in the band of `BAND` pixels inside the region's edge. With
`--picture FILE` pairs of the first bundle and the last one are drawn: a region of the face itself,
and one whose ids are another face's.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from e2eve.data import ToyFaces
from e2eve.data.images import to_tensor, to_uint8
from e2eve.edit_simulation import Block, Brush, FreeForm
from e2eve.features import PerceptualDistance, build_perceptual
from e2eve.metrics.base import margin
from e2eve.metrics.seam import edge_jumps
from e2eve.reporting.grid import image_grid, outlined
from e2eve.tokenizers import Tokenizer
from e2eve.tokenizers.tokenizer import psnr

BAND = 3  # pixels
KINDS = {"block": Block(), "free form": FreeForm(), "brush": Brush()}


class Painted(NamedTuple):
    """Sources with their regions, and these decoded from ids and pasted back."""

    sources: Tensor
    regions: Tensor
    images: Tensor


def regions_of(kind: str, count: int, side: int) -> Tensor:
    rng = np.random.default_rng(0)
    masks = [KINDS[kind](side, rng).mask for _ in range(count)]
    return torch.from_numpy(np.stack(masks))[:, None]


def painted(tokenizer: Tokenizer, sources: Tensor, regions: Tensor, shown: Tensor) -> Painted:
    """The ids are those of `shown`."""
    decoded = tokenizer.decode(tokenizer.encode(shown), sources, regions)
    return Painted(sources, regions, torch.where(regions, decoded, sources))


def measured(one: Painted, judge: PerceptualDistance) -> dict[str, Tensor]:
    """By face: mean absolute error in the band, jumps, and distance if only the band is painted."""
    outside = (~one.regions).float()
    near = F.max_pool2d(outside, 2 * BAND + 1, stride=1, padding=BAND) > 0
    band = one.regions & near
    errors = (one.images - one.sources).abs().mean(1, keepdim=True) * band
    judged = torch.where(band, one.images, one.sources)
    distances = [judge(a[None], b[None]) for a, b in zip(judged, one.sources, strict=True)]
    return {
        "L1": errors.sum((1, 2, 3)) / band.sum((1, 2, 3)),
        "jump": edge_jumps(one.images[:, None], one.regions)[:, 0],
        f"{judge.name} ·1000": 1000 * torch.cat(distances),
    }


def row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def table(tokenizers: dict[str, Tokenizer], faces: Tensor) -> None:
    judge = build_perceptual("efficientnet_lite2")
    assert judge is not None
    for name, tokenizer in tokenizers.items():
        decibels = psnr(tokenizer.decode(tokenizer.encode(faces)), faces)
        print(f"{name}: {decibels.mean():.2f} dB from ids alone")
    for kind in KINDS:
        regions = regions_of(kind, len(faces), faces.shape[-1])
        own = edge_jumps(faces[:, None], regions).nanmean()
        print(f"\n{kind}: jump of the faces themselves {own:.4f}")
        first: dict[str, Tensor] = {}
        for name, tokenizer in tokenizers.items():
            found = measured(painted(tokenizer, faces, regions, faces), judge)
            if not first:
                first = found
                print(row(["decoder", *found]), row("---" for _ in ["", *found]), sep="\n")
            cells = [
                f"{values.nanmean():.4f} ({(values - first[key]).nanmean():+.4f} ± "
                f"{margin(values - first[key]):.4f})"
                for key, values in found.items()
            ]
            print(row([name, *cells]))


def picture(before: Tokenizer, after: Tokenizer, faces: Tensor, path: Path) -> None:
    """Six pairs: a row for each, with the place where the decoders differ most enlarged."""
    rows = []
    for place, (kind, own) in enumerate((k, o) for o in (True, False) for k in KINDS):
        regions = regions_of(kind, 6, faces.shape[-1])[place][None]
        source, other = faces[place][None], faces[place + 6][None]
        shown = source if own else torch.where(regions, other, source)
        pair = [painted(each, source, regions, shown).images[0] for each in (before, after)]
        edge = F.max_pool2d((~regions).float(), 2 * BAND + 1, 1, BAND).bool() & regions
        spots = F.avg_pool2d(((pair[0] - pair[1]).abs().mean(0) * edge[0, 0])[None, None], 20, 1)
        top, left = divmod(int(spots.argmax()), spots.shape[-1])
        pixels = [to_uint8(image[None])[0] for image in (source[0], *pair)]
        cut = [image[top : top + 20, left : left + 20] for image in pixels]
        target = to_uint8(shown)[0]
        rows.append([outlined(pixels[0], regions[0, 0].numpy()), target, *pixels[1:], *cut[1:]])
    large = [
        [np.asarray(Image.fromarray(c).resize((256, 256), 0)) for c in cells] for cells in rows
    ]
    captions = [["source", "to be shown", "before", "after", "before, edge", "after, edge"]] * 6
    image_grid(large, cell=256, captions=captions).save(path)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", nargs="+")
    parser.add_argument("--faces", type=int, default=256)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    tokenizers = {path: Tokenizer.from_pretrained(path) for path in given.bundles}
    first, *_, last = tokenizers.values()
    drawn = ToyFaces("val", first.image_size)
    faces = to_tensor(np.stack([drawn[index] for index in range(given.faces)]))
    if given.picture is not None:
        return picture(first, last, faces, given.picture)
    table(tokenizers, faces)


if __name__ == "__main__":
    main()
