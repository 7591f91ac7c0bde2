"""A training run in pieces, each on a machine of its own, is one in one piece."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).parents[2] / "scripts/in_pieces.py"
TINY = (
    "task=source_tokenizer vqgan=tiny tokenizer_loss=plain optimizer=tokenizer logger=csv "
    "image_size=32 batch_size=4 dataset.train.length=32 dataset.val.length=4 steps=300 "
    "validate_every=1000 checkpoint_every=1000 loader.workers=0 compute.threads=1"
).split()


def piece(run: Path, minutes: float, *options: str) -> int:
    given = ["--minutes", str(minutes), "--part-mib", "0.02", *options]
    command = [sys.executable, str(SCRIPT), str(run), *given, "--", *TINY]
    return subprocess.run(command, check=False).returncode


@pytest.mark.slow
def test_pieces_on_other_machines_end_with_the_same_weights(tmp_path):
    whole = tmp_path / "whole/run"
    assert piece(whole, 60, "--parts", str(tmp_path / "whole")) == 0
    minutes, codes, before = 0.15, [143], tmp_path / "0"
    while codes[-1] != 0:
        machine = tmp_path / str(len(codes))
        options = ["--parts", str(machine), "--from", str(before)]
        codes.append(piece(machine / "run", minutes, *options))
        assert codes[-1] in (0, 143)
        shutil.rmtree(machine / "run", ignore_errors=True)  # parts alone come back
        assert all(part.stat().st_size <= 0.02 * 2**20 for part in machine.glob("run.tar.*"))
        minutes, before = 1.5 * minutes, machine if machine.is_dir() else before
    assert len(codes) > 2
    done = tmp_path / "done"
    done.mkdir()
    packed = b"".join(part.read_bytes() for part in sorted(before.glob("run.tar.*")))
    (done / "all.tar").write_bytes(packed)
    shutil.unpack_archive(done / "all.tar", done, filter="data")
    names = Path("bundle/tokenizer.safetensors")
    ours, theirs = load_file(done / names), load_file(whole / names)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not (done / "checkpoints").exists()
