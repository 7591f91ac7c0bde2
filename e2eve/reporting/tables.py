"""Tables of a report: which columns, how a number is written, and which one is best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal, NamedTuple

Value = str | int | float | bool | None
Row = Mapping[str, Value]
MISSING = "\N{EN DASH}"


@dataclass(frozen=True)
class Column:
    """One column: its `key` in the rows, what stands above it and how its numbers are written.

    `best` says whether a low or a high number wins; without it nothing is marked. A row with a
    true value at `unranked_key` is shown and never marked. `note` explains the heading.
    """

    key: str
    heading: str
    spec: str = ".3f"
    best: Literal["low", "high"] | None = None
    note: str = ""


class TableCell(NamedTuple):
    text: str
    is_number: bool
    rank: int  # 1 best, 2 second, 0 everything else


def table_cells(
    rows: Sequence[Row], columns: Sequence[Column], unranked_key: str = "unranked"
) -> list[list[TableCell]]:
    """The written cells, row by row; equal numbers share a rank."""
    ranks = {column.key: _ranks(rows, column, unranked_key) for column in columns}
    return [
        [_cell(row.get(column.key), column, ranks[column.key][n]) for column in columns]
        for n, row in enumerate(rows)
    ]


def written(value: Value, spec: str) -> str:
    """A value as text; a dash where there is none or the number is not finite."""
    if value is None or (isinstance(value, float) and not isfinite(value)):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ")
    return format(value, spec) if isinstance(value, float) else value


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _cell(value: Value, column: Column, rank: int) -> TableCell:
    return TableCell(written(value, column.spec), _is_number(value) or value is None, rank)


def _ranks(rows: Sequence[Row], column: Column, unranked_key: str) -> list[int]:
    """1 and 2 for the best two distinct numbers as they are written, 0 for the others."""
    if column.best is None:
        return [0] * len(rows)
    values = [row.get(column.key) for row in rows]
    ranked = [
        _is_number(value) and not row.get(unranked_key)
        for value, row in zip(values, rows, strict=True)
    ]
    texts = [written(value, column.spec) for value in values]
    numbers = {t: float(v or 0) for t, v, use in zip(texts, values, ranked, strict=True) if use}
    if len(numbers) < 2:
        return [0] * len(rows)
    order = sorted(numbers, key=numbers.__getitem__, reverse=column.best == "high")
    place = {order[0]: 1, order[1]: 2}
    return [place.get(t, 0) if use else 0 for t, use in zip(texts, ranked, strict=True)]
