"""A screen's end from its runs: the words of a report are the decisions of `stats.giving_up`."""

import numpy as np
import pytest

from coregpt.report.analysis.null_studies import as_runs, made_up
from coregpt.report.analysis.summary import summarise
from coregpt.report.facts.inputs import Decided
from coregpt.report.facts.model import Report
from coregpt.stats.looks.giving_up import Screening, replay

SEEDS = 6
FACTS = made_up(2, SEEDS, paired=True).model_copy(update={"stage": "screen", "alpha": 0.2, "give_up": 0.05})
LOSER = np.array([[0.0, 1, 2, 3, 4, 5], [3.0, 4.5, 5, 6.5, 7, 8]])


def reported(y: np.ndarray, seeds: int = SEEDS, **changes: object) -> Report:
    """Of losses (2, seeds) of which only the first `seeds` are there yet."""
    runs = [run for run in as_runs(y) if run.seed < seeds]
    return summarise(FACTS.model_copy(update=changes), runs)


def test_every_word_is_that_of_the_decision() -> None:
    rng, seen = np.random.default_rng(0), set()
    for effect in (-1.5, 0.0, 1.0) * 12:
        y = rng.normal(size=(2, SEEDS)) - np.array([[0.0], [effect]])
        seeds, step = replay(Screening(SEEDS, 0.2, 0.05), y[0] - y[1])
        (found,) = reported(y).comparisons
        assert found.verdict == ("candidate" if step == "candidate" else "no sign")
        assert found.cause.startswith(f"given up after {seeds} of 6 seeds") == (step == "futile")
        seen.add(step)
    assert seen == {"futile", "candidate", "no sign"}


def test_it_is_given_up_as_soon_as_two_seeds_say_so_and_later_runs_do_not_count() -> None:
    early, late = reported(LOSER, 2), reported(LOSER)
    assert early.comparisons == late.comparisons
    assert early.comparisons[0].pairs == 2
    assert {run.status for run in early.runs if run.seed > 1} == {"spared"}
    assert {run.reason for run in late.runs if run.seed > 1} == {"not counted: given up after 2 seeds"}


def test_while_it_goes_on_there_is_no_verdict() -> None:
    y = np.array([[0.0, 1, 2, 3, 4, 5], [-1.0, 0, 0.5, 2, 3, 4]])
    (found,) = reported(y, 3).comparisons
    assert found.verdict == "invalid"
    assert found.missing_seeds == (3, 4, 5)


def test_a_diverged_run_of_six_ends_it() -> None:
    y = LOSER.copy()
    y[1, 0] = np.inf
    (found,) = reported(y, 1).comparisons
    assert (found.verdict, found.failures) == ("no sign", (1, 0))


@pytest.mark.parametrize(("pairs", "told"), [(2, 0), (3, 1)])
def test_the_ledgers_word_is_held_against_the_runs(pairs: int, told: int) -> None:
    decided = (Decided(arm="arm1", pairs=pairs, decision="futile"),)
    notes = [note for note in reported(LOSER, decided=decided).notes if "ledger recorded" in note]
    assert len(notes) == told
