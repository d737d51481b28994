"""`coregpt tokenizer train`: byte-level BPE through the library `tokenizers`, and how much it shortens texts.

One document in fifty, by its hash, is not trained on: compression is told of those. The first of each file or folder
is, or a text of one document could be left out as a whole.
"""

import contextlib
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from coregpt.contract.errors import DataError
from coregpt.text.extras import extra
from coregpt.text.packed import unpacked_for_now
from coregpt.text.reading import Document, Reading, documents, find_files, pieces
from coregpt.text.tokenizer import Json, Tokenizer

PATTERNS = {
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "gpt4": (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
    ),
}
"""How text is cut into words, which no token crosses.

Source: tiktoken_ext/openai_public.py (r50k_base, cl100k_base).
"""
END = "<|endoftext|>"
SMALLEST = 257
"""Every byte and the separator."""
APART = 50
"""One document of so many is kept to measure compression on."""
SAMPLE = 2_000_000
"""Bytes of each domain on which compression is measured."""
TELL_S = 2.0

Pattern = Literal["gpt2", "gpt4"]


@dataclass
class Domain:
    """One of the files or folders that were given."""

    name: str
    documents: int = 0
    length: int = 0
    """Bytes of all of them."""
    apart: list[bytes] = field(default_factory=list)
    """Texts that were not trained on; where there is none, of those that were."""
    size: int = 0
    seen: bool = False
    """Whether `apart` was trained on."""

    def ratio(self, tokenizer: Tokenizer) -> float:
        """Bytes per token."""
        return self.size / max(1, sum(len(ids) for ids in tokenizer.encode(self.apart)))


def train(
    inputs: Sequence[Path], vocab: int, pattern: Pattern, reading: Reading, say: Callable[[str], None]
) -> tuple[Json, list[Domain]]:
    """A tokenizer of `vocab` ids, `<|endoftext|>` the last one, and the domains it was made of. Raises DataError."""
    if vocab < SMALLEST:
        raise DataError(f"--vocab {vocab}: expected {SMALLEST} or more, which are every byte and a separator")
    library = extra("tokenizers", "training a tokenizer")
    domains = [Domain(str(path)) for path in inputs]
    find_files(inputs, reading)  # what is wrong with any of them is told before the first is read
    made = library.Tokenizer(library.models.BPE())
    split = library.pre_tokenizers.Split(library.Regex(PATTERNS[pattern]), "isolated")
    letters = library.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.pre_tokenizer = library.pre_tokenizers.Sequence([split, letters])
    made.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=vocab - 1,
        show_progress=sys.stderr.isatty(),
        initial_alphabet=sorted(library.pre_tokenizers.ByteLevel.alphabet()),
    )
    say("reading and counting words")
    with _parallel():
        made.train_from_iterator(_texts(domains, inputs, reading, say), trainer)
    made.add_special_tokens([END])
    return Json(made.to_str(pretty=True)), domains


@contextlib.contextmanager
def _parallel() -> Iterator[None]:
    """Words are counted by all cores, unless the user said otherwise."""
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = before or "true"
    try:
        yield
    finally:
        os.environ["TOKENIZERS_PARALLELISM"] = before or "false"


def _texts(
    domains: Sequence[Domain], inputs: Sequence[Path], reading: Reading, say: Callable[[str], None]
) -> Iterator[str]:
    told = time.monotonic()
    for domain, path in zip(domains, inputs, strict=True):
        for read in _read(path, reading):
            for document in read:
                domain.documents += 1
                domain.length += len(document.text)
                drawn = int.from_bytes(hashlib.sha256(document.text).digest()[:4], "big") % APART == 0
                apart = drawn and domain.documents > 1
                if not _kept(domain, document.text, apart):
                    yield document.text.decode()
            if time.monotonic() - told > TELL_S:
                told = time.monotonic()
                say(f"{sum(each.length for each in domains) / 1e6:,.0f} MB read")
    say(f"{sum(each.length for each in domains) / 1e6:,.0f} MB read; joining pairs")


def _read(path: Path, reading: Reading) -> Iterator[Iterator[Document]]:
    """The documents of one domain, piece by piece."""
    with unpacked_for_now(find_files([path], reading)) as files:
        for piece in pieces(files, reading):
            yield documents(piece, reading)


def _kept(domain: Domain, text: bytes, apart: bool) -> bool:
    """Whether a text is kept from training. The first one of a domain is kept to measure on where no other is."""
    if not apart:
        if not domain.apart:
            domain.apart, domain.size, domain.seen = [text[:SAMPLE]], min(len(text), SAMPLE), True
            domain.apart = [domain.apart[0].decode(errors="ignore").encode()]
            domain.size = len(domain.apart[0])
        return False
    if domain.seen or not domain.apart:
        domain.apart, domain.size, domain.seen = [], 0, False
    if domain.size < SAMPLE:
        domain.apart.append(text)
        domain.size += len(text)
    return True
