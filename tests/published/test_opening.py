"""Families are recognised, parts are sorted, and what does not fit is one sentence."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from e2eve.editor import Editor
from e2eve.published import Preset, Published, write_published
from e2eve.published.checkpoints import take_apart
from e2eve.published.conversion import editor_state
from e2eve.published.names import tokenizer_to_published
from e2eve.tokenizers import Tokenizer
from e2eve.transformer import GPTConfig, MaskedConfig, TokenModelConfig
from tests.factories import DRIVER_SIDE, SIDE, random_ids, tiny_editor, tiny_tokenizer
from tests.published_files import SIZES, plain_editor, plain_tokenizer

Weights = dict[str, Tensor]
LOSSES = {
    "loss.discriminator.main.0.weight": torch.ones(2),
    "perceptual_loss.vgg.weight": torch.ones(2),
    "inception.fc.weight": torch.ones(2),
    "val_fid.real_sum": torch.ones(2),
    "first_stage_model.loss.perceptual_loss.lin0.weight": torch.ones(2),
}


@pytest.fixture
def save(tmp_path) -> Callable[..., str]:
    def write(weights: Weights, name: str = "editor.pth") -> str:
        torch.save({"state_dict": weights}, tmp_path / name)
        return str(tmp_path / name)

    return write


@pytest.fixture
def weights() -> Weights:
    """An editor with two tokenizers, by published names."""
    return editor_state(plain_editor())


def published(**changes) -> Published:
    return Published(Preset(), SIZES, **changes)


def part(weights: Weights, name: str) -> Weights:
    return {n.removeprefix(f"{name}."): w for n, w in weights.items() if n.startswith(f"{name}.")}


@pytest.mark.parametrize("shared", [True, False])
def test_an_editor_opens_with_its_tokenizers(save, shared):
    editor = plain_editor(shared)
    opened = published().open(save({**editor_state(editor), **LOSSES})).network
    assert isinstance(opened, Editor)
    assert opened.shared is shared
    assert not opened.training
    ids = random_ids(2, 4), random_ids(2, 16), random_ids(2, 16)
    assert torch.equal(opened.logits(*ids), editor.logits(*ids))
    for name, value in editor.state_dict().items():
        assert torch.equal(opened.state_dict()[name], value), name
    assert (opened.image_size, opened.driver_size, opened.transformer.config.positions) == (
        32,
        16,
        38,
    )


def test_a_tokenizer_opens_alone(save):
    tokenizer = plain_tokenizer()
    file = save({**tokenizer_to_published(tokenizer.state_dict()), "loss.logvar": torch.ones(1)})
    opened = published().open(file)
    assert isinstance(opened.network, Tokenizer)
    assert opened.skipped == {"loss.…": 1}
    for name, value in tokenizer.state_dict().items():
        assert torch.equal(opened.network.state_dict()[name], value), name


def test_what_is_left_out_is_counted(save, weights):
    skipped = published().open(save({**weights, **LOSSES})).skipped
    again = len(part(weights, "cond_stage2_model"))
    assert skipped == {
        "loss.…": 2,
        "perceptual_loss.…": 1,
        "inception.…": 1,
        "val_fid.…": 1,
        "attention masks": 2,
        "cond_stage2_model.… (is first_stage_model.…)": again,
    }


def test_further_parts_are_left_out_on_request(save, weights):
    file = save({**weights, "helper.weight": torch.ones(1)})
    with pytest.raises(ValueError, match=r"parts of an unknown kind \(helper\): say skip=\[hel"):
        published().open(file)
    assert published(skip=["helper"]).open(file).skipped["helper.…"] == 1


@pytest.mark.parametrize("prefix", ["module.", "model.", "model.module.", "net."])
def test_prefixes_of_wrappers_are_stripped(save, weights, prefix):
    file = save({f"{prefix}{name}": value for name, value in {**weights, **LOSSES}.items()})
    assert published().open(file).kind == "editor"


def test_compiled_parts_are_unwrapped(weights):
    tokenizer = part(weights, "first_stage_model")
    wrapped = {n.replace("encoder.", "encoder._orig_mod."): w for n, w in tokenizer.items()}
    assert take_apart(wrapped, "x").source.keys() == tokenizer.keys()


def test_half_precision_becomes_single(save, weights):
    halves = {name: value.half() for name, value in weights.items()}
    opened = published().open(save(halves)).network
    assert {value.dtype for value in opened.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("bare", [True, False])
def test_tokenizers_may_be_given_apart(save, weights, bare, tmp_path):
    transformer = part(weights, "transformer")
    if not bare:
        transformer = {f"transformer.{name}": value for name, value in transformer.items()}
    driver = save(part(weights, "cond_stage_model"), "driver.ckpt")
    source = plain_tokenizer().save_pretrained(tmp_path / "bundle")
    apart = published(source_tokenizer=str(source), driver_tokenizer=driver)
    opened = apart.open(save(transformer)).network
    assert isinstance(opened, Editor)
    expected = plain_tokenizer_of(source)
    assert not opened.shared
    assert opened.driver_tokenizer.image_size == DRIVER_SIDE
    for name, value in expected.items():
        assert torch.equal(opened.source_tokenizer.state_dict()[name], value)
    for name, value in tokenizer_to_published(opened.driver_tokenizer.state_dict()).items():
        assert torch.equal(weights[f"cond_stage_model.{name}"], value)


def plain_tokenizer_of(bundle: Path) -> Weights:
    return Tokenizer.from_pretrained(bundle).state_dict()


def test_the_same_tokenizer_given_twice_is_shared(save, weights):
    file = save(part(weights, "first_stage_model"), "vqgan.ckpt")
    apart = published(source_tokenizer=file, driver_tokenizer=file)
    opened = apart.open(save(part(weights, "transformer"))).network
    assert isinstance(opened, Editor)
    assert opened.shared


def test_the_source_tokenizer_is_read_under_either_of_its_names(save, weights):
    drop("first_stage_model")(weights)
    assert published().open(save(weights)).kind == "editor"


def change(**new: Tensor | None) -> Callable[[Weights], None]:
    """Set weights of the transformer, or remove them."""

    def apply(weights: Weights) -> None:
        for name, value in new.items():
            full = f"transformer.{name.replace('__', '.')}"
            weights.pop(full) if value is None else weights.update({full: value})

    return apply


def drop(beginning: str | tuple[str, ...]) -> Callable[[Weights], None]:
    def apply(weights: Weights) -> None:
        for name in [n for n in weights if n.startswith(beginning)]:
            del weights[name]

    return apply


def add_one(name: str) -> Callable[[Weights], None]:
    return lambda weights: weights.update({name: weights[name] + 1})


def attend_at_the_finest(weights: Weights) -> None:
    for name in part(weights, "cond_stage_model.encoder.down.3.attn"):
        tail = f"attn.{name}"
        moved = weights[f"cond_stage_model.encoder.down.3.{tail}"]
        weights[f"cond_stage_model.encoder.down.0.{tail}"] = moved


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (change(head__weight=None), r"do not fit the network: 1 missing \(head.weight\)"),
        (change(extra=torch.ones(1)), r"1 unexpected \(extra\)"),
        (
            change(head__weight=torch.ones(9, 32)),
            r"1 of another shape \(head.weight \(9, 32\) instead of \(32, 32\)\)",
        ),
        (change(tok_emb__weight=None), "has no tok_emb.weight with two or more dimensions"),
        (change(pos_emb=torch.ones(1, 30, 32)), "need 36 positions .* is 30"),
        (change(blocks__0__attn__mask=torch.ones(1, 1, 38, 38)), "attn.mask in .* is not causal"),
        (change(condition_embeddings__weight=None), "without condition_embeddings, so it is no"),
        (drop("cond_stage_model.encoder.mid"), r"\d+ missing \(encoder.mid.attn_1.k.bias, "),
        (drop("first_stage_model.quantize"), "first_stage_model.* has no codebook of vectors"),
        (drop("cond_stage_model"), r"has no driver tokenizer \(cond_stage_model.…\): give driver_"),
        (drop(("first_stage_model", "cond_stage2")), r"has no source tokenizer \(first_stage_"),
        (add_one("cond_stage2_model.quant_conv.bias"), "cond_stage2_model, whose weights differ"),
        (attend_at_the_finest, r"has attention at levels \[0, 3\] of 4, and only the coarsest"),
    ],
)
def test_what_does_not_fit_is_one_sentence(save, weights, alter, message):
    alter(weights)
    with pytest.raises(ValueError, match=message):
        published().open(save(weights))


@pytest.mark.parametrize("changes", [{"heads": 0}, {"heads": "two"}, {"image_size": 25.6}])
def test_sizes_are_whole_numbers(changes):
    with pytest.raises(ValueError, match="give a whole number from 1 on"):
        Published(Preset(), changes)


def test_a_tokenizer_that_is_not_there_is_one_sentence(save, weights):
    with pytest.raises(ValueError, match=r"There is no file vqgan.ckpt"):
        published(source_tokenizer="vqgan.ckpt").open(save(weights))


def test_other_families_are_one_sentence(save):
    file = save({"conv1.weight": torch.ones(4, 3, 7, 7), "fc.bias": torch.ones(9)})
    with pytest.raises(ValueError, match=r"2 weights .* neither an editor .* nor a VQGAN"):
        published().open(file)


def test_sizes_are_checked_against_the_weights(save, weights):
    file = save(weights)
    with pytest.raises(ValueError, match=r"width 32, and the preset's 16 heads are .*1024"):
        Published(Preset(), {n: v for n, v in SIZES.items() if n != "heads"}).open(file)
    with pytest.raises(ValueError, match=r"8 cells per side where image_size is 64, .* 4 cells"):
        Published(Preset(), {**SIZES, "image_size": 64}).open(file)
    with pytest.raises(ValueError, match=r"driver_size is 64, .*, or driver_attention=8"):
        Published(Preset(), {**SIZES, "driver_size": 64}).open(file)


def test_tokenizers_apart_must_be_tokenizers_of_an_editor(save, weights):
    file = save(weights)
    with pytest.raises(ValueError, match=r"editor.pth is an editor: give a tokenizer as source_"):
        published(source_tokenizer=file).open(file)
    tokenizer = save(part(weights, "first_stage_model"), "vqgan.ckpt")
    with pytest.raises(ValueError, match="belong to an editor's file: leave them out"):
        published(source_tokenizer=tokenizer).open(tokenizer)


def test_a_file_of_ours_says_its_sizes_itself(tmp_path):
    file = write_published(plain_editor(), tmp_path / "editor.ckpt")
    opened = Published(Preset()).open(file).network
    assert isinstance(opened, Editor)
    assert opened.transformer.config.heads == 2
    with pytest.raises(ValueError, match=r"written by e2eve and says .*: leave out image_size, dr"):
        published().open(file)


@pytest.mark.parametrize("shared", [True, False])
def test_published_code_would_load_a_file_of_ours_strictly(tmp_path, shared):
    """Every name of each part is there, masks too, each with numbers of its own."""
    editor = plain_editor(shared)
    file = write_published(editor, tmp_path / "editor.ckpt")
    state = torch.load(file, weights_only=True)["state_dict"]
    mask = state["transformer.blocks.1.attn.mask"]
    assert torch.equal(mask, torch.ones(1, 1, 38, 38).tril())
    source, driver = part(state, "first_stage_model"), part(state, "cond_stage_model")
    assert source.keys() == driver.keys() == part(state, "cond_stage2_model").keys()
    assert all(torch.equal(source[n], driver[n]) for n in source) is shared
    assert all(value.is_contiguous() for value in state.values())
    parameters = sum(p.numel() for p in editor.parameters())
    assert file.stat().st_size < 1.2 * 4 * parameters  # shared and fused weights once


def other_editor(config: TokenModelConfig) -> Editor:
    source = plain_tokenizer()
    return Editor(source, source, config, SIDE)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            lambda: other_editor(MaskedConfig(layers=1, heads=1, width=8)),
            'of the family "masked" and published editors have GPTs',
        ),
        (
            lambda: other_editor(GPTConfig(layers=1, heads=1, width=8, targets="region")),
            "predicts the region only .targets=region. and published ones predict all",
        ),
        (tiny_editor, "source tokenizer has patch=4, channels=8, which published"),
        (lambda: tiny_tokenizer(norm="channel"), "tokenizer has norm=channel, patch=4"),
        (lambda: plain_tokenizer(middle=False), "tokenizer has middle=false"),
    ],
)
def test_networks_without_a_counterpart_are_refused(tmp_path, network, message):
    with pytest.raises(ValueError, match=message):
        write_published(network(), tmp_path / "a.ckpt")
    assert not (tmp_path / "a.ckpt").exists()
