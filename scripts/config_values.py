"""Every setting of the commands with values that mean nothing, and a few that do.

`python scripts/config_values.py [command …] [--share 1.0] [--real 0.33] [--seed 0]` sets each leaf
of a command's config, at tiny size, to null, a word, a list, 0, -1, 1.5, NaN and two huge numbers,
and looks at what becomes of it:

- accepted: the command begins to work (`WORK`), or does it all in a random share of these cases;
- refused: a ValueError before that, whose sentence names key, value and remedy;
- wrong: anything else, such as a traceback, a sentence after the work has begun, or no end.

Prints a line for each wrong case and the numbers of each command; exits with 1 if there are any.
"""

import argparse
import contextlib
import io
import logging
import math
import os
import random
import re
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from PIL import Image

from e2eve.config import conf_dir

VALUES: dict[str, Any] = {
    "null": None,
    "word": "word",
    "list": [1, "a"],
    "0": 0,
    "-1": -1,
    "1.5": 1.5,
    "nan": math.nan,
    "huge": 10**12,
    "1e30": 1e30,
}

TINY = (
    "vqgan=tiny transformer=tiny trainer=smoke tokenizer_loss=plain logger=csv evaluation=off "
    "image_size=32 driver_size=16 batch_size=4 token_cache=0 loader.workers=0 loader.val_length=4 "
    "dataset.train.length=8 dataset.val.length=6 compute.threads=1 trainer.accelerator=cpu"
).split()
PUBLISHED = [f"vqgan.network.{one}" for one in ("patch=1", "channels=32", "multipliers=[1,1,1,2]")]
EDITOR = "tokenizer=separate source_tokenizer=untrained driver_tokenizer=untrained".split()

# What begins work: images are simulated, encoded, drawn or measured, something is trained, fetched
# or served.
WORK = (
    "pytorch_lightning.Trainer.fit",
    "e2eve.data.keyed.generator_for",
    "e2eve.tokenizers.Tokenizer.encode",
    "e2eve.evaluation.evaluator.evaluate",
    "e2eve.evaluation.validation_building.build_validation_set",
    "e2eve.evaluation.answered_inputs.build_answered_set",
    "e2eve.comparison.dashboard_page.dashboard_html",
    "e2eve.reporting.serving.serve",
    "e2eve.benchmarks.timing.timings",
    "e2eve.published.Published.open",
    "e2eve.published.write_published",
)
# These never end by themselves, or reach for what is not there.
ENDLESS = ("e2eve.reporting.serving.serve", "urllib.request.urlopen")

# What libraries say, and none of our sentences do.
RAW = re.compile(
    r"(?i)\b(omegaconf|hydra|torch\.|tensor\b|pydantic|numpy|NoneType|not supported between|"
    r"unsupported operand|misconfiguration|object is not|got an unexpected|not callable|"
    r"full_key|dtype|could not convert|invalid literal|error instantiating)"
)
REMEDY = re.compile(
    r"\b(give|set|use|choose|keep|lower|raise|remove|paint|take|leave|train|did you mean|install|"
    r"guess|decode|ask|correct|write|add|start|wait|restore|the choices are|called|pip)\b"
)
SECONDS = 60  # that a case may take


class AcceptedError(BaseException):
    """Work begins."""


class Sweep(NamedTuple):
    """A command that is tried: its config without changes, and what it does with one.

    keys: an expression for the beginnings of the keys that are tried.
    """

    config_name: str
    overrides: list[str]
    run: Callable[[DictConfig], Any]
    keys: str = ""


@dataclass(frozen=True)
class Case:
    """A leaf that is set to a value."""

    command: str
    key: str
    name: str  # of the value

    @property
    def value(self) -> Any:
        return VALUES[self.name]

    def __str__(self) -> str:
        return f"{self.command} {self.key}={self.name}"


class Verdict(NamedTuple):
    kind: str  # accepted, refused or wrong
    said: str = ""


