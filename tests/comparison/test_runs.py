"""Run folders in every state are read, and what is missing or half written is said."""

import json
import os

import pytest

from e2eve.checks import read_yaml
from e2eve.comparison.comparison import compare
from e2eve.comparison.dashboard_page import DashboardSettings, dashboard_html
from e2eve.comparison.runs import find_runs, read_run
from e2eve.comparison.samples import side_by_side
from e2eve.evaluation.evaluator import evaluate
from e2eve.evaluation.results import read_results
from e2eve.evaluation.settings import DrawingSettings
from tests.comparison.factories import Made, write_run
from tests.evaluation.conftest import Squares, Thumbnail, build
from tests.factories import tiny_editor


def test_runs_are_found_below_folders_and_by_globs_and_each_once(tmp_path):
    for name in ("sweep/0", "sweep/deep/1", "other"):
        write_run(tmp_path / name, Made(inputs=3))
    names = [run.name for run in find_runs([tmp_path])]
    assert sorted(names) == ["0", "1", "other"]
    globbed = find_runs([f"{tmp_path}/sw*", tmp_path / "sweep" / "0"])
    assert [run.name for run in globbed] == ["0", "1"]


def test_what_is_no_folder_and_what_holds_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is no folder"):
        find_runs([tmp_path / "missing*"])
    with pytest.raises(ValueError, match="holds no run"):
        find_runs([tmp_path])


@pytest.mark.parametrize("state", ["running", "failed"])
def test_a_run_without_results_says_its_state_error_and_step(tmp_path, state):
    made = Made(state=state, error="RuntimeError: out of <memory>", seed=4)
    run = read_run(write_run(tmp_path / "run", made))
    assert (run.state, run.results, run.seed) == (state, None, 4)
    assert "out of <memory>" in run.remark
    assert run.steps == (430, 1000)


def test_results_of_a_run_that_was_resumed_do_not_count(tmp_path):
    folder = write_run(tmp_path / "run", Made(inputs=3))
    (folder / "status.json").write_text('{"state": "running"}')
    assert read_run(folder).results is None


@pytest.mark.parametrize("text", ['{"about"', '{"about": {}}', "[]"])
def test_half_written_results_are_named_and_do_not_stop_the_others(tmp_path, text):
    folder = write_run(tmp_path / "half", Made(inputs=3))
    write_run(tmp_path / "whole", Made(inputs=3, seed=1))
    (folder / "metrics.json").write_text(text)
    assert "cannot be read" in read_run(folder).problem
    assert len(compare([tmp_path]).configurations[0].finished) == 1


def test_a_half_written_status_is_named(tmp_path):
    folder = write_run(tmp_path / "run", Made(inputs=3))
    (folder / "status.json").write_text("{")
    run = read_run(folder)
    assert run.state == "unknown" and "status.json is damaged" in run.problem


def test_tokenizers_are_named_and_not_compared(tmp_path):
    write_run(tmp_path / "tokenizer", Made(task="source_tokenizer"))
    write_run(tmp_path / "editor", Made(inputs=3))
    comparison = compare([tmp_path])
    assert [one.runs[0].folder.name for one in comparison.configurations] == ["editor"]
    told = [run.remark for run in comparison.runs if not run.is_editor]
    assert told == ["trains a tokenizer, which is not compared here"]


def test_evaluations_that_a_sweep_has_made_are_compared(tmp_path):
    for temperature in ("0.7", "1.0"):
        made = Made(task="evaluation", overrides={"evaluation.temperature": temperature}, inputs=3)
        write_run(tmp_path / temperature, made)
    labels = [one.label for one in compare([tmp_path]).configurations]
    assert labels == ["evaluation.temperature=0.7", "evaluation.temperature=1.0"]


def test_an_interrupted_run_says_by_what(tmp_path):
    folder = write_run(tmp_path / "run", Made(state="interrupted"))
    (folder / "status.json").write_text('{"state": "interrupted", "reason": "SIGTERM"}')
    assert read_run(folder).remark == "SIGTERM"


def test_a_run_that_was_not_evaluated_says_so(tmp_path):
    folder = write_run(tmp_path / "run", Made(inputs=3))
    (folder / "metrics.json").unlink()
    told = read_run(folder).remark
    assert told == f"was not evaluated: python -m e2eve.evaluate run={folder}"


