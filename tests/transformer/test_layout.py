"""Laws of the sequence layout."""

import pytest
import torch

from e2eve.transformer import SequenceLayout
from e2eve.transformer.gpt.network import grid_code
from tests.factories import random_ids

LAYOUT = SequenceLayout(driver=4, source=16)


def test_split_undoes_join():
    parts = (random_ids(2, 4), random_ids(2, 16), random_ids(2, 16))
    joined = LAYOUT.join(*parts)
    assert joined.shape == (2, LAYOUT.length)
    assert all(torch.equal(a, b) for a, b in zip(LAYOUT.split(joined), parts, strict=True))


def test_published_layout_has_528_tokens():
    assert SequenceLayout().length == 528


def test_parts_of_another_length_are_refused():
    with pytest.raises(ValueError, match="source has 9 ids where this editor reads 16"):
        LAYOUT.join(random_ids(1, 4), random_ids(1, 9), random_ids(1, 16))


def test_counts_that_are_no_square_are_refused():
    with pytest.raises(ValueError, match="driver has 5 tokens"):
        SequenceLayout(driver=5, source=16)


def test_a_cell_and_the_position_that_predicts_it_share_a_code():
    code = grid_code(LAYOUT, 32)
    source = code[LAYOUT.driver : LAYOUT.conditioning]
    predicts = code[LAYOUT.conditioning - 1 : -1]
    assert torch.equal(source[1:], predicts[1:])
    distances = torch.cdist(source, source) + torch.eye(16) * 9
    assert distances.min() > 0.1, "two cells have the same code"
