"""HellaSwag: which of four endings is the most probable one, from a file of its format.

A line, or a row of Parquet, has `ctx`, `endings` (four texts) and `label` (0 to 3). An ending follows its context after
a space, and only its own tokens count: `acc` takes the smallest sum of their losses, `acc_norm` the smallest mean. Of
equal ones the first is taken.

Source: Zellers et al. 2019, arXiv:1905.07830; scoring as in llm.c and build-nanogpt.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from coregpt.contract.errors import DataError
from coregpt.engine.arithmetic.products import fast_products
from coregpt.lab.study.material import visible
from coregpt.text.extras import extra
from coregpt.text.tokenizer import Tokenizer
from coregpt.trained.estimates import wilson
from coregpt.trained.opening import Trained

PARQUET = ".parquet"
SUFFIXES = (PARQUET, ".jsonl", ".ndjson")


@dataclass(frozen=True)
class Item:
    """One question."""

    context: str
    endings: tuple[str, ...]
    label: int


@dataclass(frozen=True)
class Answers:
    """How many were right."""

    items: int
    acc: int
    acc_norm: int
    cut: int
    """Questions whose context did not fit: its end was seen."""

    def interval(self, right: int) -> tuple[float, float]:
        return wilson(right, self.items)


def read_items(path: Path, most: int | None = None) -> list[Item]:
    """Of JSON lines, of Parquet as the hub has them, or of a folder with one such file.

    Raises DataError, naming file and line or row, for another format.
    """
    file = _file_in(path)
    rows, found = _parquet(file) if file.suffix.lower() == PARQUET else _lines(file), list[Item]()
    for number, row in rows:
        if most is not None and len(found) >= most:
            break
        try:
            found.append(_item(row()))
        except (ValueError, KeyError, TypeError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(
                f"{file}:{number}: {what}; expected {{ctx, endings, label}} as HellaSwag has them"
            ) from error
    if not found:
        raise DataError(f"{file} holds no questions; expected HellaSwag's JSON lines")
    return found


def _file_in(path: Path) -> Path:
    """The one file of questions in a folder; any other path as it is."""
    if not path.is_dir():
        return path
    found = [each for each in visible(path) if each.suffix.lower() in SUFFIXES]
    if len(found) != 1:
        names = ", ".join(each.name for each in found[:4]) or "none"
        raise DataError(f"{path}: expected one file of questions ({', '.join(SUFFIXES)}) in this folder, found {names}")
    return found[0]


def _lines(path: Path) -> Iterator[tuple[int, Callable[[], Any]]]:
    """(number, its row when it is asked for) of lines that are not empty."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); expected HellaSwag's JSON lines") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, partial(json.loads, line)


def _parquet(path: Path) -> Iterator[tuple[int, Callable[[], Any]]]:
    library = extra("pyarrow.parquet", "reading Parquet")
    try:
        rows = library.read_table(path).to_pylist()
    except Exception as error:  # the library's own
        raise DataError(f"{path} cannot be read as Parquet ({str(error).partition(chr(10))[0]})") from error
    for number, row in enumerate(rows, 1):
        yield number, partial(dict, row)


def _item(row: Any) -> Item:
    """Raises KeyError, TypeError or ValueError for what is no question."""
    endings = tuple(row["endings"])
    item = Item(row["ctx"], endings, int(row["label"]))
    fits = all(isinstance(each, str) and each for each in (item.context, *endings))
    if not fits or len(endings) < 2 or not 0 <= item.label < len(endings):
        raise ValueError("a text is empty or the label is not one of the endings")
    return item


def answer(
    model: Trained, tokenizer: Tokenizer, items: Sequence[Item], told: Callable[[int], None] = lambda done: None
) -> Answers:
    """All questions, one after another; `told` hears how many are done."""
    acc = norm = cut = 0
    for number, item in enumerate(items):
        losses, was_cut = ending_losses(model, tokenizer, item)
        cut += was_cut
        sums = [sum(each) for each in losses]
        means = [sum(each) / len(each) for each in losses]
        acc += sums.index(min(sums)) == item.label
        norm += means.index(min(means)) == item.label
        told(number + 1)
    return Answers(len(items), acc, norm, cut)


@torch.no_grad()
def ending_losses(model: Trained, tokenizer: Tokenizer, item: Item) -> tuple[list[list[float]], bool]:
    """Losses of each ending's tokens, and whether a context was cut. Raises DataError for an ending too long to see."""
    before, *after = tokenizer.encode([item.context.encode(), *(f" {each}".encode() for each in item.endings)])
    head = ([] if tokenizer.separator is None else [tokenizer.separator]) + before.tolist()
    found, cut = [], False
    for ending in after:
        tail = ending.tolist()
        if len(tail) > model.context:
            raise DataError(
                f"an ending of {len(tail):,} tokens is longer than the model's context of {model.context:,}"
            )
        row = [*head, *tail][-model.context - 1 :]
        cut |= len(head) + len(tail) > len(row)
        tokens = torch.tensor([row])
        with torch.autocast(model.device.type, enabled=False), fast_products(model.device):
            logits = model.logits(tokens[:, :-1])[0]
        losses = F.cross_entropy(logits, tokens[0, 1:].to(logits.device), reduction="none")
        found.append(losses[-len(tail) :].double().tolist())
    return found, cut
