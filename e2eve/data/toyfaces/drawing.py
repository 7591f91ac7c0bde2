"""From attributes to pixels."""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
from jaxtyping import UInt8

from e2eve.data.toyfaces import accessories, features, hair, mouths, scene
from e2eve.data.toyfaces.attributes import FaceAttributes
from e2eve.data.toyfaces.curves import symmetric
from e2eve.data.toyfaces.palette import SKIN, mix, skin_shade
from e2eve.data.toyfaces.pen import Pen

_OVERSAMPLING = 2  # on top of OpenCV's own antialiasing
_BELOW_THE_BRIM = symmetric(
    [(0, -16), (26, -16), (33, -12), (38, -6), (41, 4), (44, 30), (44, 200), (0, 200)]
)


def draw_face(attributes: FaceAttributes, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Draws the face as an RGB picture of `size` × `size` pixels, 32 to 512.

    Raises:
        ValueError: when the size is out of range.
    """
    check_size(size)
    side = size * _OVERSAMPLING
    canvas = Pen(np.empty((side, side, 3), np.uint8), complex(side / 100), 0j)
    scene.draw_background(canvas, attributes)
    body = canvas.moved(attributes.centre_x, attributes.centre_y, attributes.head_scale)
    _draw_person(body, attributes)
    return cv2.resize(canvas.pixels, (size, size), interpolation=cv2.INTER_AREA)


def check_size(size: int) -> None:
    if not 32 <= size <= 512:
        raise ValueError(f"size={size} is out of range, toy faces are drawn at 32 to 512 pixels.")


def _draw_person(body: Pen, face: FaceAttributes) -> None:
    head = body.moved(degrees=face.tilt)
    with _under_the_hat(head, face):
        hair.draw_back_hair(head, face)
    scene.draw_body(body, face)
    features.draw_ears(head, face)
    features.draw_skull(head, face)
    _draw_shadows(head, face)
    features.draw_cheeks(head, face)
    mouths.draw_beard(head, face)
    mouths.draw_mouth(head, face)
    mouths.draw_moustache(head, face)
    features.draw_nose(head, face)
    features.draw_eyes(head, face)
    features.draw_brows(head, face)
    accessories.draw_earrings(head, face)
    with _under_the_hat(head, face):
        hair.draw_front_hair(head, face, hair.tones(face))
    accessories.draw_glasses(head, face)
    accessories.draw_hat(head, face)


def _draw_shadows(head: Pen, face: FaceAttributes) -> None:
    """What hair and hat cast on the face."""
    skin = SKIN[face.skin]
    shadow = mix(skin, skin_shade(skin), 0.8)
    with head.inside(features.outline(face)):
        hair.draw_front_hair(head.moved(0.6, 2), face, hair.Tones(shadow, shadow, shadow))
        if face.hat in accessories.COVERING:
            head.blob("-30,-20 30,-20 30,-8 14,-9.6 0,-10 -14,-9.6 -30,-8", shadow)


@contextmanager
def _under_the_hat(head: Pen, face: FaceAttributes) -> Iterator[None]:
    """Hair drawn in the block shows only below the brim of a hat that covers the skull."""
    if face.hat not in accessories.COVERING:
        yield
        return
    with head.inside(_BELOW_THE_BRIM):
        yield
