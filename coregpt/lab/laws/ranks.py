"""The law that ranks are only a way to cut a batch, and what it allows a technique that the last bit may turn."""

import math
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.spawn import ProcessContext, start_processes

from coregpt.contract.errors import in_one_line
from coregpt.engine.build import Run
from coregpt.engine.training.trainer import train
from coregpt.engine.training.world import join, leave
from coregpt.lab.laws.law_case import MIXED, Asked, LawCase, LawError
from coregpt.lab.laws.loop import finish, trained, weights
from coregpt.lab.laws.tools import Rows, tiny_source
from coregpt.lab.study.code.blame import told
from coregpt.lab.study.registry import Catalogue

LIMIT = 1e-3
"""A tenth of what one step of AdamW moves a weight here, as a root mean square over a parameter. Two ranks add in
another order, and where a gradient is near zero AdamW makes a step of that rounding: single weights of correct
techniques were 0.0012 apart on one processor and 0.0003 on another. A rank left out moves most by whole steps."""
FURTHEST = 1e-2
"""The most that any single weight may be apart: one whole step."""
STEPS = 4
PATIENCE = 120
"""Seconds that one rank waits for the other."""
SLACK = 3.0
"""How much further than one rounding of the gradients ranks may lie apart, where a technique is declared sensitive."""
BOUND = 0.25
"""The most that ranks may lie apart then, as a share of what training moves a parameter."""
Weights = dict[str, Tensor]
Subject = tuple[str, dict[str, Any], dict[str, dict[str, Any]], frozenset[str], Asked, dict[str, Any]]
"""Name, options, plugins beside, what is around, inputs, and changes of the configuration: plain data for another
process."""


@dataclass
class Ranks:
    """Two processes that train something. They say what went wrong in a file and never on the screen."""

    folder: "tempfile.TemporaryDirectory[str]"
    context: ProcessContext
    number: int

    def weights(self) -> list[Weights]:
        """Final weights of every subject. Raises LawError if a rank failed."""
        while not self.context.join():
            pass
        folder = Path(self.folder.name)
        failures = [path.read_text("utf-8") for path in sorted(folder.glob("*.failed"))]
        if failures:  # the other one only says that this one is gone
            raise LawError(f"a rank of two failed: {min(failures, key=lambda text: 'plugin' not in text)}")
        found = [torch.load(folder / f"{i}.pt") for i in range(self.number)]
        self.folder.cleanup()
        return found

    def stop(self) -> None:
        for process in self.context.processes:
            process.kill()


def begin(cases: Sequence[LawCase], size: int = 2, **changes: Any) -> Ranks:
    """Starts `size` gloo processes that train each case on the tiny source, one after the other.

    Where that is safe they are forks, which start in milliseconds: on Linux, before CUDA is touched.
    """
    forks = sys.platform == "linux" and not torch.cuda.is_initialized()
    torch.set_num_threads(1)  # a fork has none of the threads that a pool may believe to have
    for case in cases:
        case.config()  # makes what it needs as an input, which forks then find
    folder = tempfile.TemporaryDirectory()
    subjects = [(case.name, case.options, case.beside, case.around, case.asked, changes) for case in cases]
    files = tuple(dict.fromkeys(path for case in cases for path in case.files))
    arguments = (size, folder.name, subjects, files)
    context = start_processes(_rank, arguments, nprocs=size, join=False, start_method="fork" if forks else "spawn")
    assert context is not None
    return Ranks(folder, context, len(subjects))


def _rank(rank: int, size: int, folder: str, subjects: list[Subject], files: tuple[Path, ...]) -> None:
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(size))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    try:
        _train_all(rank, size, folder, subjects, files)
    except BaseException as error:
        line = told(error) or in_one_line(error)
        Path(folder, f"{rank}.failed").write_text(line, encoding="utf-8")
    os._exit(0)  # gloo's threads now and then abort a process that ends the long way (SIGABRT, seen in torch 2.13)


def _train_all(rank: int, size: int, folder: str, subjects: list[Subject], files: tuple[Path, ...]) -> None:
    meeting = f"file://{folder}/rendezvous"
    torch.distributed.init_process_group("gloo", meeting, timedelta(seconds=PATIENCE), rank=rank, world_size=size)
    world, catalogue, source = join("cpu"), Catalogue(files), tiny_source()
    for i, (name, options, beside, around, asked, changes) in enumerate(subjects):
        case = LawCase(catalogue, name, options, beside, around, asked=asked)
        run = case.run(case.config(**changes), world)
        train(run, source, Rows(), Path(folder) / f"checkpoint-{i}.pt")
        if rank == 0:
            torch.save(weights(run), f"{folder}/{i}.pt")
    world.barrier()
    leave()


