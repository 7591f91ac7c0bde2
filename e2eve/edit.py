"""Edit pictures: `python -m e2eve.edit model=… source=… driver=… box=[l,t,r,b] | mask=…`."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from e2eve.config import device_of, plain, verb

REQUIRED = {
    "model": "the bundle or run folder of an editor",
    "source": "the picture to edit, or a folder of pictures",
    "driver": "a picture of what should appear in the region",
}
SAMPLING = (
    "temperature top_k top_p guidance preserve precision draft num_speculative_tokens".split()
)
OPTIONS = ["num_samples", "seed", *SAMPLING]


@verb("edit")
def main(config: DictConfig) -> None:
    # Heavy imports wait until here, so that --help and a typo answer at once.
    from rich.console import Console

    Console().print(str(edit(config)), soft_wrap=True, highlight=False)


def edit(config: DictConfig) -> Path:
    """Writes the edits of every source; the path of the grid, or of the folder of many."""
    for key, what in REQUIRED.items():
        if OmegaConf.is_missing(config, key):
            raise ValueError(f"{key} is missing: give {key}=<{what}>.")

    from e2eve.editing.files import edit_all, find_inputs, region_of
    from e2eve.editor import Editor

    settings = plain(config)
    region = region_of(settings["box"], settings["mask"])
    inputs = find_inputs(Path(config.source), Path(config.driver), region, Path(config.out))
    editor = Editor.from_pretrained(config.model, device=device_of(config.device))
    options = {name: settings[name] for name in OPTIONS}
    return edit_all(editor, inputs, Path(config.out), model=str(config.model), **options)


if __name__ == "__main__":
    main()
