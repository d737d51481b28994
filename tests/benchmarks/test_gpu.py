"""The bare loop on a GPU does the work that CoreGPT does, and the program runs from end to end on a CPU."""

import pytest
import torch

from benchmarks import gpu
from benchmarks.bare_speedrun import SpeedrunGPT, SpeedrunLoop
from coregpt.engine.build import Run

STEPS = 3


def copied(run: Run) -> SpeedrunGPT:
    """The bare model with CoreGPT's weights; a zero projection is stirred, so that it cannot hide its block."""
    shape = run.config.model
    model = SpeedrunGPT(shape.vocab, shape.dim, shape.depth, shape.heads, shape.context)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for param in run.assembly.params.values():
            param.add_(torch.randn(param.shape, generator=generator), alpha=0.05)
        for name, theirs in pairs(run, model):
            theirs.copy_(run.assembly.params[name])
    return model


def pairs(run: Run, model: SpeedrunGPT) -> list[tuple[str, torch.Tensor]]:
    found = []
    for name in run.assembly.params:
        other = name.replace("attention.", "").replace("mlp.", "").replace("head.out", "head")
        found.append((name, model.get_parameter(other)))
    assert len(found) == len(list(model.parameters()))
    return found


def test_the_bare_loop_trains_the_same_model_by_the_same_rule() -> None:
    stepper = gpu.ours(gpu.DRY, gpu.BASELINE)
    run, order = stepper.run, stepper.trainer.train_step.order
    model = copied(run)
    loop = SpeedrunLoop(model, gpu.DRY.pass_rows, False, False, gpu.OPTIM.lr, 0.025, gpu.OPTIM.weight_decay)
    for step in range(STEPS):
        loss = loop.step(*order.rows(step * gpu.DRY.batch_rows, gpu.DRY.batch_rows))
        assert float(stepper.trainer.train_step(step)[0]) == pytest.approx(float(loss), abs=2e-5)
    for name, theirs in pairs(run, model):
        torch.testing.assert_close(run.assembly.params[name], theirs, rtol=0, atol=2e-4)


def test_it_runs_on_a_cpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(gpu, "late_graphs", lambda scale: (1, 0))  # what takes long; below
    record = gpu.main(["--dry"])
    assert "mean nothing" in capsys.readouterr().out
    assert all(s["tokens_per_second"] > 0 and s["mfu"] > 0 for s in record["sides"].values())


@pytest.mark.slow
def test_no_graph_is_compiled_after_the_clock_has_started() -> None:
    before, late = gpu.late_graphs(gpu.DRY)
    assert before == 1  # all batches are passes of the same size, and the window is a dial
    assert late == 0
