"""`python -m benchmarks.gpu_study`: a study of two arms and three seeds from end to end on a GPU, mirrored to MLflow.

`coregpt ablate` with empty run folders: plan, six compiled runs in workers of their own, tests of the trained models,
the report, and the mirror, whose runs and metrics are counted afterwards. Seconds to compile are told for each run:
code that seeds share is compiled once. `--dry`: a tiny model on the CPU. Writes
`benchmarks/results/gpu_study.{json,md}`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from mlflow import MlflowClient

from benchmarks.gpu import MEANINGLESS
from benchmarks.pages import RESULTS, measured_with, table, write
from coregpt.engine.training.outcome import HELD_OUT, SELECT
from coregpt.lab.records.mirror import database_uri
from coregpt.lab.records.store import RunFolder

SEEDS = 3
FULL = {"vocab": 256, "dim": 384, "depth": 4, "heads": 6, "context": 512}
DRY = {"vocab": 256, "dim": 32, "depth": 2, "heads": 2, "context": 32}


def study(folder: Path, dry: bool) -> Path:
    shape = DRY if dry else FULL
    batch = shape["context"] * (8 if dry else 64)
    base = {
        "data": {"source": "pydocs"},
        "model": shape,
        "tokens": (6 if dry else 60) * batch,
        "batch_tokens": batch,
        "eval_tokens": 32 * shape["context"],
        "evals": 3,
        "device": "cpu" if dry else "cuda",
        "plugins": {"rope": {}, "wsd": {"cooldown": 0.3}},
    }
    body = {
        "question": "Does Muon help on this GPU?",
        "base": base,
        "arms": {"adam": {}, "muon": {"plugins": {"muon": {}}}},
        "seeds": SEEDS,
        "test": {"metric": "val_loss", "baseline": "adam", "alpha": 0.05, "margin": 0.01, "pilot": True},
    }
    path = folder / "muon_on_gpu.yaml"
    path.write_text(yaml.safe_dump(body, sort_keys=False))
    return path


def ablate(path: Path, folder: Path) -> float:
    """Wall seconds of the command."""
    places = ["--runs", str(folder / "runs"), "--reports", str(folder / "reports")]
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "coregpt.cli", "ablate", str(path), *places], check=True)
    return time.perf_counter() - begun


def runs(store: Path) -> list[dict[str, Any]]:
    """What each finished run recorded, in the order in which they ended."""
    found = []
    for result in sorted(store.glob("*/result.json"), key=lambda path: path.stat().st_mtime):
        folder = RunFolder(result.parent)
        config = folder.config()["config"]
        arm = "muon" if "muon" in config["plugins"] else "adam"
        found.append({"arm": arm, "seed": config["seed"], **(folder.result() or {}), **folder.environment()})
    return found


def mirrored(store: Path) -> dict[str, int]:
    """How many complete runs MLflow holds, and how many of their evaluations."""
    uri = database_uri(store)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    names = [each.experiment_id for each in client.search_experiments()]
    complete = client.search_runs(names, "tags.`coregpt.complete` = 'yes' and tags.`coregpt.run` != ''")
    values = sum(
        len(client.get_metric_history(run.info.run_id, name)) for run in complete for name in (SELECT, HELD_OUT)
    )
    return {"runs": len(complete), "values": values}


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_study", description="A study on a GPU.")
    parser.add_argument("--dry", action="store_true", help="tiny, on the CPU; writes nothing unless told where")
    parser.add_argument("--out", type=Path, help="folder for the result (benchmarks/results)")
    options = parser.parse_args(argv)
    if not options.dry and not torch.cuda.is_available():
        raise SystemExit("no usable GPU here; --dry runs a tiny model on the CPU")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds = ablate(study(folder, options.dry), folder)
        store = folder / "runs"
        done, kept = runs(store), mirrored(store)
        report = json.loads(next((folder / "reports").rglob("report.json")).read_text())
    record: dict[str, Any] = {"where": MEANINGLESS if options.dry else measured_with(), "seconds": seconds}
    record |= {"runs": done, "mlflow": kept, "verdicts": [each.get("verdict") for each in report["comparisons"]]}
    lines = ["# A study from end to end on a GPU", "", *(__doc__ or "").strip().split("\n")[2:], "", record["where"]]
    lines += ["", f"{len(done)} runs in {seconds:.0f} s, start to report; MLflow holds {kept['runs']} of them with"]
    lines += [f"{kept['values']} evaluations. Verdict: {', '.join(map(str, record['verdicts']))}.", ""]
    rows = [
        [
            f"{run['arm']} {run['seed']}",
            run["status"],
            f"{run['value']:.4f}" if run["value"] is not None else "",
            run.get("precision", ""),
            run.get("compile", ""),
            f"{run['compile_seconds']:.1f}",
            f"{run['tokens_per_second']:,.0f}",
            "; ".join(run["notes"]),
        ]
        for run in done
    ]
    lines += table("run|status|val_loss|precision|compiled|seconds to compile|tokens/s|notes", rows)
    if out := options.out or (None if options.dry else RESULTS):
        write("gpu_study", lines, record, out)
    print("\n".join(lines))
    whole = [run for run in done if run["status"] == "finished" and not run["notes"]]
    if len(whole) != 2 * SEEDS or kept["runs"] != 2 * SEEDS:
        raise SystemExit(f"{len(whole)} of {2 * SEEDS} runs finished without a note, MLflow holds {kept['runs']}")
    return record


if __name__ == "__main__":
    main()
