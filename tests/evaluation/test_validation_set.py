"""Validation sets: fixed by their seed, truly unpaired, and checked when they are read."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from e2eve.data.image_folder import ImageFolder
from e2eve.data.images import square
from e2eve.edit_simulation import Flip, RandomView
from e2eve.evaluation.validation import ValidationSet, _content_hash
from e2eve.evaluation.validation_building import draw_plan, read_masks
from e2eve.features.frozen import Preprocessing, features_of
from e2eve.geometry import Box
from tests.evaluation.conftest import Thumbnail, build


def test_the_same_seed_builds_the_same_set_and_another_seed_another(build_validation):
    first, again, other = build_validation(), build_validation(), build_validation(seed=1)
    assert first.content_hash == again.content_hash
    assert first.content_hash != other.content_hash


def test_views_and_transformations_of_a_training_change_nothing(build_validation, simulation):
    other = replace(simulation, view=RandomView(), transformations={"flip": Flip()})
    assert build_validation(simulation=other).content_hash == build_validation().content_hash


def test_inputs_are_unpaired_and_cut_at_the_same_place(build_validation, simulation):
    validation = build_validation()
    by_name = {item.source: n for n, item in enumerate(validation.inputs)}
    assert len(by_name) == len(validation) == 5
    assert {item.driver for item in validation.inputs} == set(by_name)
    for n, item in enumerate(validation.inputs):
        assert item.driver != item.source
        assert item.region_box.contains(item.driver_box)
        assert Box.around(validation.regions[n]) == item.region_box
        origin = validation.sources[by_name[item.driver]]
        assert np.array_equal(
            validation.drivers[n], simulation.driver_from(origin, item.driver_box)
        )
        assert np.array_equal(
            validation.paired_drivers[n],
            simulation.driver_from(validation.sources[n], item.driver_box),
        )


def test_drivers_may_come_from_a_place_of_their_own(build_validation):
    validation = build_validation(same_place=False)
    boxes = {item.source: item.paired_driver_box for item in validation.inputs}
    assert all(item.driver_box == boxes[item.driver] for item in validation.inputs)
    assert any(item.driver_box != item.paired_driver_box for item in validation.inputs)


def test_distractors_are_other_pictures_at_the_drivers_place(
    build_validation, simulation, noise, extractor
):
    validation = build_validation(num_distractors=10)
    names = [noise.name(n) for n in range(len(noise))]
    for n, item in enumerate(validation.inputs):
        indices = [names.index(name) for name in validation.distractor_names]
        chosen = [i for i in indices if names[i] not in (item.source, item.driver)]
        views = [square(noise[i], 32) for i in chosen]
        crops = [simulation.driver_from(view, item.driver_box) for view in views]
        expected = features_of(extractor, crops).half()
        assert torch.equal(validation.features.distractors[n], expected)


def test_references_are_other_pictures_than_sources_while_they_last(build_validation):
    validation = build_validation()
    assert not {item.source for item in validation.inputs} & set(validation.reference_names)
    assert validation.manifest["references_that_are_sources"] == 0
    assert build_validation(num_references=12).manifest["references_that_are_sources"] == 5
    assert validation.features.whole.shape == validation.features.regions.shape == (6, 27)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("inputs", [2, 3, 7])
def test_drivers_wander_along_one_cycle(inputs, seed):
    origins = draw_plan(range(12), inputs, 2, 4, seed).origins
    visited, place = [], 0
    for _ in range(inputs):
        place = origins[place]
        visited.append(place)
    assert sorted(visited) == list(range(inputs)) and place == 0


def test_given_masks_are_used_in_turn(build_validation):
    masks = [Box(2, 3, 20, 21).mask(32, 32), Box(8, 8, 30, 24).mask(32, 32)]
    validation = build_validation(masks=masks)
    for n, region in enumerate(validation.regions):
        assert np.array_equal(region, masks[n % 2])


def test_what_is_saved_is_loaded(tmp_path, build_validation):
    validation = build_validation()
    loaded = ValidationSet.load(validation.save(tmp_path / "set"))
    assert loaded.inputs == validation.inputs
    assert loaded.manifest == validation.manifest
    assert loaded.content_hash == validation.content_hash
    assert loaded.reference_names == validation.reference_names
    for name in ("sources", "regions", "drivers", "paired_drivers"):
        assert np.array_equal(getattr(loaded, name), getattr(validation, name))
    for ours, theirs in zip(loaded.features, validation.features, strict=True):
        assert torch.equal(ours, theirs) and ours.dtype == theirs.dtype


def test_the_manifest_holds_the_hash_and_the_settings(tmp_path, build_validation):
    validation = build_validation()
    manifest = json.loads((validation.save(tmp_path / "set") / "manifest.json").read_text())
    assert manifest["content_hash"] == validation.content_hash
    assert manifest["region"] == {"kind": "Block", "min_side": 0.4, "max_side": 0.6}
    assert (manifest["inputs"], manifest["distractors"], manifest["references"]) == (5, 4, 6)


def test_changes_to_the_folder_are_noticed(tmp_path, build_validation):
    folder = build_validation().save(tmp_path / "set")
    lines = (folder / "inputs.jsonl").read_text()
    (folder / "inputs.jsonl").write_text(lines.replace("00001", "00009"))
    with pytest.raises(ValueError, match=r"inputs\.jsonl was changed; restore"):
        ValidationSet.load(folder)
    (folder / "drivers" / "00002.png").unlink()
    with pytest.raises(ValueError, match=r"drivers/00002\.png is missing and 1 more file"):
        ValidationSet.load(folder)


def rehashed(folder, **changes: object) -> None:
    """The set with a manifest that fits its files again, as somebody hostile would write it."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text()) | changes
    files = manifest["files"]
    manifest["content_hash"] = _content_hash(files, manifest)
    path.write_text(json.dumps(manifest))


