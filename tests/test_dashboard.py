"""The command dashboard, from its command line to the files it leaves."""

import subprocess
import sys
from pathlib import Path

import pytest

from e2eve.comparison.dashboard_page import DashboardSettings, write_dashboard
from e2eve.dashboard import settings_of
from tests.comparison.factories import Made, write_run
from tests.factories import compose

ROOT = Path(__file__).parents[1]


def settings(*overrides: str) -> DashboardSettings:
    return settings_of(compose(*overrides, config_name="dashboard"))


def test_runs_may_be_one_folder_several_and_globs(tmp_path):
    write_run(tmp_path / "one", Made(inputs=3, saved=1))
    write_run(tmp_path / "two", Made({"tokenizer": "b"}, inputs=3, saved=1))
    for runs, count in ((tmp_path, 2), (f"[{tmp_path}/one]", 1), (f"['{tmp_path}/t*']", 1)):
        path = write_dashboard(settings(f"runs={runs}", f"out={tmp_path}/out/d.html"))
        assert path == tmp_path / "out" / "d.html"
        assert f"{count} configuration" in path.read_text(encoding="utf-8")


def test_what_is_missing_is_asked_for():
    for given, found in (((), "missing"), (("runs=[]",), r"\[\]")):
        with pytest.raises(ValueError, match=f"runs is {found}: give runs="):
            settings(*given)


def test_a_folder_is_no_place_for_a_page(tmp_path):
    with pytest.raises(ValueError, match=r"is a folder: give the name of a file, such as .*\.html"):
        write_dashboard(settings(f"runs={tmp_path}", f"out={tmp_path}"))


@pytest.mark.parametrize("mine", ["page.html", "page.csv", "page_runs.csv", "page.tex"])
def test_a_page_replaces_earlier_ones_and_nothing_else(tmp_path, mine):
    write_run(tmp_path / "run", Made(inputs=3, saved=1))
    chosen = settings(f"runs={tmp_path}/run", f"out={tmp_path}/page.html")
    (tmp_path / mine).write_text("mine")
    with pytest.raises(ValueError, match=f"{mine} is there and not of an earlier call"):
        write_dashboard(chosen)
    assert (tmp_path / mine).read_text() == "mine"
    (tmp_path / mine).unlink()
    assert write_dashboard(chosen) == write_dashboard(chosen)


def test_the_title_is_the_folders_unless_given():
    assert settings("runs=[a/sweep/,b]").heading == "sweep, b"
    assert settings("runs=[a]", "title=Masks").heading == "Masks"


@pytest.mark.parametrize("change", ["thumbnail=4", "inputs=0", "port=70000", "refresh=0"])
def test_numbers_out_of_range_are_refused(change):
    with pytest.raises(ValueError, match=f"{change.replace('=', ' is ')}: give (at|more)"):
        settings("runs=a", change)


def test_the_command_says_where_the_page_is_or_what_is_wrong_in_one_sentence(tmp_path):
    write_run(tmp_path / "run", Made(inputs=3, saved=1))

    def call(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "e2eve.dashboard", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)

    done = call(f"runs=[{tmp_path}]", f"out={tmp_path}/d.html")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{tmp_path}/d.html"
    failed = call(f"runs=[{tmp_path}/nothing]")
    assert failed.returncode == 2
    text = failed.stdout + failed.stderr
    assert "is no folder" in text and "Traceback" not in text


def test_a_run_is_compared_without_pytorch(tmp_path):
    """The page is for laptops too: what takes seconds to import is not needed."""
    write_run(tmp_path / "run", Made(inputs=3, saved=1))
    code = (
        "import sys\n"
        "from e2eve.comparison.dashboard_page import DashboardSettings, write_dashboard\n"
        f"write_dashboard(DashboardSettings({str(tmp_path)!r}, {str(tmp_path / 'd.html')!r}))\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
