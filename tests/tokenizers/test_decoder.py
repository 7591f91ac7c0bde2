"""Laws of a decoder that sees what surrounds a region."""

import pytest
import torch
import torch.nn.functional as F

from e2eve.tokenizers import Tokenizer, VQGANConfig
from e2eve.tokenizers.vqgan import Surroundings
from tests.factories import SIDE, random_ids, random_images, that_sees, tiny_tokenizer

SHAPES = [
    {"patch": 1, "multipliers": (1, 2, 3)},
    {"patch": 4, "multipliers": (1, 2)},
    {"patch": 4, "multipliers": (1,), "pixel_channels": 4, "norm": "channel", "middle": False},
]


@pytest.fixture(params=SHAPES, ids=["levels", "folded", "pixels"])
def pair(request) -> tuple[Tokenizer, Tokenizer]:
    """A plain tokenizer, and the same with a decoder that sees the source."""
    torch.manual_seed(0)
    plain = tiny_tokenizer(**request.param)
    return plain, that_sees(plain)


def blocks(count: int = 2) -> torch.Tensor:
    """Regions whose edges lie within cells."""
    regions = torch.zeros(count, 1, SIDE, SIDE, dtype=torch.bool)
    regions[:, :, 5:22, 11:27] = True
    return regions


@torch.no_grad()
def test_a_full_mask_is_the_plain_decoder_bit_for_bit(pair):
    plain, seeing = pair
    ids, everywhere = random_ids(2, plain.tokens), torch.ones(2, 1, SIDE, SIDE, dtype=torch.bool)
    expected = plain.decode(ids)
    assert torch.equal(seeing.decode(ids, random_images(), everywhere), expected)
    assert torch.equal(seeing.decode(ids), expected)


@torch.no_grad()
def test_nothing_inside_the_region_is_read(pair):
    _, seeing = pair
    ids, sources, regions = random_ids(2, seeing.tokens), random_images(), blocks()
    others = torch.where(regions, random_images(), sources)
    decoded = seeing.decode(ids, sources, regions)
    assert torch.equal(decoded, seeing.decode(ids, others, regions))
    changed = torch.where(regions, sources, random_images())
    assert not torch.equal(decoded, seeing.decode(ids, changed, regions))


@torch.no_grad()
def test_a_cell_at_the_edge_takes_its_share_of_both():
    """An independent computation: h · m + h_src · (1 - m), with means over cells for m."""
    torch.manual_seed(0)
    shape: dict = {"patch": 4, "multipliers": (1,), "pixel_channels": 4}
    seeing = that_sees(tiny_tokenizer(**shape))
    decoder, sources, regions = seeing.decoder, random_images(), blocks()
    assert decoder.source is not None and decoder.pixels is not None
    codes = torch.randn(2, 8, 8, 8)
    cells, pixels = (each.change for each in decoder.source(Surroundings(sources, regions)))
    inside = regions.double().unfold(2, 4, 4).unfold(3, 4, 4).mean((-1, -2)).float()
    x = decoder.middle(decoder.stem(codes))
    x = x * inside + (x + cells) * (1 - inside)
    x = F.pixel_shuffle(decoder.head(F.silu(decoder.norm(decoder.levels[0](x)))), 4)
    expected = decoder.pixels(F.silu(torch.where(regions, x, x + pixels)))
    found = decoder(codes, Surroundings(sources, regions))
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_a_batch_is_its_rows(pair, monkeypatch):
    """Also where it is decoded in parts."""
    _, seeing = pair
    ids, sources, regions = random_ids(3, seeing.tokens), random_images(3), blocks(3)
    regions[1] = ~regions[1]
    whole = seeing.decode(ids, sources, regions)
    monkeypatch.setattr("e2eve.tokenizers.tokenizer.VALUES_AT_ONCE", 1)
    torch.testing.assert_close(seeing.decode(ids, sources, regions), whole)


@torch.no_grad()
def test_a_trained_decoder_that_starts_to_see_goes_on_as_it_was():
    plain, ids = tiny_tokenizer(), random_ids(2, 16)
    seeing = plain.with_decoder("source", SIDE)
    assert torch.equal(seeing.decode(ids, random_images(), blocks()), plain.decode(ids))


@torch.no_grad()
def test_a_plain_decoder_makes_nothing_of_a_source():
    plain, ids = tiny_tokenizer(), random_ids(2, 16)
    assert torch.equal(plain.decode(ids, random_images(), blocks()), plain.decode(ids))
    assert not any(name.startswith("decoder.source") for name in plain.state_dict())


def test_ids_do_not_depend_on_the_decoder(pair):
    plain, seeing = pair
    images = random_images()
    assert torch.equal(plain.encode(images), seeing.encode(images))
    seeing.check_encodes_as(plain)
    plain.check_encodes_as(seeing)


@pytest.mark.parametrize(
    "name", ["encoder.stem.weight", "to_code.bias", "quantizer.codebook.weight"]
)
def test_another_encoder_or_codebook_is_told(pair, name):
    plain, seeing = pair
    weights = dict(seeing.named_parameters())
    with torch.no_grad():
        weights[name].flatten()[0] += 1
    for other in (seeing, tiny_tokenizer(64), tiny_tokenizer(channels=16)):
        with pytest.raises(ValueError, match="The decoder belongs to another tokenizer"):
            other.check_encodes_as(plain)


@torch.no_grad()
def test_bundle_round_trip_is_exact(pair, tmp_path):
    _, seeing = pair
    opened = Tokenizer.from_pretrained(seeing.save_pretrained(tmp_path))
    given = random_ids(2, seeing.tokens), random_images(), blocks()
    assert torch.equal(opened.decode(*given), seeing.decode(*given))
    assert opened.sees_source


def test_a_description_without_a_decoder_is_of_a_plain_one():
    description = tiny_tokenizer().describe()
    del description["vqgan"]["decoder"]
    assert not Tokenizer.from_description(description).sees_source


@pytest.mark.parametrize(
    ("sources", "regions"),
    [
        (random_images(), None),
        (None, blocks()),
        (random_images(1), blocks(1)),
        (random_images(2, 16), blocks()),
    ],
)
def test_surroundings_that_do_not_fit_are_one_sentence(sources, regions):
    with pytest.raises(ValueError, match=r"give \(2, 3, 32, 32\) and \(2, 1, 32, 32\) for these"):
        tiny_tokenizer().decode(random_ids(2, 16), sources, regions)


def test_an_unknown_decoder_is_refused():
    with pytest.raises(ValueError, match=r'decoder is "asymmetric": use "plain" .* or "source"'):
        VQGANConfig(decoder="asymmetric")
