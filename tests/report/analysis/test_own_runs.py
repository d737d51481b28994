"""What a report concludes follows from its own runs; an edited one says something else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coregpt import __version__
from coregpt.lab.study.meaning import digest_of
from coregpt.report.analysis.own_runs import contradictions, in_these_words
from coregpt.report.facts.chain import ChainFacts
from coregpt.report.facts.environment import EnvironmentFacts, environment_digest
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import from_json, to_json
from coregpt.stats.lond import level
from tests.report import studies

COMMITTED = sorted((Path(__file__).parents[3] / "reports").glob("*/report.json"))
VALUES = {"gpt": [3.0, 3.1, 3.2, 3.05, 3.1], "new": [2.9, 3.0, 3.15, 2.9, 3.0]}


def made(version: str = __version__, **changes: Any) -> Report:
    return studies.report(VALUES, environment=EnvironmentFacts(values={"coregpt": version}), **changes)


def edited(report: Report, **changes: Any) -> Report:
    """With the one comparison changed."""
    (found,) = report.comparisons
    return report.model_copy(update={"comparisons": (found.model_copy(update=changes),)})


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_committed_reports_follow_from_their_runs(path: Path) -> None:
    assert contradictions(from_json(path.read_text()), verdicts=True) == []


def test_a_number_that_does_not_follow_from_the_runs_is_named_with_both_values() -> None:
    assert contradictions(made()) == []
    (said,) = contradictions(edited(made(), gain=0.5))
    assert said == "new: the report says gain 0.5, but its own runs give 0.1"


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "worse"},
        {"size": "below the margin"},
        {"p": 0.3},
        {"p_adjusted": 0.3},
        {"interval": (0.09, 0.2)},
        {"test_interval": None},
        {"failures": (1, 0)},
        {"more_seeds": 3},
        {"effect_size": 9.0},
    ],
)
def test_nothing_of_a_comparison_can_be_edited_alone(change: dict[str, Any]) -> None:
    assert contradictions(edited(made(), **change))


def test_edited_means_and_designs_are_found() -> None:
    report = made()
    first, second = report.arms
    (said,) = contradictions(report.model_copy(update={"arms": (first, second.model_copy(update={"mean": 2.0}))}))
    assert said == "new: the report says mean 2, but its own runs give 2.99"
    assert contradictions(report.model_copy(update={"planned_detectable": 0.001}))


@pytest.mark.parametrize(
    "change",
    [
        lambda study: {"alpha": 0.2},
        lambda study: {"margin": 0.5},
        lambda study: {"started": ("lost",)},
    ],
)
def test_what_the_runs_are_held_to_cannot_be_edited_either(change: Callable[[StudyFacts], dict[str, Any]]) -> None:
    declared = {"test": {"alpha": 0.05, "margin": 0.01, "baseline": "gpt"}}
    report = made(declaration=declared, digest=digest_of(declared))
    assert contradictions(report) == []
    assert contradictions(report.model_copy(update={"study": report.study.model_copy(update=change(report.study))}))


def test_by_other_rules_only_numbers_must_follow_and_verdicts_if_asked() -> None:
    older = made("0.0.1")
    assert contradictions(edited(older, p=0.3)) == []
    assert contradictions(edited(older, verdict="worse")) == []
    assert contradictions(edited(older, verdict="worse"), verdicts=True)
    assert contradictions(edited(older, gain=0.5))


def test_words_are_made_anew_and_are_no_contradiction() -> None:
    report = edited(made(), sentence="It is a miracle.").model_copy(update={"headline": "New is a miracle."})
    assert contradictions(report) == []
    assert in_these_words(report) == made()


def test_notes_are_made_anew_too() -> None:
    report = made()
    assert in_these_words(report.model_copy(update={"notes": ("Nothing to worry about.",)})) == report


def test_ratios_of_time_and_what_more_seeds_take_follow_from_the_runs() -> None:
    report = made()
    first, second = report.timing.arms
    faster = report.timing.model_copy(update={"arms": (first, second.model_copy(update={"time_ratio": 0.5}))})
    (said,) = contradictions(report.model_copy(update={"timing": faster}))
    assert said == "new: the report says time ratio 0.5, but its own runs give 1"
    sooner = report.timing.model_copy(update={"more_hours": {"new": 0.1}})
    assert contradictions(report.model_copy(update={"timing": sooner}))


def test_the_question_is_the_declared_one() -> None:
    declared = {"question": "Does it help?", "hypothesis": "", "test": {}}
    report = made(declaration=declared, digest=digest_of(declared))
    assert contradictions(report) == []
    (said,) = contradictions(
        report.model_copy(update={"study": report.study.model_copy(update={"question": "Is it a miracle?"})})
    )
    assert said == "the report is held to question Is it a miracle?, but it was declared with Does it help?"


@pytest.mark.parametrize(("change", "right"), [({}, True), ({"k": 1}, False), ({"confirmed": 2}, False)])
def test_the_level_of_a_chain_is_that_of_its_place(change: dict[str, Any], right: bool) -> None:
    facts = {"chain": "c", "stage": "confirmation", "alpha": 0.05, "k": 3, "confirmed": 1, "level": level(0.05, 3, 1)}
    assert (contradictions(made(chain=ChainFacts(**(facts | change)))) == []) is right


def test_an_environment_that_was_edited_is_found() -> None:
    values = {"coregpt": __version__, "torch": "2.13"}
    environment = EnvironmentFacts(values=values, digest=environment_digest({**values, "torch": "2.0"}, "a" * 64))
    assert any("says environment" in text for text in contradictions(studies.report(VALUES, environment=environment)))


def test_a_run_that_was_taken_out_is_told_in_plain_words() -> None:
    report = made(started=("new-4",))
    fewer = report.model_copy(
        update={
            "study": report.study.model_copy(update={"seeds": report.study.seeds[:4]}),
            "runs": tuple(run for run in report.runs if run.seed < 4),
            "timing": report.timing.model_copy(update={"runs": report.timing.runs[:8]}),
        }
    )
    assert contradictions(fewer) == ["study 'toy': the ledger has runs that the analysis leaves out: new-4"]


def test_targets_are_compared_where_the_report_has_whole_curves() -> None:
    report = made(target=3.0)
    assert report.targets is not None
    moved = report.targets.model_copy(
        update={"claims": tuple(claim.model_copy(update={"claimed": True}) for claim in report.targets.claims)}
    )
    assert any(
        text.startswith("gpt: the report says claimed True")
        for text in contradictions(report.model_copy(update={"targets": moved}))
    )


def test_a_report_on_logs_names_no_version_and_is_held_to_this_one() -> None:
    assert contradictions(edited(studies.report(VALUES), verdict="worse"))


def test_numbers_that_json_does_not_have_are_equal_to_themselves() -> None:
    report = studies.report({"gpt": [3.0, 3.1, None, 3.0, 3.1, 3.2], "new": [3.0, 3.1, 3.2, None, None, 3.1]})
    assert contradictions(from_json(to_json(report))) == []
    assert json.loads(to_json(report))["comparisons"]


def test_a_preregistration_that_is_not_the_declarations_is_found() -> None:
    report = from_json((Path(__file__).parents[3] / "reports/ngpt_vs_gpt/report.json").read_text())
    forged = report.model_copy(update={"study": report.study.model_copy(update={"digest": "0" * 64})})
    assert any("preregistration 000000000000, but" in text for text in contradictions(forged))
    declaration = {**report.study.declaration, "seeds": [0, 1, 2, 3, 4, 6]}
    forged = report.model_copy(update={"study": report.study.model_copy(update={"declaration": declaration})})
    assert any("its own declaration has" in text for text in contradictions(forged))
