"""HellaSwag: which of four endings is the most probable one, from a local file of its format.

A line is a JSON object with `ctx`, `endings` (four texts) and `label` (0 to 3). An ending follows its context after a
space, and only its own tokens count: `acc` takes the smallest sum of their losses, `acc_norm` the smallest mean. Of
equal ones the first is taken.

Source: Zellers et al. 2019, arXiv:1905.07830; scoring as in llm.c and build-nanogpt.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from coregpt.contract.errors import DataError
from coregpt.engine.arithmetic.products import fast_products
from coregpt.text.tokenizer import Tokenizer
from coregpt.trained.estimates import wilson
from coregpt.trained.opening import Trained


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
    """Raises DataError, naming file and line, for another format."""
    found: list[Item] = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); expected HellaSwag's JSON lines") from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or (most is not None and len(found) >= most):
            continue
        try:
            row = json.loads(line)
            endings = tuple(row["endings"])
            item = Item(row["ctx"], endings, int(row["label"]))
            fits = all(isinstance(each, str) and each for each in (item.context, *endings))
            if not fits or len(endings) < 2 or not 0 <= item.label < len(endings):
                raise ValueError("a text is empty or the label is not one of the endings")
        except (ValueError, KeyError, TypeError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise DataError(
                f"{path}:{number}: {what}; expected {{ctx, endings, label}} as HellaSwag has them"
            ) from error
        found.append(item)
    if not found:
        raise DataError(f"{path} holds no questions; expected HellaSwag's JSON lines")
    return found


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
