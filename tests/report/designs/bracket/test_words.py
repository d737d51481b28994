"""What a reader is told of a bracket."""

import math

import pytest

from coregpt.report.designs.bracket.words import bracket_notes, uncertainty, untuned, words
from coregpt.report.pages.text import verdict_lines
from tests.report import studies
from tests.report.designs.bracket.brackets import XS, Tried, bracketed, report, smooth
from tests.report.designs.bracket.test_design import EDGE
from tests.report.verdicts.test_compare import base, shifted

BENT: Tried = {
    x: [3 + y + luck, 3 + y - luck]
    for x, y, luck in zip(XS, (0.02, 0.05, 0.0, 0.05, 0.012), (0.2, -0.2, 0.2, -0.2, 0.2), strict=True)
}
"""Lowest in the middle, bent the other way in all, and too noisy to say more."""


def notes(**tried: Tried) -> list[str]:
    return bracket_notes(bracketed({"gpt": smooth(luck=1), **tried}))


def test_the_first_note_gives_the_values_of_the_test_and_without_doubts_it_is_the_only_one() -> None:
    (note,) = notes(new=smooth(0.1, luck=3))
    assert note.startswith("Each arm ran at its own optim.lr, found by a bracket before the test: 0.00")
    assert note.endswith(" for new.")


def test_an_edge_is_told_with_its_consequence() -> None:
    told = [note for note in notes(edge=EDGE) if "not tuned" in note]
    assert told == [
        "edge is not tuned: the best value is the highest one tried, so the optimum may lie beyond it. "
        "Nothing is credited to the technique."
    ]


def test_a_cliff_inside_the_bracket_is_told_with_its_distance() -> None:
    (told,) = (note for note in notes(new={**smooth(0.0, luck=3), 1.0: [3.2, math.inf]}) if "diverged" in note)
    assert told.startswith("new: runs diverged at optim.lr 0.008, 1 octave above")
    assert "above the value of the test: seeds of the test may fall off the same cliff" in told


def test_runs_that_diverged_below_the_best_are_no_cliff() -> None:
    assert not [note for note in notes(new={**smooth(0.0, luck=3), -1.0: [3.2, math.inf]}) if "cliff" in note]


def test_a_fit_without_a_minimum_is_told_and_allowed_for_in_full() -> None:
    tried: dict[str, Tried] = {"gpt": smooth(luck=1), "new": BENT}
    found = bracketed(tried)
    assert (found.arms[1].kind, found.arms[1].why_not) == ("best point", "")
    told = "new: the curve through its values has no minimum, so the best value tried was taken, with the largest"
    assert any(note.startswith(told) for note in bracket_notes(found))
    values = {"gpt": base(), "new": shifted(0.01)}
    (c,) = report(tried, values).comparisons
    (plain,) = studies.report(values).comparisons
    assert plain.se is not None
    assert c.allowance is not None
    most = plain.se**2 * 6 / 2 / 2  # half the variance of a difference, by two tuning seeds
    assert 8 * most <= c.allowance <= 16 * most


def test_different_numbers_of_values_are_told() -> None:
    further = {**smooth(0.1, luck=3), -2.0: [4.0, 4.0]}
    assert any("different numbers of values: 5 for gpt and 6 for new." in note for note in notes(new=further))


def test_runs_of_earlier_declarations_are_counted() -> None:
    found = bracketed({"gpt": smooth(luck=1), "new": smooth(luck=3)})
    arms = (found.arms[0], found.arms[1].model_copy(update={"started": 14}))
    told = bracket_notes(found.model_copy(update={"arms": arms}))
    assert told[-1].endswith("counting all declarations: 14 for new.")


@pytest.mark.parametrize(
    ("tuned", "expected"),
    [
        ({"gpt": True, "new": True}, {}),
        ({"gpt": True, "new": False}, {"new": "new"}),
        ({"gpt": False, "new": True}, {"new": "gpt"}),
        ({"gpt": False, "new": False}, {"new": "gpt"}),
    ],
)
def test_a_comparison_is_lost_with_either_of_its_arms(tuned: dict[str, bool], expected: dict[str, str]) -> None:
    found = untuned(bracketed({name: smooth(luck=1) if well else EDGE for name, well in tuned.items()}), "gpt")
    assert {arm: why.split()[0] for arm, why in found.items()} == expected


def test_an_arm_that_only_diverged_is_not_said_to_have_its_best_at_an_edge() -> None:
    lost: Tried = {float(x): [math.inf, math.inf] for x in range(-5, 2)}
    assert any("lost is not tuned: every rate tried had a run that diverged." in note for note in notes(lost=lost))


def test_the_uncertainty_is_the_part_of_the_standard_error_beside_the_whole() -> None:
    made = report({"gpt": smooth(luck=1), "new": smooth(luck=3)}, {"gpt": base(), "new": shifted(0.01)})
    (c,) = made.comparisons
    assert c.allowance is not None
    assert c.se is not None
    assert uncertainty(made).startswith(
        f"Uncertainty from tuning: {math.sqrt(c.allowance):.5f} of {c.se:.5f} for new ("
    )
    assert uncertainty(studies.report({"gpt": base(), "new": shifted(0.01)})) == ""


def test_more_seeds_of_a_baseline_in_every_comparison_are_told() -> None:
    told = words(bracketed({"gpt": smooth(seeds=6), "a": smooth(luck=1), "b": smooth(luck=3)}), "val_loss")
    assert "on 2 seeds (gpt, which is in every comparison, 6)" in told
    assert "1000, 1001, 1002, 1003, 1004, 1005" in told


def test_decay_that_goes_with_the_rate_is_told_where_the_rate_moved() -> None:
    tried: dict[str, Tried] = {"gpt": smooth(luck=1), "new": smooth(luck=3)}
    assert "moved with the rate" in words(bracketed(tried), "val_loss")
    assert "moved with the rate" not in words(bracketed(tried, "optim.beta2"), "val_loss")


def test_the_screen_shows_the_interval_with_its_allowance_and_the_first_note() -> None:
    values = {"gpt": base(), "new": shifted(0.03), "other": shifted(0.0)}
    tried: dict[str, Tried] = {"gpt": smooth(luck=1, seeds=6), "new": smooth(luck=3), "other": smooth(luck=4)}
    made = report(tried, values)
    lines = verdict_lines(made)
    for c in made.comparisons:
        assert c.interval is not None
        (line,) = (line for line in lines if line.startswith(f"  {c.arm} "))
        assert f"[{c.interval[0]:+.5f} to {c.interval[1]:+.5f}]".replace("-", "−") in line
    assert any(line.startswith("note: Each arm ran at its own optim.lr") for line in lines)
