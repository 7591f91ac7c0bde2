"""Speculative sampling draws the plain loop's ids, whatever is guessed, known or shared."""

from typing import Any

import pytest
import torch

from e2eve.transformer import GPT, GPTSampling
from e2eve.transformer.gpt import packed
from e2eve.transformer.gpt.network import KeyValueCache
from e2eve.transformer.gpt.speculative import Draft, Sampled, sample, span_ends, speculated
from tests.factories import CODES, random_ids, sharp_gpt
from tests.references.sampling import Cached, reference_sample

NOTHING = torch.zeros(16, dtype=torch.bool)
LAWS: list[dict[str, Any]] = [
    {"top_p": None},
    {},
    {"temperature": 0.0},
    {"temperature": 0.7, "top_k": 5, "top_p": 0.8},
    {"temperature": 1.5, "top_k": 12, "top_p": None},
    {"guidance": 2.5},
    {"guidance": 0.0, "temperature": 0.0},
]


def guesses(plain: torch.Tensor) -> dict[str, torch.Tensor]:
    """For each input: its first sample, half of it right, nothing right."""
    right = plain[:, 0]
    half = torch.where(torch.rand(right.shape) < 0.5, right, random_ids(*right.shape))
    return {"right": right, "half": half, "wrong": (right + 1) % CODES}


