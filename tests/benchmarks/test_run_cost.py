"""The parts of a run add up to the run, and its clocks agree with what it records of itself."""

from pathlib import Path

import pytest

from benchmarks import run_cost
from benchmarks.study_rate import shortened
from coregpt.lab.planning.load import load
from tests.benchmarks.test_study_rate import SMALL


def test_every_second_belongs_to_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(run_cost, "now", lambda: (float(tick := next(clock)), 2.0 * tick))
    clocks = run_cost.Clocks()
    with clocks.during("training"), clocks.during("evaluations"):
        pass
    clocks.switch()
    assert clocks.parts["training"] == (2.0, 4.0)
    assert clocks.parts["evaluations"] == (1.0, 2.0)
    assert clocks.parts[run_cost.PARTS[-1]] == (2.0, 4.0)


def test_a_small_study_is_told_by_its_parts(tmp_path: Path) -> None:
    path = shortened(tmp_path, 10_240, {**SMALL, "evals": 2})
    cost = run_cost.measure(path, tmp_path / "runs")
    assert cost.runs == len(load(path).arms) * len(load(path).seeds)
    own, wall = cost.parts["training"]
    assert own > 0
    assert cost.recorded <= wall <= 1.5 * cost.recorded + 1  # the loop around the steps; a busy machine stretches it
    assert all(own > 0 and wall > 0 for own, wall in (cost.parts[name] for name in ("start", "evaluations")))
    assert sum(wall for _, wall in cost.parts.values()) < cost.wall
    lines = run_cost.page(cost, 10_240, 3)
    assert any("**all**" in line for line in lines)
