"""What a comparison says: sentences with figures, and tables of what was compared."""

from collections.abc import Sequence
from typing import Any

from e2eve.comparison.cells import Cell, Cells
from e2eve.comparison.measures import Measure, with_deviation
from e2eve.comparison.ranking import Mark, Ranking
from e2eve.comparison.runs import Run
from e2eve.reporting.page import Highlight

LEADING = ("recall_5", "frechet_region", "nll_right_inside", "outside_ratio")
"""Measures that stand for faithfulness, naturalness, fit and locality at the top."""


def highlights(ranking: Ranking, measures: Sequence[Measure]) -> list[Highlight]:
    """The best cell by each leading measure, and what may be said of the others."""
    chosen = [measure for key in LEADING for measure in measures if measure.key == key]
    found = (_best(ranking, measure) for measure in chosen)
    return [highlight for highlight in found if highlight]


def _best(ranking: Ranking, measure: Measure) -> Highlight | None:
    marks = ranking.marks(measure)
    best = [ranking.cells[place] for place, mark in marks.items() if mark.best]
    if not best:
        return None
    number = with_deviation(best[0].mean(measure.key), best[0].deviation(measure.key), measure.spec)
    others = [mark for mark in marks.values() if not mark.best]
    return Highlight(number, f"{measure.heading}: {best[0].short_label}", _said(others, len(best)))


def _said(others: Sequence[Mark], best: int) -> str:
    if best > 1:
        return f"{best} cells share the best mean."
    if any(mark.p is None for mark in others):
        return "Best mean. One number a run and one run a cell: differences are not tested."
    worse = sum(mark.worse for mark in others)
    if not worse:
        return "Best mean, and no difference to any other cell is shown."
    if worse == len(others):
        return f"Better than {'the other cell' if worse == 1 else f'all {worse} others'}."
    return f"Better than {worse} of {len(others)} others; of the rest no difference is shown."


def protocols(cells: Cells) -> list[dict[str, str]]:
    """What was measured with what: one row a fact, one column `p0`, `p1`, … a way of measuring."""
    facts: dict[tuple[tuple[str, str], ...], list[Cell]] = {}
    for cell in cells:
        for results in cell.results:
            members = facts.setdefault(tuple(_facts(results.about).items()), [])
            if not members or members[-1] is not cell:
                members.append(cell)
    if not facts:
        return []
    ways = [dict(way) for way in facts]
    rows = [
        {"fact": name, **{f"p{n}": way[name] for n, way in enumerate(ways)}} for name in ways[0]
    ]
    counts = {f"p{n}": str(len(members)) for n, members in enumerate(facts.values())}
    return [{"fact": "Cells", **counts}, *rows]


def _facts(about: dict[str, Any]) -> dict[str, str]:
    sampling = about["sampling"]
    return {
        "Validation set": about["validation_set"],
        "its sha256": about["validation_hash"],
        "Inputs": str(about["inputs"]),
        "References": str(about["references"]),
        "Distractors": str(about["distractors"]),
        "Features for distances of sets": f"{about['extractor']} ({about['frechet_name']})",
        "Features for finding drivers": about.get("retrieval", about["extractor"]),
        "Perceptual distance": about["perceptual"] or "none",
        "Samples of an input": str(about["num_samples"]),
        "Sampling": ", ".join(f"{name} {value}" for name, value in sampling.items()),
        "Seed of the samples": str(about["seed"]),
    }


def remarks(run: Run, doubles: Sequence[Run]) -> str:
    """Why a run is not in the table, or what went wrong with it."""
    said = [run.error, run.problem]
    if run.config and not run.is_editor:
        said.append("trains a tokenizer, which is not compared here")
    elif not run.config and run.state != "failed":
        said.append("has no config.yaml yet")
    elif run.state == "done" and not run.results and not run.problem:
        said.append("was not evaluated: python -m e2eve.evaluate run=…")
    if any(run is double for double in doubles):
        said.append("repeats a setting and seed of a newer run, left out")
    return "; ".join(text for text in said if text)
