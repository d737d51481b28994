"""What is in a source: documents and their lengths, tokens, repetitions, and what validation shares with training.

Documents are told apart by the separator. Of a long stream the first tokens are looked at, and how many is said.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coregpt.engine.data import TokenSource, TokenStream
from coregpt.text.tokenizer import Tokenizer
from coregpt.text.words import RUN, run_hashes, shared

PART = 2**22
"""Tokens that are held at once."""
BARS = 24
QUANTILES = (0, 0.25, 0.5, 0.75, 0.95, 1)
SAMPLES = 3
SAMPLE_TOKENS = 60


@dataclass(frozen=True)
class StreamFacts:
    """One stream, or the beginning of it."""

    tokens: int
    of: int
    """How many tokens it has in all."""
    bytes: int
    documents: int
    lengths: dict[str, int]
    """Quantiles of the documents' lengths in tokens, by name."""
    bars: list[tuple[int, int, int]]
    """(from, below, documents): the lengths on a scale of powers of two."""
    repeated: int
    """Documents that are an earlier one of the stream once more, and documents alone: equal tokens."""


@dataclass(frozen=True)
class Overlap:
    """What a stream shares with training."""

    documents: int
    """Whole documents that are also training documents."""
    runs: int
    """Runs of thirteen words in the stream."""
    seen: int
    """Of these, how many stand in the training text as well."""

    @property
    def rate(self) -> float | None:
        return self.seen / self.runs if self.runs else None


@dataclass(frozen=True)
class Inspection:
    """All that is told of a source."""

    source: dict[str, Any]
    streams: dict[str, StreamFacts]
    used_ids: int
    common: list[tuple[int, str, float]]
    """The most common ids of training: id, text, share of all tokens."""
    ranks: list[tuple[int, float]]
    """(rank, share) of training tokens by how common they are, at powers of two."""
    overlap: dict[str, Overlap]
    samples: list[list[str]]
    """Beginnings of validation documents, token by token."""


def inspect(source: TokenSource, tokenizer: Tokenizer, most: int) -> Inspection:
    """Look at up to `most` tokens of every stream."""
    streams = {"train": source.train, "select": source.select, "held_out": source.held_out}
    ids = max(source.vocab, tokenizer.vocab)
    counts = np.zeros(ids, dtype=np.int64)
    facts, digests, runs = {}, {}, {}
    for name, stream in streams.items():
        looked = _Looked(tokenizer, ids, 1 if source.separator is not None else 0)
        for document in documents_of(stream, source.separator, most):
            looked.take(document)
        looked.count()
        facts[name] = looked.facts(len(stream))
        digests[name], runs[name] = looked.digests, looked.runs
        if name == "train":
            counts = looked.counts
    trained = np.unique(np.concatenate(runs["train"] or [np.empty(0, np.uint64)]))
    overlap = {
        name: Overlap(
            sum(digest in digests["train"] for digest in digests[name]),
            sum(len(each) for each in runs[name]),
            sum(shared(trained, each) for each in runs[name]),
        )
        for name in ("select", "held_out")
    }
    return Inspection(
        dict(source.facts()),
        facts,
        int((counts > 0).sum()),
        _common(counts, tokenizer),
        _ranks(counts),
        overlap,
        _samples(source, tokenizer),
    )


def documents_of(stream: TokenStream, separator: int | None, most: int) -> Iterator[NDArray[np.int64]]:
    """Tokens of each document without its separator; of a stream without any, rows of `PART` tokens."""
    left: list[NDArray[np.int64]] = []
    end = min(len(stream), most)
    for start in range(0, end, PART):
        tokens = stream.slice(start, min(PART, end - start))
        if separator is None:
            yield tokens
            continue
        first, *rest = np.split(tokens, np.flatnonzero(tokens == separator))
        left.append(first)
        for part in rest:
            yield from _whole(left)
            left = [part[1:]]
    yield from _whole(left)


def _whole(parts: Sequence[NDArray[np.int64]]) -> Iterator[NDArray[np.int64]]:
    document = np.concatenate(parts) if parts else np.empty(0, np.int64)
    if len(document):
        yield document


class _Looked:
    """Sums over the documents of a stream."""

    def __init__(self, tokenizer: Tokenizer, ids: int, separators: int):
        self.tokenizer, self.separators = tokenizer, separators
        self.counts = np.zeros(ids, dtype=np.int64)
        self.lengths: list[int] = []
        self.digests: set[bytes] = set()
        self.repeated = self.bytes = 0
        self.runs: list[NDArray[np.uint64]] = []
        self.uncounted: list[NDArray[np.int64]] = []
        self.waiting = 0

    def take(self, document: NDArray[np.int64]) -> None:
        text = self.tokenizer.decode(document.tolist())
        digest = hashlib.sha256(document.tobytes()).digest()[:16]
        self.repeated += digest in self.digests
        self.digests.add(digest)
        self.lengths.append(len(document))
        self.bytes += len(text)
        self.runs.append(run_hashes(text))
        self.uncounted.append(document)
        self.waiting += len(document)
        if self.waiting > PART:
            self.count()

    def count(self) -> None:
        """Into `counts`, many documents at a time: each time costs as much as there are ids."""
        if self.uncounted:
            self.counts += np.bincount(np.concatenate(self.uncounted), minlength=len(self.counts))
        self.uncounted, self.waiting = [], 0

    def facts(self, whole: int) -> StreamFacts:
        lengths = np.asarray(self.lengths or [0])
        cuts = np.quantile(lengths, QUANTILES).round().astype(int).tolist()
        names = [{0: "shortest", 0.5: "median", 1: "longest"}.get(q, f"{q:.0%}") for q in QUANTILES]
        powers = np.floor(np.log2(np.maximum(lengths, 1))).astype(int)
        bars = [(2**p, 2 ** (p + 1), int((powers == p).sum())) for p in range(int(powers.min()), int(powers.max()) + 1)]
        tokens = int(np.sum(self.lengths)) + self.separators * len(self.lengths)
        named = dict(zip(names, cuts, strict=True))
        return StreamFacts(tokens, whole, self.bytes, len(self.lengths), named, bars, self.repeated)


def _common(counts: NDArray[np.int64], tokenizer: Tokenizer) -> list[tuple[int, str, float]]:
    whole = max(1, int(counts.sum()))
    order = np.argsort(-counts, kind="stable")[:BARS]
    return [(int(id_), shown(tokenizer, int(id_)), counts[id_] / whole) for id_ in order if counts[id_]]


def _ranks(counts: NDArray[np.int64]) -> list[tuple[int, float]]:
    ranked = np.sort(counts[counts > 0])[::-1] / max(1, int(counts.sum()))
    places = [2**power for power in range(32) if 2**power <= len(ranked)]
    return [(place, float(ranked[place - 1])) for place in sorted({*places, len(ranked)} - {0})]


def _samples(source: TokenSource, tokenizer: Tokenizer) -> list[list[str]]:
    found = []
    for document in documents_of(source.held_out, source.separator, PART):
        found.append([shown(tokenizer, int(id_)) for id_ in document[:SAMPLE_TOKENS]])
        if len(found) == SAMPLES:
            break
    return found


def shown(tokenizer: Tokenizer, id_: int) -> str:
    """A token as letters; bytes that are no whole letter as `\\xe9`."""
    return tokenizer.decode([id_]).decode("utf-8", errors="backslashreplace") if id_ < tokenizer.vocab else f"id {id_}"


__all__ = ["RUN", "Inspection", "Overlap", "StreamFacts", "documents_of", "inspect", "shown"]
