"""Laws of the tokenizer's networks."""

import pytest
import torch

from e2eve.tokenizers import Tokenizer, VQGANConfig
from tests.factories import CODES, SIDE, random_ids, random_images, tiny_tokenizer


@pytest.mark.parametrize("patch", [1, 2, 4])
@pytest.mark.parametrize("multipliers", [(1,), (1, 2), (1, 1, 2)])
def test_ids_fill_the_grid_and_decode_to_the_same_size(patch, multipliers):
    tokenizer = tiny_tokenizer(32, patch=patch, multipliers=multipliers)
    ids = tokenizer.encode(random_images(2, 32))
    assert ids.shape == (2, tokenizer.tokens)
    assert ids.min() >= 0
    assert ids.max() < CODES
    assert tokenizer.decode(ids).shape == (2, 3, 32, 32)


def test_decoding_looks_codes_up_as_quantising_does():
    tokenizer, images = tiny_tokenizer(), random_images()
    output = tokenizer(images)
    decoded = tokenizer.decode(output.quantized.ids)
    torch.testing.assert_close(decoded, output.images.clamp(-1, 1), atol=1e-5, rtol=1e-5)


def test_pictures_of_other_sizes_are_read_at_the_same_cell():
    tokenizer = tiny_tokenizer(32)
    assert tokenizer.encode(random_images(1, 64)).shape == (1, 64)


def test_mixed_precision_changes_no_id():
    """An editor is asked with ids in full precision, and learns from the same."""
    tokenizer, images = tiny_tokenizer(64), random_images(8, 64)
    expected = tokenizer.encode(images)
    with torch.autocast("cpu", torch.bfloat16):
        assert not torch.equal(tokenizer(images).quantized.ids, expected)
        assert torch.equal(tokenizer.encode(images), expected)


def test_a_batch_is_its_rows():
    tokenizer, images = tiny_tokenizer(), random_images(3)
    rows = torch.cat([tokenizer.encode(image[None]) for image in images])
    assert torch.equal(tokenizer.encode(images), rows)


def test_channel_norm_keeps_far_codes_where_group_norm_does_not():
    """Blanking a corner leaves the opposite corner's features as they are."""
    images = random_images(1, 128)
    blanked = images.clone()
    blanked[..., :32, :32] = -1
    local = tiny_tokenizer(128, norm="channel", middle=False, attention_levels=0)
    change = (local.latent(images) - local.latent(blanked)).abs()
    assert change[..., 10:, 10:].max() == 0
    assert change.max() > 0
    grouped = tiny_tokenizer(128, norm="group", middle=False, attention_levels=0)
    change = (grouped.latent(images) - grouped.latent(blanked)).abs()
    assert change[..., 10:, 10:].max() > 0


def test_a_last_layer_between_single_pixels_is_stored_too(tmp_path):
    sharp = tiny_tokenizer(pixel_channels=4)
    assert sharp.decoder.last_weight.shape == (3, 4, 3, 3)
    opened = Tokenizer.from_pretrained(sharp.save_pretrained(tmp_path))
    ids = random_ids(2, sharp.tokens)
    assert torch.equal(opened.decode(ids), sharp.decode(ids))


def test_bundle_round_trip_is_exact(tmp_path):
    tokenizer, images = tiny_tokenizer(), random_images()
    tokenizer.save_pretrained(tmp_path / "a")
    opened = Tokenizer.from_pretrained(tmp_path / "a")
    assert torch.equal(opened.latent(images), tokenizer.latent(images))
    opened.save_pretrained(tmp_path / "b")
    for name in ("config.yaml", "tokenizer.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_picture_that_does_not_fit_the_cells_is_refused():
    with pytest.raises(ValueError, match=r"30×30 pixels .* multiples of 8 pixels"):
        tiny_tokenizer().encode(random_images(1, 30))


def test_ids_that_make_no_square_are_refused():
    with pytest.raises(ValueError, match="15 ids make no square"):
        tiny_tokenizer().decode(random_ids(1, 15))


def test_a_size_that_is_no_multiple_of_the_cell_is_refused():
    with pytest.raises(ValueError, match="image_size 100 is no multiple of 16"):
        VQGANConfig(image_size=100)


def test_an_unknown_norm_is_refused():
    with pytest.raises(ValueError, match='norm is "batch"'):
        VQGANConfig(norm="batch")


def test_published_size_has_the_published_number_of_parameters():
    with torch.device("meta"):
        tokenizer = Tokenizer(VQGANConfig())
    assert round(sum(p.numel() for p in tokenizer.parameters()) / 1e6, 1) == 72.1


def test_side_of_the_grid_follows_from_the_levels():
    assert VQGANConfig().grid == 16
    assert VQGANConfig(image_size=64).grid == 4
    assert tiny_tokenizer(SIDE).config.grid == 4
