"""`coregpt tokenizer train` and `coregpt tokenizer prefixes`."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from coregpt.cli.screen import say, table
from coregpt.contract.errors import DataError
from coregpt.engine.data import replacing
from coregpt.text.embedded import with_embedded
from coregpt.text.reading import Reading
from coregpt.text.tokenizer import GPT2, Tokenizer, open_tokenizer
from coregpt.text.training import Domain
from coregpt.text.training import train as trained


def train(
    inputs: Sequence[Path], out: Path, vocab: int, words: Literal["gpt2", "gpt4"], reading: Reading, force: bool
) -> int:
    """Write the tokenizer and say how it does."""
    _refuse(out, force)
    began = time.monotonic()
    made, domains = trained(with_embedded(inputs), vocab, words, reading, say)
    with replacing(out) as file:
        file.write(made.text.encode())
    for domain, given in zip(domains, inputs, strict=True):
        domain.name = str(given)  # `pydocs`, and not the file that it is read from
    other = gpt2_at_hand()
    for line in table(compression(made, domains, other)):
        say(line)
    if other is None:
        say("GPT-2 is not compared with: its tokenizer is not in tiktoken's cache")
    fewer = f", of {vocab:,}: the text has no more pairs to join" if made.vocab < vocab else ""
    say(f"{out}: {made.vocab:,} ids{fewer}, in {time.monotonic() - began:.0f} s; use it with --tokenizer {out}")
    return 0


def prefixes(name: str, out: Path, force: bool) -> int:
    """Write the table of a tokenizer, and say how many ids begin with another."""
    from coregpt.text.prefixes import write

    _refuse(out, force)
    found = write(open_tokenizer(name), out)
    say(f"{out}: of {len(found):,} ids {sum(id_ >= 0 for id_ in found):,} begin with another")
    say(f"use it with inputs: {{prefixes: {{file: {out}}}}}")
    return 0


def _refuse(out: Path, force: bool) -> None:
    """Raises DataError where nothing can be written."""
    if out.exists() and not force:
        raise DataError(f"{out} is there already; choose another --out, or say --force")
    if not out.parent.is_dir():
        raise DataError(f"there is no folder {out.parent} for {out.name}")


def compression(made: Tokenizer, domains: Sequence[Domain], other: Tokenizer | None) -> list[tuple[str, ...]]:
    """Bytes per token by domain, beside those of bytes and of `other`, which is GPT-2 where it is at hand."""
    rows = [("text", "documents", "MB", "measured on", "bytes/token", *(["GPT-2"] if other else []), "bytes")]
    for each in domains:
        on = "one that was trained on" if each.seen else f"{len(each.apart):,} not trained on"
        numbers = [f"{each.ratio(made):.2f}", *([f"{each.ratio(other):.2f}"] if other else []), "1.00"]
        rows.append((each.name, f"{each.documents:,}", f"{each.length / 1e6:,.1f}", on, *numbers))
    return rows


def gpt2_at_hand() -> Tokenizer | None:
    """Only from tiktoken's cache: nobody asked for a download."""
    import os
    import tempfile

    folder = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    place = Path(folder) if folder else Path(tempfile.gettempdir()) / "data-gym-cache"
    if not place.is_dir():
        return None
    try:
        return open_tokenizer(GPT2)
    except DataError:
        return None
