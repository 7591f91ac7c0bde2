"""Which commit a run was made with, and when nobody can say."""

import subprocess

import pytest

from e2eve.runs.metadata import git_revision


def git(folder, *arguments: str) -> str:
    own = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(folder), *own, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def package(tmp_path):
    """A package in a checkout of its own."""
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "__init__.py").write_text("a = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return folder


def test_the_commit_and_whether_it_was_changed(package):
    commit = git(package, "rev-parse", "HEAD")
    assert git_revision(package) == commit
    (package / "__init__.py").write_text("a = 2\n")
    assert git_revision(package) == f"{commit}-dirty"


def test_a_package_that_is_installed_in_another_checkout_has_none(package):
    installed = package.parent / "site-packages"
    installed.mkdir()
    (installed / "__init__.py").touch()
    assert git_revision(installed) is None


def test_outside_a_checkout_there_is_none(tmp_path):
    (tmp_path / "__init__.py").touch()
    assert git_revision(tmp_path) is None
