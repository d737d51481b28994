"""What a report says of programs: whose numbers they are, in what arms differ, what equal seeds came to."""

import re

import pytest

from coregpt.report.analysis.summary import summarise
from coregpt.report.designs.command.words import trust
from coregpt.report.facts.model import Report
from coregpt.report.facts.program import ProgramArm, ProgramFacts
from coregpt.report.facts.runs import RunTiming
from coregpt.report.pages.render import render
from tests.report.studies import run, study

DIFF = "diff --git a/train.py b/train.py\n-a\n+b\n"


def program(**changes: object) -> ProgramFacts:
    said = {
        "repo": "nanoGPT",
        "command": "python train.py --lr={lr}",
        "edit": {"train.py": {"seed(1337": "seed({seed}"}},
        "inputs": {"data/chars": "f" * 64},
        "metric": "lines like val {val_loss}",
        "final": "last",
        "time_limit": 1200.0,
        "arms": (
            ProgramArm(arm="gpt", at="main", commit="a" * 40, subject="First"),
            ProgramArm(
                arm="ngpt",
                at="worktree",
                commit="a" * 40,
                patch="c" * 64,
                stat="train.py +1 -1",
                diff=DIFF,
                settings=("lr 0.001 -> 0.002",),
                packages=tuple(f"package{i} 1 -> 2" for i in range(8)),
            ),
        ),
        "unreported": ("parameters", "FLOPs"),
        "repeated_seed": 0,
        "repeated": (3.0, 3.0),
        "same": True,
    }
    return ProgramFacts(**{**said, **changes})  # type: ignore[arg-type]


def made(**changes: object) -> Report:
    runs = [run(arm, seed, 3.0 + seed / 100 - 0.1 * (arm == "ngpt")) for arm in ("gpt", "ngpt") for seed in range(6)]
    return summarise(study(seeds=6, program=program(**changes)), runs)


def test_the_headline_block_says_in_what_arms_differ_and_the_end_has_every_line() -> None:
    report = made()
    (comparison,) = report.comparisons
    assert (
        "Against gpt, code: train.py +1 -1; settings: lr 0.001 -> 0.002; packages: package0 1 -> 2"
        in comparison.sentence
    )
    assert "2 more" in comparison.sentence
    for page in (render(report)["report.md"], render(report)["report.html"]):
        assert page.index("Source differences") > page.index("Reproduce")
        assert "diff --git a/train.py b/train.py" in page
        assert "aaaaaaaaaa with patch cccccccccc" in page


def test_what_the_program_says_is_called_so_and_unknown_axes_are_named() -> None:
    page = render(made())["report.md"]
    assert "are as reported by the program; wall time, peak memory and exit status are measured here" in page
    assert "It does not tell parameters and FLOPs, so arms cannot be compared at equal ones." in page
    assert "Nothing looked for the best settings of any arm" in page
    assert "Held equal between arms: nothing by us" in page or "Held equal" not in page
    assert "seed(1337" in page


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "Equal seeds give equal numbers: gpt, seed 0 was made twice and came to 3.0000 both times."),
        (
            {"repeated": (3.0, 3.02), "same": False},
            "Repetition noise, from this one pair: sd 0.0141; other seeds of gpt",
        ),
        ({"repeated": (3.0, None), "same": False}, "was made twice and came to 3.0000 and lost"),
        (
            {"repeated": None, "repeated_seed": None, "same": None},
            "Whether equal seeds give equal numbers is not known",
        ),
    ],
)
def test_what_equal_seeds_came_to(changes: dict[str, object], words: str) -> None:
    assert any(words in note for note in made(**changes).notes)


def test_the_report_of_our_own_trainer_says_nothing_of_programs() -> None:
    runs = [run(arm, seed, 3.0 + seed / 100) for arm in ("gpt", "ngpt") for seed in range(6)]
    page = render(summarise(study(seeds=6), runs))["report.md"]
    assert "program" not in page


def test_the_best_of_a_run_is_told_to_be_a_choice() -> None:
    words = "lowest value that it printed"
    assert words in trust(made(final="lowest").study)
    assert words not in trust(made().study)


def test_what_nobody_knows_takes_no_room() -> None:
    """No column of `unknown`, no digest of no inputs, no unit that is not known, nothing said twice."""
    runs = [run(arm, seed, 3.0 + seed / 100 - 0.1 * (arm == "ngpt")) for arm in ("gpt", "ngpt") for seed in range(6)]
    facts = study(seeds=6, unit="", program=program(inputs={}))
    nothing = {"parameters": None, "tokens": None, "flops_per_token": None}
    blind = facts.model_copy(update={"arms": tuple(arm.model_copy(update=nothing) for arm in facts.arms)})
    timing = RunTiming(train_seconds=80.0)
    pages = render(summarise(blind, [each.model_copy(update={"timing": timing}) for each in runs]))
    page = pages["report.md"]
    assert "| arm | steps |" in page
    assert "Cost against the baseline" not in pages["report.html"]
    assert "time per token" not in page.lower()
    assert "sha256" not in page
    assert "What it reads beside its code is its own affair" in page
    assert "val_loss; gain = baseline minus arm" in page
    assert re.search(r"lowers val_loss against gpt by 0\.10+ \(", page)
    assert page.count("Equal seeds give equal numbers") == 1


@pytest.mark.parametrize(("seconds", "said"), [(90.0, "90 s"), (300.0, "5 min"), (5400.0, "1.5 h")])
def test_a_time_limit_reads_as_it_was_declared(seconds: float, said: str) -> None:
    assert f"at most {said} a run" in render(made(time_limit=seconds))["report.md"]


def test_names_that_move_are_told_to_be_names() -> None:
    arms = made().study.program.arms  # type: ignore[union-attr]
    pinned = tuple(arm.model_copy(update={"at": arm.commit}) for arm in arms)
    words = "coregpt ablate what the names mean by then"
    assert words in render(made())["report.md"]
    assert words not in render(made(arms=pinned))["report.md"]
