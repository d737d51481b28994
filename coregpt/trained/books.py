"""Long documents, such as the books of PG19: a model's loss by the tokens that stand before, past its trained context.

Of every book as many windows of one length are taken, spread from its beginning to its end and none over another, so
that every book counts alike; a book too short for them is left out. Intervals are over books.

Source: Rae et al. 2020, arXiv:1911.05507 (PG19); positions in buckets as in github.com/alxndrTL/nGPT, which shows
perplexity to four times the trained context.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coregpt.contract.errors import ConfigError, CoreGPTError, DataError
from coregpt.lab.study.evaluating import bucket_name
from coregpt.text.packed import unpacked_for_now
from coregpt.text.reading import Document, Reading, documents, find_files, pieces
from coregpt.text.tokenizer import Tokenizer
from coregpt.trained.breakdown import Part, Places, split
from coregpt.trained.estimates import Floats
from coregpt.trained.opening import Trained
from coregpt.trained.scoring import score_rows


@dataclass(frozen=True)
class Cut:
    """How windows are cut out of books."""

    length: int
    """Of a window in tokens."""
    rows: int = 1
    """Windows of every book."""
    books: int | None = None
    """Only the first so many that are long enough."""


@dataclass(frozen=True)
class Windows:
    """Of all books, a book's windows one after another: int64 (books x rows, length) each."""

    inputs: Tensor
    targets: Tensor
    rows: int
    """Of every book."""
    short: int
    """Documents that were left out."""

    @property
    def books(self) -> int:
        return len(self.inputs) // self.rows

    @property
    def length(self) -> int:
        return self.inputs.shape[1]


@dataclass(frozen=True)
class ByPlace:
    """What was found of one model."""

    books: int
    rows: int
    length: int
    short: int
    parts: list[Part]
    """By the tokens that stand before in the window."""
    refused: str = ""
    """Why the model takes no such rows."""

    def perplexities(self) -> list[float]:
        """exp of the mean loss, one for each part."""
        return [perplexity(part.mean.value) for part in self.parts]


def perplexity(loss: float) -> float:
    """exp of a loss in nats per token; of one that no float holds, the largest that is told."""
    return math.exp(min(loss, 700.0))


def read_windows(path: Path, tokenizer: Tokenizer, cut: Cut) -> Windows:
    """Windows of the books in a file or folder. Raises DataError for none that is long enough."""
    found, short = list[NDArray[np.int64]](), 0
    for book in _books(path):
        own = windows_of(_ids(book, tokenizer), cut)
        found += own
        short += not own
        if cut.books is not None and len(found) == cut.books * cut.rows:
            break
    if not found:
        raise DataError(
            f"{path}: none of {short:,} documents has {cut.rows * cut.length + 1:,} tokens, which {cut.rows:,} "
            f"{'window' if cut.rows == 1 else 'windows'} of {cut.length:,} need; ask for shorter or fewer windows"
        )
    both = torch.from_numpy(np.stack(found))
    return Windows(both[:, :-1], both[:, 1:], cut.rows, short)


def _books(path: Path) -> Iterator[Document]:
    reading = Reading()
    with unpacked_for_now(find_files([path], reading)) as files:
        for piece in pieces(files, reading):
            yield from documents(piece, reading)


def _ids(book: Document, tokenizer: Tokenizer) -> NDArray[np.int64]:
    ids = tokenizer.encode([book.text])[0].astype(np.int64)
    return ids if tokenizer.separator is None else np.concatenate([[tokenizer.separator], ids])


def windows_of(ids: NDArray[np.int64], cut: Cut) -> list[NDArray[np.int64]]:
    """Windows with the token after them, (length + 1,) each; none of a book that is too short for all."""
    whole = (len(ids) - 1) // cut.length
    if whole < cut.rows:
        return []
    starts = [place * whole // cut.rows * cut.length for place in range(cut.rows)]
    return [ids[start : start + cut.length + 1] for start in starts]


def over_books(model: Trained, windows: Windows) -> Floats | str:
    """Losses in nats of every token, (books, rows x length); or why the model takes no such rows.

    Raises ConfigError where windows are no multiple of the model's context.
    """
    if windows.length % model.context:
        raise ConfigError(
            f"windows of {windows.length:,} tokens: expected a multiple of {model.name}'s context {model.context:,}"
        )
    try:
        longer = model.longer(windows.length // model.context)
    except CoreGPTError as error:  # a table of positions that was trained, a technique for certain lengths only
        return f"the model takes no rows of {windows.length:,} tokens ({error})"
    return score_rows(longer, windows.inputs, windows.targets).losses.reshape(windows.books, -1)


def buckets(windows: Windows, size: int) -> list[tuple[str, Places]]:
    """By the tokens that stand before in the window, so many to a bucket; as `over_books` has losses."""
    place = np.tile(np.arange(windows.length), (windows.books, windows.rows))
    edges = [(low, min(low + size, windows.length)) for low in range(0, windows.length, size)]
    return [(bucket_name(low, high - 1), (place >= low) & (place < high)) for low, high in edges]


def by_place(model: Trained, windows: Windows, size: int) -> tuple[ByPlace, Floats | None]:
    """The loss in each bucket, and the losses of all tokens where the model has any."""
    losses = over_books(model, windows)
    told = (windows.books, windows.rows, windows.length, windows.short)
    if isinstance(losses, str):
        return ByPlace(*told, [], losses), None
    return ByPlace(*told, split(losses, buckets(windows, size))), losses
