"""One thread for every test, quick forking processes, and the catalogue; `build` and `batch` come with CoreGPT."""

import os
import subprocess
from collections.abc import Iterator
from types import SimpleNamespace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from coregpt.lab.execute import pool
from coregpt.lab.study.registry import Catalogue
from tests.warm import Program

pytest_plugins = ("coregpt.testing",)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _warm_pools() -> Iterator[None]:
    """Forking processes of launchers that run in a test's own process are forks themselves; see `tests.warm`."""
    if not pool.CAN_FORK:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "subprocess", SimpleNamespace(Popen=Program, DEVNULL=subprocess.DEVNULL))
        yield


@pytest.fixture(autouse=True)
def _denormals() -> None:
    """A test that sets the process up for training must not round the numbers of the next one to zero."""
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue()
