"""What is said to a name that there is not: what it is called now, or the nearest one."""

import difflib
from collections.abc import Iterable

MANY = 25  # choices: no person reads so many; our own groups have fewer
SAMPLING = "temperature top_k top_p guidance preserve precision draft".split()
# Old name of a setting: its name today, or with spaces the remedy in words. A name stands for all
# that is below it too.
RENAMED = {
    "trainer.nodes": "trainer.num_nodes",
    "trainer.validate_every": "validate_every",
    "trainer.checkpoint_every": "checkpoint_every",
    "trainer.log_every": "trainer.log_every_n_steps",
    "trainer.val_length": "loader.val_length",
    "trainer.workers": "loader.workers",
    "trainer.batch_limit": "loader.batch_limit",
    "trainer.threads": "compute.threads",
    "trainer.compile": "compute.compile",
    "trainer.channels_last": "compute.channels_last",
    "trainer.ema_decay": "a callback now: give callbacks=ema callbacks.ema.decay=…",
    "trainer.untrained_tokenizers": "tokenizer.allow_untrained",
    "trainer.evaluate": "evaluation.enabled",
    "trainer.callbacks": "a group of its own: give +callbacks.<name>._target_=…",
    "trainer.logger": "a group of its own: give logger=… or +logger.<name>._target_=…",
    "logger.offline": "logger.wandb.offline",
    "logger.project": "logger.wandb.project",
    "sweep.metric": "study.objective",
    "sweep": "study",
    "window": "sampling.num_speculative_tokens",
    **{name: f"sampling.{name}" for name in SAMPLING},
    **{f"evaluation.{name}": f"sampling.{name}" for name in SAMPLING},
}


def unknown_key(key: str, known: Iterable[str]) -> str:
    """The sentence about a setting that there is not."""
    for old, new in RENAMED.items():
        if f"{key}.".startswith(f"{old}."):
            return f"{key} is {new if ' ' in new else f'called {new}{key[len(old) :]} now'}."
    near = difflib.get_close_matches(key, list(known), n=1)
    hint = f"did you mean {near[0]}?" if near else "see --cfg job for those that there are."
    return f"{key} is no setting: {hint}"


def unknown_choice(value: object, known: Iterable[str], what: str) -> str:
    """The sentence about a value that is none of the choices; of very many it names the first."""
    text = "null" if value is None else f'"{value}"'
    known = sorted(known)
    near = difflib.get_close_matches(str(value), known, n=1)
    hint = f', did you mean "{near[0]}"?' if near else "."
    listed = known if len(known) < MANY else [*known[:10], f"and {len(known) - 10} more"]
    return f"{what} is {text}, the choices are {', '.join(listed)}{hint}"