def check_law(dtype: torch.dtype, law: dict, inputs: int, samples: int, widths: tuple, seed: int):
    torch.manual_seed(seed)
    gpt, conditioning = sharp_gpt(dtype), (random_ids(inputs, 4), random_ids(inputs, 16))
    asked: dict[str, Any] = {"num_samples": samples, "seeds": [seed + n for n in range(inputs)]}
    if "guidance" in law:
        asked["empty_driver"] = random_ids(4)
    plain = reference_sample(gpt, *conditioning, **asked, settings=GPTSampling(**law))
    for name, guess in guesses(plain).items():
        draft = Draft(guess, NOTHING.expand_as(guess))
        for width in widths:
            settings = GPTSampling(**law, num_speculative_tokens=width)
            drawn = sample(gpt, *conditioning, **asked, settings=settings, draft=draft)
            assert torch.equal(drawn.ids, plain), (name, width, seed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("law", LAWS)
def test_ids_are_those_of_the_plain_loop_under_any_law(dtype, law):
    check_law(dtype, law, inputs=2, samples=2, widths=(1, 5), seed=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("inputs", "samples"), [(1, 1), (1, 4), (4, 1), (3, 2)])
def test_ids_are_those_of_the_plain_loop_in_any_batch_and_number_of_guesses(dtype, inputs, samples):
    check_law(dtype, {}, inputs, samples, widths=(2, 16), seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ids_are_those_of_the_plain_loop_for_many_networks_and_seeds(dtype):
    for seed in range(25):
        check_law(dtype, LAWS[seed % len(LAWS)], 1, 1, widths=(4,), seed=seed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("draft", ["source", "none"])
@pytest.mark.parametrize(("inputs", "samples"), [(1, 1), (2, 3)])
def test_known_tokens_stay_and_the_others_are_drawn_as_the_plain_loop_draws(
    dtype, draft, inputs, samples
):
    gpt, conditioning = sharp_gpt(dtype), (random_ids(inputs, 4), random_ids(inputs, 16))
    asked: dict[str, Any] = {"num_samples": samples, "seeds": list(range(inputs))}
    for share, width in ((0.3, 1), (0.8, 1), (0.5, 4), (1.0, 2)):
        known = torch.rand(inputs, 16) < share
        given = Draft(random_ids(inputs, 16), known)
        settings = GPTSampling(draft=draft, num_speculative_tokens=width)
        plain = reference_sample(gpt, *conditioning, **asked, settings=settings, draft=given)
        drawn = sample(gpt, *conditioning, **asked, settings=settings, draft=given)
        assert torch.equal(drawn.ids, plain)
        for ids in drawn.ids.unbind(1):
            assert torch.equal(ids[known], given.ids[known])


def test_the_plain_loop_draws_the_same_with_and_without_a_cache():
    gpt, conditioning = sharp_gpt(), (random_ids(2, 4), random_ids(2, 16))
    asked: dict[str, Any] = {"num_samples": 2, "seeds": [3, 4], "settings": GPTSampling()}
    whole = reference_sample(gpt, *conditioning, **asked)
    assert torch.equal(reference_sample(gpt, *conditioning, **asked, reader=Cached), whole)
    assert torch.equal(reference_sample(gpt, *conditioning, **asked, tokens=5), whole[..., :5])


def test_guidance_goes_from_no_driver_by_the_learnt_one_beyond_it():
    gpt, source_ids = sharp_gpt(torch.float64), random_ids(3, 16)
    drivers, empty = random_ids(3, 4), random_ids(4)

    def drawn(guidance: float, driver_ids: torch.Tensor) -> torch.Tensor:
        settings = GPTSampling(guidance=guidance)
        asked: dict[str, Any] = {"num_samples": 2, "seeds": [0, 1, 2], "empty_driver": empty}
        return sample(gpt, driver_ids, source_ids, settings=settings, **asked).ids

    assert torch.equal(drawn(0, drivers), drawn(1, empty.expand(3, 4)))
    assert torch.equal(drawn(1 + 1e-9, drivers), drawn(1, drivers))
    assert not torch.equal(drawn(3, drivers), drawn(1, drivers))
    assert torch.equal(drawn(3, empty.expand(3, 4)), drawn(1, empty.expand(3, 4)))


@pytest.mark.parametrize(("guidance", "inputs"), [(1.0, 3), (2.0, 6)])
def test_every_prefix_is_read_once(guidance, inputs, monkeypatch):
    """With guidance each input's twice: with its driver and with the empty one."""
    read: list[int] = []
    plain = KeyValueCache._read_prefix

    def counted(self: KeyValueCache, gpt: GPT, ids: torch.Tensor) -> torch.Tensor:
        read.append(len(ids))
        return plain(self, gpt, ids)

    monkeypatch.setattr(KeyValueCache, "_read_prefix", counted)
    settings = GPTSampling(guidance=guidance)
    conditioning = random_ids(3, 4), random_ids(3, 16)
    asked: dict[str, Any] = {"num_samples": 2, "seeds": [0, 1, 2], "settings": settings}
    sample(sharp_gpt(), *conditioning, **asked, empty_driver=random_ids(4))
    assert read == [inputs]


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs oneDNN")
def test_packed_matrices_draw_the_same(monkeypatch):
    gpt, conditioning = sharp_gpt(), (random_ids(2, 4), random_ids(2, 16))
    asked: dict[str, Any] = {
        "num_samples": 2,
        "seeds": [0, 1],
        "settings": GPTSampling(num_speculative_tokens=4),
    }
    expected = sample(gpt, *conditioning, **asked).ids
    monkeypatch.setattr(packed, "LARGE", 1)
    packed.release(gpt)
    assert torch.equal(sample(gpt, *conditioning, **asked).ids, expected)
    assert packed.packed(gpt).head.way != "torch"


def test_an_editor_that_was_trained_on_samples_with_its_new_weights(monkeypatch):
    """Nothing that the first sampling packed is used again."""
    monkeypatch.setattr(packed, "LARGE", 1)
    gpt, conditioning = sharp_gpt(), (random_ids(1, 4), random_ids(1, 16))
    asked: dict[str, Any] = {"num_samples": 1, "seeds": [0], "settings": GPTSampling()}
    before = sample(gpt, *conditioning, **asked).ids
    optimizer = torch.optim.AdamW(gpt.parameters(), lr=0.1, fused=True)
    gpt.target_logits(*conditioning, random_ids(1, 16)).square().mean().backward()
    optimizer.step()
    after = sample(gpt, *conditioning, **asked).ids
    assert torch.equal(after, reference_sample(gpt, *conditioning, **asked))
    assert not torch.equal(after, before)


def drawn_with(guess: torch.Tensor, gpt: GPT, conditioning, **options) -> Sampled:
    settings = GPTSampling(num_speculative_tokens=options.pop("width", None))
    draft = Draft(guess, options.pop("known", NOTHING).expand_as(guess))
    seeds = list(range(len(guess)))
    return sample(gpt, *conditioning, num_samples=1, seeds=seeds, settings=settings, draft=draft)


def test_a_right_guess_takes_a_pass_for_so_many_tokens_and_a_wrong_one_no_more_than_tokens():
    gpt, conditioning = sharp_gpt(), (random_ids(2, 4), random_ids(2, 16))
    settings = GPTSampling()
    plain = reference_sample(gpt, *conditioning, num_samples=1, seeds=[0, 1], settings=settings)[
        :, 0
    ]
    right = drawn_with(plain, gpt, conditioning, width=4)
    assert right.passes.tolist() == [[4], [4]]
    assert right.guessed.all()
    one_right = torch.stack([plain[0], (plain[1] + 1) % CODES])
    mixed = drawn_with(one_right, gpt, conditioning, width=4)
    assert mixed.passes[0] == 4
    assert 4 < mixed.passes[1] <= 16, "rows advance each at its own pace"
    alone = drawn_with((plain + 1) % CODES, gpt, conditioning, width=1)
    assert alone.passes.tolist() == [[16], [16]]
    assert not alone.guessed.any()


def test_with_known_tokens_a_pass_is_needed_for_each_of_the_others_only():
    gpt, conditioning = sharp_gpt(), (random_ids(1, 4), random_ids(1, 16))
    for free in ([0], [15], [3, 4, 9], []):
        known = ~NOTHING
        known[free] = False
        sampled = drawn_with(random_ids(1, 16), gpt, conditioning, width=1, known=known)
        assert sampled.passes.item() == len(free)
        assert sampled.guessed[0, 0][known].all()


def test_a_span_holds_as_many_tokens_to_draw_as_asked_for():
    known = torch.tensor([[False, True, True, False, False, True, True]])
    assert span_ends(known, 1).tolist() == [[1, 4, 4, 4, 5, 5, 5, 5]]
    assert span_ends(known, 2).tolist() == [[4, 5, 5, 5, 5, 5, 5, 5]]
    assert span_ends(torch.zeros(1, 3, dtype=torch.bool), 2).tolist() == [[2, 3, 3, 3]]


def test_a_pass_reads_fewer_tokens_of_each_as_rows_become_many_and_is_what_is_asked_for():
    settings = GPTSampling()
    widths = [speculated(settings, rows) for rows in (1, 4, 16, 1000)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > widths[-1] > 1
    assert speculated(GPTSampling(num_speculative_tokens=5), 100) == 5
    assert speculated(GPTSampling(num_speculative_tokens=5, draft="none"), 1) == 1


def test_progress_grows_to_all_tokens():
    told: list[int] = []
    known = NOTHING.clone()
    known[:3] = known[12:] = True
    draft = Draft(random_ids(2, 16), known.expand(2, 16))
    gpt, conditioning = sharp_gpt(), (random_ids(2, 4), random_ids(2, 16))
    asked: dict[str, Any] = {"num_samples": 2, "seeds": [0, 1], "settings": GPTSampling()}
    sample(gpt, *conditioning, **asked, draft=draft, progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 16


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_rounded_matrices_draw_valid_ids_near_the_likeliest(precision):
    """At temperature 0 most tokens of a sharp network stay."""
    gpt, conditioning = sharp_gpt(), (random_ids(8, 4), random_ids(8, 16))
    asked: dict[str, Any] = {"num_samples": 1, "seeds": [0] * 8}
    exact = sample(gpt, *conditioning, **asked, settings=GPTSampling(0.0)).ids
    settings = GPTSampling(0.0, precision=precision)
    rounded = sample(gpt, *conditioning, **asked, settings=settings).ids
    assert (rounded[..., :4] == exact[..., :4]).float().mean() > 0.7
    again = sample(gpt, *conditioning, **asked, settings=settings).ids
    assert torch.equal(rounded, again)
