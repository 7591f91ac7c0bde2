"""Where an editor lies: a folder, a run's, the package's."""

from pathlib import Path

import pytest

from e2eve import bundle
from e2eve.bundle import EDITOR, locate
from e2eve.editor import Editor
from tests.factories import tiny_editor


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that holds an editor; returns its folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bundle, "PACKAGED", tmp_path / "pretrained")
    return tiny_editor().save_pretrained(tmp_path / "pretrained" / EDITOR)


def test_the_packaged_editor_goes_by_its_name_and_as_a_package(packaged):
    assert locate(EDITOR) == locate(f"package:{EDITOR}") == packaged
    assert Editor.from_pretrained(EDITOR).image_size == tiny_editor().image_size


def test_a_folder_of_that_name_goes_first_where_it_holds_a_bundle(packaged):
    Path(EDITOR).mkdir()
    assert locate(EDITOR) == packaged
    tiny_editor().save_pretrained(f"{EDITOR}/bundle")
    assert locate(EDITOR) == Path(EDITOR, "bundle")
    assert locate(f"package:{EDITOR}") == packaged


def test_what_is_not_there_is_one_sentence(packaged):
    with pytest.raises(ValueError, match=r'No packaged bundle is called "x", there are: \[.toyfac'):
        locate("package:x")
    with pytest.raises(ValueError, match="x is no bundle"):
        locate("x")
    (packaged / "config.yaml").unlink()
    for name in (EDITOR, f"package:{EDITOR}"):
        with pytest.raises(ValueError, match="The editor toyfaces does not come with this version"):
            Editor.from_pretrained(name)
