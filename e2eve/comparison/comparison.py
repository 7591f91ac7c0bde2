"""Runs compared: one long table of runs × metrics, its means over seeds, and what they show.

Also as files for other programs: CSV per configuration and per run, and LaTeX.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from e2eve.comparison import ranking
from e2eve.comparison.runs import ABSENT, Configuration, Run, find_runs, grouped, read_run
from e2eve.metrics.info import MetricInfo
from e2eve.reporting.page import MISSING, Highlight

RUN_COLUMNS = ["configuration", "replicate", "seed", "run", "validation_hash"]

ASPECTS = ("faithfulness", "naturalness", "fit", "locality")  # then those of other packages
ARROWS = {"low": " $\\downarrow$", "high": " $\\uparrow$", None: ""}
ENDINGS = (".csv", "_runs.csv", ".tex")


@dataclass(frozen=True, eq=False)
class Comparison:
    """What was found at one moment.

    Args:
        runs: all of them, also those that are in no configuration.
        repeated: runs left out, since a newer one has the same configuration and seed.
        metrics: in the order of columns.
        values: one row per finished run and metric: the place of its configuration, its number in
            it, seed, name of its folder, hash of its validation set, metric and value, which is NaN
            where the run lacks it.
        ranked: places of the configurations that are compared, `refusals` say why others are not.
    """

    runs: tuple[Run, ...]
    configurations: tuple[Configuration, ...]
    repeated: tuple[Run, ...]
    metrics: tuple[MetricInfo, ...]
    values: pd.DataFrame
    ranked: tuple[int, ...]
    refusals: tuple[str, ...]

    def of_aspect(self, aspect: str) -> list[MetricInfo]:
        return [metric for metric in self.metrics if metric.aspect == aspect]

    @property
    def over_seeds(self) -> bool:
        """Whether differences are tested over seeds; with a single seed it is over inputs."""
        return bool(self.ranked) and len(self.configurations[self.ranked[0]].finished) > 1

    @property
    def test(self) -> str:
        """How differences were tested, and what that says, in one line."""
        if not self.ranked:
            return ""
        return ranking.OVER_SEEDS if self.over_seeds else ranking.OVER_INPUTS

    @cached_property
    def unranked(self) -> dict[str, str]:
        """Metrics that are not ranked although the configurations are, and why."""
        compared = [self.configurations[n] for n in self.ranked]
        found: dict[str, str] = {}
        for metric in self.metrics:
            for name in (metric.needs or "").split():
                if len({_needed(one, name) for one in compared}) > 1:
                    found.setdefault(metric.key, f"not ranked: {name} differs")
        return found

    @cached_property
    def means(self) -> pd.DataFrame:
        """`mean` and `deviation` over seeds (n − 1), by configuration and metric.

        NaN where a run lacks the metric; the deviation also where there is one run.
        """
        groups = self.values.groupby(["configuration", "metric"])["value"]
        table = groups.agg(["mean", "std"]).where(groups.count() == groups.size())
        keys = [metric.key for metric in self.metrics]
        every = pd.MultiIndex.from_product(
            [range(len(self.configurations)), keys], names=["configuration", "metric"]
        )
        return table.set_axis(["mean", "deviation"], axis="columns").reindex(every)

    @cached_property
    def pairs(self) -> dict[str, pd.DataFrame]:
        """Adjusted p of every pair of ranked configurations, by metric; without untested ones."""
        found = {}
        for metric in self._compared:
            blocks = self.blocks(metric.key)
            if len(blocks) > 1 and blocks.shape[1] > 1:
                p = ranking.pair_p_values(blocks.to_numpy(), pooled=self.over_seeds)
                found[metric.key] = pd.DataFrame(
                    ranking.adjusted_pairs(p), blocks.index, blocks.index
                )
        return found

    @cached_property
    def summary(self) -> pd.DataFrame:
        """`means` with what is written and said of them.

        `text`; `best` of its metric; `p`, adjusted, of the difference to the best, NaN where
        nothing was tested; `worse` where that is below 5 %.
        """
        table = self.means.assign(best=False, p=math.nan)
        for metric in self._compared:
            means = self.means["mean"].xs(metric.key, level="metric")[list(self.ranked)]
            best = means.idxmin() if metric.best == "low" else means.idxmax()
            rows = pd.MultiIndex.from_product([self.ranked, [metric.key]])
            table.loc[rows, "best"] = (means == means[best]).to_numpy()
            if metric.key in self.pairs:
                table.loc[rows, "p"] = self.pairs[metric.key][best].to_numpy()
        specs = {metric.key: metric.spec for metric in self.metrics}
        numbers = table[["mean", "deviation"]].itertuples(name=None)
        text = [with_deviation(mean, spread, specs[key]) for (_, key), mean, spread in numbers]
        return table.assign(text=text, worse=table["p"] < ranking.LEVEL)

    def of(self, metric: str) -> pd.DataFrame:
        """The summary of one metric, by configuration."""
        return self.summary.xs(metric, level="metric")

    def blocks(self, metric: str) -> pd.DataFrame:
        """Values of the ranked configurations by seed, or by input; only where all have one."""
        if self.over_seeds:
            rows = self.values[self.values["metric"] == metric]
            table = rows.pivot(index="configuration", columns="replicate", values="value")
            return table.loc[list(self.ranked)].dropna(axis="columns")
        columns = {n: self.configurations[n].results[0].column(metric) for n in self.ranked}
        return pd.DataFrame.from_dict(columns, orient="index").dropna(axis="columns")

    def front(self, across: MetricInfo, up: MetricInfo) -> list[int]:
        """Places of the ranked configurations that no other beats in both, best `up` last."""
        means = self.means["mean"].unstack("metric").loc[list(self.ranked)]
        signs = [1 if metric.best == "low" else -1 for metric in (across, up)]
        costs = means[[across.key, up.key]].to_numpy() * signs
        front = means[ranking.pareto_front(costs)] if self.ranked else means
        return front.sort_values(across.key, ascending=across.best != "low").index.tolist()

    # Metrics with a best one among the ranked configurations, which all have the number.
    @property
    def _compared(self) -> list[MetricInfo]:
        means = self.means["mean"].unstack("metric").loc[list(self.ranked)]
        having = set(means.columns[means.notna().all()]) - set(self.unranked)
        return [m for m in self.metrics if m.best and m.key in having and len(self.ranked) > 1]


def compare(places: Sequence[str | Path], evaluation: str | None = None) -> Comparison:
    """Reads the runs in these folders and below them.

    Args:
        evaluation: name of a later evaluation in every run's folder, read instead of its own.

    Raises ValueError if there is no run.
    """
    runs = tuple(read_run(folder, evaluation) for folder in find_runs(places))
    configurations, repeated = grouped([run for run in runs if run.is_editor])
    finished = [results for one in configurations for results in one.results]
    known: dict[str, MetricInfo] = {}
    for info in [info for results in reversed(finished) for info in results.infos]:
        # What any of them needs: results from before knew fewer reasons not to compare.
        needs = f"{known.get(info.key, info).needs or ''} {info.needs or ''}".split()
        known[info.key] = replace(info, needs=" ".join(dict.fromkeys(needs)) or None)
    order = dict.fromkeys(info.key for results in finished for info in results.infos)
    found = {key for results in finished for key in results.means}
    metrics = tuple(known[key] for key in order if key in found)
    rows = [
        {
            "configuration": place,
            "replicate": number,
            "seed": run.seed,
            "run": run.folder.name,
            "validation_hash": results.about["validation_hash"],
            **results.means,
        }
        for place, one in enumerate(configurations)
        for number, (run, results) in enumerate(zip(one.finished, one.results, strict=True))
    ]
    wide = pd.DataFrame(rows, columns=[*RUN_COLUMNS, *(metric.key for metric in metrics)])
    values = wide.melt(RUN_COLUMNS, var_name="metric").astype({"value": float})
    ranked, refusals = ranking.comparable(configurations)
    return Comparison(runs, configurations, repeated, metrics, values, ranked, refusals)


def leading(metrics: Sequence[MetricInfo]) -> MetricInfo:
    """The first that is shown from the start, or the first."""
    return next((metric for metric in metrics if metric.shown), metrics[0])


def highlights(comparison: Comparison) -> list[Highlight]:
    """The best configuration in each aspect, and what may be said of the others.

    Aspects of other packages' metrics follow those of our own.
    """
    chosen: dict[str, MetricInfo] = {}
    for metric in comparison.metrics:
        if metric.shown and metric.best:
            chosen.setdefault(metric.aspect, metric)
    found = []
    for aspect in sorted(chosen, key=lambda aspect: (*ASPECTS, aspect).index(aspect)):
        rows = comparison.of(chosen[aspect].key)
        best = rows.index[rows["best"]]
        if len(best):
            label = f"{chosen[aspect].label}: {comparison.configurations[best[0]].short_label}"
            others = rows.loc[list(comparison.ranked)].query("not best")
            found.append(Highlight(rows["text"][best[0]], label, _said(others, len(best))))
    return found


# What the tests say of one metric of the configurations that are not best.
def _said(others: pd.DataFrame, best: int) -> str:
    if best > 1:
        return f"{best} configurations share the best mean."
    if others["p"].isna().any():
        return (
            "Best mean. One number per run and one run per configuration: differences are not "
            "tested."
        )
    worse = int(others["worse"].sum())
    if not worse:
        return "Best mean, and no difference to any other configuration is shown."
    if worse == len(others):
        return f"Better than {'the other one' if worse == 1 else f'all {worse} others'}."
    return f"Better than {worse} of {len(others)} others; of the rest no difference is shown."


def with_deviation(mean: float, deviation: float, spec: str) -> str:
    """`mean ± deviation`, both to the same decimals; a dash where there is no mean.

    `.4g` stands for four digits of the mean, before or after the point.
    """
    if not math.isfinite(mean):
        return MISSING
    if spec.endswith("g"):
        digits = int(spec[1:-1])
        magnitude = math.floor(math.log10(abs(mean))) if mean else 0
        spec = f".{max(0, digits - 1 - magnitude)}f"
    text = format(mean, f"z{spec}")  # no minus before nothing but zeros
    if not math.isfinite(deviation):
        return text
    return f"{text.removesuffix('%')} ± {format(deviation, spec)}"


def written_p(p: float) -> str:
    """Two digits, and no more zeros than anyone reads."""
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


# What a configuration has of that which a metric needs to be the same.
def _needed(one: Configuration, name: str) -> str:
    run = one.finished[0]
    if name == "num_samples":
        return str(one.results[0].about[name])
    # An editor that was given as a whole brings its tokenizers.
    if name == "tokenizer.source" and (
        run.config.get("init_from") or "tokenizer" not in run.config
    ):
        return str(run.config.get("init_from") or run.folder)
    return run.texts.get(name, ABSENT)


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
        f"% * differs from the best (adjusted p < {ranking.LEVEL}): "
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
