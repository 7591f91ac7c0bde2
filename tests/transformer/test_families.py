"""A family of token models needs no more than the protocol: editors train, draw, save and open."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from e2eve.conditioning import EditBatch, EditInputs
from e2eve.editor import Editor
from e2eve.transformer import (
    GPTConfig,
    GPTSampling,
    MaskedConfig,
    SamplingSettings,
    SequenceLayout,
    build_token_model,
    config_from_description,
    register,
)
from tests.factories import CODES, DRIVER_SIDE, SIDE, random_images, tiny_editor, tiny_tokenizer
from tests.transformer.outside_family import Outside, OutsideConfig, OutsideSampling


def outside_editor() -> Editor:
    source, driver = tiny_tokenizer(), tiny_tokenizer(DRIVER_SIDE)
    return Editor(source, driver, OutsideConfig(), DRIVER_SIDE).eval()


def region_editor() -> Editor:
    return tiny_editor(targets="region")


def masked_editor() -> Editor:
    source, driver = tiny_tokenizer(), tiny_tokenizer(DRIVER_SIDE)
    config = MaskedConfig(layers=2, heads=2, width=32)
    return Editor(source, driver, config, DRIVER_SIDE).eval()


def inputs(count: int = 3) -> EditInputs:
    regions = torch.zeros(count, 1, SIDE, SIDE, dtype=torch.bool)
    regions[:, :, 9:25, 9:23] = True  # cells 1 and 2 of rows 1 to 3
    return EditInputs(random_images(count), regions, random_images(count, DRIVER_SIDE))


def batch(count: int = 3) -> EditBatch:
    boxes = torch.zeros(count, 4, dtype=torch.long)
    return EditBatch(*inputs(count), boxes, boxes)


@pytest.fixture(params=[tiny_editor, region_editor, masked_editor, outside_editor])
def editor(request: pytest.FixtureRequest) -> Editor:
    torch.manual_seed(0)
    return request.param()


def test_batches_have_one_shape_where_a_family_says_so(editor):
    """Else compiled code would be made anew for nearly each of them."""
    large, small = batch(), batch()
    small.regions[:, :, :17] = False
    shapes: list[list[torch.Size]] = []
    editor.transformer.register_forward_pre_hook(
        lambda module, given: shapes.append([part.shape for part in flat(given)])
    )
    for edits in (large, small):
        editor.nll(edits)
    assert (shapes[0] == shapes[1]) == editor.transformer.one_shape


def flat(given: Any) -> list[torch.Tensor]:
    """The tensors of nested tuples."""
    return [given] if isinstance(given, torch.Tensor) else [x for part in given for x in flat(part)]


def test_a_step_lowers_the_loss(editor):
    optimizer = torch.optim.SGD(editor.transformer.parameters(), lr=0.01)
    edits = batch()
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = editor.nll(edits).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]


def test_means_are_over_predicted_tokens_of_each_input(editor):
    nll = editor.nll(inputs())
    cells, predicted = nll.region_cells, nll.predicted
    predicted = torch.ones_like(cells) if predicted is None else predicted
    assert torch.allclose(nll.loss, nll.per_token[predicted].mean())
    for n, row in enumerate(nll.per_token):
        for cells_of, mean in ((cells, nll.inside_by_input), (~cells, nll.outside_by_input)):
            expected = row[cells_of[n] & predicted[n]].mean()  # NaN of none
            assert torch.allclose(mean[n], expected, equal_nan=True)
    assert torch.allclose(nll.inside, nll.inside_by_input.mean())


@pytest.mark.parametrize("sampling", [{}, {"guidance": 2.0}, {"temperature": 0.0}, {"top_k": 3}])
def test_a_sample_depends_on_its_seed_and_its_input_only(editor, sampling):
    """Not on the batch, nor on how many samples are asked for."""
    given, settings = inputs(), editor.settings(sampling)
    many = editor.draw(given, num_samples=3, seeds=[5, 6, 7], settings=settings)
    for n, seed in enumerate((5, 6, 7)):
        own = EditInputs(*(part[n : n + 1] for part in given))
        one = editor.draw(own, num_samples=1, seeds=[seed], settings=settings)
        assert torch.allclose(one[0, 0], many[n, 0], atol=1e-5)


def test_preserved_cells_keep_the_tokens_of_the_source(editor):
    settings = editor.settings({"preserve": "tokens"})
    given = inputs()
    conditioning = editor.condition(given, settings)
    ids = editor.sample_ids(conditioning, num_samples=2, seeds=[1, 2, 3], settings=settings)
    source_ids = editor.source_tokenizer.encode(given.sources)
    outside = ~conditioning.region_cells
    for sample in ids.unbind(1):
        assert torch.equal(sample[outside], source_ids[outside])


def test_what_lies_inside_the_region_changes_nothing(editor):
    """No logit of given targets, and no edit: token models read masked sources."""
    before = inputs()
    noise = torch.where(before.regions, random_images(3), before.sources)
    after = before._replace(sources=noise)
    drawn = (editor.draw(each, num_samples=2, seeds=[1, 2, 3]) for each in (before, after))
    assert torch.equal(*drawn)
    tokens, others = editor.tokenize(before), editor.tokenize(after)
    assert not torch.equal(tokens.target_ids, others.target_ids)
    fixed = others._replace(target_ids=tokens.target_ids)
    with torch.no_grad():
        nll = (editor.nll(each).per_token for each in (tokens, fixed))
        assert torch.equal(*nll)


def test_progress_ends_at_all_tokens(editor):
    told: list[int] = []
    editor.draw(inputs(1), num_samples=1, seeds=[0], progress=told.append)
    assert told == sorted(told)
    assert told[-1] == editor.transformer.layout.target


def test_a_bundle_says_the_family_and_opens_as_it_was(editor, tmp_path):
    editor.save_pretrained(tmp_path)
    described = OmegaConf.load(tmp_path / "config.yaml").transformer
    assert described.family == editor.transformer.family
    assert "e2eve" not in (tmp_path / "config.yaml").read_text()
    opened = Editor.from_pretrained(tmp_path)
    given = inputs()
    with torch.no_grad():
        assert torch.equal(opened.nll(given).per_token, editor.nll(given).per_token)
    drawn = (each.draw(given, num_samples=2, seeds=[1, 2, 3]) for each in (opened, editor))
    assert torch.equal(*drawn)


def test_settings_of_one_family_are_refused_by_another():
    gpt, outside = tiny_editor(), outside_editor()
    with pytest.raises(ValueError, match=r'draft is source, and .* "outside" has no such sampling'):
        outside.settings({"draft": "source"})
    with pytest.raises(ValueError, match=r'passes is 2, and .* "gpt" has no such sampling'):
        gpt.settings({"passes": 2})
    both = {"draft": None, "precision": None, "passes": 2}
    assert outside.settings(both) == OutsideSampling(passes=2)
    assert gpt.settings({"precision": None}) == GPTSampling(precision="full")
    assert outside.settings(SamplingSettings(top_k=3)).top_k == 3


def test_a_family_without_logits_says_so():
    editor = outside_editor()
    tokens = editor.tokenize(inputs())
    with pytest.raises(ValueError, match='"outside" have no logits of given targets'):
        editor.logits(*tokens[:3])


def test_the_codebook_is_the_larger_one_of_the_tokenizers():
    small, large = tiny_tokenizer(codebook_size=8), tiny_tokenizer(DRIVER_SIDE)
    for config in (GPTConfig(layers=1, heads=1, width=8), OutsideConfig()):
        editor = Editor(small, large, config, DRIVER_SIDE)
        assert editor.transformer.config.codebook_size == CODES


def test_bundles_from_before_there_were_families_are_gpts():
    shape: dict[str, Any] = {"layers": 1, "heads": 1, "width": 8, "codebook_size": 4}
    assert config_from_description(shape) == GPTConfig(**shape)


def test_an_unknown_family_is_one_sentence(tmp_path):
    """In a process that has not imported it."""
    outside_editor().save_pretrained(tmp_path)
    code = f"from e2eve import Editor; Editor.from_pretrained({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    message = done.stderr.splitlines()[-1]
    assert message.startswith(
        'ValueError: The transformer is of the family "outside", and only gpt'
    )
    assert "import the package that registers it" in message
    assert "--config-dir" in message


FAR_FAMILY = """
from dataclasses import dataclass
from tests.transformer.outside_family import Outside
from e2eve.transformer import register
@dataclass(frozen=True)
class FarConfig:
    width: int = 16
    codebook_size: int | None = None
