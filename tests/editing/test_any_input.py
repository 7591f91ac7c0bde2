"""Whatever a person hands over: an edit that is as it should be, or one sentence."""

import contextlib
import io
import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from e2eve import Box, Driver, Editor
from e2eve.edit import edit
from e2eve.editing import Picture
from tests.factories import compose, tiny_editor

EXAMPLES = int(os.environ.get("E2EVE_EXAMPLES", 60))  # 2000 take about ten minutes
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "I;16", "F")
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "PPM")


@pytest.fixture(scope="module")
def editor() -> Editor:
    return tiny_editor()


@pytest.fixture(scope="module")
def bundle(editor, tmp_path_factory) -> Path:
    return editor.save_pretrained(tmp_path_factory.mktemp("run") / "bundle")


@st.composite
def pillow_images(draw: st.DrawFn) -> Image.Image:
    """Noise of any mode and size, some of it long and thin."""
    width, height = draw(st.sampled_from([(1, 1), (1, 90), (90, 1)]) | st.tuples(*[SIDES] * 2))
    mode, seed = draw(st.sampled_from(MODES)), draw(st.integers(0, 5))
    rng = np.random.default_rng(seed)
    if mode in ("I", "I;16"):
        top = draw(st.sampled_from([255, 65535, 70000])) if mode == "I" else 65535
        kind = np.int32 if mode == "I" else np.uint16
        return Image.fromarray(rng.integers(0, top + 1, (height, width)).astype(kind))
    image = Image.fromarray(rng.integers(0, 256, (height, width, 4), dtype=np.uint8))
    image = image if mode in ("LA", "RGBA") else image.convert("RGB")
    if draw(st.booleans()) and mode != "F":
        image.getexif()[0x0112] = draw(st.integers(0, 9))
    if draw(st.integers(0, 5)) == 0:
        image.info["icc_profile"] = draw(st.binary(max_size=200))
    return image.convert(mode)


