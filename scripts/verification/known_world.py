"""A world whose answer is known: every probability is enumerated, and token models have to find it.

An image has 2 × 2 cells of one colour each, its ids are the colours. Edits are simulated, masked,
tokenized, learnt and drawn by the package; the truth is worked out here, from what the paper says
and no code of it.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from e2eve.conditioning import EditBatch
from e2eve.edit_simulation import CentreView, DriverCrop, EditSimulation, Region
from e2eve.editor import Editor
from e2eve.reporting.progress import Report
from e2eve.tokenizers import Tokenizer, VQGANConfig
from e2eve.training.optimizers import OptimizerSettings
from e2eve.transformer import (
    Conditioning,
    EditTokens,
    GPTConfig,
    GPTSampling,
    Masked,
    MaskedConfig,
    MaskedSampling,
    SamplingSettings,
)
from scripts.verification.findings import (
    Findings,
    Row,
    Table,
    chi_squared,
    counted,
    significance,
    within,
)

CELL, GRID = 8, 2  # pixels per side of a cell, cells per side
SIDE, CELLS = CELL * GRID, GRID * GRID
ALPHA = 0.5  # no crop is resized, since none is larger than the smallest one allowed, a cell
TRUTH = "the truth, enumerated"
ALL = tuple(range(CELLS))  # hidden
SHAPES: dict[tuple[int, ...], tuple[int, float]] = {
    (0,): (0, 0.1),
    (3,): (3, 0.1),
    (0, 1): (1, 0.2),
    (1, 3): (3, 0.1),
    ALL: (3, 0.5),
}
"""Cells of each region, the one that its driver shows, and how likely the region is.

