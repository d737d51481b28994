"""Whole training steps on the device: graphs, precisions, the optimizer's stacks, a checkpoint and what follows it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu
from coregpt.contract.config import RunConfig
from coregpt.engine.build import Run
from coregpt.engine.training.trainer import train
from coregpt.lab.laws.loop import furthest, weights
from coregpt.lab.laws.tools import Rows, stop_after, tiny_source
from tests.gpu.tiny import DRY, config, on, ready, some

pytestmark = pytest.mark.gpu


def test_one_graph_while_window_batch_and_momentum_move(device: str, dry: bool) -> None:
    shape = gpu.DRY.shape if dry else gpu.FULL.shape.model_copy(update={"depth": 2, "vocab": 512})
    scale = replace(gpu.DRY if dry else gpu.FULL, shape=shape, device=device)
    scale = scale if dry else replace(scale, batch_rows=32, pass_rows=8)
    before, late = gpu.late_graphs(scale)
    assert late == 0
    assert before == 1 or not dry  # on CUDA the updates of some stacks are graphs too


def gradients(made: RunConfig, precision: str, device: str) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of the first batch in this precision, fp16's unscaled; fp32's are uncompiled on a CPU."""
    compiled = precision != "fp32" and device == "cuda"
    where = device if precision != "fp32" else "cpu"
    run = on(where, made.model_copy(update={"precision": precision, "compile": compiled}))
    trainer = ready(run)
    assert trainer.calls.note is None
    kept = dict[str, torch.Tensor]()

    def keep(*given: Any) -> None:
        kept.update({path: param.grad.detach().cpu().clone() for path, param in run.assembly.params.items()})

    run.optimizer.step = keep  # type: ignore[assignment]
    return float(trainer.train_step(0)[0]), kept


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_against_fp32(precision: str, device: str) -> None:
    made = config(rope={}, swiglu={}, softcap={})
    wanted, exact = gradients(made, "fp32", device)
    loss, found = gradients(made, precision, device)
    assert loss == pytest.approx(wanted, rel=1e-2)
    largest = max(float(grad.norm()) for grad in exact.values())
    for path, grad in exact.items():
        error = float((found[path] - grad).norm()) / max(float(grad.norm()), largest / 100)
        assert error < 0.05, f"{path}: gradient off by {error:.1%} in {precision}"


@pytest.mark.parametrize("plugins", [{}, {"muon": {}}, {"muon": {}, "normuon": {}}, {"muon": {}, "ema": {}}], ids=str)
def test_stacks_move_as_on_a_cpu(plugins: dict[str, Any], device: str) -> None:
    """Three steps from the same weights by the same gradients.

    Muon multiplies in bf16 on CUDA, and directions of small singular values turn with a rounding: it is near only.
    """
    made = config(**plugins)
    runs = [on("cpu", made), on(device, made)]
    for step in range(3):
        for run in runs:
            generator = torch.Generator().manual_seed(step)
            for path, param in run.assembly.params.items():
                assert param.grad is not None, path
                param.grad.copy_(torch.randn(param.shape, generator=generator))
            run.dials.set(run.timeline.clock(step))
            run.optimizer.step(run.dials.lr_factor, run.dials.values)
    first = weights(on("cpu", made))
    slow, fast = ({path: value.cpu() for path, value in weights(run).items()} for run in runs)
    for path, value in slow.items():
        moved = float((value - first[path]).norm())
        error = float((fast[path] - value).norm()) / max(moved, 1e-12)
        assert error < (0.2 if plugins else 1e-4), f"{path}: off by {error:.1%} of what three steps moved it"
    for stack in runs[1].optimizer.stacks:
        for row, path in enumerate(stack.paths):
            assert runs[1].assembly.params[path].data_ptr() == stack.data[row].data_ptr()


def run_to_the_end(run: Run, path: Path, rows: Rows, stop: int | None = None) -> None:
    never = (lambda: False) if stop is None else stop_after(stop)
    train(run, tiny_source(), rows, path, never)


@pytest.mark.parametrize("compiled", some([False, True], False), ids=["plain", "compiled"][: 1 if DRY else 2])
def test_a_checkpoint_goes_on_to_the_bit(compiled: bool, device: str, tmp_path: Path) -> None:
    """What was saved is what is loaded. What follows is the same, or no further off than unbroken runs are, by ten."""
    made = config(rope={}, muon={}, ema={}).model_copy(update={"compile": compiled, "precision": "bf16"})
    straight = [on(device, made) for _ in range(2)]
    logs = [Rows() for _ in range(3)]
    for number, run in enumerate(straight):
        run_to_the_end(run, tmp_path / f"{number}.pt", logs[number])
    broken, resumed = on(device, made), on(device, made)
    run_to_the_end(broken, tmp_path / "broken.pt", logs[2], stop=3)
    saved = torch.load(tmp_path / "broken.pt", map_location="cpu", weights_only=False)
    for path, value in weights(broken).items():
        assert torch.equal(saved["params"][path], value.cpu()), path
    run_to_the_end(resumed, tmp_path / "broken.pt", logs[2])
    by_itself = furthest(weights(straight[0]), weights(straight[1]))[0]
    gap, name = furthest(weights(straight[0]), weights(resumed))
    assert gap <= 10 * by_itself, f"'{name}' differs by {gap:.2g} after a resume, by {by_itself:.2g} without"
    if by_itself == 0:
        assert logs[0].without_times() == logs[2].without_times()
