"""Who is asked and who makes what: two claimants of one place or one parameter are both named."""

from collections.abc import Generator
from typing import Any

import pytest
from torch import nn

from coregpt.contract.config import ModelShape, RunConfig
from coregpt.contract.errors import PluginError
from coregpt.contract.plugin import Plugin, hookimpl
from coregpt.engine.build import Run, build
from coregpt.engine.model.parts import MLP

CONFIG = RunConfig(model=ModelShape(vocab=32, dim=16, depth=2, heads=2, context=16), tokens=4096)


def made(**plugins: Plugin) -> Run:
    return build(CONFIG, list(plugins.items()), device="meta")


class Gain(nn.Module):
    def __init__(self, at: Any, inner: nn.Module):
        super().__init__()
        self.inner, self.gain = inner, at.scale("gain", (), 1.0)


class Louder(Plugin):
    @hookimpl(wrapper=True)
    def make_attend(self, at: Any) -> Generator[None, nn.Module, nn.Module]:
        return Gain(at, (yield))


class Softer(Louder):
    pass


class Wide(Plugin):
    @hookimpl
    def make_mlp(self, at: Any) -> nn.Module:
        return MLP(at)


class Narrow(Wide):
    pass


class Second(Plugin):
    """Makes a weight where core makes one."""

    @hookimpl(wrapper=True)
    def make_linear(self, at: Any) -> Generator[None, nn.Module, nn.Module]:
        inner = yield
        at.weight("weight", (1,))
        return inner


class Twice(Plugin):
    @hookimpl
    def make_attend(self, at: Any) -> nn.Module:
        return Gain(at, Gain(at, nn.Identity()))


def test_two_plugins_with_a_parameter_of_one_name_are_both_named() -> None:
    with pytest.raises(PluginError, match=r"'blocks\.0\.attention\.attend\.gain' is made by 'louder' and by 'softer'"):
        made(softer=Softer(), louder=Louder())


def test_two_plugins_whose_parts_are_made_of_cores_are_named_and_not_core() -> None:
    with pytest.raises(PluginError, match=r"'blocks\.0\.mlp\.up\.weight' is made by 'narrow' and by 'wide'"):
        made(wide=Wide(), narrow=Narrow())


def test_a_plugin_and_core_are_both_named() -> None:
    with pytest.raises(PluginError, match=r"q\.weight' is made by core and by 'second'"):
        made(second=Second())


def test_one_plugin_that_uses_a_name_twice_is_told_so() -> None:
    with pytest.raises(PluginError, match=r"attend\.gain' is made twice by 'twice'"):
        made(twice=Twice())


def test_the_makers_of_parameters_are_known_after_the_build() -> None:
    makers = made(louder=Louder(), wide=Wide()).assembly.record.makers
    assert makers["blocks.1.attention.attend.gain"] == "louder"
    assert makers["blocks.1.mlp.up.weight"] == "wide"
    assert makers["blocks.1.attention.q.weight"] == "core"


def test_questions_and_answers_are_counted() -> None:
    record = made(louder=Louder()).assembly.record
    assert record.asked["louder", "make_attend"] == record.answered["louder", "make_attend"] == 2
    assert record.hooks == {"louder": ["make_attend"]}


def test_a_wrapper_that_does_not_yield_once_is_named() -> None:
    class Silent(Plugin):
        @hookimpl(wrapper=True)
        def make_mlp(self, at: Any) -> Generator[None, nn.Module, nn.Module]:
            if at is None:
                yield
            return nn.Identity()

    class Talkative(Plugin):
        @hookimpl(wrapper=True)
        def make_mlp(self, at: Any) -> Generator[None, nn.Module, nn.Module]:
            yield
            yield
            return nn.Identity()

    for name, plugin in (("silent", Silent()), ("talkative", Talkative())):
        with pytest.raises(PluginError, match=rf"'{name}' \(.*test_record.py:\d+\): make_mlp is a wrapper and must"):
            made(**{name: plugin})


def test_a_wrapper_may_catch_what_goes_wrong_inside_of_it() -> None:
    class Broken(Plugin):
        @hookimpl
        def make_mlp(self, at: Any) -> nn.Module:
            raise KeyError("x")

    class Rescue(Plugin):
        @hookimpl(wrapper=True)
        def make_mlp(self, at: Any) -> Generator[None, nn.Module, nn.Module]:
            try:
                return (yield)
            except KeyError:
                return nn.Identity()

    assert isinstance(made(broken=Broken(), rescue=Rescue()).model.blocks[0].mlp.inner, nn.Identity)


def test_no_answer_is_kept_after_the_build() -> None:
    run = made(wide=Wide())
    assert run.assembly.record.givers([run.model.blocks[0].mlp.inner]) == []
