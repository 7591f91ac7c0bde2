"""Configurations: runs of the same go together, and labels tell the others apart."""

from dataclasses import replace

import pytest

from e2eve.comparison.comparison import compare
from e2eve.comparison.runs import ABSENT, differences, find_runs, grouped, read_run
from tests.comparison.factories import Made, sweep, write_run


def found_in(*places):
    return grouped([read_run(folder) for folder in find_runs(places)])[0]


def test_runs_that_differ_in_seed_name_and_folder_are_one_configuration(tmp_path):
    sweep(tmp_path / "s", {"tokenizer": ["shared", "separate"]}, inputs=3)
    comparison = compare([tmp_path])
    found = comparison.configurations
    assert [one.label for one in found] == ["tokenizer=separate", "tokenizer=shared"]
    assert [one.seeds for one in found] == [(0, 1, 2)] * 2
    assert not comparison.repeated


def test_labels_are_the_overrides_that_differ(tmp_path):
    factors = {"edit_simulation": ["block", "free_form"], "tokenizer": ["shared", "separate"]}
    found = found_in(sweep(tmp_path / "s", factors, seeds=(0,), inputs=3))
    assert [one.label for one in found] == [
        "edit_simulation=block, tokenizer=separate",
        "edit_simulation=block, tokenizer=shared",
        "edit_simulation=free_form, tokenizer=separate",
        "edit_simulation=free_form, tokenizer=shared",
    ]


def test_an_override_that_others_leave_at_its_default_is_told_by_the_config(tmp_path):
    write_run(tmp_path / "a", Made(inputs=3))
    write_run(tmp_path / "b", Made(inputs=3, overrides={"transformer.width": 256}))
    write_run(tmp_path / "c", Made(inputs=3, overrides={"transformer.width": 64}))
    labels = [one.label for one in found_in(tmp_path)]
    assert labels == [f"transformer.width={width}" for width in (64, 128, 256)]


def test_settings_that_no_override_tells_are_told_by_the_config(tmp_path):
    for name, changes in (("a", {}), ("b", {"trainer.max_steps": 5})):
        run = write_run(tmp_path / name, Made(inputs=3, overrides=changes))
        (run / ".hydra" / "hydra.yaml").unlink()
    assert [one.label for one in found_in(tmp_path)] == [
        "trainer.max_steps=5",
        "trainer.max_steps=1000",
    ]


def test_of_many_differences_a_label_names_as_many_as_it_takes(tmp_path):
    names = [f"transformer.{letter}" for letter in "abcdef"]
    for n in range(3):
        overrides = {name: n if name.endswith("d") else min(n, 1) for name in names}
        write_run(tmp_path / f"{n}", Made(inputs=3, overrides=overrides))
    assert [one.label for one in found_in(tmp_path)] == [f"transformer.d={n}" for n in range(3)]


def test_a_configuration_alone_is_called_by_its_name(tmp_path):
    write_run(tmp_path / "lonely", Made(inputs=3))
    assert [one.label for one in found_in(tmp_path)] == ["lonely"]


def test_the_same_seed_counts_once_and_the_newer_result_wins(tmp_path):
    """Otherwise a repeated run would shrink the deviation."""
    old = write_run(tmp_path / "old", Made(inputs=3))
    write_run(tmp_path / "new", Made(inputs=3))
    status = old / "status.json"
    status.write_text(status.read_text().replace("T10:", "T09:"))
    write_run(tmp_path / "newest_failed", Made(inputs=3, state="failed"))
    (one,), repeated = grouped([read_run(folder) for folder in find_runs([tmp_path])])
    assert [run.folder.name for run in one.runs] == ["new"]
    assert sorted(run.folder.name for run in repeated) == ["newest_failed", "old"]


def test_means_and_deviations_are_over_runs_with_results(tmp_path):
    sweep(tmp_path / "s", {"tokenizer": ["shared"]}, inputs=5)
    write_run(tmp_path / "s" / "more", Made({"tokenizer": "shared"}, seed=3, state="running"))
    comparison = compare([tmp_path])
    (one,) = comparison.configurations
    values = [results.means["recall_5"] for results in one.results]
    assert len(one.runs) == 4 and len(values) == 3
    found = comparison.of("recall_5").loc[0]
    assert found["mean"] == pytest.approx(sum(values) / 3)
    squares = sum((value - found["mean"]) ** 2 for value in values)
    assert found["deviation"] == pytest.approx((squares / 2) ** 0.5)


def test_only_settings_that_differ_are_listed(tmp_path):
    write_run(tmp_path / "a", Made(inputs=3, overrides={"logger.wandb": True}))
    write_run(tmp_path / "b", Made(inputs=3, overrides={"new.leaf": [1, 2]}))
    found = differences([one.runs[0] for one in found_in(tmp_path)])
    assert found.T.to_dict("list") == {"new.leaf": ["[1, 2]", ABSENT]}


def test_a_list_is_one_setting(tmp_path):
    run = read_run(write_run(tmp_path / "a", Made(inputs=3)))
    run = replace(run, config={"a": {"b": [1], "c": True}, "d": 2, "f": None})
    assert run.leaves == {"a.b": "[1]", "a.c": "true", "d": "2", "f": ABSENT}
