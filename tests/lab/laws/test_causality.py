"""A run whose trained model looks where it must not cannot count, even if its plugin passes every law on paper."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coregpt.lab.execute.worker import COMPLETE, FAILED, main
from coregpt.lab.laws import laws
from coregpt.lab.laws.causality import TOLERANCE, leak, random_rows
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.registry import Catalogue
from tests.lab.execute import test_worker

CATALOGUE = Catalogue()
folder_of = test_worker.folder_of

LATE = '''"""Behaves for a hundred steps, longer than any law looks, and then adds a hint to the logits.

Source: nobody.
"""

import torch
from torch import nn

from coregpt.api import Companion, Plugin, hookimpl


class Hint(nn.Module):
    def __init__(self, at):
        super().__init__()
        self.register_buffer("awake", torch.zeros((), device=at.device))
        self.memory = {{}}

    def forward(self, logits, ctx):
        return logits if logits.is_meta else logits + self.awake * self.hint(ctx.tokens, logits)

    def hint(self, tokens, logits):
        {body}


class Waker(Companion):
    def __init__(self, model):
        self.model = model

    def after_update(self, clock):
        if clock.step == 100:
            self.model.transforms[0].awake.fill_(1)


class Late(Plugin):
    @hookimpl
    def add_logit_transforms(self, at):
        return Hint(at)

    @hookimpl
    def add_companions(self, run):
        return Waker(run.model)
'''
ONE_HOT = "nn.functional.one_hot({tokens}, logits.shape[-1])"
BODIES = {
    "later tokens": "return " + ONE_HOT.format(tokens="tokens.roll(-1, 1)"),
    "the next row": "return " + ONE_HOT.format(tokens="tokens.roll(-1, 0)"),
    "earlier calls": """rows = [tuple(row) for row in tokens.tolist()]
        known = [[self.memory.get(row[: t + 1], 0) for t in range(len(row))] for row in rows]
        if not self.training:
            self.memory |= {row[: t + 1]: row[t + 1] for row in rows for t in range(len(row) - 1)}
        return """
    + ONE_HOT.format(tokens="torch.tensor(known)"),
    "nothing": "return torch.zeros_like(logits)",
}


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    yield from test_worker._signals.__wrapped__()  # type: ignore[attr-defined]


@pytest.mark.parametrize("sees", BODIES)
def test_a_trained_model_that_sees_what_it_must_not_fails_its_run(
    folder_of: Callable[..., RunFolder], tmp_path: Path, sees: str
) -> None:
    (tmp_path / "late.py").write_text(LATE.format(body=BODIES[sees]))
    arms = {"gelu": {}, "late": {"plugins": {"late": {}}}}
    folder = folder_of(arms=arms, plugin_files=["late.py"])
    if sees == "nothing":
        assert main([str(folder.path)]) == COMPLETE
        return
    assert main([str(folder.path)]) == FAILED
    error = folder.error()
    assert error is not None
    # What answered for the first rows is gone: one that remembers is told by losses of text that it was asked before.
    said = (
        "select_loss of the final weights is" if sees == "earlier calls" else "the trained model sees what it must not"
    )
    assert said in error["message"]
    assert folder.result() is None


@pytest.mark.parametrize("name", CATALOGUE.names())
def test_no_technique_leaks_after_training(name: str) -> None:
    subject = laws.LawCase(CATALOGUE, name)
    run = subject.run(subject.config())
    subject.stir(run)
    run.dials.set(run.timeline.clock(run.timeline.steps - 1))
    assert leak(run, random_rows(run, 61, 0), random_rows(run, 61, 1)) < TOLERANCE / 100
