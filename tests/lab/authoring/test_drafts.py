"""The draft of every hook loads, trains, changes something, passes its own test and keeps the laws."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from coregpt.contract.hookspecs import Hooks
from coregpt.contract.plugin import PREFIXES
from coregpt.lab.authoring.draft import write
from coregpt.lab.authoring.homes import HOMES, QUESTIONS
from coregpt.lab.laws import laws
from coregpt.lab.laws.ranks import STEPS, begin
from coregpt.lab.planning.load import load
from coregpt.lab.study.registry import Catalogue
from tests.test_structure import questions

HOOKS = sorted(name for name in vars(Hooks) if name.startswith(PREFIXES))


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside of the repository with all drafts, each called `my_` and its hook."""
    folder = tmp_path_factory.mktemp("drafts")
    for hook in HOOKS:
        write(f"my_{hook}", hook, folder, Catalogue())
    return folder


def case(folder: Path, hook: str) -> laws.LawCase:
    return laws.LawCase(Catalogue([folder / f"my_{hook}.py"]), f"my_{hook}")


def test_every_hook_has_a_draft_and_a_home() -> None:
    assert sorted(HOMES) == HOOKS
    assert set(HOMES.values()) == set(QUESTIONS)


def test_homes_are_those_of_the_table_in_contributing() -> None:
    table = questions()
    assert {folder: table[folder][0] for folder in QUESTIONS} == dict(QUESTIONS)
    for hook, folder in HOMES.items():
        assert hook in table[folder][1]


@pytest.mark.parametrize("hook", HOOKS)
def test_a_draft_trains_and_is_not_without_effect(hook: str, written: Path) -> None:
    subject = case(written, hook)
    laws.documented(subject)
    plain, ours = (subject.run(subject.config(plugins)) for plugins in ({}, subject.plugins()))
    losses = []
    for run in (plain, ours):
        for step in range(6):
            run.dials.set(run.timeline.clock(step))
            tokens = subject.tokens(seed=step)
            loss, _ = run.model(tokens[:, :-1], tokens[:, 1:], run.dials.values)
            assert torch.isfinite(loss)
            loss.backward()
            run.optimizer.step(run.dials.lr_factor, run.dials.values)
            with torch.no_grad():
                for companion in run.companions:
                    companion.after_update(run.timeline.clock(step))
        losses.append(float(loss.detach()))
    assert losses[0] != losses[1]


@pytest.mark.parametrize("hook", HOOKS)
def test_its_study_is_valid(hook: str, written: Path) -> None:
    study = load(written / f"my_{hook}.yaml")
    assert [arm.name for arm in study.arms] == ["without", f"my_{hook}"]


def test_every_drafts_test_passes_in_a_strangers_folder(written: Path) -> None:
    words = [sys.executable, "-m", "pytest", "-q", "-p", "coregpt.testing", "-p", "no:cacheprovider", str(written)]
    done = subprocess.run(words, cwd=written, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.split(" passed")[0].split()[-1]) >= len(HOOKS)


ALONE = [law for law in laws.LAWS if law is not laws.two_ranks_equal_one]


@pytest.mark.slow
@pytest.mark.parametrize("law", ALONE, ids=lambda law: law.__name__)
@pytest.mark.parametrize("hook", HOOKS)
def test_law(hook: str, law, written: Path) -> None:
    law(case(written, hook))


@pytest.mark.slow
def test_two_ranks_equal_one_for_every_draft(written: Path) -> None:
    subjects = {hook: case(written, hook) for hook in HOOKS}
    weights = begin(list(subjects.values()), steps=STEPS).weights()
    laws.compare_ranks(dict(zip(subjects, weights, strict=True)), subjects)
