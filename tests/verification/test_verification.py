"""What verifies the project fails where an error is planted, and says what it found."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from e2eve import editor as editors
from e2eve.edit_simulation import Block, DriverCrop, Region
from e2eve.geometry import Box
from e2eve.metrics import feature_distances
from e2eve.reporting.progress import silent
from e2eve.transformer import masked as masked_family
from e2eve.transformer.gpt import family, speculative
from scripts import verify
from scripts.verification import data, findings, known_world, metrics, networks, sampling
from scripts.verification.findings import Findings, Row
from scripts.verification.known_world import ALL, Effort, World, drawn_contexts, truth

EFFORT = replace(known_world.QUICK, edits=6000, contexts=10, draws=2000)
SHORT = replace(EFFORT, edits=2000, steps=20)
SMALL = World(4)


@pytest.fixture(autouse=True)
def _peer() -> None:
    pytest.importorskip("transformers")


def disagreeing(rows: list[Row]) -> list[str]:
    return [row.claim for row in rows if row.agrees is False]


def simulated() -> list[Row]:
    return known_world.simulated_rows(SMALL, SMALL.simulated(SHORT.edits, 0, silent))


def learnt(which: int, effort: Effort = EFFORT) -> list[Row]:
    edits = SMALL.simulated(effort.edits, 0, silent)
    config = known_world.configs(SMALL, effort)[which]
    editor = known_world.trained(SMALL, config, edits, effort, silent)
    return known_world.learnt_rows(SMALL, editor, effort)


def test_the_truth_is_a_distribution_that_knows_what_is_given():
    world = World(4)
    assert world.law.sum() == pytest.approx(1)
    for given in drawn_contexts(world, 20, 0):
        law = truth(world, given)
        assert law.sum() == pytest.approx(1)
        kept = np.array(given.source) != 0
        assert (world.images[law > 0][:, kept] == np.array(given.source)[kept]).all()
        assert (world.images[law > 0] == given.driver).any(1).all(), "some cell is the driver's"


def test_simulated_edits_have_the_enumerated_law():
    assert disagreeing(simulated()) == []


def corner(crop: DriverCrop, region: Any, rng: np.random.Generator) -> Box:
    return Box(0, 0, 8, 8).shifted(region.box.left, region.box.top)


def unmasked(images: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
    return images


def white(images: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
    return images.masked_fill(regions, 1.0)


def transposed(images: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
    return images.masked_fill(regions.mT, -1.0)


@pytest.mark.parametrize(
    ("owner", "name", "wrong"),
    [
        (DriverCrop, "__call__", corner),
        (editors, "apply_mask", unmasked),
        (editors, "apply_mask", white),
        (editors, "apply_mask", transposed),
    ],
)
def test_an_error_in_simulation_or_masking_is_found(owner, name, wrong, monkeypatch):
    monkeypatch.setattr(owner, name, wrong)
    assert disagreeing(simulated())


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 1])
def test_a_small_world_is_learnt(which):
    assert disagreeing(learnt(which)) == []


def smoothed(*args: Any, **options: Any) -> torch.Tensor:
    return F.cross_entropy(*args, **{**options, "label_smoothing": 0.2})


def sees_its_answer(self: Any, *parts: torch.Tensor) -> torch.Tensor:
    ids = self.layout.join(*parts)
    return self.head(self.hidden(ids)[:, self.layout.conditioning :])


class SmoothedLosses:
    """`torch.nn.functional` but for one function."""

    cross_entropy = staticmethod(smoothed)

    def __getattr__(self, name: str) -> Any:
        return getattr(F, name)


@pytest.mark.parametrize(("which", "module"), [(0, family), (1, masked_family)])
def test_an_error_in_the_loss_is_found(which, module, monkeypatch):
    """Where it is made in likelihoods too, they do not add up to 1, learnt or not."""
    monkeypatch.setattr(module, "F", SmoothedLosses())
    assert any("add up" in claim for claim in disagreeing(learnt(which, SHORT)))


@pytest.mark.slow
def test_an_error_in_the_loss_of_training_alone_is_found(monkeypatch):
    """Probabilities are right then, and not those of the world."""
    right = known_world.learnt_rows

    def evaluated(*args: Any) -> list[Row]:
        monkeypatch.undo()
        return right(*args)

    monkeypatch.setattr(family, "F", SmoothedLosses())
    monkeypatch.setattr(known_world, "learnt_rows", evaluated)
    assert any("divergence" in claim for claim in disagreeing(learnt(0)))


def test_a_token_that_sees_its_answer_is_found(monkeypatch):
    monkeypatch.setattr(family.GPT, "target_logits", sees_its_answer)
    assert disagreeing(learnt(0, SHORT))


def sharper(logits: torch.Tensor, noise: torch.Tensor, settings: Any) -> torch.Tensor:
    return (logits * 1.3 + noise).argmax(-1)


@pytest.mark.parametrize(("which", "module"), [(0, speculative), (1, masked_family)])
def test_an_error_in_sampling_is_found_in_the_known_world(which, module, monkeypatch):
    """With random weights: what is drawn has to follow the model, learnt or not."""
    torch.manual_seed(0)
    editor = SMALL.editor(known_world.configs(SMALL, EFFORT)[which]).eval()
    transformer: Any = editor.transformer
    with torch.no_grad():
        transformer.head.weight.normal_(0, 0.3)

    def claims() -> list[str]:
        found = disagreeing(known_world.learnt_rows(SMALL, editor, EFFORT))
        return [claim for claim in found if "draws" in claim]

    assert claims() == []
    monkeypatch.setattr(module, "draw", sharper)
    assert claims()


def test_cells_of_one_pass_cost_their_dependence():
    world = World(4)
    law = truth(world, drawn_contexts(world, 1, 0, ALL)[0])
    shares = [np.bincount(world.images[:, c], weights=law, minlength=4) for c in range(4)]
    alone = np.prod([share[world.images[:, c]] for c, share in enumerate(shares)], axis=0)
    possible = law > 0
    assert (law[possible] * np.log(law[possible] / alone[possible])).sum() > 0.01


def filters(monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    monkeypatch.setattr(sampling, "DRAWS", 2000)
    monkeypatch.setattr(sampling, "CONTEXTS", 3)
    torch.manual_seed(0)
    return sampling.filter_rows()


def test_draws_follow_the_probabilities_of_logits_processors(monkeypatch):
    assert disagreeing(filters(monkeypatch)) == []


def keeps_one_more(settings: Any) -> Any:
    return replace(settings, top_k=settings.top_k and settings.top_k + 1)


def forgets_temperature(settings: Any) -> Any:
    return replace(settings, temperature=1.0)


def drops_sooner(settings: Any) -> Any:
    return replace(settings, top_p=settings.top_p and settings.top_p * 0.8)


@pytest.mark.parametrize("change", [keeps_one_more, forgets_temperature, drops_sooner])
def test_an_error_in_filters_is_found(change: Callable[[Any], Any], monkeypatch):
    right = sampling.draw
    wrong = lambda logits, noise, settings: right(logits, noise, change(settings))  # noqa: E731
    monkeypatch.setattr(sampling, "draw", wrong)
    assert len(disagreeing(filters(monkeypatch))) >= 2, "probabilities and draws"


def test_an_error_in_drafts_guidance_and_order_is_found(monkeypatch):
    monkeypatch.setattr(sampling, "WAYS", {"as trained": {}})
    monkeypatch.setattr(sampling, "MASKED", [{"passes": 3}, {"guidance": 2.5}])
    parts = (sampling.draft_rows, sampling.guidance_rows, sampling.masked_rows)
    torch.manual_seed(0)
    assert [disagreeing(part()) for part in parts] == [[], [], []]
    accept = speculative.DecodingState.accept

    def hasty(self: Any, *args: Any) -> None:
        accept(self, *args)
        self.accepted = (self.accepted + 1).clamp(max=self.known.shape[1])

    wrong = lambda given, empty, guidance: guidance * given  # noqa: E731
    with monkeypatch.context() as planted:
        planted.setattr(speculative.DecodingState, "accept", hasty)
        assert disagreeing(sampling.draft_rows())
    monkeypatch.setattr(speculative, "guided", wrong)
    monkeypatch.setattr(masked_family, "guided", wrong)
    assert disagreeing(sampling.guidance_rows())
    assert disagreeing(sampling.masked_rows())


def test_gpts_are_those_of_transformers():
    torch.manual_seed(0)
    assert disagreeing(networks.gpt_rows("small GPT")) == []


def test_tokenizers_are_those_of_diffusers():
    pytest.importorskip("diffusers")
    torch.manual_seed(0)
    assert disagreeing(networks.tokenizer_rows("small tokenizer")) == []


def test_distances_are_those_of_the_libraries(monkeypatch):
    a, b = torch.randn(60, 20).double(), torch.randn(60, 20).double() * 1.5
    monkeypatch.setattr(metrics, "GROUPS", {"regular": 1})
    assert disagreeing(metrics.distance_rows(a, b)) == []
    halved = lambda a, b: feature_distances.frechet_distance(a, b) * (1 + 1e-4)  # noqa: E731
    monkeypatch.setattr(metrics, "frechet_distance", halved)
    assert disagreeing(metrics.distance_rows(a, b))


def test_lpips_is_that_of_the_libraries():
    assert disagreeing(metrics.lpips_rows(2)) == []


def one_centre(sampler: Block, side: int, rng: np.random.Generator) -> Region:
    """The horizontal centre is the vertical one."""
    block = round(side * rng.uniform(sampler.min_side, sampler.max_side))
    corner = round(rng.uniform(0, side) - block / 2)
    box = Box(corner, corner, corner + block, corner + block).clipped(side, side)
    return Region(box.mask(side, side), box)


def larger(sampler: Block, side: int, rng: np.random.Generator) -> Region:
    return RIGHT(replace(sampler, min_side=0.45), side, rng)


def inside(sampler: Block, side: int, rng: np.random.Generator) -> Region:
    """No border clips a block, since none reaches over it."""
    block = round(side * rng.uniform(sampler.min_side, sampler.max_side))
    left, top = rng.integers(0, side - block + 1, size=2).tolist()
    box = Box(left, top, left + block, top + block)
    return Region(box.mask(side, side), box)


RIGHT = Block.__call__


def block_rows() -> list[Row]:
    kind = ("block", data.KINDS["block"])
    return data.kind_rows(*kind, 1000, silent)


def test_places_are_those_of_the_slow_reading():
    assert disagreeing(block_rows()) == []


@pytest.mark.parametrize("wrong", [one_centre, larger, inside])
def test_an_error_in_regions_is_found(wrong, monkeypatch):
    monkeypatch.setattr(Block, "__call__", wrong)
    assert disagreeing(block_rows())


def test_a_peer_that_is_missing_is_a_row_that_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(networks, "installed", lambda peer: False)
    (row,) = networks.tokenizer_rows("small tokenizer")
    assert row.measured == "not installed"
    assert row.agrees is None
    assert "[verify]" in row.limit


@pytest.mark.parametrize(("agrees", "code"), [(True, 0), (None, 0), (False, 1)])
def test_the_command_writes_both_and_fails_where_a_row_disagrees(
    agrees, code, tmp_path, monkeypatch, capsys
):
    class Item:
        @staticmethod
        def find(quick: bool, report: Any) -> Findings:
            row = Row("a claim", "a peer 1.0", "1e-7 relative", "≤ 1e-05", agrees)
            more = findings.Table("More.", ("what", "how"), [("this", "so")])
            return Findings("An item", "A text.", [row], [more])

    monkeypatch.setattr(verify, "ITEMS", (Item,))
    monkeypatch.setattr("sys.argv", ["verify.py", "--out", str(tmp_path)])
    assert verify.main() == code
    text = (tmp_path / "verification.md").read_text()
    assert text.strip() in capsys.readouterr().out
    assert "| a claim | a peer 1.0 | 1e-7 relative | ≤ 1e-05 |" in text
    assert "a claim" in (tmp_path / "verification.html").read_text()


def test_a_chi_squared_test_sees_a_wrong_law_and_what_is_impossible():
    law = np.array([0.5, 0.3, 0.1995, 0.0005])
    counts = np.random.default_rng(0).multinomial(2000, law)
    assert findings.chi_squared(counts, law) > 0.01
    assert findings.chi_squared(counts[::-1], law) < 1e-6
    assert findings.chi_squared(np.array([10, 1]), np.array([1.0, 0.0])) == 0
