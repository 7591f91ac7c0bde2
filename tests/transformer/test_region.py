"""Laws of a GPT that predicts the region only."""

import itertools
from typing import Any

import pytest
import torch

from e2eve.transformer import GPT, Conditioning, EditTokens, GPTConfig, GPTSampling, SequenceLayout
from e2eve.transformer.gpt.network import RegionCells
from e2eve.transformer.sampling import gumbel_noise
from tests.factories import CODES, conditioning_of, random_ids
from tests.references.sampling import filter_logits

LAYOUT = SequenceLayout(driver=4, source=16)
LAWS: list[dict[str, Any]] = [
    {"top_p": None},
    {"draft": "none"},
    {"temperature": 0.0},
    {"temperature": 1.5, "top_k": 12, "num_speculative_tokens": 3},
    {"guidance": 2.5},
    {"guidance": 0.0, "preserve": "tokens"},
    {"preserve": "tokens"},
]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def region_gpt(codes: int = CODES, **config: Any) -> GPT:
    """Sharp, so that a token depends on those before it."""
    shape: dict[str, Any] = {"layers": 2, "heads": 2, "width": 32, **config}
    gpt = GPT(GPTConfig(codebook_size=codes, targets="region", **shape), LAYOUT).eval()
    with torch.no_grad():
        gpt.head.weight.normal_(0, 0.5)
        for parameter in (gpt.tokens.weight, *gpt.blocks.parameters()):
            parameter.mul_(5 if parameter.ndim == 2 else 1)
    return gpt


def tokens() -> EditTokens:
    """A square, two cells apart, and all cells of a 4 × 4 grid."""
    cells = torch.zeros(3, 4, 4, dtype=torch.bool)
    cells[0, 1:3, 2:] = cells[1, 0, 0] = cells[1, 3, 3] = cells[2] = True
    return EditTokens(random_ids(3, 4), random_ids(3, 16), random_ids(3, 16), cells.flatten(1))


@torch.no_grad()
def slowly_drawn(
    gpt: GPT, given: Conditioning, row: int, seed: int, number: int, settings: GPTSampling
) -> torch.Tensor:
    """One sample: the whole sequence is read again for each cell of the region."""
    region = gpt.region_of(given.region_cells[row][None])[0]
    cells, ids = region.nonzero()[:, 0], given.source_ids[row].clone()
    if given.preserved_ids is not None:
        ids = torch.where(given.region_cells[row], ids, given.preserved_ids[row])
    noise = gumbel_noise(seed, number, 16, CODES)
    for place, cell in enumerate(cells):
        if given.preserved_ids is not None and not given.region_cells[row, cell]:
            continue
        read = [
            gpt.cell_logits(driver[None], given.source_ids[row][None], ids[None], cells[None])
            for driver in (given.driver_ids[row], given.empty_driver_ids)
            if driver is not None
        ]
        logits = read[0][:, place]
        if len(read) == 2:
            logits = read[1][:, place] + settings.guidance * (logits - read[1][:, place])
        ids[cell] = (filter_logits(logits, settings)[0] + noise[cell]).argmax()
    return ids


@pytest.mark.parametrize("law", LAWS)
def test_drafts_and_caches_draw_what_reading_everything_again_draws(law):
    gpt, settings, edits = region_gpt(), GPTSampling(**law), tokens()
    given = conditioning_of(edits, settings)
    told: list[int] = []
    for samples in (1, 2):
        drawn = gpt.sample(
            given, num_samples=samples, seeds=[5, 6, 7], settings=settings, progress=told.append
        )
        for row, number in itertools.product(range(3), range(samples)):
            expected = slowly_drawn(gpt, given, row, 5 + row, number, settings)
            assert torch.equal(drawn[row, number], expected), (row, number)
        assert told[-1] == 16


def test_cells_beyond_the_rim_are_not_drawn_and_cost_no_pass():
    gpt, edits = region_gpt(), tokens()
    given = Conditioning(edits.driver_ids[:2], edits.source_ids[:2], edits.region_cells[:2])
    drawn = gpt.sample_speculatively(given, 2, [1, 2], GPTSampling(draft="none"))
    region = gpt.region_of(given.region_cells)
    assert region.sum(1).tolist() == [12, 8]
    assert torch.equal(drawn.passes, region.sum(1, keepdim=True).expand(2, 2))
    for sample in drawn.ids.unbind(1):
        assert torch.equal(sample[~region], given.source_ids[~region])


