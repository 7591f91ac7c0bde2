"""Laws of the path from images to ids: the hole, the region's cells, batches of simulated edits."""

import numpy as np
import pytest
import torch

from e2eve.conditioning import MASK_FILL, EditBatch, apply_mask, region_cells
from e2eve.data.images import to_tensor
from e2eve.edit_simulation import Block, CentreView, DriverCrop, EditSimulation
from e2eve.geometry import Box
from tests.factories import random_images


def test_the_region_is_filled_and_nothing_else_changes():
    images, regions = random_images(2, 8), torch.rand(2, 1, 8, 8) < 0.5
    masked = apply_mask(images, regions)
    everywhere = regions.expand_as(images)
    assert (masked[everywhere] == MASK_FILL).all()
    assert torch.equal(masked[~everywhere], images[~everywhere])


def test_cells_agree_with_pixel_by_pixel_counting():
    regions = torch.rand(2, 1, 12, 8) < 0.1
    cells = regions[:, 0].unfold(1, 3, 3).unfold(2, 2, 2).flatten(3).flatten(1, 2)
    assert region_cells(regions, 4).equal(cells.any(-1))


def test_a_grid_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="grid of 3 × 3 tokens does not divide a mask of 8 × 8"):
        region_cells(torch.zeros(1, 1, 8, 8, dtype=torch.bool), 3)


def test_a_batch_holds_what_was_simulated():
    simulation = EditSimulation(32, 16, CentreView(), Block(), DriverCrop())
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)
    edits = [simulation(image, rng) for image in images]
    batch = EditBatch.collate(edits)
    for n, edit in enumerate(edits):
        assert torch.equal(batch.targets[n], to_tensor(edit.target))
        assert torch.equal(batch.drivers[n], to_tensor(edit.driver))
        assert np.array_equal(batch.regions[n, 0].numpy(), edit.region.mask)
        assert Box(*batch.region_boxes[n].tolist()) == edit.region.box
        assert Box(*batch.driver_boxes[n].tolist()) == edit.driver_box
    assert batch.inputs.sources is batch.targets
