"""Drawing primitives: escaping, scales and round ticks."""

import pytest

from coregpt.report.drawing.svg import Scale, element, nice_step, polyline, text, tick_labels


def test_text_and_attributes_are_escaped():
    assert text(1, 2, "<b>&") == '<text x="1" y="2">&lt;b&gt;&amp;</text>'
    assert element("g", class_='"x"') == '<g class="&quot;x&quot;"/>'


def test_points_that_are_not_finite_are_left_out():
    assert polyline([(0, 0), (1, float("nan")), (2, 2.25)], "c") == '<polyline points="0,0 2,2.2" class="c"/>'


def test_a_scale_maps_its_ends_and_holds_wild_values_within_reach():
    y = Scale(1.0, 3.0, 200.0, 0.0)
    assert (y(1.0), y(2.0), y(3.0)) == (200.0, 100.0, 0.0)
    assert y(1e30) == -1000.0


@pytest.mark.parametrize(("low", "high"), [(0.0, 750.0), (1.3912, 1.4553), (-0.02, 0.05), (3.2766, 3.2823)])
def test_ticks_are_round_inside_the_range_and_told_apart_by_their_labels(low: float, high: float):
    ticks = Scale(low, high, 0, 1).ticks(5)
    labels = tick_labels(ticks)
    assert 2 <= len(ticks) <= 7
    assert all(low - 1e-9 <= t <= high + 1e-9 for t in ticks)
    assert len(set(labels)) == len(labels)


def test_steps_are_one_two_or_five_times_a_power_of_ten():
    assert [nice_step(x) for x in (0.011, 0.03, 1.0, 70.0)] == pytest.approx([0.02, 0.05, 1.0, 100.0])