SIDES = st.integers(1, 70)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Bytes of images in all formats, animations, with damage here and there, and bombs."""
    if draw(st.integers(0, 15)) == 0:
        return draw(st.binary(max_size=300))
    if draw(st.integers(0, 15)) == 0:
        return bomb(draw(st.sampled_from([9_000, 60_000])))
    image, form = draw(pillow_images()), draw(st.sampled_from(FORMATS))
    buffer, more = io.BytesIO(), {}
    if form in ("GIF", "PNG", "TIFF") and draw(st.booleans()):
        more = {"save_all": True, "append_images": [image.copy()]}
    for one in (image, image.convert("RGB")):
        try:
            one.save(buffer, form, **more)
            break
        except (OSError, KeyError, ValueError, SystemError):  # a mode that the format lacks
            buffer = io.BytesIO()
    data = bytearray(buffer.getvalue())
    damage = draw(st.sampled_from(["none", "none", "cut", "changed"]))
    if data and damage == "cut":
        return bytes(data[: draw(st.integers(0, len(data)))])
    if data and damage == "changed":
        for place in draw(st.lists(st.integers(0, len(data) - 1), min_size=1, max_size=5)):
            data[place] = draw(st.integers(0, 255))
    return bytes(data)


def bomb(side: int) -> bytes:
    """A small PNG that says it is very large."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))]
    parts += [(b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


# Regions inside sources, at their edges, outside, and masks of the right size and of others.
@st.composite
def regions(draw: st.DrawFn) -> Any:
    if draw(st.booleans()):
        left, top = draw(st.integers(-3, 60)), draw(st.integers(-3, 60))
        return Box(left, top, left + draw(SIDES), top + draw(SIDES))
    return draw(st.sampled_from(["full", "dot", "half", "empty", "other", "grey"]))


def region_of(asked: Any, size: tuple[int, int]) -> Any:
    """A mask for a source of that size, where one is asked for by its kind."""
    if isinstance(asked, Box):
        return asked
    width, height = size
    mask = np.zeros((height, width), np.uint8)
    if asked == "other":
        return np.full((height + 1, width), 255, np.uint8)
    if asked in ("full", "grey"):
        mask[:] = {"full": 255, "grey": 127}[asked]
    elif asked == "dot":
        mask[height // 2, width // 2] = 255
    elif asked == "half":
        mask[:, : (width + 1) // 2] = 255
    return mask


SUFFIXES = st.sampled_from([".png", ".jpg", ".gif", ".tif", "", ".txt"])


# What both ways of asking are given; each of a person's own files may have any suffix.
anything = {
    "source": files() | pillow_images(),
    "driver": files() | pillow_images(),
    "region": regions(),
    "fit": st.sampled_from(["crop", "pad"]),
    "feather": st.sampled_from([None, 0, 2.5, 1000.0]),
}
generated = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


def check_sentence(error: Exception) -> None:
    said = str(error)
    assert said
    assert "\n" not in said
    assert len(said) < 600


def check_edit(edit: Picture, before: Picture, region: np.ndarray) -> None:
    assert edit.size == before.size
    assert edit.mode == before.mode
    assert np.array_equal(edit.values[~region], before.values[~region])


@generated
@given(**anything, suffix=SUFFIXES)
def test_a_valid_picture_or_one_sentence(
    editor, tmp_path_factory, source, driver, region, fit, feather, suffix
):
    folder = tmp_path_factory.getbasetemp()
    given_images: list[Any] = []
    for name, image in (("source", source), ("driver", driver)):
        if isinstance(image, bytes):
            (folder / f"{name}{suffix}").write_bytes(image)
            image = folder / f"{name}{suffix}"
        given_images.append(image)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            before = Picture.of(given_images[0], "source")
            mask = region_of(region, before.size)
            edits = editor.edit(
                before.image() if suffix == "" else given_images[0],
                Driver(given_images[1], fit=fit),
                mask,
                num_samples=1,
                feather=feather,
            )
        except ValueError as error:
            check_sentence(error)
            return
    check_edit(Picture.of(edits.images[0], "edit"), before, edits.region)


@generated
@given(**anything, suffix=st.sampled_from([".png", ".jpg", ".gif", ".tif", ".txt"]))
def test_the_command_writes_a_valid_picture_or_says_one_sentence(
    editor, bundle, tmp_path_factory, source, driver, region, fit, feather, suffix
):
    """From files to files; what fails leaves none."""
    folder = tmp_path_factory.mktemp("asked")
    for name, image in (("source", source), ("driver", driver)):
        if not isinstance(image, bytes):
            image = saved(image)
        (folder / f"{name}{suffix}").write_bytes(image)
    paths = {name: str(folder / f"{name}{suffix}") for name in ("source", "driver")}
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patched:
        warnings.simplefilter("ignore")
        patched.setattr(Editor, "from_pretrained", lambda *_, **__: editor)
        try:
            size = Picture.of(paths["source"], "source").size
        except ValueError:
            size = (8, 8)
        mask = region_of(region, size)
        if isinstance(mask, Box):
            place = f"box:{mask.left},{mask.top},{mask.right},{mask.bottom}"
        else:
            place = f"mask:{folder / 'mask.png'}"
            Image.fromarray(mask).save(folder / "mask.png")
        config = compose(f"driver_fit={fit}", "num_samples=1", config_name="edit")
        config.update({**paths, "region": place, "feather": feather})
        config.update({"model": str(bundle), "out": str(folder / "out")})
        try:
            edit(config)
        except (ValueError, OSError) as error:
            check_sentence(error)
            assert not list(folder.glob("out/*"))
            return
        (written,) = folder.glob("out/edit_01.*")
        before = Picture.of(paths["source"], "source")
        shown = Picture.of(folder / "out" / "region.png", "region").values
        check_edit(
            Picture.of(written, "edit"), before, shown.reshape(*shown.shape[:2], -1)[..., 0] > 127
        )


def saved(image: Image.Image) -> bytes:
    """As a TIFF, which holds most modes, or a PNG of its colours."""
    for form, one in (("TIFF", image), ("PNG", image.convert("RGB"))):
        buffer = io.BytesIO()
        with contextlib.suppress(OSError, KeyError, ValueError, SystemError):
            one.save(buffer, form)
            return buffer.getvalue()
    raise AssertionError(image.mode)
