"""Tokenizers that come with the package, on faces that they have not seen."""

import numpy as np
import pytest

from e2eve.data import ToyFaces
from e2eve.data.images import to_tensor
from e2eve.tokenizers import Tokenizer
from e2eve.tokenizers.tokenizer import psnr


@pytest.mark.parametrize(("name", "tokens", "decibels"), [("source", 64, 21), ("sharp", 256, 27)])
def test_held_out_faces_are_reproduced(name, tokens, decibels):
    faces = ToyFaces("val", 64)
    images = to_tensor(np.stack([faces[index] for index in range(64)]))
    tokenizer = Tokenizer.from_pretrained(f"package:toyfaces_{name}")
    ids = tokenizer.encode(images)
    assert ids.shape == (64, tokens)
    assert psnr(tokenizer.decode(ids), images).mean() > decibels
