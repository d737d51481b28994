"""From pieces to a folder: which document goes where, and the shards, index and notes that say so.

Documents go by the hash of their text, so that one keeps its stream whatever is added elsewhere and equal texts are
never in two streams. Training documents stay in the order of the files; `select` and `held_out` are in the order of
hashes, so that the first tokens of them, which are evaluated, are from everywhere.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from coregpt.contract.errors import DataError
from coregpt.engine.data.shards import header
from coregpt.engine.data.source import SELECT_SHARE
from coregpt.text.pieces import Index, Place

TRAIN, SELECT, HELD_OUT = "train", "select", "held_out"
SHARD = 100_000_000
"""Tokens of a shard, as in the published ones."""
LARGEST_SHARE = 0.01
"""A larger share of all bytes always trains: evaluation should span many documents."""
DOCUMENTS = "documents.jsonl"


@dataclass(frozen=True)
class Corpus:
    """Every document of a job as columns, in the order of the files."""

    names: list[str]
    hashes: list[str]
    piece: NDArray[np.int64]
    start: NDArray[np.int64]
    """First token in the piece."""
    tokens: NDArray[np.int64]
    bytes: NDArray[np.int64]
    astray: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Split:
    """Numbers of the documents of each stream, in its order."""

    train: NDArray[np.int64]
    select: NDArray[np.int64]
    held_out: NDArray[np.int64]
    repeated: int
    """Documents whose text stands earlier as well."""
    dropped: int

    def streams(self) -> dict[str, NDArray[np.int64]]:
        return {TRAIN: self.train, SELECT: self.select, HELD_OUT: self.held_out}


def gather(places: Sequence[Place]) -> Corpus:
    """All indices as one."""
    found = [place.read_index() for place in places]
    tokens = [np.asarray(index.tokens, dtype=np.int64) for index in found]
    return Corpus(
        [name for index in found for name in index.names],
        [digest for index in found for digest in index.hashes],
        np.repeat(np.arange(len(found)), [len(each) for each in tokens]),
        np.concatenate([np.cumsum(each) - each for each in tokens]) if found else np.empty(0, np.int64),
        np.concatenate(tokens) if found else np.empty(0, np.int64),
        _column(found, "bytes", np.int64),
        _column(found, "astray", np.bool_),
    )


def _column(found: Sequence[Index], name: str, kind: Any) -> NDArray[Any]:
    return np.concatenate([np.asarray(getattr(index, name), dtype=kind) for index in found]) if found else np.empty(0)


def split(corpus: Corpus, held_out: float, select: float, once: bool) -> Split:
    """Shares of the documents by hash; `once` drops those whose text stands earlier.

    Raises DataError where a stream would be empty.
    """
    digests = np.array([[int(each[:16], 16), int(each[16:], 16)] for each in corpus.hashes], dtype=np.uint64)
    digests = digests.reshape(len(corpus), 2)
    _, firsts = np.unique(digests, axis=0, return_index=True)
    repeated = len(corpus) - len(firsts)
    kept = np.sort(firsts) if once else np.arange(len(corpus))
    place = digests[:, 0] / 2.0**64
    small = corpus.bytes <= LARGEST_SHARE * corpus.bytes.sum()
    apart = [kept[small[kept] & (place[kept] >= low) & (place[kept] < high)] for low, high in _bounds(held_out, select)]
    held, chosen = (each[np.lexsort((digests[each, 1], digests[each, 0]))] for each in apart)
    # The engine keeps at most one training token of so many for `select`.
    rest = np.setdiff1d(kept, held)
    room = int(corpus.tokens[rest].sum()) // SELECT_SHARE
    chosen = chosen[np.cumsum(corpus.tokens[chosen]) <= room]
    train = np.setdiff1d(rest, chosen)
    if not len(held) or not len(chosen) or not len(train):
        raise DataError(_too_few(len(kept), int(small[kept].sum())))
    return Split(train, chosen, held, repeated, len(corpus) - len(kept))


def _too_few(documents: int, small: int) -> str:
    """Why so many documents cannot be split, of which so many are small enough to be judged by, and what helps."""
    if not documents:
        return "there is no text in these files: all of it is white space"
    large = f"documents of more than {LARGEST_SHARE:.0%} of all bytes always train"
    where = "say with --separator what stands between two documents of a text file, such as '\\n\\n'"
    if not small:
        of = "1 document" if documents == 1 else f"{documents:,} documents"
        return f"of {of} none is left to judge by, because {large}; {where}, or give more documents"
    return (
        f"{documents:,} documents are too few to be split into training, select and held-out text ({large}); "
        f"{where}, or raise --held-out and --select"
    )


def _bounds(held_out: float, select: float) -> tuple[tuple[float, float], tuple[float, float]]:
    return (0, held_out), (held_out, held_out + select)


def write_shards(
    folder: Path, places: Sequence[Place], corpus: Corpus, parts: Split, kind: np.dtype[Any]
) -> list[Path]:
    """`train_*.bin`, whose end is `select`, and `val_*.bin`; their paths."""
    training = np.concatenate([parts.train, parts.select])
    written = [*_write(folder, TRAIN, places, corpus, training, kind)]
    return [*written, *_write(folder, "val", places, corpus, parts.held_out, kind)]


def _write(
    folder: Path, name: str, places: Sequence[Place], corpus: Corpus, which: NDArray[np.int64], kind: np.dtype[Any]
) -> Iterator[Path]:
    """Full shards and a last one; documents that lie side by side are copied as one stretch."""
    opened: dict[int, NDArray[Any]] = {}
    file: BinaryIO | None = None
    path, count, number = folder, 0, 0
    for piece, start, stop in _stretches(corpus, which):
        if piece not in opened:
            opened = {piece: places[piece].read_tokens(kind)}
        tokens = opened[piece][start:stop]
        while len(tokens):
            if file is None:
                path, count = folder / f"{name}_{number:06d}.bin", 0
                file = open(path, "wb")  # noqa: SIM115 - closed when it is full, or below
                file.write(header(0, kind.itemsize == 4))
            part, tokens = tokens[: SHARD - count], tokens[SHARD - count :]
            file.write(part.tobytes())
            count += len(part)
            if count == SHARD:
                yield _close(file, path, count, kind)
                file, number = None, number + 1
    if file is not None:
        yield _close(file, path, count, kind)


def _close(file: BinaryIO, path: Path, count: int, kind: np.dtype[Any]) -> Path:
    file.seek(0)
    file.write(header(count, kind.itemsize == 4))
    file.close()
    return path


def _stretches(corpus: Corpus, which: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """(piece, first token, end) of documents in their order; neighbours in a piece are one."""
    if not len(which):
        return
    breaks = np.flatnonzero((np.diff(which) != 1) | (np.diff(corpus.piece[which]) != 0)) + 1
    for run in np.split(which, breaks):
        first, last = run[0], run[-1]
        yield int(corpus.piece[first]), int(corpus.start[first]), int(corpus.start[last] + corpus.tokens[last])


def write_documents(folder: Path, corpus: Corpus, parts: Split) -> Path:
    """One JSON line a document: stream, first token in it, tokens, bytes and name."""
    path = folder / DOCUMENTS
    with open(path, "w", encoding="utf-8") as file:
        for stream, which in parts.streams().items():
            starts = np.cumsum(corpus.tokens[which]) - corpus.tokens[which]
            for start, number in zip(starts.tolist(), which.tolist(), strict=True):
                row = [stream, start, int(corpus.tokens[number]), int(corpus.bytes[number]), corpus.names[number]]
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
