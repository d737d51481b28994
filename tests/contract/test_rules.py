"""Stages and schedules are plain functions of the clock."""

import pytest

from coregpt.contract.rules import Clock, Stages


def test_a_stage_ends_at_its_share_of_the_steps() -> None:
    stages = Stages((1 / 3, 8), (0.5, 16), (1, 32))
    assert [stages(Clock(step, 12)) for step in range(12)] == [8] * 4 + [16] * 2 + [32] * 6
    assert stages.values == (8, 16, 32)


@pytest.mark.parametrize("parts", [(), ((0.5, 1),), ((0.5, 1), (0.4, 2), (1, 3)), ((0, 1), (1, 2)), ((1, 1), (1, 2))])
def test_stages_must_rise_to_one(parts: tuple[tuple[float, int], ...]) -> None:
    with pytest.raises(ValueError, match="stage ends"):
        Stages(*parts)


def test_progress_runs_from_zero_to_one() -> None:
    assert Clock(0, 10).progress == 0
    assert Clock(10, 10).progress == 1
