"""Edits of toy faces with a right answer."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from e2eve.data.toyfaces import ToyFaces, draw_face
from e2eve.data.toyfaces.answers import (
    GROUPS,
    Answered,
    Placed,
    answered,
    changed,
    graded,
    refusal,
)
from e2eve.data.toyfaces.attributes import CHOICES, RANGES, FaceAttributes, follows_rules
from e2eve.geometry import Box

FACES = ToyFaces("val", 64)
SIZE = 64


def edits(group: str, count: int) -> list[Answered]:
    """The first edits of consecutive faces that are not refused."""
    found = (
        answered(group, FACES.attributes(n), FACES.attributes(n + 1), keep_skin=bool(n % 2))
        for n in range(0, 1000, 2)
    )
    kept = (edit for edit in found if refusal(edit, SIZE) is None)
    return [next(kept) for _ in range(count)]


@pytest.fixture(params=GROUPS, scope="module")
def edit(request) -> Answered:
    return edits(request.param, 1)[0]


def region(edit: Answered, size: int = SIZE) -> np.ndarray:
    return Placed(edit.source, edit.group, size).box.mask(size, size)


def test_every_sampled_face_follows_the_rules():
    assert all(follows_rules(FACES.attributes(n)) for n in range(200))


@pytest.mark.parametrize(
    "broken",
    [
        {"hat": "headscarf", "hair": "long"},
        {"hat_colour": "navy", "accent_colour": "navy"},
        {"background_colour": "coral", "clothes_colour": "orange"},
        {"skin": "porcelain", "hair_colour": "platinum"},
    ],
)
def test_a_face_that_could_not_be_sampled_breaks_the_rules(broken):
    assert not follows_rules(replace(FACES.attributes(0), **broken))


@pytest.mark.parametrize("size", [64, 128])
def test_source_and_answer_are_the_same_outside_the_region(edit, size):
    assert not changed(edit, size)[~region(edit, size)].any()


def test_the_answer_has_of_the_driver_what_its_group_says_and_all_else_of_the_source(edit):
    for name in FaceAttributes.__dataclass_fields__:
        shown = edit.driver if name in GROUPS[edit.group].fields else edit.source
        assert getattr(edit.answer, name) == getattr(shown, name)


@pytest.mark.parametrize("keep_skin", [True, False])
@pytest.mark.parametrize("group", GROUPS)
def test_the_driver_is_shown_in_the_colours_of_the_source(group, keep_skin):
    a, b = FACES.attributes(0), FACES.attributes(1)
    driver = answered(group, a, b, keep_skin).driver
    assert driver.hair_colour == a.hair_colour
    assert driver.accent_colour == (b if group == "clothes" else a).accent_colour
    assert driver.skin == (b if keep_skin else a).skin


def test_both_faces_are_without_what_reaches_into_other_regions(edit):
    for face in edit[1:]:
        assert (face.cheeks, face.earrings) == ("none", "none")
        assert face.glasses not in ("monocle", "patch")
        assert edit.group != "mouth" or face.beard in ("none", "goatee")
        assert edit.group != "hat" or face.brows == "none"


def test_the_region_does_not_depend_on_the_driver():
    faces = [FACES.attributes(n) for n in range(3)]
    pairs = [answered("eyes", faces[0], other, keep_skin=True) for other in faces[1:]]
    assert len({Placed(one.source, "eyes", SIZE).box for one in pairs}) == 1


def test_a_region_is_the_bounding_rectangle_of_the_turned_box():
    face = replace(FACES.attributes(0), centre_x=50.0, centre_y=50.0, head_scale=1.0, tilt=0.0)
    assert Placed(face, "mouth", 100).box == Box(26, 58, 74, 90)
    turned = Placed(replace(face, tilt=8.0), "mouth", 100).box
    assert turned.width > 48 and turned.height > 32
    assert Placed(replace(face, tilt=8.0), "clothes", 100).box == Box(2, 81, 98, 100)


def test_what_is_graded_lies_in_the_region_and_most_of_what_changes_is(edit):
    known, change = graded(edit, SIZE), changed(edit, SIZE, 24)
    assert not known[~region(edit)].any()
    assert (known & change).sum() >= 0.8 * change.sum() > 0
    assert change.sum() >= 0.1 * region(edit).sum()


def test_a_driver_is_its_box_padded_to_a_square(edit):
    placed = Placed(edit.driver, edit.group, SIZE)
    box, square = placed.box, placed.box.square
    driver = box.padded_crop(draw_face(edit.driver, SIZE))
    assert driver.shape == (square.height, square.width, 3) and square.contains(box)
    inner = box.shifted(-square.left, -square.top)
    assert (inner.crop(driver) == box.crop(draw_face(edit.driver, SIZE))).all()
    assert (driver[: inner.top] == driver[inner.top]).all()


def test_what_is_cut_out_of_the_answer_and_put_in_its_place_is_the_answer(edit):
    cut, place = Placed(edit.answer, edit.group, SIZE), Placed(edit.source, edit.group, SIZE)
    assert cut.onto(place) == place.box.square
    inner = place.box.shifted(-place.box.square.left, -place.box.square.top)
    assert (
        inner.crop(cut.box.padded_crop(draw_face(edit.answer, SIZE)))
        == place.box.crop(draw_face(edit.answer, SIZE))
    ).all()


def test_a_box_lands_on_the_same_box_of_a_face_in_another_pose():
    a = FACES.attributes(0)
    pose: dict[str, Any] = dict(zip(RANGES, (52.0, 50.0, 0.9, 5.0), strict=False))
    one, other = (Placed(face, "eyes", 512) for face in (a, replace(a, **pose)))
    moved = one.onto(other)
    assert np.allclose(moved.centre, other.box.square.centre, atol=2)
    assert moved.width / one.box.square.width == pytest.approx(0.9 / a.head_scale, abs=0.01)


def plain_face(**changes: str) -> FaceAttributes:
    """A face without optional features, and then with these."""
    plain = {name: "none" for name, kinds in CHOICES.items() if "none" in kinds}
    colours = {"background_colour": "mint", "clothes_colour": "navy", "hat_colour": "red"}
    all_changes: dict[str, Any] = {**plain, **colours, "accent_colour": "teal", "hair": "buzz"}
    return replace(FACES.attributes(0), **(all_changes | changes))


@pytest.mark.parametrize(
    ("group", "a", "b", "reason"),
    [
        ("eyes", {}, {"glasses": "shades"}, None),
        ("eyes", {}, {"hat": "cap"}, "too few pixels change"),
        ("hat", {}, {"hat": "crown"}, "the driver shows no hat"),
        ("clothes", {}, {"clothes_colour": "red"}, "against the rules of faces"),
        ("hat", {"hair": "pigtails"}, {"hat": "beanie"}, "pixels outside change"),
    ],
)
def test_an_edit_is_refused_with_its_reason(group, a, b, reason):
    edit = answered(group, plain_face(**a), plain_face(**b), keep_skin=False)
    assert refusal(edit, SIZE) == reason


def test_what_a_band_of_unknown_colour_covers_is_not_graded():
    a, b = plain_face(), plain_face(hat="fedora")
    edit = answered("hat", a, b, keep_skin=False)
    band = draw_face(replace(edit.answer, accent_colour="orange"), SIZE)
    pixels = (band != draw_face(edit.answer, SIZE)).any(-1) & region(edit)
    assert pixels.any() and not graded(edit, SIZE)[pixels].any()
