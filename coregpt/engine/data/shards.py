"""Token shards in the `.bin` format of the speedrun community, and several of them read as one stream.

A shard is 256 little-endian int32 (magic, version, token count, then zeros), then that many little-endian tokens. Magic
and version say how wide a token is: 20240520 and 1 are uint16, as for GPT-2; 20240801 and 7 are uint32, as for Llama 3.

Source: llm.c (dev/data/data_common.py) and modded-nanogpt data files.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coregpt.contract.errors import DataError
from coregpt.engine.data.files import replacing

MAGIC: Final = 20240520
VERSION: Final = 1
WIDE_MAGIC: Final = 20240801
WIDE_VERSION: Final = 7
HEADER_INTS: Final = 256
HEADER_BYTES: Final = 4 * HEADER_INTS
NARROW: Final[np.dtype[Any]] = np.dtype("<u2")
WIDE: Final[np.dtype[Any]] = np.dtype("<u4")
FORMATS: Final[dict[int, tuple[int, np.dtype[Any]]]] = {MAGIC: (VERSION, NARROW), WIDE_MAGIC: (WIDE_VERSION, WIDE)}
"""By magic number: the version, and the type of a token."""
LARGEST_COUNT: Final = 2**31 - 1  # the header's count is an int32
PIECE: Final = 2**24
"""Tokens that are looked through at a time."""
LARGEST_ID: Final = 2**31 - 1  # tokens become int64, and no vocabulary is larger

FETCH_FINEWEB = "fetch it with `coregpt data fetch fineweb10B`"

Tokens = NDArray[Any]
"""Token ids as they lie in a file: uint16 or uint32."""


def read_shard(path: Path) -> Tokens:
    """Memory-map the tokens of a shard, read-only, uint16 or uint32 of shape (tokens,).

    Raises DataError when the file is missing or is not exactly one complete shard.
    """
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            start = file.read(HEADER_BYTES)
    except OSError as error:
        raise _bad_shard(path, f"cannot be read ({error.strerror})", "a .bin token shard") from error
    if len(start) < HEADER_BYTES:
        raise _bad_shard(path, f"holds {size} bytes", f"a header of {HEADER_BYTES} bytes and tokens")
    magic, version, count = (int(number) for number in np.frombuffer(start, dtype="<i4", count=3))
    if magic not in FORMATS:
        text = f"the magic number {MAGIC} or {WIDE_MAGIC} of a token shard"
        raise _bad_shard(path, f"begins with {magic}", text)
    known, kind = FORMATS[magic]
    if version != known:
        raise _bad_shard(path, f"has format version {version}", f"version {known} ({kind.name} tokens)")
    if count < 1:
        raise _bad_shard(path, f"announces {count} tokens", "at least one")
    expected = HEADER_BYTES + kind.itemsize * count
    if size != expected:
        raise _bad_shard(path, _wrong_size(size, expected, kind, count), f"{expected:,} bytes for {count:,} tokens")
    return np.memmap(path, dtype=kind, mode="r", offset=HEADER_BYTES, shape=(count,))


def _wrong_size(size: int, expected: int, kind: np.dtype[Any], count: int) -> str:
    other = WIDE if kind == NARROW else NARROW
    if size == HEADER_BYTES + other.itemsize * count:
        return f"has a header for {kind.name} tokens and the size of {other.name} tokens: it holds {size:,} bytes"
    return f"{'is truncated' if size < expected else 'is too long'}: it holds {size:,} bytes"


def _bad_shard(path: Path, found: str, expected: str) -> DataError:
    remedy = FETCH_FINEWEB if path.name.startswith("fineweb") else "make shards with `coregpt data prepare`"
    return DataError(f"{path} {found}; expected {expected}; {remedy}")


def write_shard(path: Path, tokens: ArrayLike, wide: bool = False) -> None:
    """Write `tokens`, integers of shape (tokens,), as a shard that appears whole or not at all.

    Ids lie in 0..65535, or in 0..2^31 - 1 where the shard is `wide`. Raises DataError for others.
    """
    array = np.asarray(tokens)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"{path}: tokens must be one row of integers, not {array.dtype} of shape {array.shape}")
    if not 1 <= array.size <= LARGEST_COUNT:
        raise DataError(f"{path}: a shard holds 1 to {LARGEST_COUNT:,} tokens, not {array.size:,}")
    largest = LARGEST_ID if wide else int(np.iinfo(np.uint16).max)
    if array.min() < 0 or array.max() > largest:
        raise DataError(f"{path}: token ids must lie in 0..{largest}, not {array.min()}..{array.max()}")
    with replacing(path) as file:
        file.write(header(array.size, wide))
        file.write(array.astype(WIDE if wide else NARROW).tobytes())


def header(count: int, wide: bool) -> bytes:
    """What a shard of `count` tokens begins with."""
    numbers = np.zeros(HEADER_INTS, dtype="<i4")
    numbers[:3] = *((WIDE_MAGIC, WIDE_VERSION) if wide else (MAGIC, VERSION)), count
    return numbers.tobytes()


class TokenStream:
    """Shards read as one sequence of tokens. Nothing is loaded before it is asked for."""

    def __init__(self, shards: list[Tokens]):
        self._shards = shards
        self._ends = np.cumsum([len(shard) for shard in shards], dtype=np.int64)
        self._places: dict[int, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        return int(self._ends[-1]) if self._shards else 0

    @property
    def shards(self) -> int:
        """How many files the stream is made of."""
        return len(self._shards)

    def part(self, start: int, stop: int) -> "TokenStream":
        """Tokens start .. stop - 1 as a stream of their own; nothing is loaded."""
        begins = self._ends - [len(shard) for shard in self._shards]
        parts = [
            shard[max(start - begin, 0) : max(stop - begin, 0)]
            for shard, begin in zip(self._shards, begins.tolist(), strict=True)
        ]
        return TokenStream([part for part in parts if len(part)])

    def slice(self, start: int, length: int) -> NDArray[np.int64]:
        """A copy of tokens start .. start + length - 1, shape (length,). Raises DataError outside the stream."""
        if start < 0 or length < 0 or start + length > len(self):
            raise DataError(f"tokens {start:,}..{start + length:,} were asked of a stream of {len(self):,} tokens")
        out = np.empty(length, dtype=np.int64)
        filled = 0
        index = int(np.searchsorted(self._ends, start, side="right"))
        while filled < length:
            shard = self._shards[index]
            first = start + filled - (int(self._ends[index]) - len(shard))
            part = shard[first : first + length - filled]
            out[filled : filled + len(part)] = part
            filled += len(part)
            index += 1
        return out

    def places(self, token: int) -> NDArray[np.int64]:
        """Where a token id stands, rising. Reads the whole stream, once."""
        if token not in self._places:
            self._places[token] = self._look_for(token)
        return self._places[token]

    def _look_for(self, token: int) -> NDArray[np.int64]:
        found = []
        for shard, end in zip(self._shards, self._ends.tolist(), strict=True):
            for start in range(0, len(shard), PIECE):
                at = np.flatnonzero(shard[start : start + PIECE] == token)
                found.append(at + (end - len(shard) + start))
        return np.concatenate(found).astype(np.int64) if found else np.empty(0, np.int64)
