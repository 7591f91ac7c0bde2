"""Old checkpoints open without running anything; what is no checkpoint is said to be so."""

import builtins
import functools
import os
import pickle
import subprocess
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import save_file

from e2eve.published.checkpoints import read_checkpoint

FORMATS = [True, False]  # PyTorch's zip archives, and what came before them


class Callback:
    """An object as training leaves it in its checkpoint; pickled by reference to its class."""

    def __init__(self) -> None:
        self.best = torch.ones(2)
        raise RuntimeError("never called")


def left_over() -> dict[str, Any]:
    """What checkpoints hold besides weights, none of which the safe loader takes."""
    callback = object.__new__(Callback)
    callback.best = torch.ones(2)
    return {
        "callbacks": {Callback: callback},
        "hyper_parameters": OmegaConf.create({"lr": 1e-4, "betas": [0.5, 0.9]}),
        "best": np.float64(0.25),
        "array": np.arange(3),
        "seen": {1, 2},
        "by_name": defaultdict(list, {"a": [1]}),
        "path": Path("somewhere"),
        "partial": functools.partial(print, "x"),
        "optimizer_states": [{"state": {0: {"exp_avg": torch.randn(5)}}}],
    }


def some_weights() -> OrderedDict:
    base = torch.randn(6, 4)
    state = OrderedDict(
        whole=base,
        part=base[1:3, ::2],
        turned=base.t(),
        half=torch.randn(3).half(),
        small=torch.randn(3).bfloat16(),
        count=torch.tensor(7),
        flags=torch.tensor([True, False]),
        none=torch.empty(0),
        parameter=torch.nn.Parameter(torch.randn(2, 2)),
    )
    state._metadata = {"": {"version": 1}}  # type: ignore[attr-defined]  # as modules leave it
    return state


def assert_same(read: dict, state: dict) -> None:
    assert read.keys() == state.keys()
    for name, value in state.items():
        assert read[name].dtype == value.dtype
        assert torch.equal(read[name], value.detach()), name


@pytest.mark.parametrize("zipped", FORMATS)
@pytest.mark.parametrize("container", ["state_dict", "model", None])
def test_weights_come_back_from_plain_files(tmp_path, zipped, container):
    state = some_weights()
    tree = state if container is None else {"epoch": 3, container: state}
    torch.save(tree, tmp_path / "a.ckpt", _use_new_zipfile_serialization=zipped)
    checkpoint = read_checkpoint(tmp_path / "a.ckpt")
    assert_same(checkpoint.weights, state)
    assert checkpoint.records == []


@pytest.mark.parametrize("zipped", FORMATS)
def test_weights_come_back_from_among_objects(tmp_path, zipped):
    state, path = some_weights(), tmp_path / "a.ckpt"
    tree = {"state_dict": state, **left_over()}
    torch.save(tree, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)  # else nothing of ours is tested
    checkpoint = read_checkpoint(path)
    assert_same(checkpoint.weights, state)
    assert {f"{__name__}.Callback", "omegaconf.dictconfig.DictConfig"} <= set(checkpoint.records)


@pytest.mark.parametrize("protocol", [2, 4])
def test_weights_come_back_from_newer_pickles(tmp_path, protocol):
    state, path = some_weights(), tmp_path / "a.ckpt"
    torch.save({"state_dict": state, **left_over()}, path, pickle_protocol=protocol)
    assert_same(read_checkpoint(path).weights, state)


def test_safetensors_are_read_too(tmp_path):
    state = {"weight": torch.randn(3, 2)}
    save_file(state, tmp_path / "a.safetensors")
    assert_same(read_checkpoint(tmp_path / "a.safetensors").weights, state)


