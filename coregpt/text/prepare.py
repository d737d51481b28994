"""`coregpt data prepare`: text to a folder of shards, in parallel, in bounded memory, and from where it was stopped.

Everything is made in a hidden folder beside the one that is asked for, which takes its name at the very end. Pieces
that are whole stay there when it is interrupted, and the same command goes on behind them.
"""

import ctypes
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from coregpt import __version__
from coregpt.contract.errors import DataError
from coregpt.engine.data import alone_in, replacing
from coregpt.text.folder import MANIFEST, write_notes
from coregpt.text.joining import Corpus, Split, gather, split, write_documents, write_shards
from coregpt.text.packed import unpack
from coregpt.text.pieces import Place, Work, width
from coregpt.text.reading import File, Piece, Reading, find_files, pieces
from coregpt.text.tokenizer import Tokenizer

JOB = "job.json"
TELL_S = 2.0
"""Seconds between two lines of progress."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """How a folder is to be made."""

    reading: Reading = field(default_factory=Reading)
    held_out: float = 0.05
    select: float = 0.05
    once: bool = False
    """Drop documents whose text stood earlier."""
    jobs: int = 1


@dataclass(frozen=True)
class Prepared:
    """What came of it."""

    folder: Path
    corpus: Corpus
    parts: Split
    astray: int
    """Documents of `select` and `held_out` whose tokens are not their text."""
    seconds: float


def prepare(inputs: Sequence[Path], out: Path, tokenizer: Tokenizer, wanted: Wanted, say: Say) -> Prepared | None:
    """Make the folder `out`; None if it is there already, made of the same. Raises DataError for text that is none."""
    _refuse_absurd(wanted)
    files = find_files(inputs, wanted.reading)
    job = _job(files, tokenizer, wanted)
    if out.exists():
        if _made_by(out / MANIFEST) == job["digest"]:
            say(f"{out} is there already, made of the same files in the same way")
            return None
        raise DataError(
            f"{out} is there already, and is not what this command makes; choose another --out, or remove it"
        )
    work = out.with_name(f".{out.name}.part")
    work.mkdir(parents=True, exist_ok=True)
    with alone_in(work, ".lock", "writing"):
        _begin(work, job)
        try:
            return _make(files, work, out, tokenizer, wanted, job, say)
        except DataError:  # mended files or other options make another job: no call would go on from here
            shutil.rmtree(work, ignore_errors=True)
            raise


def _refuse_absurd(wanted: Wanted) -> None:
    if not 0 < wanted.held_out < 0.5 or not 0 < wanted.select < 0.5:
        raise DataError("--held-out and --select are shares of the documents; expected numbers between 0 and 0.5")
    reading = wanted.reading
    if reading.separator == "":
        raise DataError("--separator is empty; expected what stands between two documents, such as '\\n\\n'")
    if reading.separator and len("a".encode(reading.encoding)) > 1:
        raise DataError(f"--separator cannot be looked for in {reading.encoding}; make UTF-8 of the files first")


def _job(files: Sequence[File], tokenizer: Tokenizer, wanted: Wanted) -> dict[str, Any]:
    """All that the folder depends on: a half-made one goes on only if it is the same."""
    own = {
        "coregpt": __version__,
        "files": [[str(file.path), file.size, file.path.stat().st_mtime_ns] for file in files],
        "reading": asdict(wanted.reading),
        "tokenizer": {"name": tokenizer.name, "sha256": tokenizer.digest},
        "held_out": wanted.held_out,
        "select": wanted.select,
        "once": wanted.once,
    }
    return {**own, "digest": hashlib.sha256(json.dumps(own).encode()).hexdigest()}


def _made_by(path: Path) -> str:
    try:
        return str(json.loads(path.read_bytes())["job"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _begin(work: Path, job: dict[str, Any]) -> None:
    path = work / JOB
    if path.exists() and json.loads(path.read_bytes()) != job:
        raise DataError(
            f"{work} holds the beginning of another preparation (other files, tokenizer or options); call that one "
            "again to end it, remove the folder, or choose another --out"
        )
    with replacing(path) as file:
        file.write(json.dumps(job).encode())


def _make(
    files: Sequence[File], work: Path, out: Path, tokenizer: Tokenizer, wanted: Wanted, job: dict[str, Any], say: Say
) -> Prepared:
    began = time.monotonic()
    todo = pieces(unpack(files, work / "unpacked"), wanted.reading)
    (work / "pieces").mkdir(exist_ok=True)
    _tokenize(todo, Work(tokenizer, wanted.reading, work / "pieces", wanted.held_out + wanted.select), wanted.jobs, say)
    places = [Place(work / "pieces", number) for number in range(len(todo))]
    corpus = gather(places)
    parts = split(corpus, wanted.held_out, wanted.select, wanted.once)
    folder = work / "folder"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    kind = width(tokenizer.vocab)
    shards = write_shards(folder, places, corpus, parts, kind)
    write_documents(folder, corpus, parts)
    judged = [number for which in (parts.select, parts.held_out) for number in which]
    astray = int(corpus.astray[judged].sum())
    write_notes(folder, shards, tokenizer, corpus, parts, astray, job)
    os.replace(folder, out)
    shutil.rmtree(work, ignore_errors=True)
    return Prepared(out, corpus, parts, astray, time.monotonic() - began)


def _tokenize(todo: Sequence[Piece], work: Work, jobs: int, say: Say) -> None:
    whole, done, began, told = sum(piece.size for piece in todo), 0, time.monotonic(), time.monotonic()
    for size in _each(todo, work, jobs):
        done += size
        if time.monotonic() - told > TELL_S:
            told = time.monotonic()
            speed = done / 1e6 / (told - began)
            say(f"{done / whole:4.0%}  {done / 1e6:,.0f} of {whole / 1e6:,.0f} MB, {speed:.1f} MB/s")


def _each(todo: Sequence[Piece], work: Work, jobs: int) -> Iterator[int]:
    if jobs == 1 or len(todo) == 1:
        yield from (work(number, piece) for number, piece in enumerate(todo))
        return
    # A fork has torch already, whose import would take longer than most texts; elsewhere it is not safe.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(min(jobs, len(todo)), context, initializer=_have, initargs=(work, os.getpid())) as pool:
        futures = [pool.submit(_do, number, piece) for number, piece in enumerate(todo)]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


_work: list[Work] = []
"""Of this process."""


DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux's prctl."""


def _have(work: Work, parent: int) -> None:
    # One that outlives whoever forked it would wait for work for ever, and hold the lock of the folder.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before
            os._exit(1)
    # Threads of the library are not in a fork of a process that has used them: a child would wait for them for ever.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _work[:] = [work]


def _do(number: int, piece: Piece) -> int:
    return _work[0](number, piece)
