"""Training runs that start from weights: `init_from` names a bundle that the config agrees with.

An editor starts as the bundle's whole editor, tokenizers included, since its transformer knows no
other codes: the group `tokenizer` is not read. A tokenizer starts from one of the same network at
any image size, so that a driver tokenizer can start from a source tokenizer.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict

from e2eve.bundle import read_bundle
from e2eve.editor import Editor, fitted
from e2eve.tokenizers import Tokenizer
from e2eve.transformer import TokenModelConfig

log = logging.getLogger(__name__)


def open_initial_editor(
    where: str, *, image_size: int, driver_size: int, transformer: TokenModelConfig
) -> Editor:
    """The editor that `init_from` names.

    Raises:
        ValueError: when its image sizes or its transformer are not those of the config.
    """
    editor = Editor.from_pretrained(where)
    model = editor.transformer
    if type(transformer) is not type(model.config):
        raise ValueError(
            f"The config asks for a {type(transformer).__name__} and init_from={where} holds a "
            f'transformer of the family "{model.family}": choose a file of the group transformer '
            "of that family, or give another bundle."
        )
    sizes = {"image_size": editor.image_size, "driver_size": editor.driver_size}
    asked = {"image_size": image_size, "driver_size": driver_size, **_shape(editor, transformer)}
    check_agreement(sizes | _shape(editor, model.config), asked, where)
    log.info("Transformer and tokenizers start as those of %s.", where)
    return editor


def _shape(editor: Editor, config: TokenModelConfig) -> dict[str, object]:
    """What the weights of a token model depend on, by its name in the config."""
    config = fitted(config, editor.source_tokenizer, editor.driver_tokenizer)
    initial = editor.transformer.initial
    return {f"transformer.{n}": v for n, v in asdict(config).items() if n not in initial}


def load_initial_tokenizer(tokenizer: Tokenizer, where: str) -> None:
    """Fill a new tokenizer with the weights of the bundle `where`.

    Raises:
        ValueError: when the bundle's network is another one; its image size may differ.
    """
    bundle = read_bundle(where, kind="tokenizer")
    given = Tokenizer.from_description(bundle.config)
    check_agreement(_network(given), _network(tokenizer), where)
    bundle.load(tokenizer, "tokenizer")
    log.info("The tokenizer starts as that of %s.", where)


def _network(tokenizer: Tokenizer) -> dict[str, object]:
    """What the weights of a tokenizer depend on, by its name in the config."""
    shape = {f"vqgan.network.{name}": value for name, value in asdict(tokenizer.config).items()}
    del shape["vqgan.network.image_size"]
    return shape | {"vqgan.quantizer.normalised": tokenizer.quantizer.normalised}


def check_agreement(made: Mapping[str, object], asked: Mapping[str, object], where: str) -> None:
    """Raises ValueError that names what the bundle was made with and the config says otherwise."""
    differing = [name for name in made if made[name] != asked[name]]
    if differing:
        found = ", ".join(f"{name} is {asked[name]} and not {made[name]}" for name in differing)
        remedy = " ".join(f"{name}={_written(made[name])}" for name in differing)
        raise ValueError(
            f"The config does not fit the weights in init_from={where}, {found}: "
            f"set '{remedy}' or give another bundle."
        )


def _written(value: object) -> str:
    """A value as it is written on a command line."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, tuple | list) else str(value)
