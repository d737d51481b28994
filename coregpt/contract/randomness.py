"""Random numbers that depend on what they are for, and not on who draws them or when.

A draw is a function of (seed, path, name) and of a counter: the place of a row in the run's token stream, or the number
of a parameter in its group. One rank and eight, a resumed run and an unbroken one, small micro-batches and large ones
therefore see the same numbers, and no technique shifts another's.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

WORD = 0xFFFFFFFF
"""32 bits, held in int64: products with factors below 2^31 never overflow."""


@dataclass(frozen=True)
class Noise:
    """One stream of random numbers."""

    low: int
    high: int

    @classmethod
    def of(cls, seed: int, name: str) -> Self:
        """The stream of this name in a run of this seed."""
        digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
        return cls(int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:8], "big"))


def uniform(noise: Noise, counters: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Uniform numbers in [0, 1), fp32, of `shape` (n, ...), whose row i is drawn for counters[i]; counters (n,) int64.

    Row i depends on the stream and on counters[i] alone. 24 random bits each; for dropout and probes, not for secrets.
    """
    row = mix((counters & WORD) ^ noise.low)
    row = mix((row + (counters >> 32)) & WORD ^ noise.high)
    column = mix(torch.arange(math.prod(shape[1:]), device=counters.device) ^ noise.high)
    bits = mix((row[:, None] + column) & WORD)
    return ((bits >> 8).float() * 2.0**-24).view(shape)


def mix(word: Tensor) -> Tensor:
    """A bijection of 32-bit words (int64 tensors) in which every bit of the answer hangs on every bit of the word.

    Xor-shifts and odd products, as in the finalisers of MurmurHash; these shifts and factors come from the search of
    the hash-prospector project for little bias.
    """
    word = word ^ (word >> 16)
    word = (word * 0x21F0AAAD) & WORD
    word = word ^ (word >> 15)
    word = (word * 0x735A2D97) & WORD
    return word ^ (word >> 15)
