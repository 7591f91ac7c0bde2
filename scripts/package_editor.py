"""Puts the editor of a run into the package, where `Editor.from_pretrained("toyfaces")` finds it.

    python scripts/package_editor.py runs/<name> [--out e2eve/pretrained/toyfaces]

Weights of the transformer and of the decoder are stored in half precision and read in float32
again. Encoder and codebook stay as they are, so that ids do. The model card and its picture come
along where the run has been evaluated; else none is left, and one has to be written. Prints what
all packaged weights weigh.
"""

import argparse
import shutil
from pathlib import Path

from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file
from torch import Tensor

from e2eve.bundle import EDITOR, PACKAGED, locate
from e2eve.checks import read_yaml, sha256

KEPT = ("encoder.", "to_code.", "quantizer.")  # what ids are made with


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", help="run folder or bundle of an editor")
    parser.add_argument("--out", type=Path, default=PACKAGED / EDITOR)
    given = parser.parse_args()
    try:
        source = locate(given.run)
    except ValueError as error:
        parser.error(str(error))
    if source.resolve() == given.out.resolve():
        parser.error(f"{given.run} is in the package already: give another run, or --out.")
    given.out.mkdir(parents=True, exist_ok=True)
    config = read_yaml(source / "config.yaml")
    config["sha256"] = {}
    for weights in sorted(source.glob("*.safetensors")):
        path = given.out / weights.name
        save_file({key: halved(key, value) for key, value in load_file(weights).items()}, path)
        path.chmod(0o644)
        config["sha256"][path.stem] = sha256(path)
    OmegaConf.save(OmegaConf.create(config), given.out / "config.yaml")
    for name in ("README.md", "samples.png"):
        (given.out / name).unlink(missing_ok=True)
        if (source / name).is_file():
            shutil.copy(source / name, given.out / name)
    total = sum(path.stat().st_size for path in PACKAGED.glob("*/*.safetensors"))
    print(f"{given.out}: all packaged weights weigh {total / 1e6:.1f} MB")


def halved(name: str, weights: Tensor) -> Tensor:
    return weights if name.startswith(KEPT) else weights.half()


if __name__ == "__main__":
    main()
