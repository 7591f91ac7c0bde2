"""The report of a run: what was found, on which images, measured with what; and a tokenizer's."""

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from e2eve.data.images import to_uint8
from e2eve.evaluation.evaluation import Evaluation
from e2eve.evaluation.results import GROUPS, INPUTS, Results
from e2eve.evaluation.systems import SYSTEMS, systems_of
from e2eve.metrics.base import MetricInfo, margin
from e2eve.reporting.grid import image_grid
from e2eve.reporting.page import Column, Highlight, Page, curve_charts, line_chart
from e2eve.runs import RunFolder, read_curves
from e2eve.tokenizers import Tokenizer

TASK = (
    "The editor is given a **source**, a **region** of it to edit, and a **driver**: a small "
    "image, cut out of another source, of what should appear in the region. It should show the "
    "driver there, keep everything else, and look natural as a whole."
)


WORST = 4  # inputs that are shown
RAW = "As they were drawn, outside the region too"


class Aspect(NamedTuple):
    """A section of the report; `text` may name facts of `Evaluation.about`."""

    heading: str
    text: str = ""
    caption: str = ""


# Sections in their order; those of other aspects come after them, by their names.
ASPECTS = {
    "answer": Aspect(
        "Is it the right edit?",
        "Each input has an answer that is known to the pixel. Graded are pixels of the region that "
        "follow from source and driver: **changed** where the answer differs from the source, "
        "**kept** elsewhere. A pixel **matches** within CIE ΔE76 < 10 of the answer; an edit is "
        "**nearer** by its mean absolute difference over all graded pixels. The answer through the "
        "tokenizer is the ceiling for an editor with that tokenizer. Means over all samples; "
        "**best-of-n** looks only at the sample nearest to the driver.",
    ),
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

# Last figures of a tokenizer's training curves.
SHOWN = {
    "val/l1": ("L1", "mean absolute error on validation images, pixels in [-1, 1]"),
    "val/perceptual": ("Perceptual distance", "on validation images"),
    "train/codebook_used": ("Share of codes in use", "over the last hundred steps or so"),
    "train/codebook_perplexity": ("Perplexity", "of the codes in use"),
}


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
    about, infos = evaluation.results.about, evaluation.results.infos
    page = Page(title, f"{about['inputs']} unpaired inputs, {about['num_samples']} samples each")
    page.text(TASK).highlights(findings(evaluation.results))
    page.section("Samples").image(
        evaluation.picture(),
        f"The first {min(about['shown'], about['inputs'])} inputs of the validation set, none "
        "chosen, as a person gets them: put back into the source. Samples are ordered by the "
        "distance of their region to the driver in feature space, which is the number under them; "
        "the left column outlines the edit region.",
        behind=(RAW, evaluation.picture(raw=True)),
    )
    worst = evaluation.worst(WORST)
    page.image(
        evaluation.picture(inputs=worst),
        f"The {len(worst)} of the first {len(evaluation.images)} inputs whose best sample is "
        "farthest from its driver.",
        behind=(RAW, evaluation.picture(inputs=worst, raw=True)),
    )
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


def add_aspect(page: Page, evaluation: Evaluation, name: str, infos: Sequence[MetricInfo]) -> None:
    """A table of its metrics for the systems that have any of them; nothing without metrics."""
    if not infos:
        return
    aspect = ASPECTS.get(name, Aspect(name.capitalize()))
    page.section(aspect.heading).text(aspect.text.format(**evaluation.results.about))
    ranked = {system.key for system in SYSTEMS if system.ranked}
    rows = [
        {**row, "unranked": row["key"] not in ranked}
        for row in evaluation.rows()
        if any(row[info.key] is not None for info in infos)
    ]
    page.table(
        rows, [Column("system", "System"), *(column_of(info) for info in infos)], aspect.caption
    )
    add_groups(page, evaluation, infos)
    if chart := recall_chart(rows, infos, evaluation.results.about["distractors"] + 1):
        page.chart(chart)


def add_groups(page: Page, evaluation: Evaluation, infos: Sequence[MetricInfo]) -> None:
    """A table of each metric that is shown by kinds of inputs, where they are told apart."""
    table = evaluation.results.table(GROUPS)
    if table.empty or all(info.aspect != "answer" for info in infos):
        return
    pairs = dict.fromkeys(table[["group", "kind"]].itertuples(index=False, name=None))
    kinds = {pair: ": ".join(dict.fromkeys(pair)) for pair in pairs}
    for info in [info for info in infos if info.shown]:
        cells: dict[str, dict[str, str]] = defaultdict(dict)
        for row in table[table.metric == info.key].itertuples():
            mean, low, high = (format(x, info.spec) for x in (row.mean, row.low, row.high))
            cells[row.system][kinds[row.group, row.kind]] = f"{mean} ({low} to {high})"
        rows = [{**row, **cells[row["key"]]} for row in evaluation.rows() if row["key"] in cells]
        columns = [Column(kind, kind) for kind in kinds.values()]
        caption = f"**{info.label}**: {info.note}; 95 % intervals over inputs."
        page.table(rows, [Column("system", "System"), *columns], caption)


def column_of(info: MetricInfo) -> Column:
    """The metric's column of a table."""
    note = ", ".join(filter(None, [info.note, info.unit]))
    return Column(info.key, info.label, info.spec, info.best, note)


def add_method(page: Page, evaluation: Evaluation) -> None:
    about, systems = evaluation.results.about, systems_of(evaluation.validation)
    explained = "\n".join(f"- **{s.name}**: {s.explanation}." for s in systems)
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
    page.table(rows, [Column("fact", ""), Column("value", "")]).note(limits(about))


def limits(about: Mapping[str, Any]) -> str:
    """What these numbers cannot say."""
    points = [
        "Distances of {inputs} images to {references} are biased upwards, the Fréchet distance "
        "strongly so: compare them between rows of one table, or with pages that show the same "
        "validation set (sha256), counts and features.",
        "R@k asks a network whether a region looks like the driver; it does not ask a person.",
        "Intervals are over inputs. They say nothing about another training run with another seed.",
    ]
    if about["frechet_name"] != "FID":
        points.insert(1, "{frechet_name} is not FID and not comparable with it.")
    if about["references_that_are_sources"]:
        points.append(
            "{references_that_are_sources} of the {references} reference images are sources too: "
            "the data set is small, and every distance is flattered."
        )
    return "\n".join(f"- {point}" for point in points).format(**about)


def recall_chart(
    rows: Sequence[Mapping[str, Any]], infos: Sequence[MetricInfo], candidates: int
) -> "go.Figure | None":
    """Recall over k; None where it is not among these metrics."""
    matches = [re.fullmatch(r"recall_(\d+)", info.key) for info in infos]
    ks = sorted(int(match[1]) for match in matches if match)
    if not ks:
        return None
    lines = {row["system"]: (ks, [row[f"recall_{k}"] for k in ks]) for row in rows}
    lines["chance"] = (ks, [k / candidates for k in ks])
    figure = line_chart(lines, "Driver found among the k nearest", "k", "share of samples")
    figure.update_layout(
        yaxis={"tickformat": ".0%", "range": [0, 1.02]},
        xaxis={"tickvals": ks},
        legend={"orientation": "v", "x": 1.02, "xanchor": "left", "y": 1, "yanchor": "top"},
    )
    chance = {"dash": "dot", "color": "#9AA2B1"}
    return figure.update_traces(line=chance, selector={"name": "chance"})


def findings(results: Results) -> list[Highlight]:
    """Is it the right edit, does the driver matter, is it shown, is the rest kept, is it natural?

    What was not measured is left out.
    """
    found = []
    for make in (edits_right, driver_matters, driver_shown, rest_kept, looks_natural):
        with suppress(KeyError):
            found.append(make(results))
    return found


def edits_right(results: Results) -> Highlight:
    means, ceiling = results.means, results.systems["answer_tokenized"]
    idle = results.systems["reconstruction"]["nearer_than_poisson"]
    table = results.table(GROUPS)
    of = (
        (table.system == "editor")
        & (table.group == "all")
        & (table.metric == "nearer_than_poisson")
    )
    (found,) = table[of].itertuples()
    return Highlight(
        f"{found.mean:.0%}",
        "of edits nearer to the right one than the tokenized Poisson blend",
        f"95 % interval {found.low:.0%} to {found.high:.0%}; an editor that does nothing but "
        f"encode and decode the source reaches {idle:.0%}. Of the samples nearest to their "
        f"driver {means['nearer_than_poisson_best_of_n']:.0%}. Where the answer differs from the "
        f"source, {means['answer_match_changed']:.0%} of the pixels match it, of the answer "
        f"through the tokenizer {ceiling['answer_match_changed']:.0%}.",
    )


def driver_matters(results: Results) -> Highlight:
    gap, misled = results.means["nll_gap"], results.systems["editor_mismatched"]
    width = results.margins["editor"].get("nll_gap", math.nan)
    verdict = _verdict(gap, width, "The driver matters", "The matched driver misleads")
    return Highlight(
        f"{gap:+.2f} nats",
        "per token, given a mismatched driver",
        f"{verdict}. In the region a token of the source costs {results.means['nll_inside']:.2f} "
        f"nats given its own driver, {misled['nll_inside']:.2f} nats given another input's.",
    )


def driver_shown(results: Results) -> Highlight:
    k = 5 if "recall_5" in results.means else 1
    values = {system: row[f"recall_{k}"] for system, row in results.systems.items()}
    by_system = results.table(INPUTS).groupby("system")[f"recall_{k}"]
    matched, misled = (by_system.get_group(key) for key in ("editor", "editor_mismatched"))
    differences = torch.tensor(matched.to_numpy() - misled.to_numpy())
    words = "Samples show their driver", "Samples avoid their driver"
    verdict = _verdict(differences.nanmean().item(), margin(differences), *words, ".0%")
    candidates = results.about["distractors"] + 1
    return Highlight(
        f"{values['editor']:.0%} / {values['editor_mismatched']:.0%}",
        f"R@{k}, given the driver / another one",
        f"{verdict}. How often the driver is among the {k} crops nearest to a sample's region, out "
        f"of {candidates}; chance is {k / candidates:.0%}, the pasted driver through the "
        f"tokenizer reaches {values['paste_tokenized']:.0%}.",
    )


def rest_kept(results: Results) -> Highlight:
    if "outside_ratio" in {info.key for info in results.infos} - results.means.keys():
        return Highlight("–", "change outside the region", "Nothing lies outside the regions.")
    own = results.systems["reconstruction"]["l1_real"]
    return Highlight(
        f"{results.means['outside_ratio']:.2f} ×",
        "the tokenizer's error outside the region",
        f"Samples differ from their source by {results.means['l1_real']:.3f} there, the source "
        f"that only went through the tokenizer by {own:.3f} (mean absolute "
        "difference, pixels in [-1, 1]).",
    )


def looks_natural(results: Results) -> Highlight:
    values = [
        results.systems[system][key]
        for key in ("frechet_region", "frechet")
        for system in ("editor", "paste")
    ]
    texts = [f"{value:.0f}" if value >= 100 else f"{value:.3g}" for value in values]
    return Highlight(
        f"{texts[0]} / {texts[1]}",
        f"{results.about['frechet_name']} of regions, editor / paste",
        f"Less is nearer to real images. Whole images: {texts[2]} / {texts[3]}.",
    )


def _verdict(mean: float, width: float, positive: str, negative: str, spec: str = ".2f") -> str:
    low, high = mean - width, mean + width
    interval = f"(95 % interval of the difference: {low:{spec}} to {high:{spec}})"
    if low > 0:
        return f"{positive} {interval}"
    return f"{negative if high < 0 else 'No difference shown'} {interval}"


@torch.no_grad()
def reconstruction_grid(
    tokenizer: Tokenizer, images: Float[Tensor, "batch 3 height width"], columns: int = 8
) -> Image.Image:
    """Images above what the tokenizer makes of them."""
    images = images.to(next(tokenizer.parameters()).device)
    made = to_uint8(tokenizer.decode(tokenizer.encode(images)).cpu())
    given = to_uint8(images.cpu())
    starts = range(0, len(given), columns)
    rows = [list(part[start : start + columns]) for start in starts for part in (given, made)]
    return image_grid(rows, labels=["image", "tokenized"] * len(starts), cell=128)


def tokenizer_report(
    run: RunFolder, tokenizer: Tokenizer, images: Float[Tensor, "batch 3 h w"], title: str
) -> Path:
    """Writes report.html into the folder of a tokenizer's run."""
    parameters = sum(p.numel() for p in tokenizer.parameters()) / 1e6
    shape = tokenizer.config
    page = Page(title, f"{shape.image_size} px to {shape.grid}×{shape.grid} ids")
    curves = read_curves(run.curves)
    last = {name: values[-1] for name, (_, values) in curves.items()}
    figures = [
        Highlight(f"{last[name]:.3g}", label, note)
        for name, (label, note) in SHOWN.items()
        if name in last
    ]
    page.highlights([*figures, Highlight(f"{parameters:.1f} M", "Parameters")])
    grid = reconstruction_grid(tokenizer.eval(), images)
    page.section("Reconstructions").image(grid, "Validation images, none chosen.")
    page.section("Training")
    for chart in curve_charts(curves):
        page.chart(chart)
    config = (run / "config.yaml").read_text(encoding="utf-8")
    page.section("Configuration").details("config.yaml", config)
    return page.write(run.report)
