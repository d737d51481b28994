"""`coregpt data prepare`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from coregpt.cli.screen import say, table
from coregpt.contract.errors import DataError
from coregpt.engine.data import open_folder
from coregpt.text.embedded import with_embedded
from coregpt.text.folder import refusal
from coregpt.text.foreign import Format, convert
from coregpt.text.prepare import Prepared, Wanted, prepare
from coregpt.text.reading import Reading
from coregpt.text.tokenizer import BYTES, open_tokenizer


def prepare_text(
    inputs: Sequence[Path],
    out: Path,
    tokenizer: str | None,
    reading: Reading,
    shares: tuple[float, float],
    once: bool,
    jobs: int | None,
) -> int:
    wanted = Wanted(reading, *shares, once, jobs or _cores())
    made = prepare(with_embedded(inputs), out, open_tokenizer(tokenizer or BYTES), wanted, say)
    if made is not None:
        _tell(made)
    _tell_use(out)
    return 0


def convert_tokens(inputs: Sequence[Path], out: Path, tokenizer: str | None, form: str) -> int:
    if tokenizer is None:
        raise DataError("--format with token files: say with --tokenizer what their ids mean, such as --tokenizer gpt2")
    _tell_use(convert(inputs, out, open_tokenizer(tokenizer), cast(Format, form)))
    return 0


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _tell(made: Prepared) -> None:
    corpus, rows = made.corpus, [("stream", "documents", "tokens", "MB", "bytes/token")]
    for name, which in made.parts.streams().items():
        tokens, size = int(corpus.tokens[which].sum()), int(corpus.bytes[which].sum())
        rows.append((name, f"{len(which):,}", f"{tokens:,}", f"{size / 1e6:,.1f}", f"{size / tokens:.2f}"))
    for line in table(rows):
        say(line)
    if made.parts.repeated:
        what = "left out" if made.parts.dropped else "kept; --once leaves them out"
        say(f"{made.parts.repeated:,} documents repeat an earlier one, {what}")
    if made.astray:
        judged = len(made.parts.select) + len(made.parts.held_out)
        say(f"bits per byte {refusal(made.astray, judged)}")
    size = corpus.bytes.sum() / 1e6
    say(f"{size:,.0f} MB in {made.seconds:.1f} s, {size / made.seconds:.1f} MB/s")


def _tell_use(out: Path) -> None:
    source = open_folder(out)
    say(f"use it with  data: {{source: {out}}}  and  model: {{vocab: {source.vocab}}}  or more")