def two_ranks_equal_one(case: LawCase) -> str:
    """Two gloo ranks of half the rows each end with the weights of one rank, under masks and with random numbers."""
    ranks = case.ranks
    case = case.under(MIXED)
    if ranks is None:
        ranks = begin([case], steps=STEPS)
    return compare_ranks({case.name: ranks.weights()[0]}, {case.name: case})


def compare_ranks(two: Mapping[str, Weights], subjects: Mapping[str, LawCase]) -> str:
    """The comparison behind `two_ranks_equal_one`, for many plugins from one pair of processes."""
    said = []
    for name, case in subjects.items():
        compare = _against_a_rounding if case.cls.rounding_sensitive else _against_one_rank
        said.append(compare(case, two[name]))
    return "; ".join(said)


def _against_one_rank(case: LawCase, two: Weights) -> str:
    one, _ = trained(case, case.config(steps=STEPS))
    apart = {path: value - two[path] for path, value in one.items()}
    for kind, limit, gaps in (
        ("rms", LIMIT, {path: _rms(gap) for path, gap in apart.items()}),
        ("in one weight", FURTHEST, {path: gap.abs().max().item() for path, gap in apart.items()}),
    ):
        path = max(gaps, key=lambda name: math.inf if math.isnan(gaps[name]) else gaps[name])
        if not gaps[path] <= limit:
            raise LawError(
                f"'{case.name}': '{path}' differs by {gaps[path]:.2g} ({kind}) between 1 and 2 ranks{case.where()}, "
                f"limit {limit:g}. If it turns with the last bit of a gradient, as an eigenbasis may, declare "
                "`rounding_sensitive`"
            )
    return f"{max(map(_rms, apart.values())):.2g} (rms){case.where()}, limit {LIMIT:g}"


def _against_a_rounding(case: LawCase, two: Weights) -> str:
    """The control of a technique that declares `rounding_sensitive`: how far one rounding of gradients moves weights.

    One rank makes the passes of both ranks, so that sums are the same: what still differs may be rounding of products
    of other stacks, or ranks that disagree. Then again, every gradient rounded once more. Root mean squares are
    compared, parameter by parameter: a largest difference is luck. The control counts only up to a share of what
    training moves: under noise without bound, ranks that disagree would pass.
    """
    config = case.config(steps=STEPS, micro_rows=2)
    run, rounded = case.run(config), case.run(config)
    _round_gradients(rounded)
    start = weights(run)
    one, control = finish(run)[0], finish(rounded)[0]
    said = (0.0, 0.0, LIMIT)
    for path, value in one.items():
        moved, turned, gap = (_rms(value - other[path]) for other in (start, control, two))
        limit = max(LIMIT, min(SLACK * turned, BOUND * moved))
        if not gap <= limit:
            raise LawError(
                f"'{case.name}': '{path}' differs by {gap:.2g} (rms) between 1 and 2 ranks{case.where()}, limit "
                f"{limit:.2g}: {SLACK:g} times what one rounding of the gradients does ({turned:.2g}), at most "
                f"{BOUND:.0%} of what training does ({moved:.2g})"
            )
        said = max(said, (gap, turned, limit), key=lambda each: each[0] / each[2])
    return f"{said[0]:.2g} (rms){case.where()}, limit {said[2]:.2g}; one rounding of the gradients: {said[1]:.2g}"


def _rms(value: Tensor) -> float:
    return value.square().mean().sqrt().item()


def _round_gradients(run: Run) -> None:
    """Every gradient is moved by half a unit in its last place, up or down, as another order of sums would move it."""
    generator = torch.Generator().manual_seed(2)
    reduce = run.optimizer.reduce
    share = torch.finfo(torch.float32).eps / 2

    def reduce_and_round() -> None:
        reduce()
        with torch.no_grad():
            for stack in run.optimizer.stacks:
                up = torch.randint(0, 2, stack.grad.shape, generator=generator) * 2 - 1
                stack.grad.mul_(1 + 2 * share * up)

    run.optimizer.reduce = reduce_and_round  # type: ignore[method-assign]
