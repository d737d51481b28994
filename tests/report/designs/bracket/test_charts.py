"""Pictures of brackets: what is in them, where it stands, and arms that have nothing to draw."""

import math
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from coregpt.report.designs.bracket.charts import (
    BOTTOM,
    CLEAR,
    FAR,
    LEFT,
    LOW,
    RIGHT,
    ROOM,
    STRIP,
    TOP,
    response_charts,
)
from coregpt.report.facts.bracket import Bracketed
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import from_json, to_json
from tests.report.designs.bracket.brackets import Tried, bracketed, report, smooth
from tests.report.verdicts.test_compare import base, shifted

ALL_LOST: Tried = {float(x): [math.inf, math.inf] for x in range(-5, 2)}


def made(new: Tried, gpt: Tried | None = None) -> Report:
    return report({"gpt": gpt or smooth(luck=1), "new": new}, {"gpt": base(), "new": shifted(0.01)})


def pictures(new: Tried, gpt: Tried | None = None) -> dict[str, ElementTree.Element]:
    return {each.arm: ElementTree.fromstring(picture) for each, picture in response_charts(made(new, gpt))}


def of(picture: ElementTree.Element, kind: str) -> list[dict[str, str]]:
    return [each.attrib for each in picture.iter() if each.get("class") == kind]


def texts(picture: ElementTree.Element, kind: str) -> list[str]:
    return [each.text or "" for each in picture.iter("text") if each.get("class") == kind]


def seeds(picture: ElementTree.Element) -> list[dict[str, str]]:
    return [each for each in of(picture, "dot") if "opacity" in each]


def curve(picture: ElementTree.Element) -> list[tuple[float, float]]:
    (line,) = of(picture, "mean")
    return [(float(x), float(y)) for x, y in (point.split(",") for point in line["points"].split())]


def test_every_seed_is_a_dot_and_every_value_a_ring() -> None:
    for picture in pictures(smooth(0.1, luck=3)).values():
        assert len(seeds(picture)) == 10
        assert len(of(picture, "hollow")) == 5
        assert texts(picture, "cross") == []


def test_the_value_of_the_test_stands_at_the_lowest_point_of_the_curve() -> None:
    """Pixels grow downwards: the lowest loss has the largest."""
    for picture in pictures(smooth(0.1, luck=3)).values():
        (used,) = (each for each in of(picture, "dot") if "opacity" not in each)
        lowest, _ = max(curve(picture), key=lambda point: point[1])
        assert float(used["cx"]) == pytest.approx(lowest, abs=4)  # a 48th of two octaves, drawn in 318 pixels
        assert float(used["cy"]) == STRIP
        (bar,) = of(picture, "bar")
        assert float(bar["x1"]) < float(used["cx"]) < float(bar["x2"])


def test_rings_have_equal_distances_in_octaves() -> None:
    (_, picture) = pictures(smooth()).values()
    places = [float(each["cx"]) for each in of(picture, "hollow")]
    assert [b - a for a, b in pairwise(places)] == pytest.approx([places[1] - places[0]] * 4, abs=0.11)


def test_a_run_that_diverged_is_a_cross_and_its_other_seed_a_dot_or_an_arrow() -> None:
    fallen = {**smooth(luck=3), 1.0: [math.inf, 3.0]}
    picture = pictures(fallen)["new"]
    assert texts(picture, "cross") == ["×"]
    assert len(seeds(picture)) == 9
    assert len(of(picture, "hollow")) == 4
    far = pictures({**fallen, 1.0: [math.inf, 4.0]})["new"]
    assert sorted(texts(far, "cross")) == ["×", "↑"]
    assert len(seeds(far)) == 8


def test_a_cliff_is_shaded_from_the_first_value_that_fell_to_the_edge() -> None:
    fallen = {**smooth(0.0, luck=3), 1.0: [math.inf, 3.0]}
    picture = pictures(fallen)["new"]
    (shade,) = of(picture, "band")
    (cross,) = of(picture, "cross")
    assert shade["x"] == cross["x"]
    assert float(shade["x"]) + float(shade["width"]) == pytest.approx(RIGHT, abs=0.11)
    assert of(pictures(smooth())["new"], "band") == []


