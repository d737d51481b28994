"""Which token another begins with: a table that techniques may ask for, as an input of their run."""

from collections.abc import Sequence
from pathlib import Path

import torch

from coregpt.engine import weights
from coregpt.text.tokenizer import Tokenizer

TABLE = "prefix"
"""What the table is called in its file."""


def longest_prefixes(pieces: Sequence[bytes]) -> list[int]:
    """By id: the id of the longest piece that is a proper beginning of this one; -1 where there is none.

    Of two ids with the same bytes the smaller one counts. Ids that stand for no text have no prefix and are none.
    """
    known = {piece: id_ for id_, piece in reversed(list(enumerate(pieces))) if piece}
    return [
        next((known[piece[:size]] for size in range(len(piece) - 1, 0, -1) if piece[:size] in known), -1)
        for piece in pieces
    ]


def write(tokenizer: Tokenizer, out: Path) -> list[int]:
    """Saves the table of a tokenizer's ids, and returns it. Raises OSError where that is impossible."""
    found = longest_prefixes([tokenizer.decode([id_]) for id_ in range(tokenizer.vocab)])
    weights.write(out, weights.Weights({TABLE: torch.tensor(found)}))
    return found
