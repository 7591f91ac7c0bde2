"""Train a tokenizer or an editor: `python -m e2eve.train [+experiment=…] [key=value …]`.

With -m a sweep of them: `python -m e2eve.train -m +experiment=… +sweep=…`.
"""

import logging

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from e2eve.commands import command
from e2eve.training.signals import listening

log = logging.getLogger(__name__)


@command("train")
def main(config: DictConfig) -> float | None:
    with listening():
        # Heavy imports wait until here, so that --help and a typo answer at once.
        from e2eve.training.run import train

        if HydraConfig.get().mode == RunMode.MULTIRUN:  # a cell that a stock launcher runs
            from e2eve.sweeps.hooks import train_cell

            return train_cell(config, train)
        log.info("%s", train(config))
        return None


if __name__ == "__main__":
    main()
