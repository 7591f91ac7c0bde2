"""What a user reads when weights are missing, broken or another network's."""

import pickle
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from e2eve.features import build_extractor, build_perceptual
from e2eve.features.frozen import load_strictly, read_weights


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """An empty cache, and a network that is not there."""

    def refuse(*args, **options):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    return tmp_path


def test_missing_weights_say_which_file_from_where_to_where(offline):
    needs = {
        "vgg16-397923af.pth": lambda: build_perceptual("lpips_vgg"),
        "weights-inception-2015-12-05-6726825d.pth": lambda: build_extractor("inception_v3"),
    }
    for file, build in needs.items():
        with pytest.raises(ValueError) as error:
            build()
        message = str(error.value)
        assert file in message and "https://" in message and "`weights`" in message
        assert str(offline / "checkpoints" / file) in message


def test_a_file_in_the_cache_is_used(offline):
    (offline / "checkpoints").mkdir()
    torch.save({}, offline / "checkpoints" / "vgg16-397923af.pth")
    with pytest.raises(ValueError, match=r"another network: 0\.weight is absent there"):
        build_perceptual("lpips_vgg")


def test_both_file_types_are_read(tmp_path):
    state = {"weight": torch.arange(3.0)}
    torch.save(state, tmp_path / "a.pth")
    save_file(state, tmp_path / "a.safetensors")
    for name in ("a.pth", "a.safetensors"):
        assert read_weights(tmp_path / name)["weight"].equal(state["weight"])


def test_files_with_code_or_nonsense_are_refused(tmp_path):
    (tmp_path / "code.pth").write_bytes(pickle.dumps(print, protocol=2))
    (tmp_path / "text.pth").write_text("not weights")
    for name in ("code.pth", "text.pth"):
        with pytest.raises(ValueError, match="no file of plain tensors"):
            read_weights(tmp_path / name)
    with pytest.raises(ValueError, match="There is no weights file at"):
        read_weights(tmp_path / "none.pth")


def test_weights_of_another_network_are_refused_by_name():
    layer = nn.Linear(2, 3)
    with pytest.raises(ValueError, match=r"weight is \(4, 2\) there and \(3, 2\) in Linear"):
        load_strictly(layer, {"weight": torch.zeros(4, 2), "bias": torch.zeros(3)}, "x.pth")
    with pytest.raises(ValueError, match=r"more is \(1,\) there and absent in Linear"):
        load_strictly(layer, layer.state_dict() | {"more": torch.zeros(1)}, "x.pth")
