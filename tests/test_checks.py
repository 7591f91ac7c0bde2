"""What a user's class gives is refused where it is called, in one sentence that names the class."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

from e2eve.checks import check_writable, require_call
from e2eve.commands import _sentence_of
from e2eve.data.splits import build_splits
from e2eve.edit_simulation import CentreView, DriverCrop, EditSimulation, Mixed, Region
from e2eve.editor import Editor
from e2eve.transformer import GPT, EditTokens, TokenModel, check_names_config, register
from tests.factories import CODES, DRIVER_SIDE, SIDE, tiny_tokenizer

HERE = __name__


class Noise:
    """A data set as it should be."""

    def __init__(self, length: int = 2) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        return np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8)

    def name(self, index: int) -> Any:
        return f"noise {index}"


class Floats(Noise):
    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index) / 255


class ChannelsFirst(Noise):
    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index).transpose(2, 0, 1)


class Grey(Noise):
    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index)[..., 0]


class Pictures(Noise):
    def __getitem__(self, index: int) -> Any:
        return Image.fromarray(super().__getitem__(index))


class Numbered(Noise):
    def name(self, index: int) -> Any:
        return index


class Nameless:
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        return np.zeros((8, 8, 3), np.uint8)


class Endless(Noise):
    __len__ = None  # type: ignore[assignment]


def three() -> tuple[Noise, ...]:
    return Noise(), Noise(), Noise()


def dataset(val: Any) -> dict[str, Any]:
    return {"train": {"_target_": f"{HERE}.Noise"}, "val": val}


def test_a_data_set_as_it_should_be_is_taken():
    assert [len(part) for part in build_splits(dataset({"_target_": f"{HERE}.Noise"}))] == [2, 2]


@pytest.mark.parametrize(
    ("val", "sentence"),
    [
        ("Floats", "Floats gives float64 of shape (8, 8, 3), give uint8 of height × width × 3"),
        ("ChannelsFirst", "ChannelsFirst gives uint8 of shape (3, 8, 8), give uint8 of height"),
        ("Grey", "Grey gives uint8 of shape (8, 8), give uint8 of height"),
        ("Pictures", "Pictures gives PIL.Image.Image, give uint8 of height"),
        ("Numbered", "Numbered.name gives builtins.int, give text."),
        ("Nameless", "Nameless has no method name: a data set has __len__, __getitem__ and name"),
        ("Endless", "Endless has no method __len__: a data set"),
    ],
)
def test_what_is_no_data_set_of_images_is_named(val, sentence):
    with pytest.raises(ValueError) as error:
        build_splits(dataset({"_target_": f"{HERE}.{val}"}))
    assert str(error.value).startswith(f"{HERE}.{sentence}")


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        (dataset({"_target_": f"{HERE}.Noise", "length": 0}), f"{HERE}.Noise has no images"),
        (dataset(None), "dataset.val is null, give a group of settings with _target_."),
        ({"_target_": f"{HERE}.three"}, f"{HERE}.three gives 3 things, give (train, val)."),
    ],
)
def test_a_part_that_is_empty_or_missing_is_named(node, sentence):
    with pytest.raises(ValueError) as error:
        build_splits(node)
    assert str(error.value).startswith(sentence)


def bare_mask(side: int, rng: np.random.Generator) -> Any:
    return np.ones((side, side), dtype=bool)


def float_mask(side: int, rng: np.random.Generator) -> Region:
    return Region.of_mask(np.ones((side, side)))  # type: ignore[arg-type]


def small_mask(side: int, rng: np.random.Generator) -> Region:
    return Region.of_mask(np.ones((5, 5), dtype=bool))


def empty_mask(side: int, rng: np.random.Generator) -> Region:
    return Region.of_mask(np.zeros((side, side), dtype=bool))


def simulation(region: Any) -> EditSimulation:
    return EditSimulation(SIDE, DRIVER_SIDE, CentreView(), region, DriverCrop())


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(
    ("sampler", "sentence"),
    [
        (bare_mask, "bare_mask gives bool of shape (32, 32), give a Region of 32 × 32 pixels"),
        (float_mask, "float_mask fails: The mask of a region is float64 of shape (32, 32), give"),
        (small_mask, "small_mask gives bool of shape (5, 5), give a Region of 32 × 32 pixels"),
        (empty_mask, "empty_mask fails: The mask marks no pixel, paint"),
    ],
)
def test_what_is_no_region_is_named(sampler, sentence, mixed):
    region = Mixed({"mine": sampler}, {"mine": 1.0}) if mixed else sampler
    with pytest.raises(ValueError) as error:
        simulation(region).place(np.random.default_rng(0))
    assert f"{HERE}.{sentence}" in str(error.value)


def forgetful(side: int) -> Region:
    raise NotImplementedError


def test_what_cannot_be_called_is_refused_before_it_is():
    sampler: Any = forgetful
    for build in (simulation, lambda region: Mixed({"a": region}, {"a": 1.0})):
        with pytest.raises(ValueError, match=r"forgetful cannot be called with \(side, rng\): too"):
            build(sampler)
    with pytest.raises(ValueError, match=r"int cannot be called with \(driver, rng\): 90 is not"):
        require_call(90, "driver", "rng")


@dataclass(frozen=True)
class UniformConfig:
    codebook_size: int | None = None


@register("tests.uniform", UniformConfig)
class Uniform(TokenModel):
    """Gives a tensor where a TokenNLL is due, and one sample where more are."""

    def __init__(self, config: Any, layout: Any) -> None:
        super().__init__()
        self.config, self.layout = config, layout
        self.table = nn.Parameter(torch.zeros(CODES))

    def nll(self, tokens: Any) -> Any:
        return torch.zeros(())

    def sample(self, conditioning: Any, **how: Any) -> Any:
        return conditioning.source_ids


@dataclass(frozen=True)
class TakenConfig(UniformConfig): ...


@register("tests.taken", TakenConfig)
class Taken(Uniform):
    def __init__(self, config: Any, layout: Any) -> None:
        super().__init__(config, layout)
        self.logits = nn.Parameter(torch.zeros(CODES))  # type: ignore[assignment, method-assign]


def editor(config: Any) -> Editor:
    return Editor(tiny_tokenizer(), tiny_tokenizer(DRIVER_SIDE), config, DRIVER_SIDE)


def test_what_a_token_model_gives_is_named():
    ids = torch.zeros(2, 16, dtype=torch.long)
    with pytest.raises(ValueError, match=r"Uniform.sample gives torch.int64 of shape \(2, 16\),"):
        editor(UniformConfig()).sample(ids[:, :4], ids, num_samples=3)
    tokens = EditTokens(ids[:, :4], ids, ids, ids > 0)
    with pytest.raises(ValueError, match=r"Uniform.nll gives torch.float32 .* give a TokenNLL"):
        editor(UniformConfig()).nll(tokens)


def test_a_name_that_token_models_have_taken_is_told():
    with pytest.raises(ValueError, match=r"Taken calls a parameter or module .*'logits' already"):
        editor(TakenConfig())


@pytest.mark.parametrize("network", [Uniform, GPT])
def test_a_network_in_the_place_of_its_config_is_told(network):
    with pytest.raises(
        ValueError, match=f"which is the network: give its config, .*{network.__name__}Config"
    ):
        check_names_config(network)
    check_names_config(UniformConfig)


def failing(items: list[Any]) -> Any:
    raise ValueError("The region is empty.")


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nobody/writes/here"])
def test_where_nothing_can_be_written_is_said(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"^out is .*, and nothing can be written in .*: give"):
        check_writable(tmp_path / place, "out")
    check_writable(tmp_path / "new" / "folder", "out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_a_loader_process_says_is_a_sentence_too():
    with pytest.raises(ValueError) as error:
        next(iter(DataLoader([1], num_workers=1, collate_fn=failing)))  # type: ignore[arg-type]
    assert "Traceback" in str(error.value)
    assert _sentence_of(error.value, "train") == "The region is empty."
