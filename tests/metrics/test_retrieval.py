"""The sweep of sub-crops, cropping in batches, ranks, and rank and keep."""

import pytest
import torch
from torch.nn import functional

from e2eve.features import FeatureExtractor
from e2eve.features.frozen import crop_and_resize
from e2eve.geometry import Box
from e2eve.metrics.retrieval import driver_ranks, sweep_boxes, sweep_distances, sweep_features


@pytest.mark.parametrize(
    "box", [Box(4, 8, 28, 32), Box(0, 0, 1, 1), Box(3, 5, 40, 9), Box(0, 0, 2, 64)]
)
def test_sweep_is_14_boxes_inside_that_reach_all_edges(box):
    boxes = sweep_boxes(box)
    assert len(boxes) == 14 and boxes[0] == box
    assert all(box.contains(part) for part in boxes)
    for part in (boxes[1:5], boxes[5:]):
        assert (
            Box(
                min(b.left for b in part),
                min(b.top for b in part),
                max(b.right for b in part),
                max(b.bottom for b in part),
            )
            == box
        )


def test_sweep_of_a_square():
    boxes = sweep_boxes(Box(0, 0, 16, 16))
    assert boxes[1:5] == [
        Box(0, 0, 12, 12),
        Box(4, 0, 16, 12),
        Box(0, 4, 12, 16),
        Box(4, 4, 16, 16),
    ]
    assert boxes[5:8] == [Box(0, 0, 8, 8), Box(4, 0, 12, 8), Box(8, 0, 16, 8)]


def test_crops_are_those_of_one_image_at_a_time():
    images = torch.rand(2, 3, 20, 24)
    boxes = [[Box(0, 0, 24, 20), Box(3, 4, 9, 7)], [Box(5, 5, 6, 6), Box(10, 2, 24, 18)]]
    crops = crop_and_resize(images, boxes, 8)
    for i, row in enumerate(boxes):
        for j, b in enumerate(row):
            cut = images[i : i + 1, :, b.top : b.bottom, b.left : b.right]
            slow = functional.interpolate(cut, (8, 8), mode="bilinear", antialias=True)[0]
            torch.testing.assert_close(crops[i, j], slow)


def test_a_crop_of_its_own_size_is_the_pixels_and_others_do_not_leak_in():
    images = torch.zeros(1, 3, 20, 20)
    images[..., 4:12, 6:14] = 1
    crops = crop_and_resize(images, [[Box(6, 4, 14, 12)]], 8)
    assert crops.eq(1).all()
    assert crop_and_resize(images, [[Box(6, 4, 14, 12)]], 5).sub(1).abs().max() < 1e-6


def test_boxes_outside_the_image_are_refused():
    with pytest.raises(ValueError, match="outside its image of 24 x 20 pixels"):
        crop_and_resize(torch.zeros(1, 3, 20, 24), [[Box(0, 0, 24, 21)]], 8)


class MeanColour(FeatureExtractor):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))


def test_a_driver_in_a_corner_of_the_region_is_found_by_the_sweep():
    red, green, blue = torch.eye(3)
    image = green.view(1, 3, 1, 1).repeat(1, 1, 32, 32)
    image[:, :, 8:16, 8:16] = red.view(3, 1, 1)
    queries = sweep_features(MeanColour(), image, [Box(8, 8, 24, 24)], 8, batch_size=5)
    assert queries.shape == (1, 14, 3)
    distances = sweep_distances(queries, torch.stack([red, green, blue])[None])
    torch.testing.assert_close(distances[0, :2], torch.zeros(2), atol=1e-5, rtol=0)
    assert driver_ranks(queries, red[None], torch.stack([blue, (red + blue) / 2])[None]) == 1
    assert driver_ranks(queries, blue[None], torch.stack([red, green])[None]) == 3


def test_distance_is_to_the_nearest_sub_crop():
    queries, candidates = torch.randn(2, 14, 6), torch.randn(2, 5, 6)
    slow = (queries[:, :, None] - candidates[:, None]).square().sum(-1).sqrt().amin(1)
    torch.testing.assert_close(sweep_distances(queries, candidates), slow)


def test_features_that_say_nothing_rank_the_driver_last():
    ranks = driver_ranks(torch.ones(3, 14, 4), torch.ones(3, 4), torch.ones(3, 100, 4))
    assert ranks.tolist() == [101, 101, 101]