A driver is as large as a cell and lies in the middle of its region, so that its own middle, which
is what the tokenizer reads, belongs to the last cell.
"""


def whole_cells(cells: Sequence[int]) -> Region:
    grid = np.isin(np.arange(CELLS), cells).reshape(GRID, GRID)
    return Region.of_mask(grid.repeat(CELL, axis=0).repeat(CELL, axis=1))


class Shapes:
    """Draws a region of whole cells."""

    def __init__(self) -> None:
        self.regions = [whole_cells(cells) for cells in SHAPES]
        self.until = np.cumsum([chance for _, chance in SHAPES.values()])

    def __call__(self, side: int, rng: np.random.Generator) -> Region:
        return self.regions[np.searchsorted(self.until, rng.random() * self.until[-1])]


@dataclass(frozen=True)
class Effort:
    """How much is simulated, learnt and asked.

    steps: of the GPT; the masked family, which learns every order, takes four times as many.
    """

    edits: int = 60_000
    steps: int = 1000
    batch: int = 256
    width: int = 32
    contexts: int = 50
    draws: int = 20_000
    drawn: int = 4  # contexts in which all cells are hidden
    limit: float = 0.02  # nats


FULL = Effort()
QUICK = Effort(edits=12_000, steps=500, batch=64, contexts=20, draws=4000, drawn=2, limit=0.05)
RATE = 0.008
FIXED = "fixed order, a cell a pass"
DECODINGS: dict[str, MaskedSampling] = {
    FIXED: MaskedSampling(top_p=None, order="fixed"),
    **{
        f"{order}, {count} pass{'es' * (count > 1)}": MaskedSampling(
            top_p=None, order=order, passes=count
        )
        for order in ("confidence", "halton")
        for count in (4, 2, 1)
    },
}
TEXT = (
    "Images of 2 × 2 cells in 7 colours; with the hole's black 8 ids. All 2401 images, 5 regions "
    "and drivers have known probabilities. The package simulates, masks, tokenizes, learns and "
    "draws; the truth is worked out beside it. Divergences are means over contexts as often as "
    "they come, of all answers possible in them. **In fewer passes than cells, cells of a pass "
    "cannot depend on each other**: what that costs is told below, as how much more surprising "
    "draws are than the truth's own are to the truth, in nats an edit, where all cells are hidden."
)


def find(quick: bool, report: Report) -> Findings:
    world, effort = (World(4), QUICK) if quick else (World(), FULL)
    edits = world.simulated(effort.edits, 0, report)
    rows = simulated_rows(world, edits)
    for config in configs(world, effort):
        editor = trained(world, config, edits, effort, report)
        rows += learnt_rows(world, editor, effort)
    one_pass, table = parallel_decoding(world, editor, effort)  # of the masked family, the last
    return Findings("A world whose answer is known", TEXT, [*rows, one_pass], [table])


def configs(world: "World", effort: Effort) -> tuple[GPTConfig, MaskedConfig]:
    shape: dict[str, Any] = dict(
        layers=2, heads=4, width=effort.width, codebook_size=world.codes, position_init="grid"
    )
    return GPTConfig(**shape), MaskedConfig(**shape, rim=0, driver_dropout=0.0)


class CellTokenizer(Tokenizer):
    """The id of a cell is its colour, at the pixel right below its middle."""

    def latent(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch d h w"]:
        return images[:, :, CELL // 2 :: CELL, CELL // 2 :: CELL]


@dataclass(frozen=True)
class World:
    """Images of the corners of the colour cube, black left out: it is the hole's alone, id 0."""

    codes: int = 8

    @cached_property
    def palette(self) -> UInt8[np.ndarray, "codes 3"]:
        bits = np.arange(self.codes)[:, None] >> np.arange(3) & 1
        return (255 * bits).astype(np.uint8)

    @cached_property
    def images(self) -> Int[np.ndarray, "images 4"]:
        """All that there are, as ids."""
        return np.array(list(itertools.product(range(1, self.codes), repeat=CELLS)))

    @cached_property
    def law(self) -> Float[np.ndarray, "images"]:
        """How likely each is: neighbours like to be so many steps of the colour circle apart.

        Every image is possible; cells depend on each other, and on their place.
        """
        turn, x = 2 * np.pi / (self.codes - 1), self.images
        neighbours = ((0, 1, 1), (2, 3, 2), (0, 2, 3), (1, 3, 0))  # cell, cell, steps
        score = sum(0.7 * np.cos(turn * (x[:, b] - x[:, a] - steps)) for a, b, steps in neighbours)
        score = score + sum(0.3 * np.cos(turn * (x[:, c] - c)) for c in range(CELLS))
        return np.exp(score) / np.exp(score).sum()

    def masked(self, region: Sequence[int]) -> Int[np.ndarray, "images 4"]:
        """Ids of all images with these cells black."""
        return np.where(np.isin(np.arange(CELLS), region), 0, self.images)

    def editor(self, config: GPTConfig | MaskedConfig) -> Editor:
        shape = VQGANConfig(
            image_size=SIDE,
            channels=8,
            multipliers=(1,),
            residual_blocks=1,
            attention_levels=0,
            middle=False,
            patch=CELL,
            latent_channels=8,
            code_dim=3,
            codebook_size=self.codes,
        )
        tokenizer = CellTokenizer(shape)
        with torch.no_grad():
            tokenizer.quantizer.codebook.weight.copy_(torch.from_numpy(self.palette / 127.5 - 1))
        return Editor(tokenizer, tokenizer, config, CELL).freeze_tokenizers()

    def simulated(self, count: int, seed: int, report: Report) -> EditTokens:
        """Edits as they are made for training, from images of the world."""
        rng, editor = np.random.default_rng(seed), self.editor(GPTConfig(1, 1, 8))
        driver = DriverCrop(ALPHA, ALPHA, position_augmentation=False, min_side=CELL)
        simulation = EditSimulation(SIDE, CELL, CentreView(), Shapes(), driver)
        drawn = self.images[rng.choice(len(self.law), size=count, p=self.law)]
        pixels = self.palette[drawn].reshape(count, GRID, GRID, 3)
        parts: list[EditTokens] = []
        for start in range(0, count, 1000):
            report("known world, edits", start, count)
            large = pixels[start : start + 1000].repeat(CELL, axis=1).repeat(CELL, axis=2)
            parts.append(editor.tokenize(EditBatch.collate([simulation(x, rng) for x in large])))
        report("known world, edits", count, count)
        return EditTokens(*map(torch.cat, zip(*parts, strict=True)))


class Context(NamedTuple):
    """What a token model is given."""

    driver: int
    source: tuple[int, ...]

    @property
    def region(self) -> tuple[int, ...]:
        return tuple(cell for cell, code in enumerate(self.source) if code == 0)


def drawn_contexts(
    world: World, count: int, seed: int, region: tuple[int, ...] | None = None
) -> list[Context]:
    """Contexts as often as they are, of one region or of all."""
    rng, contexts = np.random.default_rng(seed), []
    shapes, chances = list(SHAPES), [chance for _, chance in SHAPES.values()]
    for _ in range(count):
        chosen = region or shapes[rng.choice(len(shapes), p=chances)]
        image = rng.choice(len(world.law), p=world.law)
        driver = int(world.images[image, SHAPES[chosen][0]])
        contexts.append(Context(driver, tuple(world.masked(chosen)[image].tolist())))
    return contexts


