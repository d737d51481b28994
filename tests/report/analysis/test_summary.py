"""Bookkeeping from runs to report: every planned run is accounted for."""

import pytest

from coregpt.contract.errors import RunError
from coregpt.report.analysis.summary import summarise
from coregpt.report.facts.runs import OtherRun
from tests.report.studies import report, run, runs, study
from tests.report.verdicts.test_compare import base, shifted


def test_the_order_in_which_runs_arrive_changes_nothing():
    facts = runs({"gpt": base(), "ngpt": shifted(0.02)})
    assert summarise(study(), facts) == summarise(study(), facts[::-1])


def test_a_run_that_was_never_made_is_listed_as_missing():
    found = summarise(study(), runs({"gpt": base(), "ngpt": shifted(0.02)})[:-1])
    assert len(found.runs) == 12
    assert (found.runs[-1].status, found.runs[-1].reason) == ("missing", "this run was never made")
    assert found.arms[1].absent == 1


def test_two_runs_of_one_arm_and_seed_are_refused():
    with pytest.raises(RunError, match="has two runs, 'ngpt-0' and 'ngpt-0'"):
        summarise(study(), [run("ngpt", 0, 1.4), run("ngpt", 0, 1.3)])


@pytest.mark.parametrize(("arm", "seed"), [("bert", 0), ("gpt", 99)])
def test_a_run_from_outside_the_plan_is_refused(arm: str, seed: int):
    with pytest.raises(RunError, match="is not part of study 'toy'"):
        summarise(study(), [run(arm, seed, 1.4)])


def test_a_run_of_the_ledger_that_the_analysis_leaves_out_is_refused():
    facts = runs({"gpt": base(), "ngpt": shifted(0.02)})
    ids = tuple(each.run_id for each in facts)
    assert summarise(study(started=ids), facts).study.started == ids
    with pytest.raises(RunError, match="the ledger has runs that the analysis leaves out: lost"):
        summarise(study(started=(*ids, "lost")), facts)
    lost = OtherRun(run_id="lost", arm="ngpt", seed=0, status="failed", value=None, reason="no longer planned")
    found = summarise(study(started=(*ids, "lost"), other_runs=(lost,)), facts)
    assert any("1 further run of this study" in note for note in found.notes)


def test_means_over_the_runs_that_finished_are_labelled_conditional():
    found = report({"gpt": base(), "ngpt": [None, *shifted(0.02)[1:]]})
    assert [arm.conditional for arm in found.arms] == [False, True]
    assert found.arms[1].mean == pytest.approx(sum(shifted(0.02)[1:]) / 5)


def test_the_planned_detectable_difference_needs_no_results():
    assert summarise(study(assumed_sd=0.01), []).planned_detectable == pytest.approx(0.01670423734890595)
    assert summarise(study(), []).planned_detectable is None


def test_an_empty_study_is_invalid_not_an_error():
    assert [c.verdict for c in summarise(study(), []).comparisons] == ["invalid"]


def test_confounds_and_environment_warnings_stand_among_the_notes():
    facts = study().model_dump()
    facts["confounds"] = [{"setting": "warm-up", "values": {"gpt": "50", "ngpt": "0"}}]
    facts["environment"]["warnings"] = ["arms ran on different devices"]
    notes = summarise(study().model_validate(facts), []).notes
    assert any("warm-up" in note for note in notes)
    assert "arms ran on different devices" in notes


def test_where_arms_differ_in_settings_alone_the_settings_are_what_is_judged():
    facts = study().model_dump()
    facts["confounds"] = [{"setting": "precision", "values": {"gpt": "fp32", "ngpt": "bf16"}}]
    for arm in facts["arms"]:
        arm["plugins"] = {"rope": {"base": len(arm["name"])}}
    notes = summarise(study().model_validate(facts), []).notes
    assert any("differ in precision: the verdict is about that" in note for note in notes)
    facts["arms"][0]["plugins"] = {}
    notes = summarise(study().model_validate(facts), []).notes
    assert any("Arms also differ in precision; the verdict cannot be credited" in note for note in notes)


def test_the_report_says_when_the_sign_flip_test_cannot_reach_alpha():
    assert any(
        "cannot reach alpha 0.05 with 5 seeds" in n for n in report({"gpt": base(5), "a": shifted(0.1, 5)}).notes
    )
    assert not any("cannot reach" in n for n in report({"gpt": base(6), "a": shifted(0.1, 6)}).notes)


def test_the_headline_counts_every_arm_once():
    values = {"gpt": base(8), "up": shifted(0.05, 8), "same": shifted(0.0003, 8), "down": shifted(-0.05, 8)}
    assert report(values).headline == "Better than gpt: up; worse than gpt: down; no difference that matters: same."


def test_the_first_note_says_how_far_the_verdict_reaches():
    first = report({"gpt": base(6), "a": shifted(0.1, 6)}).notes[0]
    assert "parameters" in first
    assert "tokens" in first
    assert "longer runs" in first
