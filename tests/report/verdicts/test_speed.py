"""Speed is compared within seeds and never reaches a verdict."""

import pytest

from coregpt.report.analysis.summary import summarise
from coregpt.report.pages.render import render
from coregpt.report.verdicts.speed import arm_timings
from tests.report.studies import run, study
from tests.report.verdicts.test_compare import base, shifted


def facts(slowdown: float) -> list:
    speeds = [90.0, 100.0, 110.0, 95.0, 105.0, 98.0]
    slow = [run("ngpt", s, v, speed=speeds[s] / slowdown) for s, v in enumerate(shifted(0.02))]
    return [*(run("gpt", s, v, speed=speeds[s]) for s, v in enumerate(base())), *slow]


def test_time_per_token_is_the_ratio_within_seeds():
    found = arm_timings(study(), facts(1.25))[1]
    assert found.time_ratio == pytest.approx(1.25)
    assert found.time_ratio_interval == pytest.approx((1.25, 1.25))


def test_diverged_runs_are_not_timed():
    runs = facts(1.25)
    runs[-1] = run("ngpt", 5, None, speed=1e9)
    assert arm_timings(study(), runs)[1].time_ratio == pytest.approx(1.25)


def test_unmeasured_speed_is_absent_not_zero():
    bare = [r.model_copy(update={"timing": r.timing.model_copy(update={"tokens_per_second": None})}) for r in facts(1)]
    assert arm_timings(study(), bare)[1].time_ratio is None


def test_a_slower_arm_gets_the_same_verdict():
    fast, slow = (summarise(study(), facts(s)) for s in (1.0, 3.0))
    assert fast.comparisons == slow.comparisons
    assert fast.timing != slow.timing


def test_seconds_held_equal_are_checked_once_they_are_measured():
    def timed(seconds: float) -> list:
        runs = facts(1.0)
        return [
            r.model_copy(update={"timing": r.timing.model_copy(update={"train_seconds": seconds})})
            if r.arm == "ngpt"
            else r
            for r in runs
        ]

    close, apart = (summarise(study(equal="seconds"), timed(seconds)) for seconds in (80.7, 81.0))
    assert close.timing.unequal_seconds == {}
    assert apart.timing.unequal_seconds == {"gpt": 80.0, "ngpt": 81.0}
    assert "| training time (median) | 80 s | 81 s |" in render(apart)["report.md"]
    assert "Nothing else was found to differ" in render(close)["report.md"]
    assert summarise(study(), timed(200.0)).timing.unequal_seconds == {}
    assert close.model_copy(update={"timing": apart.timing}) == apart


def begun(hours: dict[str, int]) -> list:
    """Runs that began one a minute, each arm's from an hour of its own."""
    when = {arm: f"2026-12-01T{hour:02d}" for arm, hour in hours.items()}
    return [
        r.model_copy(
            update={"timing": r.timing.model_copy(update={"first_started": f"{when[r.arm]}:{r.seed:02d}:00Z"})}
        )
        for r in facts(0.8)
    ]


def test_time_against_a_baseline_of_another_hour_is_told():
    beside, apart = (summarise(study(), begun({"gpt": 9, "ngpt": hour})) for hour in (9, 10))
    assert (beside.timed_apart, apart.timed_apart) == ((), ("ngpt",))
    for page in ("report.md", "report.html"):
        assert "The runs of ngpt were not trained while the baseline's were" in render(apart)[page]
        assert "were not trained while" not in render(beside)[page]
    assert "time per token \u00d70.80 (measured, but not beside the baseline)" in render(apart)["report.html"]
    assert "time per token \u00d70.80 (measured)" in render(beside)["report.html"]
    assert summarise(study(), facts(0.8)).timed_apart == ()
