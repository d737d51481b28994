"""The split with which a study ends first, against schedules worked out by hand."""

import pytest

from coregpt.lab.split import choose_split

PERFECT = {1: 8.0, 2: 4.0, 4: 2.0, 8: 1.0}
REAL = {1: 8.0, 2: 4.4, 4: 2.6, 8: 1.7}
"""Each doubling gives a little less than half."""


@pytest.mark.parametrize(
    ("gpus", "runs", "times", "best"),
    [
        (1, 12, {1: 8.0}, 1),
        (8, 16, REAL, 1),  # two rounds of 8.0; with 2 GPUs each four rounds of 4.4
        (8, 8, PERFECT, 1),  # all splits end at 8.0: no reason to join GPUs
        (8, 4, REAL, 2),  # 4.4 in one round; 1 GPU each leaves four idle for 8.0, 4 each takes 2 x 2.6
        (8, 1, REAL, 8),
        (8, 9, REAL, 4),  # 1: 2 x 8 = 16; 2: 3 x 4.4 = 13.2; 4: 5 x 2.6 = 13; 8: 9 x 1.7 = 15.3
        (6, 3, REAL, 2),  # 8 GPUs are not there
        (8, 1, {1: 1.0, 2: 1.2, 4: 1.5, 8: 2.0}, 1),  # a run too small to gain
    ],
)
def test_the_study_ends_first_with(gpus: int, runs: int, times: dict[int, float], best: int) -> None:
    assert choose_split(gpus, runs, times) == best


def test_a_measurement_that_fits_is_needed() -> None:
    with pytest.raises(ValueError, match=r"at most 2 GPUs, only for \[4, 8\]"):
        choose_split(2, 4, {4: 1.0, 8: 0.7})