def truth(world: World, given: Context) -> Float[np.ndarray, "images"]:
    """Probabilities of all targets in a context."""
    fits = (world.masked(given.region) == given.source).all(1)
    chances = world.law * (fits & (world.images[:, SHAPES[given.region][0]] == given.driver))
    return chances / chances.sum()


@torch.no_grad()
def enumerated(
    editor: Editor, given: Context, targets: Int[np.ndarray, "rows 4"]
) -> Float[np.ndarray, "rows"]:
    """Logarithms of what a token model says of targets."""
    model, n = editor.transformer.eval(), len(targets)
    tokens = EditTokens(
        torch.full((n, 1), given.driver),
        torch.tensor(given.source).expand(n, -1),
        torch.from_numpy(targets),
        torch.tensor(given.source).expand(n, -1) == 0,
    )
    nll = model.chain_nll(tokens) if isinstance(model, Masked) else model.nll(tokens)
    return -nll.per_token.double().sum(1).numpy()


def divergence(world: World, editor: Editor, contexts: Sequence[Context]) -> list[float]:
    """Kullback–Leibler divergence of the model from the truth in each context, in nats."""
    found = []
    for given in contexts:
        law = truth(world, given)
        possible = law > 0
        said = enumerated(editor, given, world.images[possible])
        found.append(float((law[possible] * (np.log(law[possible]) - said)).sum()))
    return found


def trained(
    world: World,
    config: GPTConfig | MaskedConfig,
    edits: EditTokens,
    effort: Effort,
    report: Report,
) -> Editor:
    """An editor that has learnt from simulated edits."""
    torch.manual_seed(0)
    editor = world.editor(config).train()
    name = f"known world, {editor.transformer.family}"
    steps = effort.steps * (4 if isinstance(config, MaskedConfig) else 1)
    settings = OptimizerSettings(RATE / effort.batch, warmup_steps=50, decay_steps=steps)
    optimizer = settings.build(editor.transformer, effort.batch)
    for step in range(steps):
        report(name, step, steps)
        for group in optimizer.param_groups:
            group["lr"] = RATE * settings.factor(step)
        chosen = torch.randint(len(edits.driver_ids), (effort.batch,))
        optimizer.zero_grad()
        editor.nll(EditTokens(*(part[chosen] for part in edits))).loss.backward()
        optimizer.step()
    report(name, steps, steps)
    return editor.eval()


def simulated_rows(world: World, edits: EditTokens) -> list[Row]:
    """Contexts are counted, and targets are the sources where nothing is hidden."""
    laws: dict[Context, float] = defaultdict(float)
    for region, (shown, chance) in SHAPES.items():
        sources = world.masked(region).tolist()
        for image, source, p in zip(world.images, sources, world.law, strict=True):
            laws[Context(int(image[shown]), tuple(source))] += chance * float(p)
    pairs = zip(edits.driver_ids[:, 0].tolist(), edits.source_ids.tolist(), strict=True)
    seen = Counter(Context(driver, tuple(source)) for driver, source in pairs)
    known = [*laws, *(seen.keys() - laws.keys())]  # the latter have no probability
    counts, law = (np.array([each.get(c, 0) for c in known]) for each in (seen, laws))
    kept = edits.source_ids != 0
    fits = ((edits.target_ids == edits.source_ids) | ~kept) & (edits.region_cells != kept)
    count, claim = len(kept), f"{len(kept)} simulated edits"
    return [
        significance(f"{claim}: drivers and masked sources", TRUTH, [chi_squared(counts, law)]),
        counted(
            f"{claim}: cells are hidden or kept", TRUTH, int(fits.all(1).sum()), count, "edits"
        ),
    ]


