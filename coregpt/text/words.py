"""Runs of thirteen words that two texts share, without holding either as words.

Every word is hashed by its bytes and every run by its words, modulo 2^64, from sums over the whole text: a text of 50
MB takes seconds. Two different runs have one hash in one of 10^19 cases.

Source: Brown et al. 2020 (GPT-3), appendix C, for the length of thirteen.
"""

import numpy as np
from numpy.typing import NDArray

RUN = 13
SPACES = b" \t\n\r\v\f\0"
BYTE_BASE, WORD_BASE = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)  # odd, so that powers never vanish

Hashes = NDArray[np.uint64]


def run_hashes(text: bytes, length: int = RUN) -> Hashes:
    """One hash for every run of `length` words of a text, in order; words are what stands between white space."""
    with np.errstate(over="ignore"):
        words = word_hashes(text)
        count = len(words) - length + 1
        if count < 1:
            return np.empty(0, np.uint64)
        found = np.zeros(count, np.uint64)
        for place in range(length):
            found = found * WORD_BASE + words[place : place + count]
        return found


def word_hashes(text: bytes) -> Hashes:
    """One hash a word: the sum of its bytes times powers of a base, the first byte's power being the highest."""
    raw = np.frombuffer(text, dtype=np.uint8)
    inside = np.concatenate([[False], ~np.isin(raw, np.frombuffer(SPACES, np.uint8)), [False]])
    edges = np.flatnonzero(np.diff(inside.astype(np.int8)))
    starts, ends = edges[0::2], edges[1::2]
    found = np.zeros(len(starts), np.uint64)
    with np.errstate(over="ignore"):
        for place in range(int((ends - starts).max(initial=0))):
            at = starts + place
            live = at < ends
            found[live] = found[live] * BYTE_BASE + raw[at[live]].astype(np.uint64) + np.uint64(1)
            if place >= LONGEST:
                break
    return found


LONGEST = 64
"""Bytes of a word that count: a longer one, a line of digits, is told from others by these."""


def shared(known: Hashes, others: Hashes) -> int:
    """How many of `others`, each counted as often as it stands there, are among the sorted hashes `known`."""
    if not len(known):
        return 0
    places = np.minimum(np.searchsorted(known, others), len(known) - 1)
    return int((known[places] == others).sum())
