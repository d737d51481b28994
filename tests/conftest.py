"""One thread for every test, quick forking processes, and the catalogue; `build` and `batch` come with CoreGPT."""

import os
import subprocess
from collections.abc import Iterator
from types import SimpleNamespace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from coregpt.lab.execute import pool
from coregpt.lab.laws import foreign
from coregpt.lab.study.registry import Catalogue
from tests.warm import Program

pytest_plugins = ("coregpt.testing",)

HEAVIEST = (
    "plugins/test_laws.py",
    "lab/designs/test_bracketed_study.py",
    "lab/designs/test_fork.py",
    "test_agents.py",
    "test_loop.py",
    "lab/command/test_study.py",
    "cli/test_judge.py",
    "recipes/test_recipes.py",
    "test_cli.py",
    "lab/execute/test_trouble.py",
    "plugins/test_one_graph.py",
    "lab/study/idle/test_known.py",
    "lab/designs/test_match.py",
    "lab/execute/test_launcher.py",
    "lab/execute/test_orphans.py",
    "lab/designs/test_tuning.py",
    "lab/designs/test_looks.py",
    "lab/execute/test_worker.py",
    "lab/execute/test_rerun.py",
    "benchmarks/test_growth_curves.py",
    "test_authoring.py",
)
"""Files that take more than 20 s of a processor, longest first: with one left for the end, a core would wait."""


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False  # pytest-xdist would begin with the file of the most tests


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    place = {config.rootpath / "tests" / name: number for number, name in enumerate(HEAVIEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


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
        started = SimpleNamespace(Popen=Program, DEVNULL=subprocess.DEVNULL, TimeoutExpired=subprocess.TimeoutExpired)
        patch.setattr(pool, "subprocess", started)
        patch.setattr(foreign, "subprocess", started)
        yield


@pytest.fixture(autouse=True)
def _denormals() -> None:
    """A test that sets the process up for training must not round the numbers of the next one to zero."""
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue()
