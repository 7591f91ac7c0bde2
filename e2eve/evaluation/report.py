"""The report of a run: what was found, on which pictures, measured with what."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2eve.evaluation.curves import curve_charts
from e2eve.evaluation.evaluation import Evaluation
from e2eve.evaluation.findings import findings
from e2eve.evaluation.systems import SYSTEMS
from e2eve.reporting.charts import line_chart
from e2eve.reporting.page import Column, Page

if TYPE_CHECKING:
    import plotly.graph_objects as go

COMPETING = ("editor", "paste", "paste_tokenized", "poisson")
"""Systems whose numbers are ranked; the others are there to read the numbers by."""

TASK = (
    "The editor is given a **source**, a **region** of it to edit, and a **driver**: a small "
    "picture, cut out of another source, of what should appear in the region. It should show the "
    "driver there, keep everything else, and look natural as a whole."
)

SYSTEM = Column("system", "System")


def write_report(
    path: str | Path,
    evaluation: Evaluation,
    *,
    title: str,
    curves: str | Path | None = None,
    config: str | None = None,
) -> Path:
    """One HTML file.

    Args:
        curves: a metrics.csv of the training, left out when it does not exist.
        config: the run's configuration as YAML.
    """
    about = evaluation.about()
    page = Page(title, f"{about['inputs']} unpaired inputs, {about['num_samples']} samples each")
    page.text(TASK).highlights(findings(evaluation))
    add_samples(page, evaluation)
    rows = [{**row, "unranked": row["key"] not in COMPETING} for row in evaluation.rows()]
    add_faithfulness(page, evaluation, rows)
    add_locality(page, rows)
    add_naturalness(page, evaluation, rows)
    charts = curve_charts(curves) if curves is not None and Path(curves).exists() else []
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


def add_faithfulness(page: Page, evaluation: Evaluation, rows: list[dict[str, Any]]) -> None:
    distractors = evaluation.validation.features.distractors.shape[1]
    columns = [SYSTEM]
    for k in _ks(evaluation):
        columns.append(Column(f"recall_{k}", f"R@{k}", ".0%", "high"))
    for k in _ks(evaluation):
        note = "of the sample nearest to the driver"
        columns.append(Column(f"recall_{k}_kept", f"R@{k} kept", ".0%", "high", note))
    page.section("Does it show the driver?").text(
        f"R@k says how often the driver is among the k crops nearest to the edited region, out of "
        f"itself and {distractors} crops of other pictures at the same place, by features of "
        f"`{evaluation.validation.retrieval}`. The paste through the tokenizer shows what is "
        "within reach of an editor with that tokenizer. Means over all samples; **kept** looks "
        "only at the sample nearest to the driver, and is flattered by being chosen with the "
        "features that it is judged by."
    )
    page.table(rows, columns).chart(recall_chart(evaluation))


def add_locality(page: Page, rows: list[dict[str, Any]]) -> None:
    columns = [
        SYSTEM,
        Column("l1_real", "L1 to the source", ".4f"),
        Column("outside_ratio", "in units of the tokenizer", ".2f"),
        Column("l1_rec", "L1 to the tokenized source", ".4f"),
        Column("diversity", "Diversity", ".3f"),
        Column("diversity_region", "Diversity in the region", ".3f"),
    ]
    page.section("Does it keep the rest, and does it vary?").text(
        "Mean absolute difference outside the region, on pixels in [-1, 1]; pastes and blends "
        "leave every pixel there alone. Diversity is the mean perceptual distance between samples "
        "of one input."
    )
    page.table(rows, columns)


def add_naturalness(page: Page, evaluation: Evaluation, rows: list[dict[str, Any]]) -> None:
    name = "FID" if evaluation.frechet_name == "FID" else "Fréchet"
    columns = [
        SYSTEM,
        Column("n", "Pictures"),
        Column("frechet", name, ".5g", "low"),
        Column("frechet_region", f"{name}, region", ".5g", "low"),
        Column("kernel", "Kernel", ".3g", "low"),
        Column("kernel_region", "Kernel, region", ".3g", "low"),
    ]
    about = evaluation.about()
    page.section("Does it look natural?").text(
        f"{evaluation.frechet_name} and kernel distance of {about['inputs']} pictures of each "
        f"system to {about['references']} real ones: one picture of each input, for the editor "
        "the sample drawn first, so that all systems are compared on as many pictures."
    )
    page.table(rows, columns, "The source is a real picture: read the other rows against it.")


def add_method(page: Page, evaluation: Evaluation) -> None:
    about = evaluation.about()
    sampling = about["sampling"]
    explained = "\n".join(f"- **{s.name}**: {s.explanation}." for s in SYSTEMS)
    page.section("What was measured, and with what").text(explained)
    facts = [
        ("Validation set", about["validation_set"]),
        ("its sha256", about["validation_hash"]),
        ("Inputs, references, distractors", _counts(about)),
        ("Features for distances of sets", about["extractor"]),
        ("Features for finding drivers", about["retrieval"]),
        ("Perceptual distance", about["perceptual"] or "none"),
        ("Samples of an input", str(about["num_samples"])),
        ("Sampling", ", ".join(f"{name} {value}" for name, value in sampling.items())),
        ("Seed", str(about["seed"])),
        ("Another driver is", f"the one of the input {about['swapped_by']} before"),
        ("Time taken", f"{about['seconds']:.0f} s"),
    ]
    page.table(
        [{"fact": a, "value": b} for a, b in facts], [Column("fact", ""), Column("value", "")]
    )
    page.note(limits(evaluation))


def limits(evaluation: Evaluation) -> str:
    """What these numbers cannot say."""
    about = evaluation.about()
    points = [
        f"Distances of {about['inputs']} pictures to {about['references']} are biased upwards, the "
        "Fréchet distance strongly so: compare them between rows of one table, or with pages that "
        "show the same validation set (sha256), counts and features.",
        "R@k asks a network whether a region looks like the driver; it does not ask a person.",
        "Intervals are over inputs. They say nothing about another training with another seed.",
    ]
    if evaluation.frechet_name != "FID":
        points.insert(1, f"{evaluation.frechet_name} is not FID and not comparable with it.")
    shared = evaluation.validation.manifest["references_that_are_sources"]
    if shared:
        points.append(
            f"{shared} of the {about['references']} reference pictures are sources too: the data "
            "set is small, and every distance is flattered."
        )
    return "\n".join(f"- {point}" for point in points)


def recall_chart(evaluation: Evaluation) -> "go.Figure":
    ks: Sequence[int] = _ks(evaluation)
    candidates = evaluation.validation.features.distractors.shape[1] + 1
    lines = {
        result.system.name: (ks, [result.metrics[f"recall_{k}"] for k in ks])
        for result in evaluation.systems
    }
    lines["chance"] = (ks, [k / candidates for k in ks])
    figure = line_chart(lines, "Driver found among the k nearest", "k", "share of samples")
    figure.update_yaxes(tickformat=".0%", range=[0, 1.02])
    figure.update_xaxes(tickvals=list(ks))
    figure.update_layout(
        legend={"orientation": "v", "x": 1.02, "xanchor": "left", "y": 1, "yanchor": "top"}
    )
    figure.update_traces(line={"dash": "dot", "color": "#9AA2B1"}, selector={"name": "chance"})
    return figure


def _ks(evaluation: Evaluation) -> list[int]:
    names = (name.removeprefix("recall_") for name in evaluation["editor"])
    return sorted(int(name) for name in names if name.isdecimal())


def _counts(about: dict[str, Any]) -> str:
    return f"{about['inputs']}, {about['references']}, {about['distractors']}"
