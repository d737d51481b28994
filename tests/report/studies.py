"""Made-up studies for the report's tests: real structure, chosen numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from coregpt.report.analysis.summary import summarise
from coregpt.report.facts.environment import EnvironmentFacts
from coregpt.report.facts.inputs import ArmFacts, DataFacts, StudyFacts
from coregpt.report.facts.model import Comparison, Report
from coregpt.report.facts.runs import CurvePoint, RunFacts, RunTiming


def study(arms: Sequence[str] = ("gpt", "ngpt"), seeds: int = 6, **changes: Any) -> StudyFacts:
    """A study whose first arm is the baseline."""
    facts: dict[str, Any] = {
        "name": "toy",
        "question": "Does it help?",
        "baseline": arms[0],
        "arms": tuple(
            ArmFacts(
                name=name, plugins={name: {"rate": 0.05}}, parameters=1000, flops_per_token=6000.0, tokens=8000, steps=8
            )
            for name in arms
        ),
        "seeds": tuple(range(seeds)),
        "digest": "d" * 64,
        "command": "coregpt ablate toy.yaml",
        "data": DataFacts(
            name="prose", sha256="a" * 64, train_tokens=9000, val_tokens=900, eval_tokens=512, split_rule="last tenth"
        ),
        "environment": EnvironmentFacts(values={"torch": "2.13", "device": "cpu"}),
    }
    return StudyFacts(**(facts | changes))


def run(arm: str, seed: int, value: float | None, *, status: str = "", speed: float = 100.0) -> RunFacts:
    """One run with a short curve ending at its value; None means it diverged half way."""
    status = status or ("diverged" if value is None else "finished")
    if status in ("failed", "missing"):
        return RunFacts(run_id=f"{arm}-{seed}", arm=arm, seed=seed, status=status, reason="machine lost")
    end = 3.0 if value is None else value
    points = [CurvePoint(i, 1000 * i, 6e6 * i, end + 2.0 / (1 + i) - 2.0 / 9) for i in range(9)]
    if value is None:
        points = [*points[:4], CurvePoint(4, 4000, 2.4e7, float("nan"))]
    timing = RunTiming(
        tokens_per_second=speed,
        train_seconds=80.0,
        seconds=tuple(10.0 * p.step for p in points),
        peak_memory_bytes=1 << 20,
    )
    reason = "loss became NaN" if status == "diverged" else ""
    return RunFacts(
        run_id=f"{arm}-{seed}",
        arm=arm,
        seed=seed,
        status=status,
        value=value,
        reason=reason,
        curve=tuple(points),
        timing=timing,
    )


def runs(values: Mapping[str, Sequence[float | None]]) -> list[RunFacts]:
    """Runs of all arms; position is the seed."""
    return [run(arm, seed, value) for arm, column in values.items() for seed, value in enumerate(column)]


def report(values: Mapping[str, Sequence[float | None]], **changes: Any) -> Report:
    """The report on a table of final values; the first arm is the baseline."""
    seeds = len(next(iter(values.values())))
    return summarise(study(tuple(values), seeds, **changes), runs(values))


def compare(values: Mapping[str, Sequence[float | None]], **changes: Any) -> Comparison:
    """The first comparison of a report."""
    return report(values, **changes).comparisons[0]
