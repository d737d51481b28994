"""The corpus is built once per session; no test reads or writes the user's own cache."""

from pathlib import Path

import pytest

from coregpt.engine.data import TokenSource, pydocs


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COREGPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("COREGPT_DATA", raising=False)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)


@pytest.fixture(scope="session")
def corpus_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = tmp_path_factory.mktemp("corpus")
    pydocs(cache)
    return cache


@pytest.fixture
def corpus(corpus_cache: Path) -> TokenSource:
    return pydocs(corpus_cache)