@pytest.mark.parametrize("place", [0, 3, 8])
def test_a_cell_depends_on_the_conditioning_and_the_cells_before_it(place):
    """Shown by gradients to the embedded tokens; the driver sees the source that follows it."""
    gpt, edits = region_gpt(), EditTokens._make(part[:1] for part in tokens())
    cells = RegionCells.of(gpt.region_of(edits.region_cells)).cells
    seen = []
    gpt.tokens.register_forward_hook(lambda module, args, out: seen.append(out))
    logits = gpt.cell_logits(*edits[:3], cells)
    seen[0].retain_grad()
    logits[0, place].logsumexp(0).backward()
    depends = seen[0].grad[0].abs().sum(1) > 0
    assert depends[: LAYOUT.conditioning + place + 1].all()
    assert not depends[LAYOUT.conditioning + place + 1 :].any()


def test_likelihoods_do_not_depend_on_the_batch_that_rows_are_padded_in():
    gpt, edits = region_gpt(), tokens()
    together, region = gpt.nll(edits), gpt.region_of(edits.region_cells)
    assert together.predicted is not None and torch.equal(together.predicted, region)
    for row in range(3):
        alone = gpt.nll(EditTokens._make(part[row : row + 1] for part in edits))
        torch.testing.assert_close(alone.per_token[0], together.per_token[row])


@pytest.mark.parametrize("multiple, columns", [(1, 9), (4, 12), (64, 16)])
def test_rounding_the_length_of_a_batch_up_changes_no_likelihood(multiple, columns):
    """Cells added are others, as many as there are, and none of them counts."""
    gpt, edits = region_gpt(rim=0), EditTokens._make(part[:2] for part in tokens())
    edits.region_cells[1, :9] = True
    edits.region_cells[1, 9:] = False
    cells, real = RegionCells.of(edits.region_cells, multiple)
    assert cells.shape == (2, columns) and all(len(set(row.tolist())) == columns for row in cells)
    assert torch.equal(real.sum(1), edits.region_cells.sum(1))
    logits = gpt.cell_logits(*edits[:3], cells)[real]
    found = -logits.log_softmax(-1).gather(1, edits.target_ids[edits.region_cells][:, None])[:, 0]
    torch.testing.assert_close(found, gpt.nll(edits).per_token[edits.region_cells])


def test_logits_are_those_of_the_likelihoods_and_undefined_elsewhere():
    gpt, edits = region_gpt(), tokens()
    logits, region = gpt.logits(edits), gpt.region_of(edits.region_cells)
    assert torch.equal(logits.isnan().all(2), ~region)
    found = -logits.log_softmax(-1).gather(2, edits.target_ids[..., None])[..., 0]
    torch.testing.assert_close(found[region], gpt.nll(edits).per_token[region])


def test_probabilities_of_all_edits_add_up_to_1():
    gpt, filled = region_gpt(2, rim=0), torch.tensor(list(itertools.product((0, 1), repeat=4)))
    source, cells = torch.randint(2, (16,)), torch.tensor([1, 5, 6, 15])
    target, region = source.repeat(16, 1), torch.zeros(16, 16, dtype=torch.bool)
    target[:, cells], region[:, cells] = filled, True
    driver = torch.randint(2, (4,)).expand(16, -1)
    nll = gpt.nll(EditTokens(driver, source.expand(16, -1), target, region))
    assert (-nll.per_token.sum(1)).exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_a_cell_s_place_says_which_cell_it_is():
    """Not the index among those that are predicted."""
    gpt = region_gpt()
    one, other = gpt.target_places(torch.tensor([[3, 7, 9], [7, 9, 3]]))
    asks = gpt.positions[LAYOUT.conditioning :]
    torch.testing.assert_close(one[1] - asks[7], gpt.drawn[3])
    torch.testing.assert_close(other[0] - asks[7], gpt.drawn[16])
    torch.testing.assert_close(one[2] - asks[9], other[1] - asks[9])


def test_targets_are_all_or_the_region():
    with pytest.raises(ValueError, match='targets is "none": use "all" or "region"'):
        GPTConfig(targets="none")
