"""Shapes and types in signatures are checked at run time in every test."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("WANDB_MODE", "offline")

from jaxtyping import install_import_hook

import tests.typecheck  # the hook looks it up by name

install_import_hook("e2eve", f"{tests.typecheck.__name__}.check")

import pytest
import torch

# Of one browser for all folders of tests: a process can drive no second one.
from tests.browser import browser, watched

__all__ = ["browser", "watched"]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
