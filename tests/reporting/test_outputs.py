"""Places that a command may write to."""

import pytest

from e2eve.reporting.outputs import check_replaceable, new_folder
from e2eve.reporting.page import Page


@pytest.mark.parametrize("taken", ["a.png", "deep/b.png"])
def test_a_folder_is_new_where_one_of_the_names_is_taken(tmp_path, taken):
    wanted = tmp_path / "out"
    assert new_folder(wanted, ["a.png", "deep/b.png"]) == wanted
    (wanted / taken).parent.mkdir(parents=True)
    (wanted / taken).touch()
    assert new_folder(wanted, ["c.png"]) == wanted
    assert new_folder(wanted, ["a.png", "deep/b.png"]) == tmp_path / "out_2"
    (tmp_path / "out_2").touch()
    assert new_folder(wanted, ["a.png", "deep/b.png"]) == tmp_path / "out_3"
    assert {path.name for path in tmp_path.iterdir()} == {"out", "out_2"}


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    for wanted in ("file", "file/deeper"):
        with pytest.raises(ValueError, match="file is a file: give another folder"):
            new_folder(tmp_path / wanted, ["a.png"])


def test_a_page_replaces_a_page_and_nothing_else(tmp_path):
    page, table = tmp_path / "page.html", tmp_path / "page.csv"
    check_replaceable(page, ["page.csv"])
    table.write_text("mine")
    with pytest.raises(ValueError, match=r"page.csv is there and not of an earlier call: give"):
        check_replaceable(page, ["page.csv"])
    page.write_text("<html>mine</html>")
    with pytest.raises(ValueError, match=r"page.html is there and not of an earlier call"):
        check_replaceable(page, [])
    Page("ours").write(page)
    check_replaceable(page, ["page.csv"])
