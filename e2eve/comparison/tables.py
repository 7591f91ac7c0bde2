"""The table of cells: for the page, as CSV and as LaTeX."""

import csv
import io
import math
from collections.abc import Sequence
from typing import NamedTuple

from e2eve.comparison.cells import Cell, Cells
from e2eve.comparison.measures import Measure, with_deviation
from e2eve.comparison.ranking import LEVEL, Mark, Ranking

UNMARKED = Mark(best=False, p=None)


class Number(NamedTuple):
    """One number of one cell as text, with its mean for sorting (None where there is none)."""

    text: str
    mean: float | None
    mark: Mark

    @property
    def hint(self) -> str:
        """What is said of it on a closer look."""
        if self.mark.best:
            return "best"
        if self.mark.p is None:
            return ""
        verdict = "differs from the best" if self.mark.worse else "no difference to the best shown"
        return f"{verdict}, adjusted p {written_p(self.mark.p)}"


class CellRow(NamedTuple):
    place: int
    cell: Cell
    ranked: bool
    runs: str  # with results, and of all
    numbers: tuple[Number, ...]


def cell_rows(ranking: Ranking, measures: Sequence[Measure]) -> list[CellRow]:
    marks = [ranking.marks(measure) for measure in measures]
    rows = []
    for place, cell in enumerate(ranking.cells):
        numbers = tuple(
            _number(cell, measure, found.get(place, UNMARKED))
            for measure, found in zip(measures, marks, strict=True)
        )
        done, planned = len(cell.results), len(cell.runs)
        count = str(done) if done == planned else f"{done} of {planned}"
        rows.append(CellRow(place, cell, place in ranking.ranked, count, numbers))
    return rows


def cells_csv(ranking: Ranking, measures: Sequence[Measure]) -> str:
    """One row a cell: factors, seeds, and of each measure mean, deviation and adjusted p."""
    factors = _factor_names(ranking.cells)
    head = [*factors, "n", "seeds", "ranked"]
    for measure in measures:
        head += [measure.key, f"{measure.key}_sd", f"{measure.key}_p_to_best"]
    lines = []
    for row in cell_rows(ranking, measures):
        line = [*_factor_values(row.cell), len(row.cell.results)]
        line += [" ".join(map(str, row.cell.seeds)), row.ranked]
        for measure, number in zip(measures, row.numbers, strict=True):
            deviation = row.cell.deviation(measure.key)
            line += [number.mean, _finite(deviation), None if number.mark.best else number.mark.p]
        lines.append(line)
    return _csv(head, lines)


def runs_csv(cells: Cells, measures: Sequence[Measure]) -> str:
    """One row a run with results, for statistics of one's own."""
    head = [*_factor_names(cells), "seed", "run", "validation_hash", *(m.key for m in measures)]
    lines = []
    for cell in cells:
        for run, results in zip(cell.finished, cell.results, strict=True):
            line = [*_factor_values(cell), run.seed, run.folder.name]
            line += [results.about["validation_hash"]]
            lines.append([*line, *(results.means.get(measure.key) for measure in measures)])
    return _csv(head, lines)


def cells_latex(ranking: Ranking, measures: Sequence[Measure]) -> str:
    """A `tabular` in the manner of booktabs: best bold, a star where the difference to it shows."""
    factors = _factor_names(ranking.cells)
    heads = [*map(escaped, factors), "$n$", *(_latex_heading(measure) for measure in measures)]
    lines = [
        "% needs \\usepackage{booktabs}; mean and standard deviation over n seeds, best bold",
        f"% * differs from the best (adjusted p < {LEVEL}): {ranking.test or 'nothing is ranked'}",
        f"\\begin{{tabular}}{{{'l' * len(factors)}{'r' * (1 + len(measures))}}}",
        "\\toprule",
        f"{' & '.join(heads)} \\\\",
        "\\midrule",
    ]
    for row in cell_rows(ranking, measures):
        texts = [escaped(text) for text in _factor_values(row.cell)]
        texts += [row.runs, *(_latex_number(number) for number in row.numbers)]
        lines.append(f"{' & '.join(texts)} \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def written_p(p: float) -> str:
    """Two digits, and no more zeros than anyone reads."""
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def escaped(text: str) -> str:
    """What LaTeX would read otherwise, as it is meant."""
    special = {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
    return "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)


def _number(cell: Cell, measure: Measure, mark: Mark) -> Number:
    mean = _finite(cell.mean(measure.key))
    return Number(with_deviation(mean, cell.deviation(measure.key), measure.spec), mean, mark)


def _latex_heading(measure: Measure) -> str:
    way = {"low": " $\\downarrow$", "high": " $\\uparrow$", None: ""}[measure.best]
    return f"{escaped(measure.heading)}{way}"


def _latex_number(number: Number) -> str:
    if number.mean is None:
        return "--"
    text = escaped(number.text).replace("±", "$\\pm$").replace("-", "$-$")
    text = f"\\textbf{{{text}}}" if number.mark.best else text
    return f"{text}$^{{*}}$" if number.mark.worse else text


def _factor_names(cells: Cells) -> list[str]:
    return list(cells.factors) or ["cell"]


def _factor_values(cell: Cell) -> list[str]:
    return list(cell.factors.values()) or [cell.label]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _csv(head: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(lines)
    return file.getvalue()
