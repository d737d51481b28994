import numpy as np
import pytest

from coregpt.text.words import run_hashes, shared, word_hashes

from .conftest import text


def runs(raw: str, length: int) -> list[tuple[str, ...]]:
    """The definition, slowly."""
    words = raw.split()
    return [tuple(words[i : i + length]) for i in range(len(words) - length + 1)]


@pytest.mark.parametrize("length", [1, 2, 13])
def test_runs_are_equal_exactly_where_their_words_are(length):
    raw = "\n".join(text(seed) for seed in range(20)).replace("Document", " Document\t")
    slow, fast = runs(raw, length), run_hashes(raw.encode(), length)
    assert len(slow) == len(fast)
    assert len(set(slow)) == len(set(fast.tolist()))
    named = dict(zip(slow, fast.tolist(), strict=True))
    assert all(named[run] == digest for run, digest in zip(slow, fast.tolist(), strict=True))


def test_shared_runs_are_counted_as_often_as_they_stand_there():
    train, other = text(1) + text(2), text(2) + text(3) + text(2)
    slow = sum(run in set(runs(train, 13)) for run in runs(other, 13))
    assert shared(np.empty(0, np.uint64), run_hashes(other.encode())) == 0
    assert shared(np.unique(run_hashes(train.encode())), run_hashes(other.encode())) == slow > 0


def test_words_are_told_apart_by_their_order_and_length():
    words = ["ab", "ba", "a", "aa", "aaa", "b", "é", "\x01", "a" * 64, "b" * 64]
    assert len(set(word_hashes(" ".join(words).encode()).tolist())) == len(words)
    assert word_hashes(b"  ").tolist() == word_hashes(b"").tolist() == []
    assert len(np.unique(word_hashes(b"one two one"))) == 2
