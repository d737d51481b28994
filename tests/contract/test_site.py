"""Parameters depend on (seed, path) and on nothing else; what is shared is made in one place."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from coregpt.contract.errors import PluginError
from coregpt.contract.plugin import Plugin, hookimpl
from coregpt.contract.rules import ParamRule
from coregpt.contract.site import Site, draw, merge_rules
from tests.made import made

CPU = torch.device("cpu")


def test_a_value_depends_on_seed_and_path_only() -> None:
    one = draw((4, 3), 1, "a.weight", 0.5, 0.0, CPU)
    torch.randn(100)
    assert torch.equal(one, draw((4, 3), 1, "a.weight", 0.5, 0.0, CPU))
    assert not torch.equal(one, draw((4, 3), 2, "a.weight", 0.5, 0.0, CPU))
    assert not torch.equal(one, draw((4, 3), 1, "b.weight", 0.5, 0.0, CPU))


def test_draws_have_the_asked_moments() -> None:
    sample = draw((1000, 1000), 0, "x", 0.02, 0.0, CPU)
    assert abs(sample.std().item() - 0.02) < 1e-4
    assert abs(sample.mean().item()) < 1e-4


def test_arms_of_one_seed_share_their_weights(build) -> None:
    bare, capped = build(), build(softcap={}, relu2={}, rope={})
    shared = bare.assembly.params.keys() & capped.assembly.params.keys()
    assert len(shared) > 20
    for path in shared:
        assert torch.equal(bare.assembly.params[path], capped.assembly.params[path])


def test_residual_projections_start_smaller(build) -> None:
    run = build(shape={"dim": 128, "hidden": 512})
    std = run.config.model.init_std
    up, down = (run.assembly.params[f"blocks.0.mlp.{name}.weight"].std().item() for name in ("up", "down"))
    assert up == pytest.approx(std, rel=0.02)
    assert down == pytest.approx(std / (2 * run.config.model.depth) ** 0.5, rel=0.02)


def test_rules_multiply_and_initial_maps_chain() -> None:
    def square(value: Tensor) -> Tensor:
        return value.square()

    merged = merge_rules("p", [ParamRule(lr=2, init=3.0), ParamRule(lr=5, weight_decay=0.0, init=square)])
    assert (merged.lr, merged.weight_decay) == (10, 0)
    assert callable(merged.init)
    assert merged.init(torch.tensor(2.0)) == 36  # times 3, then squared


def test_two_roles_for_one_parameter_clash() -> None:
    with pytest.raises(PluginError, match="different roles"):
        merge_rules("p", [ParamRule(role="gate"), ParamRule(role="table")])


class Shares(Plugin):
    where: str

    @hookimpl(wrapper=True)
    def make_mlp(self, at: Site) -> Any:
        inner = yield
        make = lambda site: nn.Identity()  # noqa: E731
        make.__module__ = self.where
        at.shared("table", make)
        return inner


def test_one_key_of_two_modules_is_refused() -> None:
    made(Shares(where="a"), type("Same", (Shares,), {"__module__": __name__})(where="a"))
    with pytest.raises(PluginError, match="shared part 'table' is made in a and in b"):
        made(Shares(where="a"), Shares(where="b"))