def test_a_set_reaches_for_nothing_outside_its_folder(tmp_path, build_validation):
    folder = build_validation().save(tmp_path / "set")
    rehashed(folder)
    assert len(ValidationSet.load(folder)) == 5
    files = json.loads((folder / "manifest.json").read_text())["files"]
    rehashed(folder, files={name: files[name] for name in list(files)[:1]})
    with pytest.raises(ValueError, match=r"manifest\.json does not name"):
        ValidationSet.load(folder)
    (tmp_path / "inputs.jsonl").write_bytes((folder / "inputs.jsonl").read_bytes())
    (folder / "inputs.jsonl").unlink()
    (folder / "inputs.jsonl").symlink_to(tmp_path / "inputs.jsonl")
    rehashed(folder, files=files)
    with pytest.raises(ValueError, match=r"inputs\.jsonl lies outside"):
        ValidationSet.load(folder)


@pytest.mark.parametrize("wild", ["../../x", "/x", "a/b", "", "..", "00001"])
def test_ids_that_are_no_names_of_their_own_are_refused(tmp_path, build_validation, wild):
    folder = build_validation().save(tmp_path / "set")
    text = (folder / "inputs.jsonl").read_text().replace('"id": "00002"', f'"id": "{wild}"')
    (folder / "inputs.jsonl").write_text(text)
    files = json.loads((folder / "manifest.json").read_text())["files"]
    digest = hashlib.sha256(text.encode()).hexdigest()
    rehashed(folder, files=files | {"inputs.jsonl": digest})
    with pytest.raises(ValueError, match="has an input called"):
        ValidationSet.load(folder)


def test_another_preprocessing_is_another_validation_set(tmp_path, build_validation, monkeypatch):
    first = build_validation()
    assert first.manifest["preprocessing"]["thumbnail"]["side"] is None
    monkeypatch.setattr(Thumbnail, "preprocessing", Preprocessing(interpolation="bicubic"))
    other = build_validation()
    assert other.files() == first.files() and other.content_hash != first.content_hash
    path = other.save(tmp_path / "set") / "manifest.json"
    path.write_text(path.read_text().replace("bicubic", "bilinear"))
    with pytest.raises(ValueError, match=r"manifest\.json was changed"):
        ValidationSet.load(tmp_path / "set")


