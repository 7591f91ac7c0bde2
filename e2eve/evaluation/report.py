"""The report of a run: what was found, on which images, measured with what."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from e2eve.evaluation.evaluation import Evaluation
from e2eve.evaluation.systems import SYSTEMS
from e2eve.metrics.base import Estimate, estimate
from e2eve.metrics.info import MetricInfo
from e2eve.reporting.charts import curve_charts, line_chart
from e2eve.reporting.page import Column, Highlight, Page
from e2eve.runs import read_curves

if TYPE_CHECKING:
    import plotly.graph_objects as go

TASK = (
    "The editor is given a **source**, a **region** of it to edit, and a **driver**: a small "
    "image, cut out of another source, of what should appear in the region. It should show the "
    "driver there, keep everything else, and look natural as a whole."
)

SYSTEM = Column("system", "System")


class Aspect(NamedTuple):
    """A section of the report; `text` may name facts of `Evaluation.about`."""

    heading: str
    text: str = ""
    caption: str = ""


ASPECTS = {
    "faithfulness": Aspect(
        "Does it show the driver?",
        "R@k says how often the driver is among the k crops nearest to the edited region, out of "
        "itself and {distractors} crops of other images at the same place, by features of "
        "`{retrieval}`. The paste through the tokenizer shows what is within reach of an editor "
        "with that tokenizer. Means over all samples; **best-of-n** looks only at the sample "
        "nearest to the driver, and is flattered by being chosen with the features that it is "
        "judged by.",
    ),
    "locality": Aspect(
        "Does it keep the rest?",
        "Mean absolute difference outside the region, on pixels in [-1, 1]; pastes and blends "
        "leave every pixel there alone.",
    ),
    "diversity": Aspect(
        "Does it vary?", "The mean perceptual distance between samples of one input."
    ),
    "naturalness": Aspect(
        "Does it look natural?",
        "{frechet_name} and kernel distance of {inputs} images of each system to {references} real "
        "ones: one image of each input, for the editor the sample drawn first, so that all systems "
        "are compared on as many images.",
        "The source is a real image: read the other rows against it.",
    ),
    "fit": Aspect(
        "Does it predict the source?",
        "Negative log-likelihood of the source's own tokens, given a driver cut out of the source, "
        "or, mismatched, out of another input's source.",
    ),
}
"""Sections in their order; those of other aspects come after them, by their names."""


def write_report(
    path: str | Path,
    evaluation: Evaluation,
    *,
    title: str,
    curves: str | Path | None = None,
    config: str | None = None,
) -> Path:
    """Writes one HTML file, with a section for each aspect that was measured.

    Args:
        curves: a metrics.csv of the training run, left out when it does not exist.
        config: the run's configuration as YAML.
    """
    about = evaluation.about()
    page = Page(title, f"{about['inputs']} unpaired inputs, {about['num_samples']} samples each")
    page.text(TASK).highlights(findings(evaluation))
    add_samples(page, evaluation)
    infos = evaluation.infos
    for aspect in dict.fromkeys([*ASPECTS, *(info.aspect for info in infos)]):
        add_aspect(page, evaluation, aspect, [info for info in infos if info.aspect == aspect])
    charts = curve_charts(read_curves(curves)) if curves is not None else []
    if charts:
        page.section("Training")
        for chart in charts:
            page.chart(chart)
    add_method(page, evaluation)
    if config is not None:
        page.section("Configuration").details("config.yaml", config)
    return page.write(path)


def add_samples(page: Page, evaluation: Evaluation) -> None:
    page.section("Samples").picture(
        evaluation.picture(),
        f"The first {evaluation.count_shown} inputs of the validation set, none chosen. "
        "Samples are ordered by the distance of their region to the driver in feature space, "
        "which is the number under them; the left column outlines the edit region.",
    )


def add_aspect(page: Page, evaluation: Evaluation, name: str, infos: list[MetricInfo]) -> None:
    """A table of its metrics for the systems that have any of them; nothing without metrics."""
    if not infos:
        return
    aspect = ASPECTS.get(name, Aspect(name.capitalize()))
    page.section(aspect.heading).text(aspect.text.format(**evaluation.about()))
    ranked = {system.key for system in SYSTEMS if system.ranked}
    rows = [
        {**row, "unranked": row["key"] not in ranked}
        for row in evaluation.rows()
        if any(row[info.key] is not None for info in infos)
    ]
    page.table(rows, [SYSTEM, *(column_of(info) for info in infos)], aspect.caption)
    if chart := recall_chart(evaluation, infos):
        page.chart(chart)


def column_of(info: MetricInfo) -> Column:
    """The metric's column of a table."""
    note = ", ".join(filter(None, [info.note, info.unit]))
    return Column(info.key, info.label, info.spec, info.best, note)


def add_method(page: Page, evaluation: Evaluation) -> None:
    about = evaluation.about()
    explained = "\n".join(f"- **{s.name}**: {s.explanation}." for s in SYSTEMS)
    page.section("What was measured, and with what").text(explained)
    facts = {
        "Validation set": about["validation_set"],
        "its sha256": about["validation_hash"],
        "Inputs, references, distractors": "{inputs}, {references}, {distractors}".format(**about),
        "Features for distances of sets": about["extractor"],
        "Features for finding drivers": about["retrieval"],
        "Perceptual distance": about["perceptual"] or "none",
        "Samples of an input": str(about["num_samples"]),
        "Sampling": ", ".join(f"{name} {value}" for name, value in about["sampling"].items()),
        "Seed": str(about["seed"]),
        "A mismatched driver is": f"the one of the input {about['mismatched_by']} before",
        "Time taken": f"{about['seconds']:.0f} s",
    }
    rows = [{"fact": name, "value": value} for name, value in facts.items()]
    page.table(rows, [Column("fact", ""), Column("value", "")]).note(limits(evaluation))


