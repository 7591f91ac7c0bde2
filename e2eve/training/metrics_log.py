"""A Lightning logger that keeps metrics.csv in the run folder, across interruptions."""

import csv
from argparse import Namespace
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only


class MetricsLog(Logger):
    """One row a step that logged something, one column a metric; empty where there is no value.

    Rows that an interrupted run wrote after its last checkpoint are written over.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.rows: dict[int, dict[str, float]] = {}
        if path.exists():
            with path.open(newline="") as file:
                for row in csv.DictReader(file):
                    step = int(row.pop("step"))
                    self.rows[step] = {k: float(v) for k, v in row.items() if v != ""}

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kw: Any) -> None:
        """Nothing: config.yaml has them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        values = {k: float(v) for k, v in metrics.items() if k != "epoch"}
        if values:
            self.rows.setdefault(int(step or 0), {}).update(values)

    @rank_zero_only
    def save(self) -> None:
        names = sorted({name for row in self.rows.values() for name in row})
        partial = self.path.with_suffix(".partial")
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["step", *names], restval="")
            writer.writeheader()
            writer.writerows({"step": s, **row} for s, row in sorted(self.rows.items()))
        partial.replace(self.path)

    def finalize(self, status: str) -> None:
        self.save()
