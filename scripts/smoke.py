"""The whole path once at tiny size, each command as a person would call it; about two minutes."""

import subprocess
import sys
import tempfile
from pathlib import Path

TINY = (
    "vqgan=tiny transformer=tiny tokenizer_loss=plain trainer=smoke logger=csv image_size=32 "
    "driver_size=16 batch_size=4 token_cache=16 dataset.train.length=16"
).split()
SMALL_EVALUATION = (
    "evaluation.enabled=true evaluation.num_inputs=4 evaluation.num_distractors=4 "
    "evaluation.num_references=8"
).split()


def call(name: str, *arguments: str) -> str:
    """Run a command; the last line that it prints. Its failure is the script's."""
    command = [sys.executable, "-m", f"e2eve.{name}", *arguments]
    print("$", " ".join(["python", *command[1:]]), flush=True)
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, check=True)
    last = done.stdout.strip().splitlines()[-1]
    print(last, flush=True)
    return last


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizers = []
        for role in ("source", "driver"):
            run = folder / role
            task = [f"task={role}_tokenizer", "optimizer=tokenizer", f"run_dir={run}"]
            call("train", *TINY, *task)
            tokenizers.append(f"tokenizer.{role}={run}")
        editor = folder / "editor"
        parts = ["tokenizer=separate", *tokenizers]
        call("train", *TINY, *SMALL_EVALUATION, *parts, f"run_dir={editor}")
        validation = editor / "validation_set"
        images = [validation / kind / "00000.png" for kind in ("sources", "drivers")]
        call(
            "edit",
            f"model={editor}",
            f"source={images[0]}",
            f"driver={images[1]}",
            "box=[8,8,24,24]",
            f"out={folder / 'edits'}",
        )
        assert (folder / "edits" / "grid.png").is_file()
        call("evaluate", f"run={editor}", "num_samples=2", f"out={folder / 'evaluation'}")
        call("simulate", "num_measured=16", "image_size=32", f"run_dir={folder / 'simulate'}")
    print("The whole path works.")


if __name__ == "__main__":
    main()
