"""Resumable order and randomness."""

import pytest

from e2eve.data.keyed import KeyedSampler, generator_for


def take(sampler: KeyedSampler, epochs: int) -> list:
    return [key for _ in range(epochs) for key in sampler]


def test_an_epoch_holds_every_index_once_in_another_order_each_time():
    keys = take(KeyedSampler(10, seed=0), 2)
    assert sorted(index for epoch, index in keys if epoch == 0) == list(range(10))
    first, second = [i for e, i in keys if e == 0], [i for e, i in keys if e == 1]
    assert first != second


@pytest.mark.parametrize("consumed", [0, 3, 10, 17, 29])
def test_starting_later_continues_the_same_sequence(consumed):
    whole = take(KeyedSampler(10, seed=1), 4)
    rest = take(KeyedSampler(10, seed=1, start=divmod(consumed, 10)), 4 - consumed // 10)
    assert rest == whole[consumed : consumed + len(rest)]
    assert len(rest) == 40 - consumed


def test_processes_share_an_epoch_without_overlap():
    shares = [take(KeyedSampler(11, seed=2, rank=rank, ranks=2), 1) for rank in range(2)]
    assert len(shares[0]) == len(shares[1]) == 5
    assert not set(shares[0]) & set(shares[1])


def test_draws_follow_from_the_key():
    assert generator_for(1, (2, 3)).random() == generator_for(1, (2, 3)).random()
    draws = {generator_for(s, (e, i)).random() for s in range(2) for e in range(2) for i in (0, 1)}
    assert len(draws) == 8


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match="1 images cannot be shared by 2"):
        KeyedSampler(1, seed=0, ranks=2)
