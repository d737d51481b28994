import numpy as np
import pytest

from coregpt.engine.data.width import likely_width

ZIPF = np.random.default_rng(0).zipf(1.3, 100_000)


def ids(vocab: int, count: int = 4000) -> np.ndarray:
    """Ids as common as words are."""
    return ZIPF[vocab > ZIPF][:count]


@pytest.mark.parametrize("vocab", [256, 5000, 50304, 65536])
def test_ids_of_a_small_vocabulary_are_told_in_both_widths_and_at_both_offsets(vocab):
    narrow, wide = ids(vocab).astype("<u2"), ids(vocab).astype("<u4")
    assert likely_width(narrow) == 2
    assert likely_width(wide) == 4
    assert likely_width(wide.view("<u2")) == 4
    assert likely_width(wide.view("<u2")[1:]) == 4


@pytest.mark.parametrize("vocab", [100_277, 128_256, 200_019, 262_144])
def test_ids_of_a_large_vocabulary_are_told_by_their_upper_halves(vocab):
    spread = np.random.default_rng(1).integers(0, vocab, 4000)
    assert likely_width(spread.astype("<u4")) == 4
    assert likely_width(spread.astype("<u4").view("<u2")) == 4


def test_narrow_ids_read_as_wide_ones_are_told():
    spread = np.random.default_rng(2).integers(0, 50304, 4000).astype("<u2")
    assert likely_width(spread.view("<u4")) == 2


def test_bytes_of_text_are_what_they_are():
    text = np.frombuffer("Wörter, die hier stehen, sind Bytes. ".encode() * 200, np.uint8)
    assert likely_width(text.astype("<u2")) == 2
    assert likely_width(text.astype("<u2")[: len(text) // 2 * 2].view("<u4")) == 2


def test_few_or_dull_tokens_are_judged_to_be_what_they_say():
    assert likely_width(np.zeros(1000, "<u2")) == 2
    assert likely_width(np.array([0, 7] * 500, "<u2")) == 2
    assert likely_width(np.arange(30, dtype="<u4").view("<u2")) == 2
