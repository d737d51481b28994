"""A compiled run's last step is taken again without the compiler, and what it multiplies is counted."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coregpt.contract.errors import in_one_line
from coregpt.engine.training.world import World
from coregpt.lab.guard.work import OPTIMIZER, STEP, Work, taken_again
from coregpt.lab.laws.law_case import LawCase
from coregpt.lab.laws.loop import steps_on_one_batch
from coregpt.lab.laws.tools import tiny_source
from coregpt.lab.study.registry import Catalogue
from tests.lab.judging.cheats import cheat

STEPS = 3


def compiled(name: str, catalogue: Catalogue) -> dict[str, Any]:
    """Of a run whose settings say that it is compiled; building it compiles nothing."""
    case = LawCase(catalogue, name)
    return taken_again(case.run(case.config(steps=STEPS, compile=True)), tiny_source(), in_one_line)


@pytest.mark.parametrize("name", ["relu2", "muon", "sam"])
def test_the_step_taken_again_multiplies_as_each_step_without_a_compiler(name: str) -> None:
    case = LawCase(Catalogue(), name)
    run = case.run(case.config(steps=STEPS))
    work = Work(run, lambda but, functions: None)
    trainer = steps_on_one_batch(run, case)
    for step in range(STEPS):
        trainer.train_step(step)
    eager, again = work.facts(), compiled(name, Catalogue())
    assert eager is not None
    (last,) = again["steps"]
    assert last == {**eager["steps"][-1], "update": 1}  # the one that this run makes
    assert (again["tokens"], again["declared"]) == (eager["tokens"] / STEPS, eager["declared"] / STEPS)
    assert last[STEP] > 0
    assert (last[OPTIMIZER] > 0) == (name == "muon")


def test_more_steps_beside_a_compiled_one_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "cheat.py"
    path.write_text(cheat("more steps"))
    again = compiled("cheat", Catalogue([path]))
    assert again["tokens"] > 2 * again["declared"]


def test_a_step_that_cannot_be_taken_counts_nothing_and_says_why(tmp_path: Path) -> None:
    path = tmp_path / "cheat.py"
    path.write_text(cheat("precision").replace("torch.set_float32_matmul_precision", "missing"))
    again = compiled("cheat", Catalogue([path]))
    assert (again["steps"], again["tokens"]) == ([], 0)
    assert "name 'missing' is not defined" in again["uncounted"]


def test_several_ranks_take_no_step_again_and_say_so() -> None:
    case = LawCase(Catalogue(), "relu2")
    run = replace(case.run(case.config(steps=STEPS, compile=True)), world=World(0, 2))
    assert taken_again(run, tiny_source(), in_one_line)["uncounted"] == "its 2 ranks would wait for each other"


def test_what_a_technique_does_in_some_steps_only_is_counted_in_some_seed() -> None:
    """The first, the middle and the last step are no secret; the others hang on the seed."""
    case, seen = LawCase(Catalogue(), "relu2"), set[int]()
    for seed in range(20):
        both = [Work(case.run(case.config(steps=24, seed=seed)), lambda but, functions: None).sampled for _ in range(2)]
        assert both[0] == both[1] >= {0, 12, 23}
        assert 3 < len(both[0]) <= 6
        seen |= both[0]
    assert len(seen) > 18
