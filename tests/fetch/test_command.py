"""The command in processes of its own, with nothing of huggingface_hub replaced, against a hub on loopback."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from coregpt.contract.errors import DataError
from coregpt.fetch import fetch_fineweb
from coregpt.fetch.sets import SETS

from .conftest import TRAIN, VAL, shard
from .hub import Hub

PIECE = 10 * 2**20  # what huggingface_hub receives before it writes


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    files = {VAL: shard(tmp_path, 0, 40_000), TRAIN: shard(tmp_path, 1, 15 * 2**20)}
    with Hub(SETS["fineweb10B"].repository, files).serving() as running:
        yield running


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """What is written to the second can be read from the first."""
    ends = os.openpty()
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def command(hub: Hub, terminal: tuple[int, int], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": "stale"}
    arguments = [sys.executable, "-m", "coregpt.cli", "data", "fetch", "fineweb10B"]
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=terminal[1], text=True) as process:
        yield process
        process.kill()


def test_it_asks_for_the_shards_only_and_says_plain_lines(hub, folder, terminal, command, tmp_path):
    out, _ = command.communicate(timeout=120)
    os.write(terminal[1], b"END")
    assert os.read(terminal[0], 10_000) == b"END"  # no bars
    assert command.returncode == 0
    assert out.splitlines() == [
        f"{VAL}: 0 of 0 MB",
        f"{VAL}: complete",
        f"{TRAIN}: 10 of 31 MB",
        f"{TRAIN}: complete",
        f"2 shards are in {folder}; use them with  data: {{source: fineweb10B}}",
    ]
    paths = [hub.folder + name for name in (VAL, TRAIN)]
    assert hub.asked == [f"{method} {path}" for path in paths for method in ("HEAD", "GET")]
    assert hub.tokens == []
    assert not (tmp_path / "hf").exists()
    assert sorted(os.listdir(folder)) == [".fetch.lock", TRAIN, VAL]


def test_a_second_fetch_is_turned_away_and_a_killed_one_is_resumed_by_the_next(hub, folder, command):
    hub.faults[TRAIN] = ["hold"]
    part = folder / (TRAIN + ".part")
    deadline = time.monotonic() + 120
    while not (part.exists() and part.stat().st_size >= PIECE):
        assert time.monotonic() < deadline
        assert command.poll() is None, command.communicate()
        time.sleep(0.02)
    with pytest.raises(DataError, match="another process is fetching"):
        fetch_fineweb(folder, 1, hub.url, lambda line: None)
    command.kill()
    command.wait()
    assert not (folder / TRAIN).exists()
    hub.served.clear()
    fetch_fineweb(folder, 1, hub.url, lambda line: None)
    assert (folder / TRAIN).read_bytes() == hub.files[TRAIN]
    assert hub.starts(TRAIN) == [0, PIECE]
    assert hub.served == {TRAIN: len(hub.files[TRAIN]) - PIECE}