class Attack:
    """Asks whoever unpickles it to call a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


@pytest.mark.parametrize("zipped", FORMATS)
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, "posix.system"),
        (builtins.eval, "builtins.eval"),
        (builtins.exec, "builtins.exec"),
        (subprocess.check_call, "subprocess.check_call"),
        (builtins.__import__, "builtins.__import__"),
        (torch.load, None),
    ],
)
def test_a_malicious_file_runs_nothing_and_is_refused_by_name(tmp_path, zipped, function, name):
    marker, path = tmp_path / "marker", tmp_path / "evil.ckpt"
    order = f"touch {marker}"
    if function in (builtins.eval, builtins.exec):
        order = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    tree = {"state_dict": {"weight": torch.ones(2)}, "callbacks": [Attack(function, order)]}
    torch.save(tree, path, _use_new_zipfile_serialization=zipped)
    if name is None:  # harmless where it is not called
        assert list(read_checkpoint(path).weights) == ["weight"]
    else:
        with pytest.raises(ValueError, match=rf"evil.ckpt wants to run {name}: refused"):
            read_checkpoint(path)
    assert not marker.exists()


def test_the_attack_of_these_tests_works_on_who_trusts_it(tmp_path):
    attack = pickle.dumps(Attack(os.system, f"touch {tmp_path / 'marker'}"))
    pickle.loads(attack)
    assert (tmp_path / "marker").exists()


def test_attributes_of_refused_modules_are_refused_by_any_road(tmp_path):
    """A dotted name of a newer protocol reaches no further than its first part."""
    path = tmp_path / "a.ckpt"
    dotted = b"\x80\x04\x8c\x06pickle\x8c\x0bsys.modules\x93."
    for program in (dotted, b"cshutil\nos.system\n.", b"(S'true'\nios\nsystem\n."):
        path.write_bytes(program)
        with pytest.raises(ValueError, match="refused"):
            read_checkpoint(path)


@pytest.mark.filterwarnings("ignore")
def test_a_torchscript_archive_is_not_loaded(tmp_path, monkeypatch):
    path = tmp_path / "a.ckpt"
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))
    monkeypatch.setattr(torch.jit, "load", lambda *args, **options: pytest.fail("was run"))
    with pytest.raises(ValueError, match="a TorchScript archive, which is a program"):
        read_checkpoint(path)


def test_a_view_beyond_its_numbers_is_refused(tmp_path):
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": {"weight": torch.ones(3)}, "x": Attack(Callback)}, path)
    data = path.read_bytes()
    size = b"K\x03\x85q"  # the shape (3,), as the pickle says it
    assert data.count(size) == 1
    path.write_bytes(data.replace(size, b"K\x09\x85q"))
    with pytest.raises(ValueError, match=r"a.ckpt (is damaged|is no PyTorch checkpoint)"):
        read_checkpoint(path)


HTML = "<!DOCTYPE html>\n<html><title>Sign in</title></html>"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (HTML.encode(), "is a web page and no checkpoint"),
        (b"\n  <HTML>", "is a web page and no checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "is a pointer of Git LFS"),
        (bytes(257) + b"ustar" + bytes(250), "tar format of PyTorch before 0.4"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "is no PyTorch checkpoint"),
        (pickle.dumps({"weight": [1.0]}), "is no PyTorch checkpoint"),
    ],
)
def test_what_is_no_checkpoint_is_one_sentence(tmp_path, content, message):
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_checkpoint(tmp_path / "a.ckpt")


@pytest.mark.parametrize("zipped", FORMATS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.97])
def test_a_truncated_file_is_one_sentence(tmp_path, zipped, share):
    path = tmp_path / "a.ckpt"
    torch.save({"state_dict": {"w": torch.ones(1000)}}, path, _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match="cut short"):
        read_checkpoint(path)


def test_a_truncated_safetensors_file_is_one_sentence(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"w": torch.ones(1000)}, path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"cannot be read .* download it again"):
        read_checkpoint(path)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="There is no file"):
        read_checkpoint(tmp_path / "none.ckpt")


@pytest.mark.parametrize("tree", [[torch.ones(1)], {"epoch": 3}, torch.nn.Linear(2, 2)])
def test_a_file_without_named_weights_is_one_sentence(tmp_path, tree):
    torch.save(tree, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match="no weights by name"):
        read_checkpoint(tmp_path / "a.ckpt")
