"""A comparison as files for other programs: CSV per configuration and per run, and LaTeX."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from e2eve.comparison.comparison import RUN_COLUMNS, Comparison
from e2eve.comparison.ranking import LEVEL
from e2eve.comparison.runs import Configuration
from e2eve.metrics.info import MetricInfo

ARROWS = {"low": " $\\downarrow$", "high": " $\\uparrow$", None: ""}


ENDINGS = (".csv", "_runs.csv", ".tex")


def files(comparison: Comparison, stem: str) -> dict[str, str]:
    """Names and texts of the files beside a page."""
    shown = [metric for metric in comparison.metrics if metric.shown]
    texts = (configurations_csv(comparison), runs_csv(comparison), latex(comparison, shown))
    return {f"{stem}{ending}": text for ending, text in zip(ENDINGS, texts, strict=True)}


def factors(comparison: Comparison) -> pd.DataFrame:
    """One row per configuration with its choices, or its label where nothing tells it apart."""
    return pd.DataFrame(
        [one.factors or {"configuration": one.label} for one in comparison.configurations]
    )


def configurations_csv(comparison: Comparison) -> str:
    """One row per configuration: choices, seeds, and of each metric mean, deviation, adjusted p."""
    found = comparison.configurations
    columns: dict[str, object] = {
        "n": [len(one.finished) for one in found],
        "seeds": [" ".join(map(str, one.seeds)) for one in found],
        "ranked": [n in comparison.ranked for n in range(len(found))],
    }
    for metric in comparison.metrics:
        rows = comparison.of(metric.key)
        columns[metric.key] = rows["mean"]
        columns[f"{metric.key}_sd"] = rows["deviation"]
        columns[f"{metric.key}_p_to_best"] = rows["p"].where(~rows["best"])
    return _csv(pd.concat([factors(comparison), pd.DataFrame(columns)], axis="columns"))


def runs_csv(comparison: Comparison) -> str:
    """One row per run with results, for statistics of one's own."""
    values, metrics = comparison.values, [metric.key for metric in comparison.metrics]
    index = ["configuration", "replicate"]
    wide = values.pivot(index=index, columns="metric", values="value").reset_index()
    facts = values[RUN_COLUMNS].drop_duplicates(index).sort_values(index, ignore_index=True)
    choices = factors(comparison).loc[facts["configuration"]].reset_index(drop=True)
    parts = [choices, facts[["seed", "run", "validation_hash"]], wide[metrics]]
    return _csv(pd.concat(parts, axis="columns"))


def latex(comparison: Comparison, metrics: Sequence[MetricInfo]) -> str:
    """A `tabular` in the manner of booktabs: best bold, a star where the difference to it shows."""
    found, choices = comparison.configurations, factors(comparison).map(escaped)
    heads = [*map(escaped, choices), "$n$"]
    heads += [escaped(metric.label) + ARROWS[metric.best] for metric in metrics]
    counts = [seeds_text(one) for one in found]
    columns = [*choices.T.to_numpy(), counts, *(_latex_column(comparison, m) for m in metrics)]
    table = pd.DataFrame(dict(enumerate(columns))).to_latex(
        header=heads,
        index=False,
        escape=False,
        column_format="l" * choices.shape[1] + "r" * (1 + len(metrics)),
    )
    return (
        "% needs \\usepackage{booktabs}; mean and standard deviation over n seeds, best bold\n"
        f"% * differs from the best (adjusted p < {LEVEL}): "
        f"{comparison.test or 'nothing is ranked'}\n{table}"
    )


def _latex_column(comparison: Comparison, metric: MetricInfo) -> np.ndarray:
    rows = comparison.of(metric.key)
    plain = rows["text"].map(escaped).str.replace("±", "$\\pm$").str.replace("-", "$-$")
    text = plain.where(~rows["best"], "\\textbf{" + plain + "}")
    text = text.where(~rows["worse"], text + "$^{*}$")
    return text.where(rows["mean"].notna(), "--").to_numpy()


def protocols(comparison: Comparison) -> pd.DataFrame:
    """What was measured with what: one row per fact, one column per way of measuring."""
    rows = [
        {"place": place, **_facts(results.about)}
        for place, one in enumerate(comparison.configurations)
        for results in one.results
    ]
    if not rows:
        return pd.DataFrame()
    facts = [name for name in rows[0] if name != "place"]
    counts = pd.DataFrame(rows).groupby(facts, sort=False)["place"].nunique()
    return counts.reset_index(name="Configurations")[["Configurations", *facts]].T


def _facts(about: Mapping[str, Any]) -> dict[str, str]:
    sampling = ", ".join(f"{name} {value}" for name, value in about["sampling"].items())
    return {
        "Validation set": str(about["validation_set"]),
        "its sha256": about["validation_hash"],
        "Inputs": str(about["inputs"]),
        "References": str(about["references"]),
        "Distractors": str(about["distractors"]),
        "Features for distances of sets": f"{about['extractor']} ({about['frechet_name']})",
        "Features for finding drivers": about.get("retrieval", about["extractor"]),
        "Perceptual distance": about["perceptual"] or "none",
        "Samples per input": str(about["num_samples"]),
        "Sampling": sampling,
        "Seed of the samples": str(about["seed"]),
    }


def seeds_text(one: Configuration) -> str:
    """How many runs have results, and of how many."""
    done, planned = len(one.finished), len(one.runs)
    return str(done) if done == planned else f"{done} of {planned}"


def escaped(text: str) -> str:
    """What LaTeX would read otherwise, as it is meant."""
    special = {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
    return "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)


def _csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, lineterminator="\n")