def test_a_set_of_format_1_has_the_hash_of_its_files_alone(tmp_path, build_validation):
    validation = build_validation()
    kept = {key: v for key, v in validation.manifest.items() if key != "preprocessing"}
    older = replace(validation, manifest=kept | {"format": 1}).hashed()
    assert older.content_hash != validation.content_hash
    again = ValidationSet.load(older.save(tmp_path / "set"))
    assert (again.content_hash, again.manifest) == (older.content_hash, older.manifest)
    path = tmp_path / "set" / "manifest.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 3'))
    with pytest.raises(ValueError, match="has the format 3 and 2 is read here"):
        ValidationSet.load(tmp_path / "set")


def test_a_page_beside_the_files_does_not_matter(tmp_path, build_validation):
    folder = build_validation().save(tmp_path / "set")
    (folder / "index.html").write_text("for people")
    assert len(ValidationSet.load(folder)) == 5


def test_wrong_folders_and_sizes_are_refused(tmp_path, build_validation):
    with pytest.raises(ValueError, match=r"holds no manifest\.json"):
        ValidationSet.load(tmp_path)
    with pytest.raises(ValueError, match="absent does not exist: give a folder that python"):
        ValidationSet.load(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is not empty"):
        build_validation().save(tmp_path)
    with pytest.raises(
        ValueError, match=r"^evaluation\.num_inputs is 13 and the data set has 12 im"
    ):
        build_validation(num_inputs=13)
    with pytest.raises(ValueError, match="num_distractors is 11, which takes 2 images more, and"):
        build_validation(num_distractors=11)
    with pytest.raises(ValueError, match="too small"):
        build_validation(num_inputs=1)


def test_inputs_survive_their_line(tmp_path, build_validation):
    first, *others = build_validation().inputs
    inputs = (replace(first, source='quoted " 道'), *others)
    folder = replace(build_validation(), inputs=inputs).save(tmp_path / "set")
    assert ValidationSet.load(folder).inputs == inputs


@pytest.mark.parametrize("read_before", [False, True])
def test_damaged_pictures_are_as_if_they_were_not_there(tmp_path, noise, read_before):
    for n in range(len(noise)):
        Image.fromarray(noise[n]).save(tmp_path / f"{n:02d}.png")
    whole = build(images=ImageFolder(tmp_path))
    for damaged in ("00a.png", "03a.png", "11a.png"):
        (tmp_path / damaged).write_bytes((tmp_path / "00.png").read_bytes()[:300])
    pictures = ImageFolder(tmp_path)
    assert len(pictures) == len(noise) + 3
    if read_before:
        assert len([pictures[n] for n in range(len(pictures))]) == len(pictures)
    with pytest.raises(ValueError, match="num_references is 14 and the data set has 12 images"):
        build(images=pictures, num_references=14)
    assert len(build(images=pictures, num_references=15).reference_names) == 12
    found = build(images=pictures)
    for names in ("distractor_names", "reference_names"):
        assert getattr(found, names) == getattr(whole, names)
    pairs = [[(item.source, item.driver) for item in s.inputs] for s in (found, whole)]
    assert pairs[0] == pairs[1]


def test_masks_are_white_where_to_edit_and_unpainted_where_to_keep(tmp_path):
    painted = np.zeros((40, 40, 4), dtype=np.uint8)
    painted[10:20, 5:25] = 255
    Image.fromarray(painted).save(tmp_path / "a.png")
    Image.fromarray(painted[..., 0]).save(tmp_path / "b.png")
    for mask in read_masks(tmp_path, 40):
        assert np.array_equal(mask, painted[..., 0] > 0)
