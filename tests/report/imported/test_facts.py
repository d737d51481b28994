"""Arms with different numbers of runs, and what an import leaves unknown, down to the numbers."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from coregpt.lab.logs.files import LoggedArm
from coregpt.lab.logs.parse import LoggedRun
from coregpt.report.analysis.summary import summarise
from coregpt.report.facts.inputs import ArmFacts, StudyFacts
from coregpt.report.facts.model import Report
from coregpt.report.imported.facts import ImportSettings, imported_facts
from coregpt.report.pages.text import verdict_lines
from tests.report.studies import study

BASE = [3.281, 3.279, 3.2825, 3.2802, 3.2777]
NEW = [3.2705, 3.272, 3.2731]


def arm(name: str, values: list[float], seeds: list[int | None] | None = None) -> LoggedArm:
    return LoggedArm(
        name,
        [
            LoggedRun(
                f"{name}/{i}",
                planned=20,
                last_step=20,
                readings={"val_loss": {0: 10.8, 10: value + 1, 20: value}},
                seed=None if seeds is None else seeds[i],
            )
            for i, value in enumerate(values)
        ],
    )


def imported(*arms: LoggedArm) -> Report:
    settings = ImportSettings(
        "logs",
        "some logs",
        arms[0].name,
        "val_loss",
        {arm.name: 20 for arm in arms},
        True,
        0.05,
        0.001,
        "coregpt import logs",
    )
    return summarise(*imported_facts(arms, settings))


def test_unequal_arms_get_welchs_numbers() -> None:
    (found,) = imported(arm("base", BASE), arm("new", NEW)).comparisons
    expected = stats.ttest_ind(BASE, NEW, equal_var=False)
    assert (found.gain, found.t, found.df, found.p) == pytest.approx(
        (np.mean(BASE) - np.mean(NEW), expected.statistic, expected.df, expected.pvalue)
    )
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.missing_seeds == ()


def test_a_seed_known_for_some_runs_only_pairs_nothing() -> None:
    report = imported(arm("base", BASE[:3], [1, 2, 3]), arm("new", NEW, [1, 2, None]))
    assert not report.study.paired
    assert any("not all logs of new name their seeds" in note for note in report.notes)


def test_one_seed_used_twice_pairs_nothing() -> None:
    assert not imported(arm("base", BASE[:3], [0, 0, 0]), arm("new", NEW, [0, 0, 0])).study.paired


def test_a_baseline_that_lost_more_runs_than_the_arm_has_is_counted() -> None:
    nan = float("nan")
    report = imported(arm("base", [*BASE, nan, nan, nan, nan]), arm("new", NEW))
    assert report.comparisons[0].failures == (0, 4)
    assert report.comparisons[0].p_failures == pytest.approx(1.0)


def test_the_terminal_says_that_nothing_was_preregistered() -> None:
    words = "\n".join(verdict_lines(imported(arm("base", BASE), arm("new", NEW))))
    assert "8 runs" in words
    assert "imported curves" in words
    assert "preregistration" not in words


def test_the_digest_depends_on_the_numbers_alone() -> None:
    one, two = imported(arm("base", BASE), arm("new", NEW)), imported(arm("base", BASE), arm("new", [*NEW[:2], 3.2]))
    assert one.study.digest == imported(arm("base", BASE), arm("new", NEW)).study.digest != two.study.digest


def test_own_seeds_of_an_arm_need_an_unpaired_study() -> None:
    own = tuple(
        ArmFacts(name=n, parameters=1, flops_per_token=1.0, tokens=1, steps=1, seeds=(0, 1)) for n in ("gpt", "ngpt")
    )
    with pytest.raises(ValidationError, match="unpaired"):
        StudyFacts.model_validate(study().model_dump() | {"arms": own})
