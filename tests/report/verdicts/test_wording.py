"""First words say what a verdict depends on, and what is too small to matter is called that in the headline."""

import json

import pytest

from coregpt.report.analysis.summary import summarise
from coregpt.report.facts.inputs import Confound
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import from_json, to_json
from coregpt.report.pages.paste import latex_table, table
from coregpt.report.pages.paste import sentence as pasted
from coregpt.report.pages.render import render
from coregpt.report.pages.text import verdict_lines
from coregpt.report.pages.tracked import tracked_metrics, tracked_note, tracked_tags
from tests.report.studies import report, runs, study
from tests.report.verdicts.test_compare import base, shifted

AT = "at one shared learning rate"
ONE = {"gpt": base(), "new": shifted(-0.03)}


def test_an_untuned_comparison_says_so_first_wherever_it_is_read() -> None:
    made = report(ONE, untuned={"new": AT})
    (c,) = made.comparisons
    assert made.headline == "At one shared learning rate, new is worse than gpt."
    assert c.sentence.startswith("At one shared learning rate, new raises val_loss against gpt by")
    assert pasted(made, c).startswith("new against gpt (val_loss), worse, at one shared learning rate: gain")
    assert table(made).rows[0][-1] == "worse, at one shared learning rate"
    assert "worse, at one shared learning rate" in latex_table(made)
    assert verdict_lines(made)[1] == made.headline
    files = render(made)
    assert json.loads(files["report.json"])["headline"] == made.headline
    assert json.loads(files["report.json"])["study"]["untuned"] == {"new": AT}
    assert f"**{made.headline}**" in files["report.md"]
    assert "- **new ▼ worse, at one shared learning rate (at least the margin).**" in files["report.md"]
    assert f'<p class="lead">{made.headline}</p>' in files["report.html"]
    assert "</span> worse, at one shared learning rate<" in files["report.html"]
    assert "compared at one shared learning rate" in files["effect.svg"]
    assert tracked_tags(made) == {
        "coregpt.headline": made.headline,
        "coregpt.verdict/new": "worse, at one shared learning rate",
    }
    assert tracked_note(made).startswith(f"**{made.headline}**")
    assert "shared" not in "".join(render(report(ONE)).values())


@pytest.mark.parametrize("gain", [0.03, 0.0002, 0.004])
def test_whatever_the_verdict_is_it_begins_with_the_learning_rate(gain: float) -> None:
    made = report({"gpt": base(), "new": shifted(gain, noise=4)}, untuned={"new": AT})
    assert made.headline.startswith("At one shared learning rate, ")
    assert made.comparisons[0].sentence.startswith("At one shared learning rate, ")
    exploratory = report({"gpt": base(), "new": shifted(gain, noise=4)}, untuned={"new": AT}, exploratory="amended")
    assert exploratory.headline.startswith("Exploratory: at one shared learning rate, ")


def test_of_several_arms_those_are_named_that_nothing_was_tuned_for() -> None:
    values = {"gpt": base(), "a": shifted(0.03), "b": shifted(0.04)}
    assert report(values, untuned={"a": AT, "b": AT}).headline == (
        "At one shared learning rate, better than gpt: a and b."
    )
    some = report(values, untuned={"a": AT})
    assert some.headline == "At one shared learning rate (a), better than gpt: a and b."
    assert some.comparisons[1].sentence.startswith("b lowers")


def test_a_difference_smaller_than_matters_is_called_that_in_the_headline() -> None:
    small = report({"gpt": base(), "new": shifted(0.006)})
    assert small.headline == "new is better than gpt, by less than matters."
    assert "better, by less than matters" in pasted(small, small.comparisons[0])
    assert table(small).rows[0][-1] == "better, by less than matters"
    assert "new ▲ better, by less than matters" in render(small)["effect.svg"]
    both = report({"gpt": base(), "small": shifted(0.006), "large": shifted(0.03)})
    assert both.headline == "Better than gpt: large; better than gpt, by less than matters: small."


