"""What an optimizer multiplies in real steps is what its rules multiply by themselves, of every technique."""

from pathlib import Path
from typing import Any

import pytest

from coregpt.lab.guard.work import OPTIMIZER, Work
from coregpt.lab.laws.law_case import LawCase
from coregpt.lab.laws.loop import steps_on_one_batch
from coregpt.lab.study import updates
from coregpt.lab.study.registry import Catalogue
from coregpt.lab.study.updates import UncountedError, Updates
from tests.lab.judging.cheats import HEAD

STEPS = 12
LOOKED = (0, 1, 10, 11)
"""What is done at intervals begins at one of these, or ends."""
MOVING = [
    name
    for name in Catalogue().names()
    if {"make_update", "make_decay"} & {each for each in vars(Catalogue().cls(name)) if each.startswith("make_")}
]


def counted(name: str, **options: Any) -> tuple[list[dict[str, Any]], Updates]:
    """The steps of a tiny run, and the plan of its updates."""
    case = LawCase(Catalogue(), name, options)
    config = case.config(steps=STEPS)
    run = case.run(config)
    work = Work(run, lambda but, functions: None)
    work.sampled = set(LOOKED)
    trainer = steps_on_one_batch(run, case)
    for step in range(STEPS):
        trainer.train_step(step)
    facts = work.facts()
    assert facts is not None
    return facts["steps"], Updates(config, lambda: case.instances(config))


@pytest.mark.parametrize("name", MOVING)
def test_every_update_multiplies_as_planned(name: str) -> None:
    steps, plan = counted(name)
    for step in steps:
        assert step[OPTIMIZER] == plan.products(step["step"], step["update"]), step


WANTS = (
    HEAD.format(does="Looks at numbers.")
    + """
class Rule:
    lr, weight_decay = 0.1, 0.0

    def init(self, p):
        return {}

    def direction(self, p, g, state, dials):
        if MODEL:
            MODEL[0](torch.zeros(1, 4, dtype=torch.long))
        return g @ g.mT @ g if float(g.abs().sum()) >= 0 else g


MODEL = []


class Wants(Plugin):
    @hookimpl
    def make_update(self, group):
        return Rule() if group.role == "matrix" else None
"""
)


def test_a_rule_that_looks_at_numbers_is_counted_with_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wants.py").write_text(WANTS)
    case = LawCase(Catalogue([tmp_path / "wants.py"]), "wants")
    config = case.config(steps=2)
    plan = Updates(config, lambda: case.instances(config))
    sizes = [stack.data.shape for stack in plan.stacks if stack.group.role == "matrix"]
    assert plan.products(0, 1) == sum(2 * 2 * n * rows * rows * columns for n, rows, columns in sizes)
    monkeypatch.setattr(updates, "MOST_NUMBERS", 10)
    with pytest.raises(UncountedError, match="hangs on numbers, of which it has many"):
        plan.products(1, 2)


def test_a_rule_that_reaches_for_a_model_has_no_plan(tmp_path: Path) -> None:
    (tmp_path / "wants.py").write_text(WANTS.replace("if MODEL:", "if True:"))
    case = LawCase(Catalogue([tmp_path / "wants.py"]), "wants")
    config = case.config(steps=2)
    with pytest.raises(UncountedError, match="list index out of range"):
        Updates(config, lambda: case.instances(config)).products(0, 1)
