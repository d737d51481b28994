"""Facts that contradict themselves are refused when they are made."""

import pytest
from pydantic import ValidationError

from coregpt.report.facts.runs import CurvePoint, RunFacts, RunTiming
from tests.report.studies import study


def test_a_baseline_that_is_no_arm_is_refused():
    with pytest.raises(ValidationError, match="baseline 'bert' is not one of the arms"):
        study(baseline="bert")


def test_a_study_without_treatments_is_refused():
    with pytest.raises(ValidationError, match="at least one arm besides the baseline"):
        study(("gpt",))


def test_arms_of_one_name_are_refused():
    with pytest.raises(ValidationError, match="arm names must differ"):
        study(("gpt", "gpt"))


def test_equal_seeds_are_refused_because_they_are_one_observation():
    with pytest.raises(ValidationError, match="one observation"):
        study(seeds=3).model_validate({**study().model_dump(), "seeds": [1, 1, 2]})


def test_a_finished_run_without_a_value_is_refused():
    with pytest.raises(ValidationError, match="has no value"):
        RunFacts(run_id="x", arm="gpt", seed=0, status="finished")


def test_seconds_that_do_not_fit_the_curve_are_refused():
    with pytest.raises(ValidationError, match="1 curve points but 2 seconds"):
        RunFacts(
            run_id="x",
            arm="gpt",
            seed=0,
            status="failed",
            curve=(CurvePoint(0, 0, 0.0, 3.0),),
            timing=RunTiming(seconds=(0.0, 1.0)),
        )


def test_treatments_are_the_other_arms_in_order():
    assert study(("b", "gpt", "a"), baseline="gpt").treatments == ("b", "a")
