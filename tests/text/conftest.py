"""A small collection of texts, and tokenizers of it; no test reads or writes the user's own cache."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from coregpt.text.reading import Reading
from coregpt.text.tokenizer import Json
from coregpt.text.training import train

WORDS = "the a of river stone café light Straße runs under over 北京 fast slow 12 345 it's we'll".split()  # noqa: SIM905


def text(seed: int, words: int = 120) -> str:
    """A paragraph or two of random words."""
    drawn = np.random.default_rng(seed).choice(WORDS, words)
    lines = [" ".join(drawn[start : start + 12]) for start in range(0, words, 12)]
    return f"Document {seed}.\n" + "\n\n".join(lines) + "\n"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COREGPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("COREGPT_DATA", raising=False)


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 200 documents, one a file."""
    folder = tmp_path_factory.mktemp("texts")
    for seed in range(200):
        (folder / f"{seed:03d}.txt").write_text(text(seed), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def bpe(texts: Path) -> Json:
    return train([texts], 400, "gpt4", Reading(), lambda line: None)[0]


def everything(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def left_in(folder: Path, but: Sequence[str] = ()) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name not in (*but, "cache"))
