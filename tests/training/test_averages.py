"""Averages stand in for weights where pictures are drawn, and go away again."""

import pytorch_lightning as pl
import torch

from e2eve.training.callbacks import WeightAverages, averaged


class Weight(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.value = torch.nn.Parameter(torch.zeros(3))


def trainer_with(*callbacks: pl.Callback) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu", callbacks=list(callbacks), logger=False, enable_checkpointing=False
    )


def test_averages_are_in_place_meanwhile():
    module, averages = Weight(), WeightAverages(decay=0.5)
    trainer = trainer_with(averages)
    averages.setup(trainer, module, "fit")
    kept = averages._average_model
    assert kept is not None
    values = torch.tensor([1.0, 2.0, 3.0])
    for step in (1, 2):
        module.value.data = step * values
        kept.update_parameters(module)
    with averaged(trainer, module):
        assert torch.equal(module.value, 1.5 * values)  # the first is taken as it is
    assert torch.equal(module.value, 2 * values)
    averages.on_fit_end(trainer, module)
    assert torch.equal(module.value, 1.5 * values)


def test_what_does_not_change_is_its_average_to_the_bit():
    module, averages = Weight(), WeightAverages(decay=0.999)
    trainer = trainer_with(averages)
    module.value.data = values = torch.tensor([0.1, 1 / 3, 3e-5])
    averages.setup(trainer, module, "fit")
    kept = averages._average_model
    assert kept is not None
    for _ in range(20):
        kept.update_parameters(module)
    averages.on_fit_end(trainer, module)
    assert torch.equal(module.value, values)


def test_without_averages_weights_stay():
    module = Weight()
    with averaged(trainer_with(), module):
        assert torch.equal(module.value, torch.zeros(3))
