"""The benchmark beside reference implementations, and with further parts, which a checkout has.

`python scripts/benchmark_references.py [parts=[sample] …]` takes the settings of
`python -m e2eve.benchmark`; references are straightforward implementations and other libraries.
"""

import itertools
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # where tests/ and scripts/ lie

from omegaconf import DictConfig

from e2eve.benchmark import benchmark
from e2eve.commands import command

log = logging.getLogger(__name__)

# The uncached loop takes minutes an image at the published size: so many of its tokens are timed
# and the rest is computed from them.
UNCACHED_TOKENS = 8

Part = Any
Setting = Any


@command("benchmark")
def main(config: DictConfig) -> None:
    from scripts import gpt_parts  # noqa: F401, it registers its parts

    benchmark(config, REFERENCES)


def mask(setting: Setting, part: Part) -> Part:
    import numpy as np

    from tests.references.edits import place

    (simulation,), rng = part.subject, np.random.default_rng(setting.seed)
    return beside(part, lambda: [place(simulation, rng) for _ in range(setting.batch)])


def item(setting: Setting, part: Part) -> Part:
    from e2eve.data.keyed import generator_for
    from tests.references.edits import item

    (simulation, images), count = part.subject, itertools.count()

    def make() -> None:
        for n in itertools.islice(count, setting.batch):
            index = n % len(images)
            path = Path(images.root, images.names[index])
            item(path, simulation, generator_for(setting.seed, (n, index)))

    return beside(part, make)


def coding(name: str, setting: Setting, part: Part) -> Part:
    import torch

    from tests.references import networks

    run = partial(getattr(networks, name), *part.subject)
    return beside(part, torch.inference_mode()(run))


def train_step(setting: Setting, part: Part) -> Part:
    from tests.references.networks import optimizer_of, training_step

    editor, edits, settings = part.subject
    optimizer = optimizer_of(editor.transformer, settings, setting.batch)
    part = part._replace(facts=tiny_losses(setting))
    return beside(part, partial(training_step, editor, optimizer, edits))


def tiny_losses(setting: Setting) -> dict[str, float]:
    """What both ways of training make of tiny networks in 200 steps, in nats."""
    curves = loss_curves(replace(setting, preset="tiny", batch=8, transformer=None), steps=200)
    pairs = list(zip(curves["reference"], curves["e2eve"], strict=True))
    return {
        "tiny loss at first": pairs[0][0],
        "after 200 steps": pairs[-1][1],
        "of the reference": pairs[-1][0],
        "largest difference": max(abs(reference - ours) for reference, ours in pairs),
    }


def loss_curves(setting: Setting, steps: int) -> dict[str, list[float]]:
    """Losses of both ways to train, from the same weights, on the same edits."""
    from e2eve.benchmarks.parts import edits_for, training_step
    from e2eve.training.optimizers import OptimizerSettings
    from tests.references import networks

    curves: dict[str, list[float]] = {"reference": [], "e2eve": []}
    settings = OptimizerSettings(base_learning_rate=1e-3)
    for name, curve in curves.items():
        fresh = replace(setting)  # networks of its own
        editor = fresh.network.train()
        if name == "reference":
            optimizer = networks.optimizer_of(editor.transformer, settings, setting.batch)
            step: Callable[..., float] = partial(networks.training_step, editor, optimizer)
        else:
            optimizer = settings.build(editor.transformer, setting.batch)
            step = partial(training_step, fresh, editor, optimizer)
        curve += [step(edits_for(fresh, seed)) for seed in range(steps)]
    return curves


def sample(setting: Setting, part: Part, *, tokens: int = UNCACHED_TOKENS) -> Part:
    """The uncached loop, a cache in plain PyTorch, and GPT-2 of `transformers` with its caches."""
    import torch

    from e2eve.benchmarks.timing import Variant
    from e2eve.transformer import GPT, SamplingSettings
    from tests.references.gpt2 import as_gpt2, generate
    from tests.references.sampling import Cached, reference_sample, uncached

    gpt, conditioning = part.subject
    if not isinstance(gpt, GPT):
        return part
    settings, ids, layout = SamplingSettings(), conditioning[:2], gpt.layout
    loop = partial(reference_sample, gpt, *ids, num_samples=setting.batch, seeds=[setting.seed])
    loop = partial(loop, settings=settings)
    read = [sum(layout.conditioning + n for n in range(end)) for end in (tokens, layout.target)]
    baseline = Variant(
        "uncached loop", partial(loop, reader=uncached, tokens=tokens), read[0] / read[1]
    )
    others = [Variant("cached, plain PyTorch", partial(loop, reader=Cached))]
    if find_spec("transformers") is None:
        log.warning("transformers is not installed: its GPT-2 is left out.")
    else:
        prefix = torch.cat(ids, 1).expand(setting.batch, -1)
        gpt2 = partial(generate, as_gpt2(gpt), prefix, layout.target, settings)
        others += [
            Variant(f"transformers GPT-2, {cache} cache", partial(gpt2, cache))
            for cache in ("dynamic", "static")
        ]
    variants = [baseline, *others, *part.variants]
    return part._replace(variants=variants, baseline=baseline.name)


def metrics(setting: Setting, part: Part) -> Part:
    from tests.references.metrics import metrics

    return beside(part, partial(metrics, *part.subject))


def beside(part: Part, run: Callable[[], Any]) -> Part:
    """The part with a reference as the baseline of its variants."""
    from e2eve.benchmarks.timing import Variant

    variants = [Variant("reference", run), *part.variants]
    return part._replace(variants=variants, baseline="reference")


REFERENCES: dict[str, Callable[[Setting, Part], Part]] = {
    "mask": mask,
    "block_item": item,
    "free_form_item": item,
    "encode": partial(coding, "encode"),
    "decode": partial(coding, "decode"),
    "train_step": train_step,
    "sample": sample,
    "metrics": metrics,
}

if __name__ == "__main__":
    main()