def sweeps(model: Path) -> dict[str, Sweep]:
    """The commands by name.

    Args:
        model: run folder of a tiny editor with a validation set.
    """
    from e2eve import app, benchmark, convert, dashboard, edit, evaluate, simulate, validation_set
    from e2eve.training.run import train

    images = [f"{name}={model.parent}/face.png" for name in ("source", "driver")]
    drawing = ["num_samples=2", "device=cpu"]
    looking = "evaluation.num_inputs=2 evaluation.num_distractors=2 evaluation.num_references=4"
    tokenizer = ["task=source_tokenizer", "optimizer=tokenizer", *TINY]
    adversarial = [*TINY, "task=decoder", f"init_from={model.parent}/tokenizer"]
    return {
        "train tokenizer": Sweep(
            "train", tokenizer, train, "vqgan|tokenizer_loss|optimizer|init_from"
        ),
        "train editor": Sweep("train", [*TINY, *EDITOR], train),
        "train decoder": Sweep(
            "train",
            [*adversarial, "tokenizer_loss=adversarial", "edit_simulation=mixed"],
            train,
            "tokenizer_loss|edit_simulation|init_from|decoder",
        ),
        "evaluate": Sweep("evaluate", [f"run={model}", *drawing], evaluate.evaluate),
        "edit": Sweep(
            "edit",
            [f"model={model}", "region=centre:0.5", *drawing, *images],
            edit.edit,
        ),
        "validation_set": Sweep(
            "validation_set",
            [*TINY, *looking.split(), "device=cpu"],
            validation_set.build,
            "|".join(validation_set.ValidationSetSettings.__dataclass_fields__),
        ),
        "dashboard": Sweep("dashboard", [f"runs={model}"], dashboard.run),
        "simulate": Sweep(
            "simulate",
            [*TINY, "num_shown=2", "num_measured=4", "run_dir=shown"],
            simulate.simulate,
            "|".join(simulate.SimulateSettings.__dataclass_fields__),
        ),
        "app": Sweep("app", [f"model={model}", "device=cpu", "port=0"], app.run),
        "benchmark": Sweep(
            "benchmark", "preset=tiny parts=[mask] rounds=1 threads=1".split(), benchmark.benchmark
        ),
        "convert": Sweep(
            "convert", ["to=published", f"bundle={model.parent}/tokenizer"], convert.convert
        ),
    }


def composed(sweep: Sweep) -> DictConfig:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose(sweep.config_name, sweep.overrides)


def leaves(node: Any, prefix: str = "") -> Iterator[str]:
    """Dotted keys of what is no group of settings, lists whole, and of empty groups.

    Of several nodes side by side with one `_target_` and the same keys, those of the first.
    """
    seen = set()
    for key in node:
        inner = None if OmegaConf.is_missing(node, key) else node._get_node(key)
        if isinstance(inner, DictConfig) and not inner._is_none() and len(inner):
            alike = (inner.get("_target_", key), *inner)
            if alike not in seen:
                yield from leaves(inner, f"{prefix}{key}.")
            seen.add(alike)
        else:
            yield f"{prefix}{key}"


def cases(commands: Mapping[str, Sweep]) -> list[Case]:
    return [
        Case(command, key, name)
        for command, sweep in commands.items()
        for key in leaves(composed(sweep))
        if re.match(rf"({sweep.keys})", key)
        for name in VALUES
    ]


def make_model(folder: Path) -> Path:
    """Run folder of a tiny editor with a validation set, beside that of a tokenizer."""
    from e2eve.training.run import train

    run, tokenizer = folder / "model", folder / "tokenizer"
    looking = ["evaluation=standard", "evaluation.enabled=true", "batch_size=2"]
    with inside(folder):
        Image.new("RGB", (40, 40), "teal").save("face.png")
        for overrides in (
            [*TINY, *PUBLISHED, "task=source_tokenizer", f"run_dir={tokenizer}"],
            [*TINY, *EDITOR, *looking, f"run_dir={run}"],
        ):
            train(composed(Sweep("train", overrides, train)))
    return run


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """The folder is the working directory; what is printed and logged is dropped."""
    import torch

    before, threads = os.getcwd(), torch.get_num_threads()
    logging.disable(logging.CRITICAL)
    os.chdir(folder)
    silence = io.StringIO()
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(silence),
            contextlib.redirect_stderr(silence),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        os.chdir(before)
        logging.disable(logging.NOTSET)
        torch.set_num_threads(threads)


def _begin(*args: Any, **kw: Any) -> Any:
    raise AcceptedError


def _alarm(*args: Any) -> None:
    raise TimeoutError(f"no end after {SECONDS} s")


def readers(config: DictConfig, key: str) -> set[str]:
    """The key, and those that take its value over, directly or through others."""
    known, values = {key}, dict(flat(OmegaConf.to_container(config, resolve=False)))
    while True:
        read = [f"${{{one}}}" for one in known]
        more = {name for name, v in values.items() if any(one in str(v) for one in read)} - known
        if not more:
            return known
        known |= more


