"""A hub with three shards at addresses of this machine; no test reads or writes the user's own data."""

from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest

from coregpt.engine.data import write_shard
from coregpt.fetch import fetch_fineweb
from coregpt.fetch import hub as downloads
from coregpt.fetch.sets import SETS

from .hub import Hub

VAL, TRAIN, SECOND = "fineweb_val_000000.bin", "fineweb_train_000001.bin", "fineweb_train_000002.bin"
CHUNK = 2**12


def shard(folder: Path, seed: int, tokens: int) -> bytes:
    """The bytes of a shard of random tokens."""
    path = folder / f"made-{seed}.bin"
    write_shard(path, np.random.default_rng(seed).integers(0, 50257, tokens))
    return path.read_bytes()


@pytest.fixture(autouse=True)
def _own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COREGPT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COREGPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_ENDPOINT", raising=False)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small shards fit small pieces, and nobody waits between attempts: huggingface_hub neither, here in-process."""
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", CHUNK)  # 10 MB for shards of 200 MB
    monkeypatch.setattr(downloads.time, "sleep", lambda seconds: None)


@pytest.fixture
def hub(tmp_path: Path, quick: None) -> Iterator[Hub]:
    files = {name: shard(tmp_path, seed, 40_000) for seed, name in enumerate((VAL, TRAIN, SECOND))}
    with Hub(SETS["fineweb10B"].repository, files).serving() as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "fineweb10B"


@pytest.fixture
def run(hub: Hub, folder: Path) -> Callable[..., list[str]]:
    """`run(shards=2)` fetches in this process and gives the lines said."""

    def fetch(shards: int = 1) -> list[str]:
        lines: list[str] = []
        fetch_fineweb(folder, shards, hub.url, lines.append)
        return lines

    return fetch
