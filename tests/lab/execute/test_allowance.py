"""A moment to end by: no run is started that would hardly be done, and none goes on after it."""

from collections.abc import Callable
from types import SimpleNamespace

from coregpt.lab.execute.allowance import Deadline
from tests.lab.conftest import Lab


def deadline(until: float | None, lab: Lab) -> Deadline:
    return Deadline(until, SimpleNamespace(runs=()), lab.runs)  # type: ignore[arg-type]


def test_a_run_is_started_only_if_the_longest_one_would_still_fit(lab: Callable[..., Lab]) -> None:
    made = deadline(100.0, lab())
    assert made.too_late(99.0) == ""
    made.took(30.0)
    made.took(10.0)
    assert made.too_late(69.0) == ""
    assert made.too_late(71.0) == "a run takes 30 s, and 29 s are left"
    assert (made.passed(99.9), made.passed(100.0)) == ("", "its time is up")


def test_without_one_there_is_no_hurry(lab: Callable[..., Lab]) -> None:
    made = deadline(None, lab())
    made.took(1e9)
    assert made.too_late(1e9) == made.passed(1e9) == ""
