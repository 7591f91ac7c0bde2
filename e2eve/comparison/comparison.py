"""Everything a dashboard shows, read from run folders at one moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from e2eve.comparison.cells import Cells, grouped
from e2eve.comparison.measures import Measure, measures_among
from e2eve.comparison.ranking import Ranking, ranking
from e2eve.comparison.runs import Run, find_runs, read_run


@dataclass(frozen=True)
class Comparison:
    """`runs` are all that were found, also those that are in no cell."""

    runs: tuple[Run, ...]
    cells: Cells
    ranking: Ranking
    measures: tuple[Measure, ...]

    def count(self, state: str) -> int:
        return sum(run.state == state for run in self.runs)


def compare(places: Sequence[str | Path], evaluation: str | None = None) -> Comparison:
    """Reads the runs in these folders and below them.

    Args:
        evaluation: name of a later evaluation in every run's folder, read instead of its own.

    Raises:
        ValueError: when there is no run.
    """
    runs = tuple(read_run(folder, evaluation) for folder in find_runs(places))
    cells = grouped([run for run in runs if run.is_editor])
    finished = [results for cell in cells for results in cell.results]
    names = {name for results in finished for name in results.means}
    frechet = finished[0].about["frechet_name"] if finished else ""
    return Comparison(runs, cells, ranking(cells), tuple(measures_among(names, frechet)))
