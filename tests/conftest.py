"""One thread for every test, quick forking processes, and the catalogue; `build` and `batch` come with CoreGPT."""

import gc
import os
from collections.abc import Iterator

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from coregpt.lab.execute import pool
from coregpt.lab.study.registry import Catalogue
from tests import warm

pytest_plugins = ("coregpt.testing",)

HEAVIEST = (
    "plugins/test_laws.py",
    "lab/designs/test_bracketed_study.py",
    "lab/records/test_mirror.py",
    "lab/slurm/test_emit.py",
    "recipes/test_recipes.py",
    "lab/designs/test_fork.py",
    "lab/study/idle/test_known.py",
    "test_agents.py",
    "lab/designs/test_looks.py",
    "lab/planning/test_memory.py",
    "lab/designs/test_tuning.py",
    "test_cli.py",
    "lab/slurm/test_stopping.py",
    "lab/test_confirm.py",
    "lab/execute/test_trouble.py",
    "test_loop.py",
    "lab/test_file_plugins.py",
    "lab/planning/test_split.py",
    "cli/test_judge.py",
    "lab/designs/test_sizes.py",
    "lab/slurm/test_jobs.py",
    "lab/execute/test_worker.py",
    "lab/execute/test_orphans.py",
    "lab/execute/test_pool.py",
    "lab/judging/test_named_cheats.py",
    "lab/designs/test_pace.py",
    "lab/designs/test_match.py",
    "lab/planning/test_place.py",
    "trained/test_caching.py",
    "trained/test_exporting.py",
    "lab/designs/test_tuned.py",
    "lab/designs/test_history.py",
    "lab/designs/test_short_baseline.py",
)
"""Files that take more than 20 s of a processor, longest first: with one left for the end, a core would wait."""


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False  # pytest-xdist would begin with the file of the most tests


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    place = {config.rootpath / "tests" / name: number for number, name in enumerate(HEAVIEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


def pytest_collection_finish() -> None:
    """What was imported for all tests stays: no collection need look at it again, and no fork copies it for one."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _warm_pools() -> Iterator[None]:
    """Forking processes of launchers that run in a test's own process are forks themselves; see `tests.warm`."""
    if not pool.CAN_FORK:
        yield
        return
    with pytest.MonkeyPatch.context() as patched:
        warm.patch(patched.setattr)
        yield


@pytest.fixture(autouse=True)
def _denormals() -> None:
    """A test that sets the process up for training must not round the numbers of the next one to zero."""
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return Catalogue()
