"""The next token's logits from the new tokens alone: keys and values of earlier ones are kept, not computed again.

It is right for a model whose parts act on each token by itself, all but core's softmax attention, which reads the kept
keys and values. Which techniques are of that kind no list says: a model is tried, on a row as long as its context, cut
in pieces of several lengths, and taken if every logit is the one that the whole row gives. Whatever looks at other
tokens by another way than attention gives others there, and the first part whose output differs is named.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from coregpt.contract.context import Context
from coregpt.engine.attention.masks import document_numbers
from coregpt.engine.model.gpt import GPT
from coregpt.engine.model.parts import Attend
from coregpt.trained.opening import Trained

UNUSED = ("loss", "extra_losses")
"""Parts that logits do without."""
LIMIT = 1e-4
"""Of the largest logit and 1: rounding is far below, and so is what the laws let pass as that."""

Heard = list[tuple[str, Tensor]]
"""What parts gave, with their paths, in the order in which they were done."""


def cannot(model: Trained) -> str:
    """Why a model's earlier tokens cannot be kept; "" if they can."""
    for path, part in model.made.model.named_modules():
        if isinstance(part, Attend) and part.scores:
            return f"{path} has its scores changed by rules"
    return _tried(model)


class Cached:
    """Logits (V,) of the token after those that were seen, which grow from call to call."""

    def __init__(self, model: Trained):
        self.model = model
        self.gpt: GPT = model.made.model
        self.seen: list[int] = []
        self.kept: dict[tuple[nn.Module, int], tuple[Tensor, Tensor]] = {}
        """By attention, and by how often it had been called in this pass: a layer may be used more than once."""
        self._calls: dict[nn.Module, int] = {}

    def __call__(self, seen: Sequence[int]) -> Tensor:
        """`seen` begins with what was seen before, or all is computed anew; the context's length at most."""
        if list(seen[: len(self.seen)]) != self.seen or len(seen) == len(self.seen):
            self.seen, self.kept = [], {}
        return self.more(seen[len(self.seen) :])[-1]

    @torch.no_grad()
    def more(self, new: Sequence[int]) -> Tensor:
        """Logits (T, V) in fp32 of new tokens, one at least, after those that were seen."""
        self.seen += new
        tokens = torch.tensor([self.seen], device=self.model.device)
        self._calls.clear()
        attending = [part for part in self.gpt.modules() if isinstance(part, Attend)]
        with ExitStack() as stack:
            for part in attending:
                stack.callback(part.register_forward_pre_hook(self._with_earlier).remove)
            return _logits(self.gpt, tokens, len(self.seen) - len(new), self.model.made.dials.values)[0].float()

    def _with_earlier(self, part: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        q, k, v, *rest = given
        call = part, self._calls.setdefault(part, 0)
        self._calls[part] += 1
        if call in self.kept:
            k, v = (torch.cat(both, 1) for both in zip(self.kept[call], (k, v), strict=True))
        self.kept[call] = k, v
        return q, k, v, *rest


def _logits(gpt: GPT, row: Tensor, first: int, dials: Any) -> Tensor:
    """As `GPT.logits` of a row (1, S), those of its tokens from `first` on."""
    documents = None if gpt.separator is None else document_numbers(row, gpt.separator)
    whole = Context(row, dict(dials), documents, model=gpt)
    places = torch.arange(row.shape[1], device=row.device)
    ctx = Context(
        row[:, first:],
        dict(dials),
        None if documents is None else documents[:, first:],
        positions=places[None, first:],
        row_documents=documents,
        model=gpt,
    )
    ctx.masks = {key: _mask(rules, gpt.mask_heads[key], whole, places, first) for key, rules in gpt.mask_rules.items()}
    gpt.live.ctx = ctx
    try:
        x = gpt.embedding(ctx.tokens, ctx)
        if gpt.positions is not None:
            x = x + gpt.positions(row.shape[1])[first:]
        return gpt.logits_of(gpt.final_norm(gpt.stack(gpt.entry_norm(x), ctx)), ctx)
    finally:
        gpt.live.ctx = None


def _mask(rules: Sequence[Any], heads: int, whole: Context, places: Tensor, first: int) -> Tensor:
    """(1, H or 1, T, S) bool: which of the row's S tokens each of the T new ones may see."""
    places = places.to(torch.int32)
    q, k = places[first:].view(1, 1, -1, 1), places.view(1, 1, 1, -1)
    b, h = places.new_zeros(1, 1, 1, 1), torch.arange(heads, dtype=torch.int32, device=places.device).view(1, -1, 1, 1)
    allowed = q >= k
    for rule in rules:
        allowed = allowed & rule(b, h, q, k, whole)
    return allowed


def _tried(model: Trained) -> str:
    """Whether pieces of a row give the logits of the whole; why not, or ""."""
    row = _trial_row(model)
    wanted = model.logits(torch.tensor([row]))[0]
    limit = LIMIT * (1 + float(wanted.abs().max()))
    cached, first = Cached(model), 0
    for piece in _pieces(row):
        try:
            found = cached.more(piece)
            gap = float((found - wanted[first : first + len(piece)]).abs().max())
        except Exception as error:  # a part may mind tokens that come without those before
            return (
                f"it cannot be run on some tokens of a row ({type(error).__name__}: {str(error).partition(chr(10))[0]})"
            )
        if not gap <= limit:
            return _culprit(model, row, first, len(piece), limit)
        first += len(piece)
    return ""


def _trial_row(model: Trained) -> list[int]:
    """Any ids as long as the context; where there is a separator, two documents."""
    ids = torch.randint(0, model.config.model.vocab, (model.context,), generator=torch.Generator().manual_seed(0))
    row: list[int] = ids.tolist()
    if model.separator is not None:
        row[0] = row[len(row) // 2] = model.separator
    return row


def _pieces(row: list[int]) -> Iterator[list[int]]:
    """Of several tokens and of one, at the beginning, in the middle and at the end."""
    third, size = len(row) // 3, len(row)
    cuts = {0, 1, third, third + 1, third + 2, size // 2, size // 2 + 1, 2 * third, size - 2, size - 1, size}
    for low, high in pairwise(sorted(cut for cut in cuts if 0 <= cut <= size)):
        yield row[low:high]


def _culprit(model: Trained, row: list[int], first: int, count: int, limit: float) -> str:
    """Which part is the first whose output is not that of the whole row."""
    gpt: GPT = model.made.model
    whole = _heard(gpt, lambda: model.logits(torch.tensor([row])))
    cached = Cached(model)
    if first:
        cached.more(row[:first])
    apart = _heard(gpt, lambda: cached.more(row[first : first + count]))
    kinds = {path: type(part).__name__ for path, part in gpt.named_modules()}
    for (path, wanted), (same, found) in zip(whole, apart, strict=False):
        if path != same:
            break
        if wanted.shape[:2] != (1, len(row)) or found.shape[:2] != (1, count):
            continue
        if not float((found.float() - wanted[:, first : first + count].float()).abs().max()) <= limit:
            return f"{path} ({kinds[path]}) looks at other tokens"
    return "some part looks at other tokens"


def _heard(gpt: GPT, run: Callable[[], object]) -> Heard:
    found: Heard = []
    with ExitStack() as stack:
        for path, part in gpt.named_modules():
            if path and path.partition(".")[0] not in UNUSED:
                stack.callback(part.register_forward_hook(_ear(path, found)).remove)
        run()
    return found


def _ear(path: str, found: Heard) -> Callable[..., None]:
    def hear(module: nn.Module, given: object, output: object) -> None:
        if isinstance(output, Tensor) and output.dim() > 1:
            found.append((path, output))

    return hear