def test_a_run_without_an_evaluation_of_its_own_shows_the_newest_of_the_later_ones(tmp_path):
    folder = write_run(tmp_path / "run", Made(inputs=3))
    evaluated_again(folder, "older", num_samples=2)
    evaluated_again(folder, "newer", num_samples=3)
    os.utime(folder / "evaluation/older/metrics.json", (1, 1))
    assert read_run(folder).results.folder == folder  # type: ignore[union-attr]
    (folder / "metrics.json").unlink()
    (folder / "evaluation/newer/report.html").touch()
    run = read_run(folder)
    assert (run.results.folder.name, run.remark) == ("newer", "")  # type: ignore[union-attr]
    assert run.report == folder / "evaluation/newer/report.html"
    assert len(compare([tmp_path]).configurations[0].finished) == 1


def evaluated_again(folder, name, **changes):
    """A later evaluation inside a run's folder, as `e2eve.evaluate` leaves it."""
    found = json.loads((folder / "metrics.json").read_text())
    found["about"] |= changes
    (folder / "evaluation" / name).mkdir(parents=True)
    (folder / "evaluation" / name / "metrics.json").write_text(json.dumps(found))


def test_a_later_evaluation_is_read_in_place_of_the_trainings_own(tmp_path):
    folder = write_run(tmp_path / "run", Made(inputs=3))
    evaluated_again(folder, "common", validation_hash="cd" * 32)
    run = read_run(folder, "common")
    assert run.results and run.results.about["validation_hash"] == "cd" * 32
    assert read_run(folder, "absent").results is None


def test_evaluations_of_one_run_are_told_apart_by_their_sampling(tmp_path):
    folder = write_run(tmp_path / "run", Made(inputs=3))
    for temperature in (1.0, 0.5):
        sampling = {"temperature": temperature, "top_k": None, "top_p": 0.9}
        evaluated_again(folder, f"t{temperature}", sampling=sampling)
    found = compare([folder / "evaluation"]).configurations
    labels = [one.label for one in found]
    assert labels == ["sampling.temperature=0.5", "sampling.temperature=1.0"]
    assert [one.seeds for one in found] == [(0,), (0,)]


def test_means_of_single_inputs_are_the_means_of_the_run(tmp_path):
    """On files that an evaluation has really written: what is paired is what is reported."""
    settings = DrawingSettings(num_samples=3, batch_size=5)
    validation, features = build(), Thumbnail()
    evaluate(tiny_editor(), validation, features, Squares(), settings=settings).save(tmp_path)
    results = read_results(tmp_path)
    single = {name for row in results.per_input.values() for name in row}
    checked = 0
    for name, mean in results.means.items():
        if name in single:
            column = results.column(name)
            assert sum(column.values()) / len(column) == pytest.approx(mean, abs=1e-6), name
            checked += 1
    assert checked >= 9
    found = side_by_side([read_run(tmp_path)], str, side=16, count=9)
    (strips,) = found.strips.values()
    assert {name: len(strip.samples) for name, strip in strips.items()} == {
        item.id: 3 for item in validation.inputs
    }


def test_evaluations_without_a_run_are_configurations_of_their_own(tmp_path):
    """As `e2eve.evaluate` leaves them for bundles of other people."""
    for name in ("a", "b"):
        folder = write_run(tmp_path / name, Made(inputs=3))
        for file in ("status.json", "config.yaml"):
            (folder / file).unlink()
    comparison = compare([tmp_path])
    labels = [one.label for one in comparison.configurations]
    assert [label.rpartition("/")[2] for label in labels] == ["a", "b"]
    assert all(one.finished for one in comparison.configurations)


@pytest.mark.parametrize(
    "name",
    "config.yaml metrics.csv metrics.json inputs.csv samples.csv status.json "
    "samples/inputs/00000.png .hydra/hydra.yaml".split(),
)
@pytest.mark.parametrize("content", [b"", b"\x00\xff torn", b"[1, 2]", b"step,a\n0,x\n"])
def test_a_damaged_file_costs_its_run_and_not_the_page(tmp_path, name, content):
    for run in ("a", "b", "c"):
        write_run(tmp_path / run, Made({"tokenizer": run}, saved=2))
    (tmp_path / "c" / name).parent.mkdir(exist_ok=True)
    (tmp_path / "c" / name).write_bytes(content)
    page = dashboard_html(compare([tmp_path], None), DashboardSettings(str(tmp_path)), str)
    assert "tokenizer=a" in page and "tokenizer=b" in page


def test_nested_aliases_are_refused_at_once(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (tmp_path / "config.yaml").write_text("\n".join(lines))
    with pytest.raises(ValueError, match="holds YAML aliases"):
        read_yaml(tmp_path / "config.yaml")
