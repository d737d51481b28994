"""One compiled step of the techniques that are priced, and of every one that touches attention."""

import math

import pytest
import torch
from torch._dynamo.utils import counters

from benchmarks.gpu_prices import TECHNIQUES
from coregpt.cli.tools.plugins import hooks
from tests.gpu.tiny import case, catalogue, config, on, ready, some

pytestmark = pytest.mark.gpu
ATTENTION = {"make_attention", "make_attend", "make_position", "add_masks", "add_score_rules"}
TOUCHING = [name for name in catalogue().names() if ATTENTION & set(hooks(catalogue().cls(name)))]
NAMES = sorted({*TECHNIQUES, *TOUCHING})


def test_the_list_is_what_answers_attention_s_hooks() -> None:
    assert {"differential", "gqa", "mla", "rope", "score_softcap", "sinks"} <= set(TOUCHING)


@pytest.mark.parametrize("name", some(NAMES, "gqa", "muon", "window_warmup"))
def test_one_compiled_step(name: str, device: str) -> None:
    """In bf16, in one graph, with the loss of the same step in fp32 on a CPU, and every weight finite after it."""
    made = config(depth=2, **{needed: {} for needed in catalogue().cls(name).requires}, **{name: {}})
    slow = ready(on("cpu", made))
    wanted = float(slow.train_step(0)[0])
    counters.clear()
    run = on(device, made.model_copy(update={"precision": "bf16", "compile": True}))
    trainer = ready(run)
    assert trainer.calls.note is None
    before = counters["stats"]["unique_graphs"]
    loss = float(trainer.train_step(0)[0])
    assert loss == pytest.approx(wanted, rel=2e-2)
    trainer.train_step(1)
    assert counters["stats"]["unique_graphs"] == before
    assert not counters["graph_break"]
    for path, param in run.assembly.params.items():
        assert math.isfinite(float(param.float().abs().max())), path
    trainer.measure(0)
    with torch.no_grad():
        logits = run.model.logits(case().tokens(rows=2, length=made.model.context).to(device), run.dials.values)
    assert torch.isfinite(logits).all()
