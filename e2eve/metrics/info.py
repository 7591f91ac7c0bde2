"""What a reader has to know of a metric; imports nothing heavy."""

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class MetricInfo:
    """One number of a system: how it is called, written and compared.

    Evaluations store it beside the values, so that pages show metrics they don't know.

    Args:
        key: name in files, logs and objectives of sweeps: letters, digits, underscores.
        label: heading of its column.
        unit: of its values, "nats per token"; empty for shares and indices.
        best: whether a low or a high number wins; None where neither does.
        spec: format of its values, as in `format(value, spec)`.
        aspect: what it tells about edits: fit, faithfulness, locality, diversity, naturalness, or a
            word of your own; reports have a section for each.
        note: one sentence that explains the label.
        needs: what two runs must share for the number to be comparable, beside the validation set:
            keys of the run's config with spaces between them, or `num_samples`.
        shown: whether pages show its column from the start.
    """

    key: str
    label: str
    unit: str = ""
    best: Literal["low", "high"] | None = None
    spec: str = ".3f"
    aspect: str = "other"
    note: str = ""
    needs: str | None = None
    shown: bool = False

    def of_region(self) -> "MetricInfo":
        """The same of the regions alone, which is shown from the start."""
        key, label = f"{self.key}_region", f"{self.label}, region"
        return replace(self, key=key, label=label, note=f"{self.note}, of regions", shown=True)

    def renamed(self, known: str, name: str) -> "MetricInfo":
        """Called `name` instead of `known`; asked again, the same."""
        return self if name in self.label else replace(self, label=self.label.replace(known, name))

    def __post_init__(self) -> None:
        if not self.key.isidentifier():
            raise ValueError(
                f'The key of a metric is "{self.key}": use letters, digits and underscores.'
            )
