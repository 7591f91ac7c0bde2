"""Private names of other packages that training uses are there: seen in the versions named here.

Lightning 2.6, W&B 0.22, submitit 1.5. Where one is gone, the module below says what it was for.
"""

import inspect

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import EMAWeightAveraging
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only


@pytest.mark.parametrize(
    ("owner", "names", "module"),
    [
        (
            EMAWeightAveraging,
            "_copy_average_to_current _swap_models _kwargs",
            "e2eve.training.callbacks",
        ),
        (WandbLogger, "_experiment _wandb_init _offline", "e2eve.training.loggers"),
    ],
)
def test_lightnings_names_are_there(owner, names, module):
    source = "".join(inspect.getsource(one) for one in owner.__mro__ if one is not object)
    for name in names.split():
        assert name in source, f"{owner.__name__}.{name}, used in {module}"


def test_a_trainer_has_what_the_data_module_and_checkpoints_ask():
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    assert trainer.fit_loop.epoch_loop.total_batch_idx == -1
    assert isinstance(trainer.enable_validation, bool)
    assert trainer.fit_loop.epoch_loop._batches_that_stepped == 0
    assert hasattr(trainer.fit_loop, "_data_fetcher")
    assert callable(trainer.fit_loop.epoch_loop._should_check_val_fx)
    assert isinstance(trainer._logger_connector.should_update_logs, bool)
    assert isinstance(inspect.getattr_static(trainer._logger_connector, "metrics"), property)
    assert rank_zero_only.rank == 0  # type: ignore[attr-defined]


def test_submitit_says_which_signal_it_sends():
    submitit = pytest.importorskip("submitit")
    assert submitit.JobEnvironment._usr_sig()
