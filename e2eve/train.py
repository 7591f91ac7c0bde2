"""Train a tokenizer or an editor: `python -m e2eve.train [+experiment=…] [key=value …]`."""

import logging

from omegaconf import DictConfig

from e2eve.config import verb

log = logging.getLogger(__name__)


@verb("train")
def main(config: DictConfig) -> None:
    # Heavy imports wait until here, so that --help and a typo answer at once.
    from e2eve.training.run import train

    report = train(config)
    log.info("%s", report)


if __name__ == "__main__":
    main()
