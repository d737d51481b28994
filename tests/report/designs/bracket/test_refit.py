"""Edits of a published bracket are found."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from coregpt import __version__
from coregpt.contract.errors import ConfigError
from coregpt.report.analysis.own_runs import contradictions
from coregpt.report.facts.bracket import ArmBracket, RatePoint
from coregpt.report.facts.environment import EnvironmentFacts
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import from_json, to_json
from tests.report.designs.bracket.brackets import Tried, report, smooth
from tests.report.designs.bracket.test_design import EDGE
from tests.report.verdicts.test_compare import base, shifted

VALUES: dict[str, list[float | None]] = {"gpt": [*base()], "new": [*shifted(0.006)]}


def made(new: Tried | None = None, version: str = __version__) -> Report:
    tried: dict[str, Tried] = {"gpt": smooth(luck=1), "new": new or smooth(0.4, luck=2)}
    return report(tried, VALUES, environment=EnvironmentFacts(values={"coregpt": version}))


def edited(report: Report, change: Callable[[ArmBracket], dict[str, Any]]) -> Report:
    """With the second arm's bracket changed."""
    found = report.study.bracket
    assert found is not None
    arms = (found.arms[0], found.arms[1].model_copy(update=change(found.arms[1])))
    study = report.study.model_copy(update={"bracket": found.model_copy(update={"arms": arms})})
    return report.model_copy(update={"study": study})


@pytest.mark.parametrize("new", [smooth(0.4, luck=2), smooth(0.1, luck=3), EDGE])
def test_a_report_agrees_with_itself_after_its_way_through_json(new: Tried) -> None:
    assert contradictions(from_json(to_json(made(new)))) == []


def test_an_edited_allowance_is_found() -> None:
    one = made()
    (c,) = one.comparisons
    assert c.allowance is not None
    small = one.model_copy(update={"comparisons": (c.model_copy(update={"allowance": c.allowance / 2}),)})
    (text,) = contradictions(small)
    assert text.startswith("new: the report says variance from tuning ")
    none = one.model_copy(update={"comparisons": (c.model_copy(update={"allowance": None}),)})
    assert len(contradictions(none)) == 1


def fewer(each: ArmBracket) -> dict[str, Any]:
    return {"expected_loss": (each.expected_loss or 0) / 2}


def other_value(each: ArmBracket) -> dict[str, Any]:
    return {"value": each.value * 1.01}


def better_losses(each: ArmBracket) -> dict[str, Any]:
    *others, last = each.points
    lower = RatePoint(x=last.x, value=last.value, losses=tuple(loss - 0.005 for loss in last.losses))
    return {"points": (*others, lower)}


def more_seeds(each: ArmBracket) -> dict[str, Any]:
    return {"seeds": (*each.seeds, 2000)}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (fewer, "expected loss"),
        (other_value, "value of the test"),
        (better_losses, "value of the test"),
        (more_seeds, "number of tuning seeds"),
    ],
)
def test_an_edited_fit_is_found(change: Callable[[ArmBracket], dict[str, Any]], told: str) -> None:
    assert any(f"new: the report says {told}" in text for text in contradictions(edited(made(), change)))


def handicapped(each: ArmBracket) -> dict[str, Any]:
    return {"settings": {path: value / 4 for path, value in each.settings.items()}}


def surer(each: ArmBracket) -> dict[str, Any]:
    low, high = each.interval or (0.0, 0.0)
    return {"interval": (low + 0.1, high - 0.1)}


def other_kind(each: ArmBracket) -> dict[str, Any]:
    return {"kind": "cubic" if each.kind == "parabola" else "parabola"}


def seeds_of_the_test(each: ArmBracket) -> dict[str, Any]:
    return {"seeds": tuple(range(len(each.seeds)))}


def moved_point(each: ArmBracket) -> dict[str, Any]:
    first, *others = each.points
    return {"points": (first.model_copy(update={"value": first.value * 1.1}), *others)}


def one_rate_more(each: ArmBracket) -> dict[str, Any]:
    far = RatePoint(x=-4.0, value=each.declared / 16, losses=each.points[0].losses)
    return {"points": (far, *each.points)}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (handicapped, "for a replication"),
        (surer, "interval"),
        (other_kind, "kind"),
        (seeds_of_the_test, "seeds of the test chose its"),
        (moved_point, "octaves from"),
        (one_rate_more, "are not those that the walk comes to"),
    ],
)
def test_nothing_of_a_bracket_can_be_edited_alone(change: Callable[[ArmBracket], dict[str, Any]], told: str) -> None:
    assert any(told in text for text in contradictions(edited(made(), change)))


def test_an_edited_p_is_found() -> None:
    one = made()
    (c,) = one.comparisons
    smaller = one.model_copy(update={"comparisons": (c.model_copy(update={"p": (c.p or 0) / 10}),)})
    (text,) = contradictions(smaller)
    assert text.startswith("new: the report says p ")


@pytest.mark.parametrize(
    "change",
    [
        lambda found: {**found, "arms": []},
        lambda found: {**found, "arms": found["arms"][:1]},
        lambda found: {**found, "arms": [{**each, "cliff": 3.0} for each in found["arms"]]},
        lambda found: {**found, "arms": [{**each, "arm": each["arm"] + "x"} for each in found["arms"]]},
        lambda found: {**found, "arms": [{**each, "points": []} for each in found["arms"]]},
        lambda found: {
            **found,
            "arms": [{**a, "points": [{**point, "losses": []} for point in a["points"]]} for a in found["arms"]],
        },
    ],
)
def test_a_bracket_with_holes_is_no_report(change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    data = json.loads(to_json(made()))
    data["study"]["bracket"] = change(data["study"]["bracket"])
    with pytest.raises(ConfigError, match=r"report\.json: study"):
        from_json(json.dumps(data))


def test_fits_of_other_versions_follow_other_rules() -> None:
    """Only what no rule changes is held against the runs: the value is not."""
    assert contradictions(edited(made(version="0.0.1"), other_value)) == []


def test_an_arm_that_is_not_tuned_cannot_be_made_to_look_so() -> None:
    one = made(EDGE)
    compared = one.model_copy(update={"study": one.study.model_copy(update={"incomparable": {}})})
    assert any(
        text.startswith("new: the report compares it, but new is not tuned") for text in contradictions(compared)
    )
    hidden = edited(compared, lambda each: {"why_not": ""})
    assert any("reason why it is not tuned" in text for text in contradictions(hidden))


def test_a_bracket_that_cannot_be_fitted_is_a_contradiction_and_no_crash() -> None:
    def one_seed(each: ArmBracket) -> dict[str, Any]:
        return {"points": tuple(p.model_copy(update={"losses": p.losses[:1]}) for p in each.points)}

    one = edited(made(), one_seed)
    found = one.study.bracket
    assert found is not None
    both = found.model_copy(update={"arms": tuple(each.model_copy(update=one_seed(each)) for each in found.arms)})
    lost = one.model_copy(update={"study": one.study.model_copy(update={"bracket": both})})
    assert any("cannot be fitted" in text for text in contradictions(lost))
