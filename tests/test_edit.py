"""The command, from configuration to the files it leaves."""

import json
import logging
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from e2eve.config import device_of, read_settings
from e2eve.data.images import read_image
from e2eve.data.toyfaces.example import example_edit
from e2eve.edit import EditSettings, edit
from e2eve.editor import Editor
from e2eve.geometry import Box
from e2eve.jobs import Centre, matched, parse_place, place_text
from tests.factories import compose, tiny_editor

FILES = {"edit_01.png", "edit_02.png", "edit.json", "grid.png", "region.png"}
BOX = Box(10, 8, 30, 28)
SMALL = Box(1, 2, 5, 6)
EXAMPLE = '{"name": "a", "source": null}'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, sources and drivers in the working directory."""
    monkeypatch.chdir(tmp_path)
    tiny_editor().save_pretrained("run/bundle")
    rng = np.random.default_rng(0)
    for name in ("sources/a.png", "sources/b.png", "drivers/a.png", "drivers/b.jpg"):
        Path(name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(name)
    Image.fromarray(BOX.mask(50, 40)).save("mask.png")
    return tmp_path


def run(*overrides: str) -> Path:
    return edit(compose("num_samples=2", *overrides, config_name="edit"))


def test_one_image(folder):
    grid = run("model=run", "source=sources/a.png", "driver=drivers/a.png", "box=[10,8,30,28]")
    assert grid == Path("edits/grid.png")
    assert {path.name for path in Path("edits").iterdir()} == FILES
    facts = json.loads(Path("edits/edit.json").read_text())
    assert (facts["model"], facts["source"], facts["region"]) == (
        "run",
        "sources/a.png",
        "box:10,8,30,28",
    )
    assert facts["samples"][0]["score"] >= facts["samples"][1]["score"]
    source, region = read_image("sources/a.png"), BOX.mask(50, 40)
    for sample in facts["samples"]:
        assert np.array_equal(read_image(f"edits/{sample['file']}")[~region], source[~region])


def test_the_same_call_leaves_the_same_images(folder):
    call = ("model=run", "source=sources/a.png", "driver=drivers/b.jpg", "mask=mask.png", "seed=5")
    run(*call, "out=first")
    run(*call, "out=second")
    for name in FILES:
        assert Path("first", name).read_bytes() == Path("second", name).read_bytes()


def test_another_decoder_may_paint(folder):
    call = ("model=run", "source=sources/a.png", "driver=drivers/a.png", "mask=mask.png")
    own = Editor.from_pretrained("run").source_tokenizer
    for value in own.decoder.norm.parameters():
        torch.nn.init.normal_(value)
    own.save_pretrained("decoder")
    run(*call, "out=plain")
    run(*call, "out=seeing", "decoder=decoder")
    facts = json.loads(Path("seeing/edit.json").read_text())
    assert facts["decoder"] == "decoder"
    plain, seeing = (read_image(f"{out}/edit_01.png") for out in ("plain", "seeing"))
    assert not np.array_equal(plain, seeing)


def test_folders(folder, caplog):
    caplog.set_level(logging.INFO)
    out = run("model=run", "source=sources", "driver=drivers", "mask=mask.png", "out=many")
    assert out == Path("many")
    for name in ("a", "b"):
        assert {path.name for path in (out / name).iterdir()} == FILES
    assert json.loads((out / "b" / "edit.json").read_text())["driver"] == "drivers/b.jpg"
    assert "edits: 2 of 2" in caplog.text


def test_a_folder_draws_what_single_calls_draw(folder):
    run("model=run", "source=sources", "driver=drivers/a.png", "mask=mask.png", "out=many")
    run("model=run", "source=sources/b.png", "driver=drivers/a.png", "mask=mask.png", "out=one")
    for name in ("edit_01.png", "edit_02.png", "grid.png"):
        assert Path("many/b", name).read_bytes() == Path("one", name).read_bytes()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("model=run", "mask=mask.png"), "source is missing: give source=<"),
        (("model=run", "source=a.png"), "driver is missing: give driver=<"),
        (
            ("model=run", "source=a.png", "driver=b.png"),
            "No region is given, as region, box and mask are null: give one, as ",
        ),
        (("model=x", "source=sources/a.png", "driver=mask.png", "box=[0,0,9,9]"), "x is no bundle"),
        (("model=run", "source=a.png", "driver=mask.png", "box=[0,0,9,9]"), "a.png is not a file"),
        (
            ("model=run", "source=mask.png", "driver=mask.png", "box=[0,0,90,9]"),
            "reaches outside the source of 50×40 pixels",
        ),
    ],
)
def test_wrong_calls(folder, overrides, message):
    with pytest.raises(ValueError, match=message):
        run(*overrides)
    assert not Path("edits").exists()


def contents() -> dict[Path, bytes]:
    """Every file in the working directory."""
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "inputs",
    [
        ("source=edits/edit_02.png", "driver=drivers/a.png", "mask=mask.png"),
        ("source=edits/grid.png", "driver=drivers/a.png", "box=[1,1,90,90]"),
        ("source=sources/a.png", "driver=edits/edit_01.png", "mask=edits/region.png"),
        ("source=link.png", "driver=drivers/a.png", "mask=mask.png"),
        ("source=sources/a.png", "driver=drivers/a.png", "mask=mask.png"),
    ],
)
def test_an_edit_of_earlier_edits_leaves_them_as_they_are(folder, inputs):
    run("model=run", "source=sources/a.png", "driver=drivers/a.png", "box=[10,8,30,28]")
    Path("edits/edit_2025_holiday.png").write_bytes(b"mine")
    Path("link.png").symlink_to("edits/edit_01.png")
    before = contents()
    assert run("model=run", *inputs, "num_samples=1") == Path("edits_2/grid.png")
    after = contents()
    assert after.items() >= before.items()
    assert {path.parent for path in after.keys() - before.keys()} == {Path("edits_2")}


@pytest.mark.parametrize("mine", ["grid.png", "edit_01.png", "edit.json", "region.png"])
def test_files_of_another_are_no_place_for_edits(folder, mine):
    Path(mine).write_bytes(b"mine")
    before = contents()
    call = ("model=run", "source=sources/a.png", "driver=drivers/a.png", "mask=mask.png")
    with pytest.raises(ValueError, match=rf"holds {mine} already: give a new folder"):
        run(*call, "out=.")
    with pytest.raises(ValueError, match=r"mask\.png is a file: give another folder"):
        run(*call, "out=mask.png")
    with pytest.raises(ValueError, match=r"mask\.png is a file: give another folder"):
        run(*call, "out=mask.png/edits")
    assert contents() == before


def test_other_edits_of_a_folder_go_into_a_new_folder(folder):
    call = ("model=run", "source=sources", "driver=drivers/a.png", "mask=mask.png")
    assert run(*call, "out=sources/edits") == Path("sources/edits")
    before = contents()
    assert run(*call, "seed=1", "out=sources/edits") == Path("sources/edits_2")
    assert run(*call, "out=sources") == Path("sources")
    after = contents()
    assert after.items() >= before.items()
    new = {path.name for path in after.keys() - before.keys()}
    assert new == FILES | {"contact_sheet.png"}  # the sources' edits were no sources
    assert len(after) - len(before) == 2 * 2 * 5 + 2


def test_a_second_call_makes_what_is_missing(folder, monkeypatch):
    call = ("model=run", "source=sources", "driver=drivers/a.png", "mask=mask.png", "out=many")
    run(*call)
    wanted = contents()
    shutil.rmtree("many/b")
    drawn: list[str] = []
    draw = Editor.edit

    def counted(self, source, *arguments, **options):
        drawn.append(str(source))
        return draw(self, source, *arguments, **options)

    monkeypatch.setattr(Editor, "edit", counted)
    assert run(*call) == Path("many")
    assert drawn == ["sources/b.png"]
    assert contents().items() >= wanted.items()
    before = contents()
    assert run(*call) == Path("many")  # nothing is missing
    assert (contents(), drawn) == (before, ["sources/b.png"])
    Image.new("RGB", (50, 40)).save("sources/a.png")  # another file of the name
    assert run(*call) == Path("many_2")


def test_what_cannot_be_edited_costs_itself_alone(folder, caplog):
    Path("sources/c.png").write_bytes(Path("sources/a.png").read_bytes()[:200])
    Image.new("RGB", (9, 9)).save("sources/d.png")
    call = ("model=run", "source=sources", "driver=drivers/a.png", "mask=mask.png")
    with pytest.raises(OSError, match=r"^2 of 4 were not edited, the others are in edits: sour"):
        run(*call)
    assert {path.name for path in Path("edits").iterdir()} == {"a", "b", "contact_sheet.png"}
    said = " ".join(caplog.messages)
    assert "sources/c.png was not edited. sources/c.png cannot be read" in said
    assert "sources/d.png was not edited. The mask has 50×40 pixels" in said


def lines(*entries: dict[str, Any]) -> str:
    Path("jobs.jsonl").write_text("\n\n".join(map(json.dumps, entries)))
    return "jobs_file=jobs.jsonl"


def test_what_fails_of_a_list_is_named_as_in_the_list(folder, caplog):
    jobs = [{"name": name, "region": f"box:0,0,{edge},9"} for name, edge in (("b", 9), ("a", 900))]
    with pytest.raises(OSError, match=r"1 of 2 .*a: sources/a.png was not edited\. The box"):
        run("model=run", "source=sources/a.png", "driver=drivers/a.png", lines(*jobs))


def test_a_file_lists_edits(folder):
    first: dict[str, Any] = {
        "source": "sources/a.png",
        "region": "box:10,8,30,28",
        "seed": 3,
        "name": "x/first",
    }
    second: dict[str, Any] = {"source": "sources/b.png", "driver": "drivers/b.jpg"}
    second |= {"mask": "mask.png", "sampling": {"temperature": 0.5}}
    run("model=run", "driver=drivers/a.png", lines(first, second), "out=listed")
    alone = ("model=run", "num_samples=2")
    run(*alone, "source=sources/a.png", "driver=drivers/a.png", "box=[10,8,30,28]", "seed=3")
    call = ("source=sources/b.png", "driver=drivers/b.jpg", "mask=mask.png")
    run(*alone, *call, "sampling.temperature=0.5")
    for one, other in (("listed/x/first", "edits"), ("listed/0002", "edits_2")):
        for name in ("edit_01.png", "edit_02.png", "grid.png"):
            assert Path(one, name).read_bytes() == Path(other, name).read_bytes()


def test_an_edit_is_made_again_from_what_it_left(folder):
    call = ("source=sources/a.png", "driver=drivers/b.jpg", "region=mask:mask.png", "seed=5")
    run("model=run", *call, "keep=1", "sampling.temperature=0.7", "driver_part=centre:0.5")
    again = edit(compose("jobs_file=edits/edit.json", "out=again", config_name="edit"))
    assert again == Path("again/grid.png")
    for name in ("edit_01.png", "grid.png", "edit.json"):
        assert Path("again", name).read_bytes() == Path("edits", name).read_bytes()
    run("model=run", "out=example")
    run("model=run", "jobs_file=example/edit.json", "out=example_again")
    assert Path("example/grid.png").read_bytes() == Path("example_again/grid.png").read_bytes()
    Image.new("RGB", (50, 40)).save("sources/a.png")
    with pytest.raises(ValueError, match=r"sources/a.png is no longer the file that was edited"):
        edit(compose("jobs_file=edits/edit.json", config_name="edit"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no job: give an object a line"),
        ("{", "jobs.jsonl, line 1 is no JSON .*: give an object a line"),
        ('{"source": "a.png"}\n[]', "line 2 is no object: give one such as"),
        ('{"sauce": "a.png"}', 'jobs.jsonl, line 1: .*"?sauce.*did you mean source'),
        ('{"num_samples": 0}', "line 1: num_samples is 0: give at least 1"),
        ('{"source": "a.png", "driver": "b.png"}', "line 1: No region is given"),
        ('{"name": "../up"}', 'line 1: name is "../up": give a folder inside of out'),
        ('{"name": ""}', 'name is "": give a folder inside of out'),
        ('{"name": null}', "name is null: give a folder inside of out"),
        ('{"name": "a\\u0000b"}', "give a folder inside of out, of at most 200 bytes"),
        ('{"name": "%s"}' % ("é" * 101), "give a folder inside of out, of at most 200 bytes"),
        (EXAMPLE + "\n" + EXAMPLE.replace('"a"', '"./a/"'), 'names "a" twice'),
        ("{}", "line 1: source is missing: give source="),
        ('{"driver_part": "centre:0.5"}', "line 1: source is missing: give source="),
        (
            '{"source": "a", "driver": "b", "region": "box:1.5,2,3,4"}',
            "line 1: region is .*, boxes in whole pixels",
        ),
        (f"{EXAMPLE}\n{EXAMPLE}", 'names "a" twice: give each job a name of its own'),
    ],
)
def test_what_is_wrong_with_a_list_is_said_with_its_line(folder, text, message):
    Path("jobs.jsonl").write_text(text)
    with pytest.raises(ValueError, match=message):
        run("model=run", "jobs_file=jobs.jsonl")
    with pytest.raises(ValueError, match=r"nowhere.jsonl cannot be read"):
        run("model=run", "jobs_file=nowhere.jsonl")


def test_a_mask_of_any_name_is_found_again(folder):
    """Signs in it mean nothing there, as between several regions they do."""
    Path("mask.png").rename("m,a;s k.png")
    run("model=run", "source=sources/a.png", "driver=drivers/a.png", "mask='m,a;s k.png'")
    again = edit(compose("jobs_file=edits/edit.json", "out=again", config_name="edit"))
    assert again.read_bytes() == Path("edits/grid.png").read_bytes()


def test_where_nothing_was_edited_no_others_are_named(folder):
    with pytest.raises(OSError, match=r"^2 of 2 were not edited: .* outside the source"):
        run("model=run", "source=sources", "driver=drivers/a.png", "box=[0,0,90,90]")


def test_several_regions_are_edited_in_turn(folder):
    regions = "region='box:10,8,20,18;box:30,8,40,28'"
    run("model=run", "source=sources/a.png", "driver=[drivers/a.png,drivers/b.jpg]", regions)
    calls = ["driver=drivers/a.png", "box=[10,8,20,18]", "out=one"]
    run("model=run", "source=sources/a.png", *calls)
    run(
        "model=run", "source=one/edit_01.png", "driver=drivers/b.jpg", "box=[30,8,40,28]", "out=two"
    )
    for name in ("edit_01.png", "edit_02.png"):
        assert np.array_equal(read_image(f"edits/{name}"), read_image(f"two/{name}"))
    again = edit(compose("jobs_file=edits/edit.json", "out=again", config_name="edit"))
    assert again.read_bytes() == Path("edits/grid.png").read_bytes()


@pytest.mark.parametrize("mode", ["CMYK", "I;16", "RGBA"])
def test_a_file_keeps_its_kind(folder, mode):
    image = Image.fromarray(np.random.default_rng(3).integers(0, 255, (40, 50, 3), dtype=np.uint8))
    image = (
        Image.fromarray(np.arange(2000, dtype=np.uint16).reshape(40, 50))
        if mode == "I;16"
        else image.convert(mode)
    )
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    image.save("deep.tif", exif=exif, dpi=(200, 200))
    run("model=run", "source=deep.tif", "driver=drivers/a.png", "box=[10,8,30,28]")
    name = "edit_01.tif" if mode == "CMYK" else "edit_01.png"
    with Image.open(Path("edits", name)) as edited:
        assert edited.mode == mode
        outside = ~BOX.mask(50, 40)
        assert np.array_equal(np.asarray(edited)[outside], np.asarray(image)[outside])
        assert edited.getexif()[0x010F] == "Maker"
        assert round(edited.info["dpi"][0]) == 200


def test_a_folder_of_edits_alone_has_no_sources(folder):
    run("model=run", "source=sources/a.png", "driver=drivers/a.png", "mask=mask.png")
    with pytest.raises(ValueError, match=r"edits holds no image, or edits only: give"):
        run("model=run", "source=edits", "driver=drivers/a.png", "mask=mask.png")


def images(path: Path, *names: str) -> Path:
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (90, 20, 20)).save(path / name)
    return path


def test_single_files_are_one_input(tmp_path):
    images(tmp_path, "a.jpg", "b.png")
    source, driver = tmp_path / "a.jpg", tmp_path / "b.png"
    assert matched(source, [driver], [SMALL]) == [("", source, [driver], [SMALL])]
    assert matched(source, [driver], [driver]) == [("", source, [driver], [driver])]


def test_files_of_folders_are_matched_by_name(tmp_path):
    sources = images(tmp_path / "sources", "a.jpg", "deep/b.png", "c.d.webp")
    drivers = images(tmp_path / "drivers", "a.png", "deep/b.jpg", "c.d.jpg", "unused.jpg")
    masks = images(tmp_path / "masks", "a.png", "deep/b.png", "c.d.png")
    assert matched(sources, [drivers], [masks]) == [
        ("a", sources / "a.jpg", [drivers / "a.png"], [masks / "a.png"]),
        ("c.d", sources / "c.d.webp", [drivers / "c.d.jpg"], [masks / "c.d.png"]),
        ("deep/b", sources / "deep/b.png", [drivers / "deep/b.jpg"], [masks / "deep/b.png"]),
    ]


def test_one_driver_and_one_region_serve_a_folder(tmp_path):
    sources = images(tmp_path / "sources", "a.jpg", "b.png")
    driver = images(tmp_path, "driver.png") / "driver.png"
    for region in (SMALL, driver):
        found = matched(sources, [driver], [region])
        assert [name for name, *_ in found] == ["a", "b"]
        assert [rest for *_, rest in found] == [[region], [region]]


def test_files_that_are_not_there_are_named(tmp_path):
    sources = images(tmp_path / "sources", "a.jpg", "b.png")
    drivers = images(tmp_path / "drivers", "a.jpg")
    with pytest.raises(ValueError, match=r"no image for 1 of 2 sources.*b.png: add one named b"):
        matched(sources, [drivers], [SMALL])


def test_a_folder_is_of_all_images_that_are_read(tmp_path):
    sources = images(tmp_path, "a.tif", "b.AVIF", "c.bmp", "d.gif", "e.webp")
    for name in ("damaged.heic", "notes.txt", ".hidden.png"):
        (tmp_path / name).touch()
    found = [name for name, *_ in matched(sources, [sources / "a.tif"], [SMALL])]
    assert found == ["a", "b", "c", "d", "damaged", "e"]  # what is damaged is named when it fails


def test_two_sources_of_one_name_are_refused(tmp_path):
    sources = images(tmp_path / "sources", "a.jpg", "a.png")
    with pytest.raises(ValueError, match=r"a.jpg and .*a.png differ in their suffix only"):
        matched(sources, [sources], [SMALL])


def settings(*overrides: str) -> EditSettings:
    parts = ("model=run", "source=a.png", "driver=b.png")
    return read_settings(compose(*parts, *overrides, config_name="edit"), EditSettings)


def test_a_region_is_a_box_or_a_mask():
    assert settings("box=[1,2,5,6]").places == [SMALL]
    assert settings("mask=mask.png").places == [Path("mask.png")]
    assert settings("region='box:1,2,5,6'").places == [SMALL]
    assert settings("region=mask:mask.png").places == [Path("mask.png")]
    assert settings("region=centre:0.5").places == [Centre(0.5)]
    assert settings("region='box:1,2,5,6;mask:m.png'").places == [SMALL, Path("m.png")]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), "No region is given, as region, box and mask are null: give one, as region=box:"),
        (("box=[1,2,5,6]", "mask=mask.png"), "box and mask are given together: give one"),
        (("region=centre:0.5", "mask=mask.png"), "region and mask are given together: give one"),
        (("region=centre:0",), "region is centre:0: give a share of more than 0 to 1"),
        (("region=centre:1.5",), "region is centre:1.5: give a share"),
        (("region=centre:half",), 'region is "centre:half": give region=box:'),
        (("region=middle",), 'region is "middle": give region=box:'),
        (("region='box:1,2,5'",), 'region is "box:1,2,5": give region=box:'),
        (("region='box:1,2,5,6.5'",), 'region is "box:1,2,5,6.5": give region=box:'),
        (("region='box:1,2,5,inf'",), "give region=box:"),
        (("region='box:5,2,1,6'",), "is empty: right must exceed left"),
        (("region='mask:'",), 'region is "mask:": give region=box:'),
        (("box=[1,2,5]",), r"box is \[1, 2, 5\]: give \[left,top,right,bottom\]"),
        (("box=[1,2,5,6.5]",), "box.* is 6.5: give a whole number"),
        (("box=whole",), 'box is "whole": give a list'),
        (("box=[5,2,1,6]",), "is empty: right must exceed left"),
    ],
)
def test_other_regions_are_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        _ = settings(*overrides).places


def test_the_centre_is_in_the_middle_of_any_image():
    for width, height in ((8, 8), (9, 30), (101, 64), (1, 1)):
        for share in (0.01, 0.3, 0.5, 1.0):
            box = Centre(share).box(width, height)
            assert abs(box.left - (width - box.right)) <= 1
            assert abs(box.top - (height - box.bottom)) <= 1
            assert box.width == max(1, round(share * width))
            assert box.height == max(1, round(share * height))
            assert Box(0, 0, width, height).contains(box)


@pytest.mark.parametrize("place", [SMALL, Centre(1 / 3), Path("a b;c.png")])
def test_regions_are_read_as_they_are_written(place):
    assert parse_place(place_text(place)) == place


def test_a_region_needs_no_quotes_on_the_command_line(folder):
    """Which Hydra would take for several values."""
    line = [sys.executable, "-m", "e2eve.edit", "model=run", "source=sources/a.png"]
    line += ["driver=drivers/a.png", "num_samples=2", "keep=1", "region=box:10,8,30,28"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "edits/grid.png"), done.stderr
    run("model=run", "source=sources/a.png", "driver=drivers/a.png", "box=[10,8,30,28]")
    best = [Path(name, "edit_01.png").read_bytes() for name in ("edits", "edits_2")]
    assert best[0] == best[1]
    assert not Path("edits/edit_02.png").exists()


def test_without_inputs_an_example_is_edited_offline_in_seconds(folder, monkeypatch, caplog):
    def refused(*arguments: object) -> None:
        raise AssertionError("no network")

    monkeypatch.setattr("socket.socket.connect", refused)
    caplog.set_level(logging.INFO)
    began = time.process_time()
    assert run("model=run") == Path("edits/grid.png")
    assert time.process_time() - began < 15
    assert {path.name for path in Path("edits").iterdir()} == FILES
    found = example_edit(32)  # the tiny editor's size
    edits = Editor.from_pretrained("run").edit(
        found.source, found.driver, found.region, num_samples=2, guidance=2
    )
    assert np.array_equal(read_image("edits/edit_01.png"), np.asarray(edits.images[0]))
    facts = json.loads(Path("edits/edit.json").read_text())
    assert facts["source"] is facts["driver"] is None
    assert "for your own: source=… driver=… region=box:" in caplog.text


def test_numbers_are_names_where_names_are_asked_for():
    assert settings("source=2024", "out=7").source == "2024"


def test_devices(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert device_of("auto") == device_of("cpu") == "cpu"
    with pytest.raises(ValueError, match="device is cuda:1 and PyTorch finds no GPU"):
        device_of("cuda:1")
    with pytest.raises(ValueError, match='device is "gpu": give auto, cpu'):
        device_of("gpu")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert device_of("auto") == "cuda"


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("temperature=0.5", "temperature is called sampling.temperature now."),
        ("preserve=tokens", "preserve is called sampling.preserve now."),
        ("window=4", "window is called sampling.num_speculative_tokens now."),
        ("sampling.temprature=1", "sampling.temprature is no setting: did you mean"),
    ],
)
def test_a_setting_that_is_not_there_is_answered_with_its_name_today(tmp_path, word, sentence):
    command = [sys.executable, "-m", "e2eve.edit", word]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert sentence in done.stdout + done.stderr


def test_the_command_says_what_is_missing_in_one_line_and_leaves_nothing(tmp_path):
    command = [sys.executable, "-m", "e2eve.edit", "model=run", "source=a.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    lines = (done.stdout + done.stderr).strip().splitlines()
    assert lines == [
        "driver is missing: give driver=<an image of what should appear in the region>."
    ]
    assert list(tmp_path.iterdir()) == []
