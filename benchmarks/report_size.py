"""`python -m benchmarks.report_size`: the report of 1,000 runs, from run folders on disk to pages.

Ten arms with a hundred seeds each and 400 evaluations per run, at most 10 s and 1 GB. The folders hold made-up
numbers; the clock starts when they are there. Writes `benchmarks/results/report_size.{json,md}`.
"""

import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
ARMS, SEEDS, POINTS = 10, 100, 400
LIMIT_SECONDS, LIMIT_BYTES = 10.0, 1 << 30

STUDY = """\
question: Which learning rate?
base: {{model: {{dim: 16, depth: 1, heads: 2, context: 16}}, tokens: 25600, batch_tokens: 64, eval_tokens: 64}}
arms:
{arms}
seeds: {seeds}
test: {{baseline: arm0}}
"""


def write_study(folder: Path) -> Path:
    """Arms that differ in one setting."""
    arms = "\n".join(f"  arm{i}: {{optim: {{lr: {0.001 * (i + 1):g}}}}}" for i in range(ARMS))
    path = folder / "many.yaml"
    path.write_text(STUDY.format(arms=arms, seeds=SEEDS))
    return path


def write_runs(study: Path, store: Path) -> None:
    """A complete folder for every planned run, and a ledger that has seen them all."""
    from coregpt.lab.planning.load import load
    from coregpt.lab.planning.plans import outline, plan
    from coregpt.lab.planning.preregister import register
    from coregpt.lab.records.ledger import Ledger
    from coregpt.lab.records.store import RunFolder

    made, rng = plan(outline(load(study))), np.random.default_rng(0)
    store.mkdir()
    register(made, store)
    ledger = Ledger.of(store)
    luck = rng.normal(0.0, 0.01, SEEDS)
    for run in made.runs:
        folder = RunFolder(store / run.id)
        folder.create(run.record, {})
        folder.write_environment({"torch": "2", "device": "cpu"})
        end = 1.5 + float(luck[run.seed]) + 0.001 * int(run.arm[3:])
        values = end + 3.0 / (1 + np.arange(1, POINTS + 1)) + rng.normal(0.0, 0.002, POINTS)
        rows = [
            {"step": i, "tokens": 64 * i, "seconds": 0.01 * i, "select_loss": float(value)}
            for i, value in enumerate(values, start=1)
        ]
        rows[-1]["val_loss"] = last = rows[-1]["select_loss"]
        folder.write_rows(rows)
        outcome = {"status": "finished", "value": last, "select": last}
        speed = {"tokens_per_second": 6400.0, "train_seconds": 4.0, "compile_seconds": 0.0, "peak_memory_bytes": 1}
        folder.write_result({**outcome, "reason": "", "notes": [], **speed})
        common = {"study": made.study.name, "run": run.id, "arm": run.arm, "seed": run.seed}
        ledger.add("started", **common)
        ledger.add("ended", **common, **outcome)


def measure(study: Path, store: Path) -> dict[str, Any]:
    """Seconds of each part, and the peak memory of this whole process, which did nothing else."""
    from coregpt.lab.atomic import write_text
    from coregpt.lab.planning.load import load
    from coregpt.lab.planning.plans import outline, plan
    from coregpt.report.analysis.collect import collect
    from coregpt.report.analysis.summary import summarise
    from coregpt.report.pages.render import render

    made = plan(outline(load(study)))
    imported = _peak()
    seconds: dict[str, float] = {}

    def timed(name: str, call: Callable[[], Any]) -> Any:
        begun = time.perf_counter()
        result = call()
        seconds[name] = time.perf_counter() - begun
        return result

    facts, runs = timed("read run folders", lambda: collect(made, store))
    report = timed("analyse", lambda: summarise(facts, runs))
    files = timed("make pages", lambda: render(report))
    timed("write pages", lambda: [write_text(store.parent / name, text) for name, text in files.items()])
    sizes = {name: len(text.encode()) for name, text in files.items()}
    return {"runs": len(runs), "seconds": seconds, "bytes": sizes, "peak": _peak(), "before": imported}


def _peak() -> int:
    """Bytes; Linux counts kilobytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> int:
    """Exit code 1 if a limit is passed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = write_study(folder)
        write_runs(study, folder / "runs")
        command = [sys.executable, "-m", "benchmarks.report_size", str(study), str(folder / "runs")]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    total = sum(found["seconds"].values())
    lines = [
        "# The report of 1,000 runs",
        "",
        f"{ARMS} arms, {SEEDS} seeds each, {POINTS} evaluations a run; wall time and peak memory of one process that",
        f"reads the run folders and writes the pages. Limits: {LIMIT_SECONDS:g} s, {LIMIT_BYTES >> 20} MiB.",
        "`python -m benchmarks.report_size` makes this table.",
        "",
        "| part | seconds |",
        "|---|---|",
        *(f"| {part} | {seconds:.2f} |" for part, seconds in found["seconds"].items()),
        f"| in all | {total:.2f} |",
        "",
        f"Peak memory {found['peak'] / 2**20:.0f} MiB, of which {found['before'] / 2**20:.0f} MiB were there before "
        "the first folder was read.",
        "",
        *(f"- `{file}`: {size / 1e6:.2f} MB" for file, size in found["bytes"].items()),
        "",
    ]
    facts = {"python": platform.python_version(), "machine": platform.machine(), "numpy": np.__version__}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "report_size.md").write_text("\n".join(lines))
    (RESULTS / "report_size.json").write_text(json.dumps({"facts": facts, **found}, indent=2) + "\n")
    print("\n".join(lines))
    return 0 if total <= LIMIT_SECONDS and found["peak"] <= LIMIT_BYTES else 1


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(measure(Path(sys.argv[1]), Path(sys.argv[2]))))
    else:
        raise SystemExit(main())
