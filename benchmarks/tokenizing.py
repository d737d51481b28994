"""`python -m benchmarks.tokenizing [FILE ...]`: from text to shards, against what the tokenizer's library does alone.

Texts are FILES or folders of them, else the embedded corpus. A BPE is trained on them; then both sides take turns in
one process: the library encodes the same documents (read, decoded, given to it as many at a time as CoreGPT does, ids
taken as lists), and `coregpt data prepare` makes a folder of shards of them with one process. Bytes have no library, so
their speed is told by itself. Processor time of one thread. Writes `benchmarks/results/tokenizing.{json,md}`.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pages import measured_with, publish, table
from coregpt.text.embedded import embedded
from coregpt.text.pieces import BATCH
from coregpt.text.prepare import Wanted, prepare
from coregpt.text.reading import Reading, documents, find_files, pieces
from coregpt.text.tokenizer import Bytes, Json, Tokenizer
from coregpt.text.training import train

VOCAB, ROUNDS = 4096, 5
GOAL, BYTES_GOAL = 0.9, 10.0
"""Of the library's speed, and MB/s of processor time for bytes."""


@dataclass(frozen=True)
class Speeds:
    """Processor seconds by round, neighbours in time at equal places."""

    size: int
    """Bytes of text."""
    tokens: int
    library: list[float]
    bpe: list[float]
    bytes: list[float]

    @property
    def shares(self) -> list[float]:
        """The library's seconds over CoreGPT's."""
        return [theirs / ours for theirs, ours in zip(self.library, self.bpe, strict=True)]

    @property
    def bytes_speed(self) -> list[float]:
        """MB/s."""
        return [self.size / 1e6 / seconds for seconds in self.bytes]


def alone(tokenizer: Json, paths: Sequence[Path]) -> int:
    """The library's way with the same documents; how many tokens they are."""
    reading, tokens = Reading(), 0
    texts = [each.text for piece in pieces(find_files(paths, reading), reading) for each in documents(piece, reading)]
    for start in range(0, len(texts), BATCH):
        batch = [text.decode() for text in texts[start : start + BATCH]]
        tokens += sum(len(each.ids) for each in tokenizer.inner.encode_batch_fast(batch, add_special_tokens=False))
    return tokens


def prepared(tokenizer: Tokenizer, paths: Sequence[Path], folder: Path) -> None:
    """One folder of shards, made by one process."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    prepare(paths, out, tokenizer, Wanted(held_out=0.1, select=0.1), lambda line: None)


def measure(paths: Sequence[Path], folder: Path, rounds: int = ROUNDS, vocab: int = VOCAB) -> Speeds:
    """Both sides in turns, after one call of each that does not count."""
    tokenizer, _ = train(paths, vocab, "gpt4", Reading(), lambda line: None)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    size = sum(file.size for file in find_files(paths, Reading()))
    tokens = alone(tokenizer, paths)
    sides: list[tuple[list[float], Callable[[], object]]] = [
        ([], lambda: alone(tokenizer, paths)),
        ([], lambda: prepared(tokenizer, paths, folder)),
        ([], lambda: prepared(Bytes(), paths, folder)),
    ]
    for turn in range(rounds + 1):
        for seconds, side in sides:
            began = time.process_time()
            side()
            if turn:
                seconds.append(time.process_time() - began)
    return Speeds(size, tokens, *(seconds for seconds, _ in sides))


def page(found: Speeds) -> list[str]:
    """For reading."""
    rows = [
        ("the library alone", _span([found.size / 1e6 / each for each in found.library], 2), "1"),
        ("`data prepare`, BPE", _span([found.size / 1e6 / each for each in found.bpe], 2), _span(found.shares, 3)),
        ("`data prepare`, bytes", _span(found.bytes_speed, 1), ""),
    ]
    kept = statistics.median(found.shares) >= GOAL and statistics.median(found.bytes_speed) >= BYTES_GOAL
    return [
        "# From text to shards",
        "",
        measured_with(),
        "",
        f"{found.size / 1e6:.1f} MB of text, {found.tokens:,} tokens of a BPE of {VOCAB:,} ids that was trained on it. "
        "Reading, checking, tokens, hashes, the check of bytes, index, split and shards are in CoreGPT's seconds; "
        "reading, decoding and the library in the other's. Processor time of one process; median of "
        f"{len(found.bpe)} rounds in turns, smallest and largest in brackets.",
        "",
        *table("what|MB/s of processor time|of the library's speed", rows),
        "",
        f"Wanted: {GOAL} of the library's speed, {BYTES_GOAL:.0f} MB/s for bytes: {'kept' if kept else 'NOT KEPT'}.",
    ]


def _span(values: Sequence[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options.files or [embedded()], Path(folder), options.rounds)
    record = {"size": found.size, "tokens": found.tokens, "library": found.library, "bpe": found.bpe}
    publish("tokenizing", page(found), {**record, "bytes": found.bytes})


if __name__ == "__main__":
    main()
