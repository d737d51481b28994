"""One thread for every test, and the catalogue; `build` and `batch` are those that CoreGPT ships for all tests."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from coregpt.lab.study.registry import Catalogue

pytest_plugins = ("coregpt.testing",)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _denormals() -> None:
    """A test that sets the process up for training must not round the numbers of the next one to zero."""
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue()