def test_losses_far_from_the_best_are_arrows_and_do_not_flatten_the_curve() -> None:
    far = {**smooth(0.1, luck=3), -2.0: [5.0, 5.1], -3.0: [9.0, 9.1]}
    near, whole = pictures(smooth(0.1, luck=3))["new"], pictures(far)["new"]
    assert texts(whole, "cross") == ["↑", "↑"]

    def height(picture: ElementTree.Element) -> float:
        ys = [y for _, y in curve(picture)]
        return max(ys) - min(ys)

    assert height(whole) == pytest.approx(height(near) * (LOW - TOP) / (LOW - CLEAR), rel=0.02)


def test_an_arm_of_which_every_run_diverged_has_crosses_alone() -> None:
    picture = pictures(ALL_LOST)["new"]
    assert texts(picture, "cross") == ["×"] * 7
    assert "every run diverged" in texts(picture, "tick")
    assert (of(picture, "hollow"), of(picture, "band"), of(picture, "bar")) == ([], [], [])
    assert seeds(picture) == []
    assert len(of(picture, "dot")) == 1


def test_pictures_can_be_made_where_all_arms_lost_everything() -> None:
    for picture in pictures(ALL_LOST, ALL_LOST).values():
        assert "every run diverged" in texts(picture, "tick")


def test_an_arm_with_one_finite_value_has_a_ring_and_no_curve() -> None:
    picture = pictures({**ALL_LOST, -5.0: [3.0, 3.01]})["new"]
    assert len(of(picture, "hollow")) == 1
    assert of(picture, "mean")[0]["points"] == ""


def test_arms_of_much_the_same_losses_share_their_axes_and_others_their_scale() -> None:
    def heights(level: float) -> list[list[str]]:
        found = pictures(smooth(luck=3, level=level)).values()
        return [[text for text in texts(picture, "tick") if text.startswith(("2.", "3."))] for picture in found]

    alike, apart = heights(3.01), heights(2.5)
    assert alike[0] == alike[1]
    assert apart[0] != apart[1]
    steps = [float(labels[1]) - float(labels[0]) for labels in apart]
    assert steps[0] == pytest.approx(steps[1])


def test_everything_stays_inside_the_picture_however_wide_an_interval_is() -> None:
    report_ = made(smooth())
    assert report_.study.bracket is not None
    wide = [each.model_copy(update={"interval": (-5000.0, 5000.0)}) for each in report_.study.bracket.arms]
    found = Bracketed(setting="optim.lr", arms=tuple(wide))
    study = report_.study.model_copy(update={"bracket": found})
    for _, text in response_charts(report_.model_copy(update={"study": study})):
        (bar,) = of(ElementTree.fromstring(text), "bar")
        assert (float(bar["x1"]), float(bar["x2"])) == (LEFT, RIGHT)


@pytest.mark.parametrize("octaves", [2, 5, 7, 10])
def test_labels_of_values_have_room(octaves: int) -> None:
    tried: Tried = {float(-x): [3.0 + abs(x - 1) / 10, 3.01 + abs(x - 1) / 10] for x in range(octaves + 1)}
    picture = pictures(tried)["new"]
    places = [float(each.get("x") or 0) for each in picture.iter("text") if float(each.get("y") or 0) == BOTTOM + 24]
    assert len(places) >= 2
    assert all(b - a >= ROOM - 0.2 for a, b in pairwise(places))


def test_arrows_stand_below_crosses_and_above_losses() -> None:
    assert FAR < TOP < LOW < STRIP < BOTTOM


def test_the_same_facts_give_the_same_bytes() -> None:
    one = made(smooth(0.3, luck=5))
    again = from_json(to_json(one))
    assert [text for _, text in response_charts(one)] == [text for _, text in response_charts(again)]


def test_arms_declared_at_other_values_stand_at_their_own() -> None:
    found = bracketed({"gpt": smooth(luck=1), "new": smooth(luck=3)})
    moved = found.arms[1].model_copy(update={"declared": 0.4, "value": found.arms[1].value * 100})
    one = made(smooth(luck=3))
    study = one.study.model_copy(update={"bracket": found.model_copy(update={"arms": (found.arms[0], moved)})})
    (_, first), (_, second) = response_charts(one.model_copy(update={"study": study}))
    assert "0.005" in texts(ElementTree.fromstring(first), "tick")
    assert "0.5" in texts(ElementTree.fromstring(second), "tick")
