"""Each run of a program has the bare call before it as its neighbour, and the one that is made twice is left out."""

from pathlib import Path

import pytest

from benchmarks import command_overhead


def test_a_small_study_is_told_pair_by_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COREGPT_CACHE", str(tmp_path / "cache"))
    cost = command_overhead.measure(tmp_path, 0.06, 2)
    assert len(cost.bare) == len(cost.runs) == 3
    assert all(0.06 < bare < run for bare, run in zip(cost.bare, cost.runs, strict=True))
    bare, run = cost.processor
    assert 0 < bare < run
    lines = command_overhead.page(cost, 0.06)
    assert any(line.startswith("| **added** |") for line in lines)
