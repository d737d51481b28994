"""The contract refuses, at definition or registration, what would go wrong silently later."""

import inspect
from typing import Any

import pytest
from torch import nn

from coregpt.contract.config import ModelShape, RunConfig
from coregpt.contract.errors import PluginError
from coregpt.contract.hookspecs import Hooks
from coregpt.contract.plugin import MARK, HookManager, Plugin, hookimpl, marked
from coregpt.contract.prescription import Prescription
from coregpt.engine.build import build


def test_an_option_may_not_look_like_a_hook() -> None:
    with pytest.raises(PluginError, match="may not start with make_"):
        type("Bad", (Plugin,), {"__annotations__": {"make_mlp": int}, "make_mlp": 1})


def test_a_hook_without_the_marker_is_refused() -> None:
    with pytest.raises(PluginError, match="must be marked with @hookimpl"):

        class Bad(Plugin):
            def make_mlp(self, at: Any) -> None:
                return None


@pytest.mark.parametrize("order", ["tryfirst", "trylast"])
def test_order_cannot_be_forced(order: str) -> None:
    with pytest.raises(PluginError, match="order comes from `after`"):

        class Bad(Plugin):
            @hookimpl(**{order: True})
            def make_mlp(self, at: Any) -> None:
                return None


def test_a_misspelt_hook_is_named() -> None:
    class Typo(Plugin):
        @hookimpl
        def make_mpl(self, at: Any) -> None:
            return None

    with pytest.raises(PluginError, match=r"plugin 'typo'.*make_mpl"):
        HookManager(Hooks).add(Typo(), "typo")


def test_a_wrong_argument_is_named() -> None:
    class Wrong(Plugin):
        @hookimpl
        def make_mlp(self, site: Any) -> None:
            return None

    with pytest.raises(PluginError, match=r"plugin 'wrong'.*site"):
        HookManager(Hooks).add(Wrong(), "wrong")


def test_hooks_of_a_class_are_those_that_inspect_finds() -> None:
    class Base(Plugin):
        @hookimpl
        def make_mlp(self, at: Any) -> None:
            """One."""

        @hookimpl
        def make_norm(self, at: Any) -> None:
            """Another."""

    class Child(Base):
        @hookimpl
        def make_norm(self, at: Any) -> None:
            """Its own."""

    for cls in (Base, Child):
        found = inspect.getmembers_static(cls, lambda each: hasattr(each, MARK))
        assert found == marked(cls)
    assert dict(marked(Child))["make_norm"] is vars(Child)["make_norm"]


def test_options_are_frozen_and_closed() -> None:
    class Small(Plugin):
        size: int = 1
        """A size."""

    with pytest.raises(ValueError, match="frozen"):
        Small().size = 2  # type: ignore[misc]
    with pytest.raises(ValueError, match="Extra inputs"):
        Small(sise=2)  # type: ignore[call-arg]
    assert Small.model_fields["size"].description == "A size."


def test_every_hook_is_documented() -> None:
    hooks = {name: getattr(Hooks, name) for name in vars(Hooks) if name.startswith(("make_", "add_"))}
    assert len(hooks) > 20
    for name, hook in hooks.items():
        assert len(hook.__doc__ or "") > 40, f"{name} needs documentation"
        if name.startswith("make_"):
            assert "Default:" in hook.__doc__, f"{name} must say what happens when nobody answers"


def claimant() -> type[Plugin]:
    class Claim(Plugin):
        @hookimpl
        def make_mlp(self, at: Any) -> nn.Module | None:
            return nn.Identity() if at.layer == 1 else None

    return Claim


def test_two_claimants_of_a_site_are_both_named() -> None:
    config = RunConfig(model=ModelShape(vocab=61, dim=32, depth=2, heads=2, context=16), eval_tokens=16)
    with pytest.raises(PluginError, match=r"make_mlp at 'blocks.1.mlp': claimed by 'one' and 'two'; enable only one"):
        build(config, [("one", claimant()()), ("two", claimant()())])


def test_a_parameter_made_behind_the_sites_back_is_refused() -> None:
    class Stray(Plugin):
        @hookimpl
        def make_norm(self) -> nn.Module:
            return nn.LayerNorm(32)

    config = RunConfig(model=ModelShape(vocab=61, dim=32, depth=2, heads=2, context=16), eval_tokens=16)
    with pytest.raises(PluginError, match=r"not made through at.weight.*final_norm.weight"):
        build(config, [("stray", Stray())])


def test_what_a_technique_prescribes_is_a_setting_with_a_source() -> None:
    with pytest.raises(PluginError, match=r"'optim\.weight_decy' is no setting of a run"):
        type("Typo", (Plugin,), {"prescribes": {"optim.weight_decy": Prescription(0.0, "a paper")}})
    with pytest.raises(PluginError, match=r"'optim\.lr' needs its source"):
        type("Unsaid", (Plugin,), {"prescribes": {"optim.lr": Prescription(0.1, " ")}})
    told = {"optim.weight_decay": Prescription(0.0, "a paper"), "plugins.not_installed.warmup": Prescription(0, "it")}
    assert type("Told", (Plugin,), {"prescribes": told}).prescribes == told  # type: ignore[attr-defined]
