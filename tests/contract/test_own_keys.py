"""Losses that parts leave in the context: each key has one owner."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from coregpt.api import Context, Plugin, Site, hookimpl
from coregpt.contract.config import ModelShape, RunConfig
from coregpt.contract.errors import PluginError
from coregpt.engine.build import Run, build
from coregpt.lab.laws.tools import counting_backend
from coregpt.lab.study.registry import Catalogue

CONFIG = RunConfig(
    model=ModelShape(vocab=61, dim=32, depth=2, heads=2, context=16), tokens=640, batch_tokens=64, eval_tokens=32
)
TOKENS = torch.arange(32).view(2, 16) % 61
FILE = '''"""Leaves a loss.

Source: nobody.
"""
from torch import nn

from coregpt.api import Plugin, hookimpl


class Leaves(nn.Module):
    def forward(self, z, ctx):
        ctx.losses["size"] = z.square().mean()
        return z


class Leaving(Plugin):
    @hookimpl
    def add_logit_transforms(self, at):
        return Leaves()
'''
LINE = 12


class Balanced(nn.Module):
    """Sets its loss as often as it is called."""

    def __init__(self, at: Site, key: str):
        super().__init__()
        self.key = key.format(at.path)

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        ctx.losses[self.key] = x.square().mean()
        return x


class Balance(Plugin):
    key: str = "{}"

    @hookimpl
    def make_mlp(self, at: Site) -> nn.Module:
        return Balanced(at, self.key)


class Twice(Plugin):
    @hookimpl
    def make_stack(self, at: Site, block: Any) -> nn.Module:
        return Repeated(block(0))


class Repeated(nn.Module):
    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        return self.inner(self.inner(x, ctx), ctx)  # type: ignore[no-any-return]


class Extra(nn.Module):
    def forward(self, logits: Tensor, targets: Tensor, ctx: Context) -> Tensor:
        return logits.mean()


class Gives(Plugin):
    @hookimpl
    def add_losses(self, at: Site) -> dict[str, nn.Module]:
        return {"mine": Extra()}


def losses(run: Run) -> dict[str, Tensor]:
    return run.model(TOKENS, TOKENS, run.dials.values)[1]  # type: ignore[no-any-return]


def test_each_part_has_a_key_of_its_own_and_both_count() -> None:
    run = build(CONFIG, [("balance", Balance())])
    loss, logged = run.model(TOKENS, TOKENS, run.dials.values)
    assert [name for name in logged if "mlp" in name] == ["blocks.0.mlp", "blocks.1.mlp"]
    assert torch.isclose(loss, sum(logged.values()))


def test_one_part_that_is_used_twice_counts_once() -> None:
    assert "blocks.0.mlp" in losses(build(CONFIG, [("balance", Balance()), ("twice", Twice())]))


def test_two_plugins_with_one_key_are_both_named(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / f"{name}.py").write_text(FILE)
    catalogue = Catalogue([tmp_path / "one.py", tmp_path / "other.py"])
    run = build(CONFIG, catalogue.instances({"one": {}, "other": {}}))
    one, other = (f"'{name}' ({tmp_path}/{name}.py:{LINE})" for name in ("one", "other"))
    with pytest.raises(PluginError) as told:
        losses(run)
    message = f"ctx.losses['size'] is set by {one} and by {other}; give each loss a key of its own"
    assert str(told.value) == message


@pytest.mark.parametrize(
    ("key", "others", "message"),
    [
        ("same", [], r"'same'\] is set by 'test_own_keys' \(.*\) and by 'test_own_keys'"),
        ("mine", [("gives", Gives())], r"'mine'\] is set by 'test_own_keys' \(.*\) and by 'test_own_keys' \(.*:\d+\)"),
        ("loss", [], r"'loss'\] is set by 'test_own_keys' \(.*\): the main loss has that name"),
    ],
)
def test_two_parts_of_one_plugin_an_extra_loss_and_the_main_one(key: str, others: Any, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        losses(build(CONFIG, [("balance", Balance(key=key)), *others]))


def test_a_compiled_pass_has_no_break_and_the_same_losses() -> None:
    run = build(CONFIG, [("balance", Balance())])
    plain = losses(run)
    compiled, graphs = counting_backend(run.model, "eager")
    found = compiled(TOKENS, TOKENS, run.dials.values)[1]
    assert len(graphs) == 1
    assert found.keys() == plain.keys()
    assert all(torch.allclose(found[name], plain[name]) for name in plain)
