"""What moves when the learning rate of an arm moves: every parameter's rate by one factor, seen in the built model."""

from collections.abc import Callable
from typing import Any

import pytest

from coregpt.contract.errors import ConfigError
from coregpt.engine.build import build
from coregpt.lab.designs.rates import at_rate, moving, point_at, unmovable
from coregpt.lab.planning.load import load
from coregpt.lab.study.declaration import Arm, Study
from tests.lab.conftest import Lab


def study(lab: Callable[..., Lab], **other: Any) -> Study:
    return load(lab(arms={"gelu": {}, "other": other}).study)


def peaks(arm: Arm, made: Study) -> dict[str, float]:
    """Learning rate of every parameter, by the optimizer that the engine builds."""
    run = build(arm.run, made.catalogue.instances(arm.run.plugins), device="meta", separator=0)
    return {path: stack.rule.lr * run.assembly.rules[path].lr for stack in run.optimizer.stacks for path in stack.paths}


@pytest.mark.parametrize(
    ("plugins", "paths"),
    [
        ({"relu2": {}}, ("optim.lr",)),
        ({"muon": {}}, ("optim.lr", "plugins.muon.lr")),
        ({"normuon": {}}, ("optim.lr", "plugins.muon.lr")),
        ({"value_embeddings": {"lr": 3.0}}, ("optim.lr",)),  # a factor on the common rate
        ({"value_embeddings": {"lr": 3.0}, "muon": {}}, ("optim.lr", "plugins.muon.lr")),
    ],
)
def test_every_parameter_is_trained_at_a_rate_of_the_same_factor(
    lab: Callable[..., Lab], plugins: dict[str, Any], paths: tuple[str, ...]
) -> None:
    if "normuon" in plugins:
        plugins = {"muon": {}, **plugins}
    made = study(lab, plugins=plugins, model={"depth": 2})
    arm = made.arms[1]
    assert set(moving(arm, "optim.lr", made.catalogue)) == set(paths)
    before, after = (
        peaks(arm, made),
        peaks(at_rate(arm, moving(arm, "optim.lr", made.catalogue), 1.5, made.catalogue), made),
    )
    for path, rate in before.items():
        assert after[path] == pytest.approx(rate * 2**1.5, rel=1e-5)


def test_the_declared_rate_is_the_declared_number_to_the_bit(lab: Callable[..., Lab]) -> None:
    made = study(lab, optim={"lr": 0.0012345678})
    assert point_at(made.arms[1], ["optim.lr"], 0.0) == {"optim.lr": 0.0012345678}
    assert at_rate(made.arms[1], ["optim.lr"], 0.0, made.catalogue) == made.arms[1]


def test_another_setting_moves_alone(lab: Callable[..., Lab]) -> None:
    made = study(lab, optim={"weight_decay": 0.2}, plugins={"muon": {}})
    paths = moving(made.arms[1], "optim.weight_decay", made.catalogue)
    assert point_at(made.arms[1], paths, -1.0) == {"optim.weight_decay": 0.1}


def test_a_rate_that_no_factor_doubles_is_told(lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch) -> None:
    made = study(lab, plugins={"muon": {}})
    monkeypatch.setattr("coregpt.lab.designs.rates._own_rate", lambda path, value: False)
    with pytest.raises(ConfigError, match=r"arm 'other': no common factor on optim\.lr doubles every learning rate"):
        moving(made.arms[1], "optim.lr", made.catalogue)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("optim.lrr", "'other' has no setting 'optim.lrr'; did you mean 'optim.lr'?"),
        ("model.depth", "'model.depth' is no number that arms may be made to differ in"),
        ("tokens", "'tokens' is no number that arms may be made to differ in"),
        ("optim.weight_decay", "'optim.weight_decay' is 0 in 'other', and factors of it change nothing"),
        ("optim.beta2", "beta2"),  # would be above 1 at the upper end
    ],
)
def test_what_cannot_move_is_told(lab: Callable[..., Lab], setting: str, words: str) -> None:
    made = study(lab, optim={"weight_decay": 0.0, "lr": 0.01})
    said = list(unmovable(made.arms[1], setting, (-5.0, 5.0), made.catalogue))
    assert said
    assert words in said[0]


def test_an_ordinary_arm_can_move(lab: Callable[..., Lab]) -> None:
    made = study(lab, plugins={"relu2": {}})
    assert not list(unmovable(made.arms[1], "optim.lr", (-5.0, 5.0), made.catalogue))
