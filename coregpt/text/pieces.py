"""One piece of work: its documents as tokens in a file, and an index of them. Any process can do it, once or again."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coregpt.engine.data import replacing
from coregpt.text.reading import Document, Piece, Reading, documents
from coregpt.text.tokenizer import BYTES, Tokenizer

BATCH = 256
"""Documents that are given to a tokenizer at once."""


@dataclass(frozen=True)
class Index:
    """The documents of a piece, in their order."""

    names: list[str]
    hashes: list[str]
    """First 32 hexadecimal digits of the sha256 of the text."""
    tokens: list[int]
    """How many, the separator included."""
    bytes: list[int]
    """Of the text."""
    astray: list[bool]
    """Whether its tokens are not its text."""


@dataclass(frozen=True)
class Place:
    """The two files of a piece. The index is written last: if it is there, both are whole."""

    folder: Path
    number: int

    @property
    def tokens(self) -> Path:
        return self.folder / f"{self.number:06d}.tokens"

    @property
    def index(self) -> Path:
        return self.folder / f"{self.number:06d}.json"

    def read_index(self) -> Index:
        return Index(**json.loads(self.index.read_bytes()))

    def read_tokens(self, kind: np.dtype[Any]) -> NDArray[Any]:
        return np.memmap(self.tokens, dtype=kind, mode="r") if self.tokens.stat().st_size else np.empty(0, kind)


def width(vocab: int) -> np.dtype[Any]:
    """The type of a token in a file."""
    return np.dtype("<u2") if vocab <= 2**16 else np.dtype("<u4")


def share_of(digest: str) -> float:
    """Where a hash lies between the smallest, 0, and the largest, 1: what decides a document's stream."""
    return float(np.uint64(int(digest[:16], 16)) / 2.0**64)


class Work:
    """What every piece of a job needs. It is sent to each process once.

    `judged`: documents whose hash lies below this share are in a stream to judge by, if they are small enough.
    """

    def __init__(self, tokenizer: Tokenizer, reading: Reading, folder: Path, judged: float):
        self.tokenizer, self.reading, self.folder, self.judged = tokenizer, reading, folder, judged
        self.kind = width(tokenizer.vocab)
        self.sizes = np.asarray(tokenizer.token_bytes(), dtype=np.int64)

    def __call__(self, number: int, piece: Piece) -> int:
        """Write a piece, unless it is there; bytes of its files. Raises DataError, naming file and place."""
        place = Place(self.folder, number)
        if not place.index.exists():
            self._write(place, documents(piece, self.reading))
        return piece.size

    def _write(self, place: Place, texts: Iterator[Document]) -> None:
        index = Index([], [], [], [], [])
        with replacing(place.tokens) as file:
            while batch := list(islice(texts, BATCH)):
                for document, ids in zip(batch, self.tokenizer.encode([each.text for each in batch]), strict=True):
                    self._note(index, document, ids)
                    if self.tokenizer.separator is not None:
                        file.write(self.kind.type(self.tokenizer.separator).tobytes())
                    file.write(ids.astype(self.kind).tobytes())
        with replacing(place.index) as file:
            file.write(json.dumps(asdict(index)).encode())

    def _note(self, index: Index, document: Document, ids: NDArray[Any]) -> None:
        index.names.append(document.name)
        index.hashes.append(hashlib.sha256(document.text).hexdigest()[:32])
        index.tokens.append(len(ids) + (self.tokenizer.separator is not None))
        index.bytes.append(len(document.text))
        index.astray.append(self.tokenizer.name != BYTES and not self._exact(index.hashes[-1], document, ids))

    def _exact(self, digest: str, document: Document, ids: NDArray[Any]) -> bool:
        """Whether the tokens are the text, to the byte where it may be judged by; elsewhere their number is enough."""
        if int(self.sizes[ids].sum()) != len(document.text):
            return False
        return share_of(digest) >= self.judged or self.tokenizer.decode(ids.tolist()) == document.text
