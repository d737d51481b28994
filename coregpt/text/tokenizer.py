"""Tokenizers behind one face: bytes, GPT-2's through tiktoken, and any JSON of the library `tokenizers`.

Ids of a text say nothing of special tokens that stand in it: `<|endoftext|>` in a document is eleven letters, and only
core places a separator.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from coregpt.contract.errors import DataError
from coregpt.text.extras import extra
from coregpt.text.token_bytes import bytes_by_id

BYTES, GPT2 = "bytes", "gpt2"
NAMES = (BYTES, GPT2)
GPT2_IDS, GPT2_END = 50257, 50256
SEPARATORS = ("<|endoftext|>", "<|end_of_text|>", "<|begin_of_text|>", "</s>", "<eos>", "<s>", "[SEP]")
"""Special tokens that are taken for the separator of documents, the first that a tokenizer has."""

Ids = NDArray[Any]


class Tokenizer(Protocol):
    """Text to ids and back. It may be sent to another process."""

    name: str
    """What a folder of shards remembers: a name of `NAMES`, or that of the JSON beside the shards."""
    vocab: int
    """Every id is smaller."""
    separator: int | None
    """The id that is placed before every document."""
    digest: str
    """sha256 of what decides ids."""
    text: str
    """The file that it is; empty for those of `NAMES`."""

    def encode(self, texts: Sequence[bytes]) -> list[Ids]:
        """Ids of each text, which is valid UTF-8 without NUL, without any separator."""

    def decode(self, ids: Sequence[int]) -> bytes:
        """The text of ids; that of a separator is empty."""

    def token_bytes(self) -> list[int]:
        """How many bytes of text each id stands for, by id."""


class Bytes:
    """One token a byte; NUL, which is in no document, separates them."""

    name, vocab, text = BYTES, 256, ""
    separator: int | None = 0
    digest = hashlib.sha256(b"bytes").hexdigest()

    def encode(self, texts: Sequence[bytes]) -> list[Ids]:
        return [np.frombuffer(text, dtype=np.uint8) for text in texts]

    def decode(self, ids: Sequence[int]) -> bytes:
        return bytes([id_ for id_ in ids if 0 < id_ < self.vocab])

    def token_bytes(self) -> list[int]:
        return [0, *[1] * (self.vocab - 1)]


@dataclass
class Json:
    """A tokenizer of the library `tokenizers`, from its JSON text."""

    text: str
    name: str = "tokenizer.json"

    def __post_init__(self) -> None:
        self._open()
        self.digest = hashlib.sha256(self.text.encode()).hexdigest()
        ids = self.inner.get_vocab(with_added_tokens=True)
        self.vocab = max(ids.values()) + 1
        self.separator: int | None = next((ids[name] for name in SEPARATORS if name in ids), None)

    def _open(self) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # processes are parallel, and forks and threads clash
        library = extra("tokenizers", "a tokenizer from a JSON file")
        self.inner = library.Tokenizer.from_str(self.text)
        self.inner.no_truncation()
        self.inner.no_padding()
        self.inner.encode_special_tokens = True

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "inner"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def encode(self, texts: Sequence[bytes]) -> list[Ids]:
        found = self.inner.encode_batch_fast([text.decode() for text in texts], add_special_tokens=False)
        return [np.array(each.ids, dtype=np.uint32) for each in found]

    def decode(self, ids: Sequence[int]) -> bytes:
        pieces, separator = self.pieces, self.separator
        return b"".join([pieces[id_] for id_ in ids if id_ != separator and id_ < len(pieces)])

    @property
    def pieces(self) -> list[bytes]:
        """What each id stands for."""
        if "_pieces" not in vars(self):
            self._pieces = bytes_by_id(json.loads(self.text), self.inner.get_vocab(with_added_tokens=True))
        return self._pieces

    def token_bytes(self) -> list[int]:
        return [0 if id_ == self.separator else len(piece) for id_, piece in enumerate(self.pieces)]


class Gpt2:
    """GPT-2's byte pairs, as tiktoken has them."""

    name, vocab, text = GPT2, GPT2_IDS, ""
    separator: int | None = GPT2_END

    def __init__(self) -> None:
        self._open()
        self.digest = hashlib.sha256(repr(sorted(self.inner._mergeable_ranks.items())).encode()).hexdigest()

    def _open(self) -> None:
        library = extra("tiktoken", "GPT-2's tokenizer")
        try:
            self.inner = library.get_encoding(GPT2)
        except Exception as error:  # it fetches two files at the first use, through whatever library is there
            raise DataError(
                f"GPT-2's tokenizer is not in tiktoken's cache and cannot be fetched ({type(error).__name__}); connect "
                "once, or copy another machine's cache and set TIKTOKEN_CACHE_DIR to it; `coregpt tokenizer train` "
                "makes one that needs no network"
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        return {"digest": self.digest}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.digest = state["digest"]
        self._open()

    def encode(self, texts: Sequence[bytes]) -> list[Ids]:
        return [np.array(self.inner.encode_ordinary(text.decode()), dtype=np.uint32) for text in texts]

    def decode(self, ids: Sequence[int]) -> bytes:
        return self.inner.decode_bytes([id_ for id_ in ids if id_ < GPT2_END])

    def token_bytes(self) -> list[int]:
        return [*(len(self.inner.decode_single_token_bytes(id_)) for id_ in range(GPT2_END)), 0]


def open_tokenizer(name: str) -> Tokenizer:
    """`bytes`, `gpt2`, or the path of a JSON. Raises DataError."""
    if name == BYTES:
        return Bytes()
    if name == GPT2:
        return Gpt2()
    path = Path(name).expanduser()
    if path.is_dir():
        path = path / "tokenizer.json"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise DataError(
            f"tokenizer '{name}': {path} cannot be read ({why}); expected {', '.join(NAMES)} or a file that "
            "`coregpt tokenizer train` or the library 'tokenizers' wrote"
        ) from error
    try:
        return Json(text)
    except DataError:
        raise
    except Exception as error:  # the library raises a plain Exception
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} is no tokenizer of the library 'tokenizers' ({first})") from error