def learnt_rows(world: World, editor: Editor, effort: Effort) -> list[Row]:
    """Divergence from the truth, and draws beside the probabilities that the model gives."""
    family, settings = "GPT", GPTSampling(top_p=None)
    if isinstance(editor.transformer, Masked):
        family, settings = "masked family, fixed order, a cell a pass", DECODINGS[FIXED]
    found = np.array(divergence(world, editor, drawn_contexts(world, effort.contexts, 1)))
    mean, error = found.mean(), found.std() / len(found) ** 0.5
    claim = f"{family}: Kullback–Leibler divergence from the truth"
    measured = f"{mean:.4f} ± {error:.4f} nats an edit"
    rows = [Row(claim, TRUTH, measured, f"< {effort.limit:g} nats", bool(mean < effort.limit))]
    answers = np.array(list(itertools.product(range(world.codes), repeat=CELLS)))
    totals, p_values = [], []
    for given in drawn_contexts(world, effort.drawn, 2, ALL):
        said = np.exp(enumerated(editor, given, answers))
        totals.append(abs(said.sum() - 1))
        drawn = draws(editor, given, effort.draws, settings)
        places = drawn @ world.codes ** np.arange(CELLS)[::-1]
        counts = np.bincount(places, minlength=len(said))
        p_values.append(chi_squared(counts, said / said.sum()))
    claim = f"{family}: probabilities of all answers add up to 1"
    rows.append(within(claim, "the sum", max(totals), 1e-5, "off"))
    claim = f"{family}: {effort.draws} draws in each of {effort.drawn} contexts"
    return [*rows, significance(claim, "its probabilities, enumerated", p_values, "χ² tests")]


def draws(
    editor: Editor, given: Context, count: int, settings: SamplingSettings
) -> Int[np.ndarray, "count 4"]:
    source = torch.tensor([given.source])
    asked = Conditioning(torch.tensor([[given.driver]]), source, source == 0)
    ids = editor.sample_ids(asked, num_samples=count, seeds=[0], settings=settings)
    return ids[0].numpy()


def parallel_decoding(world: World, editor: Editor, effort: Effort) -> tuple[Row, Table]:
    """What cells that are drawn in one pass cost, since they cannot depend on each other."""
    contexts = drawn_contexts(world, effort.drawn, 3, ALL)
    laws = [truth(world, given) for given in contexts]
    costs = [one_pass_cost(world, editor, *each) for each in zip(contexts, laws, strict=True)]
    cost, own = np.mean(costs, axis=0).tolist()
    row = Row(
        "masked family, all cells in one pass: divergence from the truth",
        f"dependence of the truth's cells, {own:.3f} nats",
        f"{cost:.3f} nats an edit",
        f"< {effort.limit:g} nats more",
        0 <= cost - own < effort.limit,
    )
    cells = []
    for name, settings in DECODINGS.items():
        found = [
            surprise(world, editor, *each, effort.draws // 4, settings)
            for each in zip(contexts, laws, strict=True)
        ]
        more, error, impossible = np.mean(found, axis=0)
        told = f"{more:+.3f} ± {error / len(found) ** 0.5:.3f}"
        cells.append([name, told, f"{100 * impossible:.2f} %"])
    caption = (
        "How much more surprising draws of the masked family are than the truth's own, where all "
        "cells are hidden: below 0 they are too ordinary, above 0 their cells do not fit together. "
        "Draws that the truth never makes are counted apart."
    )
    return row, Table(caption, ("decoding", "nats an edit", "impossible draws"), cells)


def one_pass_cost(
    world: World, editor: Editor, given: Context, law: Float[np.ndarray, "images"]
) -> tuple[float, float]:
    """Divergence of cells drawn by themselves, and of the truth's cells taken by themselves."""
    source = torch.tensor([given.source])
    tokens = EditTokens(torch.tensor([[given.driver]]), source, source, source == 0)
    with torch.no_grad():
        said = editor.transformer.logits(tokens)[0].log_softmax(-1).double().numpy()
    possible, cost, own = law > 0, 0.0, 0.0
    cost = own = float((law[possible] * np.log(law[possible])).sum())
    for cell in range(CELLS):
        shares = np.bincount(world.images[:, cell], weights=law, minlength=world.codes)
        cost -= float((shares * said[cell]).sum())
        own -= float((shares[shares > 0] * np.log(shares[shares > 0])).sum())
    return cost, own


def surprise(
    world: World,
    editor: Editor,
    given: Context,
    law: Float[np.ndarray, "images"],
    count: int,
    settings: MaskedSampling,
) -> tuple[float, float, float]:
    """Mean of -log p of possible draws beyond the truth's entropy, its error, and other draws."""
    drawn = draws(editor, given, count, settings)
    places = {tuple(image): p for image, p in zip(world.images.tolist(), law, strict=True) if p > 0}
    found = [-np.log(places[ids]) for ids in map(tuple, drawn.tolist()) if ids in places]
    entropy = -(law[law > 0] * np.log(law[law > 0])).sum()
    return np.mean(found) - entropy, np.std(found) / len(found) ** 0.5, 1 - len(found) / count
