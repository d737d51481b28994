"""Text from a model, one token after another.

The reference is slow: for each token the whole row goes through the model, which is called as evaluation calls it. A
model that is found to allow it keeps what earlier tokens came to (`caching`), and gives the same tokens.
"""

import codecs
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from coregpt.contract.errors import ConfigError
from coregpt.text.tokenizer import Tokenizer
from coregpt.trained.caching import Cached
from coregpt.trained.opening import Trained


@dataclass(frozen=True)
class Drawing:
    """How the next token is chosen."""

    temperature: float = 1.0
    """Logits are divided by it; 0 takes the most probable token."""
    top_k: int | None = None
    """Only the so many most probable tokens."""
    top_p: float | None = None
    """Only the fewest most probable tokens that have this probability together."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name, fits, wanted in (
            ("temperature", 0 <= self.temperature < float("inf"), "a number from 0 on"),
            ("top-k", self.top_k is None or self.top_k >= 1, "a number from 1 on"),
            ("top-p", self.top_p is None or 0 < self.top_p <= 1, "a number above 0, at most 1"),
        ):
            if not fits:
                raise ConfigError(f"--{name}: expected {wanted}")


def probabilities(logits: Tensor, how: Drawing) -> Tensor:
    """Of the next token (V,) in float64, which sum to 1. Of equal logits at a border the lower ids stay."""
    scores = logits.double()
    if how.temperature == 0:
        return torch.zeros_like(scores).index_fill_(0, scores.argmax(), 1.0)
    scores = scores / how.temperature
    order = torch.argsort(scores, descending=True, stable=True)
    kept = torch.softmax(scores, 0)[order]
    if how.top_k is not None:
        kept[how.top_k :] = 0
    if how.top_p is not None:
        kept = kept / kept.sum()
        kept[kept.cumsum(0) - kept >= how.top_p] = 0
    return torch.zeros_like(scores).scatter_(0, order, kept / kept.sum())


Next = Callable[[Sequence[int]], Tensor]
"""Logits (V,) of the token after those seen, of which there are no more than the model's context."""


def whole_row(model: Trained) -> Next:
    """The reference."""
    return lambda seen: model.logits(torch.tensor([list(seen)], dtype=torch.int64))[0, -1]


def generate(
    model: Trained, prompt: Sequence[int], allowed: int, count: int, how: Drawing, cached: bool = False
) -> Iterator[int]:
    """`count` tokens after `prompt`, which has one at least; ids from `allowed` on are padding and never drawn.

    `cached` keeps what earlier tokens came to, for a model of which `caching.cannot` has nothing to say. Of a prompt
    and text longer than the model's context the last tokens are seen: then every token stands elsewhere than before,
    and nothing that was kept is of use.
    """
    draws = torch.Generator().manual_seed(how.seed)
    seen: list[int] = list(prompt)
    following: Next = Cached(model) if cached else whole_row(model)
    for _ in range(count):
        if len(seen) > model.context:
            following = whole_row(model)
        chance = probabilities(following(seen[-model.context :])[:allowed].cpu(), how)
        token = int(torch.multinomial(chance, 1, generator=draws))
        seen.append(token)
        yield token


def prompt_ids(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """A separator, as every document has it before its text, and the prompt. Raises ConfigError for nothing at all."""
    ids = [] if tokenizer.separator is None else [tokenizer.separator]
    if prompt:
        ids += tokenizer.encode([prompt.encode()])[0].tolist()
    if not ids:
        raise ConfigError("--prompt is empty, and this tokenizer has no token that begins a document; give a prompt")
    return ids


def text_of(tokens: Iterator[int], tokenizer: Tokenizer) -> Iterator[str]:
    """Pieces of text as soon as their letters are whole, up to the end of the document."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for token in tokens:
        if token == tokenizer.separator:
            break
        yield decoder.decode(tokenizer.decode([token]))
    yield decoder.decode(b"", final=True)
