"""From an editor or a tokenizer of ours to a checkpoint that published code reads."""

from pathlib import Path

import torch
from torch import Tensor

from e2eve.editor import Editor
from e2eve.published.checkpoints import OUR_DESCRIPTION
from e2eve.published.family import DRIVER, SOURCE, SOURCE_AGAIN, TRANSFORMER
from e2eve.published.names import causal_mask, gpt_to_published, tokenizer_to_published
from e2eve.published.shapes import GROUPS
from e2eve.tokenizers import Tokenizer


def write_published(network: Editor | Tokenizer, path: Path) -> Path:
    """Write a PyTorch file: `state_dict` by published names, and beside it what they do not say.

    Raises:
        ValueError: when a tokenizer has no published counterpart.
    """
    if isinstance(network, Editor):
        check_counterpart(network.source_tokenizer, "source tokenizer")
        check_counterpart(network.driver_tokenizer, "driver tokenizer")
        state = editor_state(network)
    else:
        check_counterpart(network, "tokenizer")
        state = tokenizer_to_published(network.state_dict())
    # Parts of a fused matrix get memory of their own, else the whole is stored for each.
    stored: dict[int, Tensor] = {id(value): value.clone() for value in state.values()}
    state = {name: stored[id(value)] for name, value in state.items()}
    torch.save({"state_dict": state, OUR_DESCRIPTION: network.describe()}, path)
    return path


def editor_state(editor: Editor) -> dict[str, Tensor]:
    """All names of a published editor: masks too, and the source tokenizer twice."""
    mask = causal_mask(len(editor.transformer.positions))
    gpt = gpt_to_published(editor.transformer.state_dict())
    gpt |= {f"blocks.{layer}.attn.mask": mask for layer in range(editor.transformer.config.layers)}
    source = tokenizer_to_published(editor.source_tokenizer.state_dict())
    driver = source
    if not editor.shared:
        driver = tokenizer_to_published(editor.driver_tokenizer.state_dict())
    parts = {TRANSFORMER: gpt, SOURCE: source, DRIVER: driver, SOURCE_AGAIN: source}
    return {
        f"{part}.{name}": value for part, names in parts.items() for name, value in names.items()
    }


def check_counterpart(tokenizer: Tokenizer, what: str) -> None:
    """Raise one sentence where published code has no network like this one."""
    config = tokenizer.config
    obstacles = {
        f"norm={config.norm}": config.norm != "group",
        f"patch={config.patch}": config.patch != 1,
        f"channels={config.channels}": config.channels % GROUPS != 0,
        "middle=false": not config.middle,
        "normalised=true": tokenizer.quantizer.normalised,
    }
    found = [setting for setting, obstructs in obstacles.items() if obstructs]
    if found:
        raise ValueError(
            f"The {what} has {', '.join(found)}, which published networks cannot have: train one "
            "with vqgan=base to share its weights by published names."
        )
