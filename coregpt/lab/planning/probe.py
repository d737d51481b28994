"""How fast this machine trains an arm: a few seconds of real forward, backward and optimizer steps."""

import time
from collections.abc import Callable

import torch

from coregpt.contract.config import RunConfig
from coregpt.engine.arithmetic.scaling import autocast
from coregpt.engine.build import NamedPlugins, Run, build
from coregpt.engine.inputs import Given

SECONDS = 1.5
"""Length of each measurement; at least two passes are made however long they take."""
PROBE_TOKENS = 8192


def tokens_per_second(config: RunConfig, plugins: NamedPlugins, inputs: Given | None = None) -> float:
    """Uncompiled training speed of one process. Evaluations are left out."""
    before = torch.get_num_threads()
    if config.device == "cpu":
        torch.set_num_threads(1)
    try:
        run = build(config, plugins, inputs=inputs, separator=0)
        batch = config.batch_tokens // config.model.context
        rows = min(batch, config.micro_rows or batch, max(1, PROBE_TOKENS // config.model.context))
        per_pass = _timed(lambda: _one_pass(run, rows), run)
        per_update = _timed(lambda: run.optimizer.step(0.0, run.dials.values), run)
    finally:
        torch.set_num_threads(before)
    trained = batch * run.timeline.sequences(0) * run.timeline.lengths[0]
    return trained / (per_pass * batch / rows + per_update)


def _one_pass(run: Run, rows: int) -> None:
    shape = (rows * run.timeline.sequences(0), run.timeline.lengths[0])
    tokens = torch.zeros(shape, dtype=torch.long, device=run.device)
    with autocast(run.device.type, run.config.precision):
        loss, _ = run.model(tokens, tokens, run.dials.values)
    loss.backward()


def _timed(work: Callable[[], object], run: Run) -> float:
    """Mean seconds of `work`, the first time left out."""
    work()
    _wait(run)
    begun, times = time.perf_counter(), 0
    while times < 1 or time.perf_counter() - begun < SECONDS:
        work()
        _wait(run)
        times += 1
    return (time.perf_counter() - begun) / times


def _wait(run: Run) -> None:
    if run.device.type == "cuda":
        torch.cuda.synchronize()