def confounded(**why: str) -> Report:
    rows = tuple(
        Confound(setting=name, values={"gpt": "1", "new": "2"}, why={"new": kind}) for name, kind in why.items()
    )
    return report(ONE, confounds=rows)


def test_only_the_rest_takes_credit_from_the_technique() -> None:
    belonging = confounded(warmup="prescribed", lr="tuned", tokens="matched", parameters="technique")
    assert not [note for note in belonging.notes if "credited" in note]
    rows = render(belonging)["report.md"]
    for row in ("| warmup | 1 | 2 | prescribed by it |", "| parameters | 1 | 2 | the technique |"):
        assert row in rows
    (note,) = (note for note in confounded(warmup="prescribed", batch="rest").notes if "credited" in note)
    assert note == "Arms also differ in batch; the verdict cannot be credited to the technique alone."


def test_an_arm_that_departs_from_its_technique_is_told() -> None:
    told = "new is not ngpt as its source prescribes: plugins.wsd.warmup is 0.2, prescribed 0 (a paper)."
    assert told in report(ONE, departures=(told,)).notes


def test_a_report_of_an_older_version_is_read_as_it_was_meant() -> None:
    old = json.loads(to_json(report(ONE, confounds=(Confound(setting="batch", values={"gpt": "1", "new": "2"}),))))
    assert not {"untuned", "departures", "pilot"} & old["study"].keys()
    assert old["study"]["confounds"] == [{"setting": "batch", "values": {"gpt": "1", "new": "2"}}]
    again = from_json(json.dumps(old))
    assert again.study.confounds[0].confounds
    assert "| batch | 1 | 2 | confound |" in render(again)["report.md"]


WORDS = ("better", "worse", "equivalent", "inconclusive", "unstable", "p =", "p <")


@pytest.mark.parametrize("new", [shifted(0.03), shifted(0.0002), [None, None, *shifted(0.0)[2:]]])
def test_a_pilot_has_no_verdict_anywhere(new: list[float | None]) -> None:
    made = report({"gpt": base(), "new": new}, pilot=True)
    (c,) = made.comparisons
    assert c.verdict == "pilot"
    tested = ("p", "p_adjusted", "p_separate", "p_sign_flip", "p_welch", "p_equivalence", "p_failures", "interval")
    assert [getattr(c, name) for name in tested] == [None] * len(tested)
    assert made.headline == "Pilot, without a verdict: new against gpt."
    lines = [made.headline, c.sentence, pasted(made, c), *table(made).rows[0], *verdict_lines(made)]
    lines += [*tracked_tags(made).values(), *tracked_metrics(made)]
    assert not [line for line in lines for word in WORDS if word in line]


def test_a_pilot_of_many_arms_with_looks_or_a_target_has_none_either() -> None:
    values = {"gpt": base(), "a": shifted(0.03), "b": shifted(-0.03)}
    made = summarise(study(tuple(values), 6, pilot=True, target=1.5), runs(values))
    assert {c.verdict for c in made.comparisons} == {"pilot"}
    assert made.targets is None
    assert made.headline == "Pilot, without a verdict: a and b."


def test_arms_with_equal_numbers_are_named_whichever_they_are() -> None:
    values = {"gpt": base(), "a": shifted(0.03), "b": shifted(0.03)}
    assert any(note.startswith("a and b gave exactly equal numbers") for note in report(values).notes)
    assert any(
        note.startswith("a gave exactly the numbers of gpt") for note in report({"gpt": base(), "a": base()}).notes
    )


def test_what_a_tracker_is_told() -> None:
    made = report({"gpt": base(), "new": shifted(0.03)})
    (c,) = made.comparisons
    told = tracked_metrics(made)
    assert c.interval is not None
    assert told["gain/new"] == c.gain
    assert (told["gain low95/new"], told["gain high95/new"]) == c.interval
    assert told["p adjusted/new"] == c.p_adjusted
    assert told["parameters ratio/new"] == told["FLOPs per token ratio/new"] == told["time per token ratio/new"] == 1.0