@register("far", FarConfig)
class Far(Outside): ...
"""


def test_commands_know_the_families_of_their_search_path(tmp_path):
    """A family from beside the working directory; without its file one sentence says so."""
    (tmp_path / "far_family.py").write_text(FAR_FAMILY)
    (tmp_path / "conf/transformer").mkdir(parents=True)
    (tmp_path / "conf/transformer/far.yaml").write_text("_target_: far_family.FarConfig\n")
    (tmp_path / "conf/transformer/wide.yaml").write_text("defaults: [far]\nwidth: 32\n")
    editor = outside_editor()
    editor.transformer.__dict__["family"] = "far"
    editor.save_pretrained(tmp_path / "bundle")
    Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(tmp_path / "a.png")
    given = "model=bundle source=a.png driver=a.png box=[8,8,24,24] num_samples=1".split()

    def edit(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "e2eve.edit", *given, *more]
        paths = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
        env = {**os.environ, "PYTHONPATH": paths}
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )

    done = edit()
    assert done.returncode == 2
    assert 'of the family "far"' in done.stderr + done.stdout
    done = edit("--config-dir=conf")
    assert done.returncode == 0, done.stderr
    (tmp_path / "conf/transformer/lost.yaml").write_text("_target_: nowhere_at_all.Config\n")
    done = edit("--config-dir=conf")
    assert done.returncode == 2
    assert "nowhere_at_all.Config" in done.stderr + done.stdout


def test_two_families_cannot_share_a_name():
    with pytest.raises(ValueError, match='Two transformer families are called "gpt"'):
        register("gpt", OutsideConfig)(Outside)
    assert Outside.family == "outside"


def test_a_config_of_no_family_is_refused():
    with pytest.raises(ValueError, match=r"transformer makes a .*, which no transformer family"):
        build_token_model(_no_family(), SequenceLayout(driver=4, source=16))


def _no_family() -> Any:
    class Stranger(GPTConfig): ...

    return Stranger(codebook_size=4)


def test_a_description_with_unknown_fields_is_one_sentence():
    with pytest.raises(ValueError, match=r'family "gpt" does not fit this version .*experts'):
        config_from_description({"family": "gpt", "experts": 8})


def test_a_family_s_file_stands_beside_the_group(tmp_path: Path):
    """Hydra composes it and the editor is built of it."""
    from e2eve.config import instantiate

    node = OmegaConf.create(
        {"_target_": "tests.transformer.outside_family.OutsideConfig", "width": 8}
    )
    assert instantiate(node) == OutsideConfig(width=8)
