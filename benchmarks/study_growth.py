"""What a study costs besides training: planning, reporting, starting a run, writing its log."""

import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import timed
from benchmarks.schedule_sim import study
from coregpt.contract.errors import RunError
from coregpt.lab.execute.children import Child, spawn
from coregpt.lab.execute.pool import Pool
from coregpt.lab.execute.slots import Slot
from coregpt.lab.planning.load import load
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.records.claims import claim
from coregpt.lab.records.store import MetricsLog, RunFolder
from coregpt.lab.study.outline import Plan
from coregpt.report.analysis.collect import collect
from coregpt.report.analysis.summary import summarise
from coregpt.report.pages.render import render

EVALUATIONS = 21
LOGGED = 2000


def planned(folder: Path, runs: int) -> Plan:
    return plan(outline(load(study(folder, runs))))


def study_costs(folder: Path, runs: int) -> tuple[float, float]:
    """Processor seconds to plan a study of 20 arms and to make all pages of its report, medians of 3."""
    made = planned(folder, runs)
    store = folder / f"runs-{runs}"
    finish(made, store)
    pages = [timed(lambda: render(summarise(*collect(made, store)))) for _ in range(3)]
    return statistics.median(timed(lambda: planned(folder, runs)) for _ in range(3)), statistics.median(pages)


def finish(made: Plan, store: Path) -> None:
    """Every run as if it had been trained: a curve that falls to a value of its own, and a result."""
    for place, run in enumerate(made.runs):
        folder = RunFolder(store / run.id)
        folder.create(run.record, run.plugin_files)
        steps, end = made.costs[run.arm].steps, 1 + 0.01 * ((place * 7919) % 101) / 101
        rows = []
        for i in range(EVALUATIONS):
            step = round(steps * i / (EVALUATIONS - 1))
            value = end + 0.1 * (1 - i / (EVALUATIONS - 1))
            rows.append({"step": step, "tokens": 64 * step, "seconds": 0.1 * i, "select_loss": value})
        rows[-1]["val_loss"] = end
        folder.metrics.write_text("".join(json.dumps(row) + "\n" for row in rows))
        result = {"status": "finished", "value": end, "select": rows[-1]["select_loss"], "reason": "", "notes": []}
        folder.write_result(
            {**result, "train_seconds": 2.0, "tokens_per_second": 1e3, "compile_seconds": 0.0, "peak_memory_bytes": 0}
        )


def start_seconds(times: int = 5) -> tuple[float, float]:
    """Median wall seconds of a whole run of one step: forked from a warm process, and as a program of its own."""
    slot = Slot(())
    with tempfile.TemporaryDirectory() as name:
        made = planned(Path(name), 40)
        folders = [RunFolder(Path(name) / "runs" / run.id) for run in made.runs]
        for folder, run in zip(folders, made.runs, strict=True):
            folder.create(run.record, run.plugin_files)
        waiting = iter(folders)
        pool = Pool(slot)
        with contextlib.closing(pool):
            whole(next(waiting), pool.start)
            forked = [whole(next(waiting), pool.start) for _ in range(times)]
        spawned = [whole(next(waiting), spawn) for _ in range(times)]
    return statistics.median(forked), statistics.median(spawned)


def whole(folder: RunFolder, start: Callable[[Slot, Path, int | None, Path, int], Child]) -> float:
    """Wall seconds until the run, paused after one step, has ended."""
    held = claim(folder)
    assert held is not None
    begun = time.perf_counter()
    child = start(Slot(()), folder.path, 1, folder.log, held.descriptor)
    held.release()
    while child.poll() is None:
        time.sleep(0.001)
    seconds = time.perf_counter() - begun
    child.disown()
    if folder.paused() != 1:
        raise RunError(f"{folder.id} did not take its step: {folder.log_tail()}")
    return seconds


def log_microseconds() -> float:
    """Processor time of one row of metrics, on disk before the next step begins."""
    with tempfile.TemporaryDirectory() as name:
        log = MetricsLog(RunFolder(Path(name)))

        def write() -> None:
            for step in range(LOGGED):
                log.record({"step": step, "tokens": 512 * step, "seconds": 0.001 * step, "loss": 3.14159 + step})

        seconds = statistics.median(timed(write) for _ in range(5))
        log.close()
    return 1e6 * seconds / LOGGED
