"""Train a tokenizer or an editor: `python -m e2eve.train [+experiment=…] [key=value …]`.

With -m a sweep of them: `python -m e2eve.train -m +experiment=… +sweep=…`.
"""

import logging

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from e2eve.config import command

log = logging.getLogger(__name__)


@command("train")
def main(config: DictConfig) -> None:
    if HydraConfig.get().mode == RunMode.MULTIRUN:  # by a launcher that knows nothing of cells
        raise ValueError(
            "Cells of a sweep are processes of their own: give hydra/launcher=local, joblib, "
            "submitit_local or submitit_slurm."
        )
    # Heavy imports wait until here, so that --help and a typo answer at once.
    from e2eve.training.run import train

    report = train(config)
    log.info("%s", report)


if __name__ == "__main__":
    main()
