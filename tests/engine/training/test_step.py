"""One step's log: the norm of the gradients, and names that no technique may take."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from coregpt.api import Companion, Plugin, hookimpl
from coregpt.contract.errors import PluginError
from coregpt.engine.training.outcome import HELD_OUT, SELECT
from coregpt.engine.training.step import GRAD_NORM
from coregpt.engine.training.trainer import Trainer, never
from coregpt.lab.laws.tools import Rows, tiny_source
from tests.made import TOKENS, made


def trainer_of(run, rows: Rows) -> Trainer:
    return Trainer(run, tiny_source(), rows, Path("never written"), never, 60.0)


def test_the_norm_of_all_gradients_before_clipping_is_logged(build) -> None:
    run, rows = build(config={"optim": {"grad_clip": 0.01}}), Rows()
    trainer = trainer_of(run, rows)
    step = trainer.train_step
    step.prepare()
    (x, y), weights = step.order.rows(*step.place(0)), list(run.assembly.params.values())
    loss, _ = run.model(x, y, run.dials.values)
    squares = sum(grad.double().square().sum() for grad in torch.autograd.grad(loss, weights))
    logged = step(0)
    assert float(logged[step.names.index(GRAD_NORM)]) == pytest.approx(math.sqrt(float(squares)), rel=1e-4)
    trainer.pending.append((1, 0.0, logged))
    trainer.flush()
    assert list(rows.rows[-1]) == ["step", "tokens", "seconds", "loss", GRAD_NORM]


class Claims(nn.Module):
    def __init__(self, name: str):
        super().__init__()
        self.name = name

    def forward(self, logits, ctx):
        ctx.metrics[self.name] = logits.sum().detach()
        return logits


class Claiming(Plugin):
    name: str

    @hookimpl
    def add_logit_transforms(self, at):
        return Claims(self.name)


class Says(Companion):
    def __init__(self, name: str):
        self.name = name

    def metrics(self):
        return {self.name: 1.0}


class Saying(Plugin):
    name: str

    @hookimpl
    def add_companions(self, run):
        return Says(self.name)


class AlsoSaying(Saying):
    """Another technique."""


TAKEN = ["loss", "lr", "step", "seconds", "tokens", GRAD_NORM, SELECT, HELD_OUT]


@pytest.mark.parametrize("name", TAKEN)
def test_no_part_logs_its_number_under_a_name_of_core(name) -> None:
    run = made(Claiming(name=name))
    with pytest.raises(PluginError, match=rf"ctx\.metrics\['{name}'\] is set by 'test_step' .*test_step\.py:\d+"):
        run.model(TOKENS, TOKENS, run.dials.values)


@pytest.mark.parametrize("name", TAKEN)
def test_no_companion_does(name) -> None:
    trainer = trainer_of(made(Saying(name=name)), Rows())
    trainer.calls = trainer.train_step.prepare()
    with pytest.raises(PluginError, match=rf"plugin 'p0': metrics\(\) uses the name '{name}', which is taken"):
        trainer.measure(0)


def test_two_companions_share_no_name() -> None:
    trainer = trainer_of(made(Saying(name="one"), AlsoSaying(name="one")), Rows())
    trainer.calls = trainer.train_step.prepare()
    with pytest.raises(PluginError, match=r"plugin 'p1': metrics\(\) uses the name 'one'"):
        trainer.measure(0)