def flat(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def tried(case: Case, sweep: Sweep, config: DictConfig, really: bool) -> Verdict:
    """What becomes of a case.

    Args:
        config: without the change.
        really: whether work is done; else it ends where that begins.
    """
    config, switch = config.copy(), isinstance(OmegaConf.select(config, case.key), bool)
    with tempfile.TemporaryDirectory() as folder, inside(Path(folder)), ExitStack() as stack:
        for name in ENDLESS if really else {*WORK, *ENDLESS}:
            stack.enter_context(patch(name, _begin))
        signal.signal(signal.SIGALRM, _alarm)
        signal.alarm(SECONDS)
        try:
            OmegaConf.update(config, case.key, case.value, merge=False)
            sweep.run(config)
        except AcceptedError:
            return Verdict("accepted")
        except (ValueError, OmegaConfBaseException) as error:
            fault = fault_of(str(error), error, case, readers(config, case.key), switch=switch)
            return (
                Verdict("wrong", f"{fault}: {error}") if fault else Verdict("refused", str(error))
            )
        except (Exception, SystemExit) as error:
            where = traceback.extract_tb(error.__traceback__)
            ours = [one for one in where if "e2eve/" in one.filename] or where[-1:]
            place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
            return Verdict("wrong", f"{type(error).__name__} at {place}: {str(error)[:200]}")
        finally:
            signal.alarm(0)
    return Verdict("accepted")


def fault_of(
    sentence: str, error: Exception, case: Case, keys: set[str], *, switch: bool = False
) -> str | None:
    """What is wrong with the sentence of a refusal; None where nothing is.

    Args:
        keys: of which the sentence names one.
        switch: whether the setting is one, where 0 is false.
    """
    given = case.value
    shown = {str(given), repr(given), *map(str, given if isinstance(given, list) else ())}
    if given is None:
        shown = {"null", "missing"}
    elif isinstance(given, int | float):
        shown |= {f"{given:g}", str(float(given))}
        if switch and given == 0:
            shown.add("false")
    if isinstance(error, OmegaConfBaseException) or RAW.search(sentence.replace(case.key, "")):
        return "a library's words"
    if "\n" in sentence or len(sentence) > 400:
        return "no sentence"
    parents = [case.key.rsplit(".", n)[0] + ": " for n in range(1, case.key.count(".") + 1)]
    if not any(key in sentence for key in keys) and not any(map(sentence.startswith, parents)):
        return "no key"
    if not any(one in sentence for one in shown) and "given together" not in sentence:
        return "no value"
    return None if REMEDY.search(sentence) else "no remedy"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("commands", nargs="*")
    parser.add_argument("--share", type=float, default=1.0, help="of the cases that are tried")
    parser.add_argument(
        "--real", type=float, default=0.33, help="of the accepted ones done in full"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--key", default="", help="only keys that match this expression")
    given = parser.parse_args()
    rng, counts = random.Random(given.seed), Counter[tuple[str, str]]()
    with tempfile.TemporaryDirectory() as folder:
        known = sweeps(make_model(Path(folder)))
        for name in set(given.commands) - set(known):
            parser.error(f'there is no "{name}", choose among: {", ".join(known)}')
        chosen = {name: known[name] for name in given.commands or known}
        configs = {name: composed(sweep) for name, sweep in chosen.items()}
        try:
            for case in cases(chosen):
                if rng.random() < given.share and re.search(given.key, case.key):
                    real = rng.random() < given.real
                    counts.update(judged(case, chosen[case.command], configs[case.command], real))
        finally:  # what was found before an interruption is not lost
            for name in chosen:
                print(f"{name}: " + ", ".join(f"{counts[name, kind]} {kind}" for kind in KINDS))
    return int(any(kind == "wrong" and n for (_, kind), n in counts.items()))


KINDS = ("accepted", "done in full", "refused", "wrong")


def judged(case: Case, sweep: Sweep, config: DictConfig, real: bool) -> Iterator[tuple[str, str]]:
    """What the case counts as; prints what is wrong with it."""
    found = tried(case, sweep, config, really=False)
    if found.kind == "accepted" and real:
        found = tried(case, sweep, config, really=True)
        if found.kind == "accepted":
            yield case.command, "done in full"
        else:
            found = Verdict("wrong", f"after work began: {found.said}")
    if found.kind == "wrong":
        print(f"{case}  {found.said}", flush=True)
    yield case.command, found.kind


if __name__ == "__main__":
    sys.exit(main())