def limits(evaluation: Evaluation) -> str:
    """What these numbers cannot say."""
    about = evaluation.about()
    points = [
        f"Distances of {about['inputs']} images to {about['references']} are biased upwards, the "
        "Fréchet distance strongly so: compare them between rows of one table, or with pages that "
        "show the same validation set (sha256), counts and features.",
        "R@k asks a network whether a region looks like the driver; it does not ask a person.",
        "Intervals are over inputs. They say nothing about another training run with another seed.",
    ]
    if about["frechet_name"] != "FID":
        points.insert(1, f"{about['frechet_name']} is not FID and not comparable with it.")
    shared = evaluation.validation.manifest["references_that_are_sources"]
    if shared:
        points.append(
            f"{shared} of the {about['references']} reference images are sources too: the data "
            "set is small, and every distance is flattered."
        )
    return "\n".join(f"- {point}" for point in points)


def recall_chart(evaluation: Evaluation, infos: list[MetricInfo]) -> "go.Figure | None":
    """Recall over k; None where it is not among these metrics."""
    matches = [re.fullmatch(r"recall_(\d+)", info.key) for info in infos]
    ks = sorted(int(match[1]) for match in matches if match)
    if not ks:
        return None
    candidates = evaluation.about()["distractors"] + 1
    lines = {row["system"]: (ks, [row[f"recall_{k}"] for k in ks]) for row in evaluation.rows()}
    lines["chance"] = (ks, [k / candidates for k in ks])
    figure = line_chart(lines, "Driver found among the k nearest", "k", "share of samples")
    figure.update_yaxes(tickformat=".0%", range=[0, 1.02])
    figure.update_xaxes(tickvals=ks)
    figure.update_layout(
        legend={"orientation": "v", "x": 1.02, "xanchor": "left", "y": 1, "yanchor": "top"}
    )
    figure.update_traces(line={"dash": "dot", "color": "#9AA2B1"}, selector={"name": "chance"})
    return figure


def findings(evaluation: Evaluation) -> list[Highlight]:
    """Does the driver matter, is it shown, is the rest kept, does it look natural?

    What was not measured is left out.
    """
    makers = (driver_matters, driver_shown, rest_kept, looks_natural)
    return [found for make in makers if (found := make(evaluation))]


def driver_matters(evaluation: Evaluation) -> Highlight | None:
    editor, misled = evaluation["editor"], evaluation["editor_mismatched"]
    if not {"nll_inside", "nll_gap"} <= editor.keys():
        return None
    gap = evaluation.estimate("editor", "nll_gap")
    verdict = _verdict(gap, "The driver matters", "The matched driver misleads")
    return Highlight(
        f"{gap.mean:+.2f} nats",
        "per token, given a mismatched driver",
        f"{verdict}. In the region a token of the source costs {editor['nll_inside']:.2f} nats "
        f"given its own driver, {misled['nll_inside']:.2f} nats given another input's.",
    )


def driver_shown(evaluation: Evaluation) -> Highlight | None:
    key = next((key for key in ("recall_5", "recall_1") if key in evaluation["editor"]), None)
    if key is None:
        return None
    k, candidates = int(key.removeprefix("recall_")), evaluation.about()["distractors"] + 1
    values = {row["key"]: row[key] for row in evaluation.rows()}
    matched, misled = (evaluation.per_input(name, key) for name in ("editor", "editor_mismatched"))
    difference = estimate(matched - misled)
    verdict = _verdict(difference, "Samples show their driver", "Samples avoid their driver", ".0%")
    return Highlight(
        f"{values['editor']:.0%} / {values['editor_mismatched']:.0%}",
        f"R@{k}, given the driver / another one",
        f"{verdict}. How often the driver is among the {k} crops nearest to a sample's region, out "
        f"of {candidates}; chance is {k / candidates:.0%}, the pasted driver through the "
        f"tokenizer reaches {values['paste_tokenized']:.0%}.",
    )


def rest_kept(evaluation: Evaluation) -> Highlight | None:
    row = evaluation.rows()[0]
    if not {"l1_real", "outside_ratio"} <= row.keys():
        return None
    if row["l1_real"] is None or row["outside_ratio"] is None:
        return Highlight("–", "change outside the region", "Nothing lies outside the regions.")
    own = evaluation["reconstruction"]["l1_real"]
    return Highlight(
        f"{row['outside_ratio']:.2f} ×",
        "the tokenizer's error outside the region",
        f"Samples differ from their source by {row['l1_real']:.3f} there, the source that only "
        f"went through the tokenizer by {own:.3f} (mean absolute difference, pixels in [-1, 1]).",
    )


def looks_natural(evaluation: Evaluation) -> Highlight | None:
    editor, paste = evaluation["editor"], evaluation["paste"]
    if not {"frechet", "frechet_region"} <= editor.keys():
        return None
    return Highlight(
        f"{_short(editor['frechet_region'])} / {_short(paste['frechet_region'])}",
        f"{evaluation.about()['frechet_name']} of regions, editor / paste",
        "Less is nearer to real images. Whole images: "
        f"{_short(editor['frechet'])} / {_short(paste['frechet'])}.",
    )


def _verdict(difference: Estimate, positive: str, negative: str, spec: str = ".2f") -> str:
    low, high = difference.mean - difference.margin, difference.mean + difference.margin
    interval = f"(95 % interval of the difference: {low:{spec}} to {high:{spec}})"
    if low > 0:
        return f"{positive} {interval}"
    if high < 0:
        return f"{negative} {interval}"
    return f"No difference shown {interval}"


def _short(distance: float) -> str:
    return f"{distance:.0f}" if distance >= 100 else f"{distance:.3g}"
