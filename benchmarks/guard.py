"""`python -m benchmarks.guard BASE [HEAD]`: is anything slower at HEAD than at BASE?

Both commits are unpacked beside each other (without HEAD the working tree is taken), and the same probes run on them
in processes of their own, in alternating order: the training step in fp32 and bf16, an evaluation, a whole small study
in fp32 from start to report, start-up, plan and report. Processor time, so that a neighbour who takes the core away
does not count. A probe is slower when the whole interval of the ratio lies above 1: Student's t on the logarithms of
the pairs' ratios, at 99% for all probes together. Exit code 1 then, 0 otherwise.
"""

import argparse
import math
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy import stats

from benchmarks.pages import table
from coregpt.contract.errors import ConfigError

ROOT = Path(__file__).parent.parent
LEVEL = 0.99
STEPS_OF_AN_EVALUATION = 20
"""So many training steps take as long as one evaluation, or a little longer."""
STARTS = 10
"""Of one probe: a single start takes some 40 ms."""
PROBES = ("step fp32", "step bf16", "evaluation", "study fp32", "start-up", "plan", "report")
STUDY = "ablations/ngpt_vs_gpt.yaml"
REPORT = "reports/ngpt_vs_gpt/report.json"
SMALL = """
question: Does a plain GPT want a higher learning rate?
base:
  model: {vocab: 256, dim: 128, depth: 4, heads: 4, context: 128}
  tokens: 7_680
  batch_tokens: 512
  eval_tokens: 4096
  evals: 1
  device: cpu
  precision: fp32
  compile: false
  plugins: {rope: {}, swiglu: {}}
arms:
  low: {optim: {lr: 0.001}}
  high: {optim: {lr: 0.002}}
seeds: 5
test: {metric: val_loss, baseline: low, alpha: 0.05, margin: 0.01}
"""
"""Ten runs of 15 steps: what comes around steps is most of it."""
STEP = """
import statistics, sys, time
from pathlib import Path
import torch
from coregpt.contract.config import ModelShape, RunConfig
from coregpt.engine.build import build
from coregpt.engine.data import open_source
try:
    from coregpt.engine.training.trainer import Trainer, never
except ImportError:  # a commit before the engine had folders
    from coregpt.engine.trainer import Trainer, never
try:
    from coregpt.lab.study.registry import Catalogue
except ImportError:  # a commit before the lab had floors
    from coregpt.lab.registry import Catalogue

class Forget:
    def record(self, row): pass
    def rewind(self, step): pass

torch.set_num_threads(1)
shape = ModelShape(vocab=256, dim=128, depth=4, heads=4, context=128)
plugins = {"rope": {}, "swiglu": {}, "ngpt": {}}
steps, evaluates = int(sys.argv[2]), sys.argv[3] == "evaluation"
config = RunConfig(model=shape, tokens=512 * (steps + 2), batch_tokens=512, precision=sys.argv[1], plugins=plugins)
run = build(config, Catalogue().instances(plugins))
trainer = Trainer(run, open_source("pydocs"), Forget(), Path("never written"), never, 1e9)
if hasattr(trainer.train_step, "prepare"):
    trainer.calls = trainer.train_step.prepare()
else:  # a commit before the step had a file of its own
    from coregpt.engine.compiling import prepare
    trainer.calls = prepare(run, trainer.pass_rows, trainer.autocast)
seconds = []
for step in range(steps + 2):
    begun = time.process_time()
    if evaluates:
        trainer.measure(0)
    else:
        trainer.pending.append((step, 0.0, trainer.train_step(step)))
        trainer.flush()
    seconds.append(time.process_time() - begun)
print(statistics.median(seconds[2:]))
"""
"""Written out here, so that both commits are asked the same: only names that commits share are used."""


@dataclass(frozen=True)
class Change:
    """Time at HEAD in units of that at BASE, with its interval."""

    ratio: float
    low: float
    high: float

    @property
    def slower(self) -> bool:
        return self.low > 1


def change(base: Sequence[float], head: Sequence[float], level: float) -> Change:
    """Of seconds in pairs; needs at least two pairs."""
    logs = [math.log(b / a) for a, b in zip(base, head, strict=True)]
    n, mean = len(logs), math.fsum(logs) / len(logs)
    se = math.sqrt(math.fsum((x - mean) ** 2 for x in logs) / (n - 1) / n)
    half = float(stats.t.isf((1 - level) / 2, n - 1)) * se
    return Change(math.exp(mean), math.exp(mean - half), math.exp(mean + half))


@dataclass(frozen=True)
class Tree:
    """One commit's files, and a folder from which Python imports them and nothing else called coregpt."""

    files: Path
    site: Path

    def run(self, *arguments: str) -> tuple[str, float]:
        """What a Python process prints, and the processor seconds it and its children took."""
        fixed = {"PYTHONPATH": str(self.site), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, **fixed},
            cwd=self.files,
            capture_output=True,
            text=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ConfigError(f"{' '.join(arguments[:3])[:60]} fails in {self.files}: {last}")
        return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def probe(self, name: str, steps: int) -> float:
        """Processor seconds."""
        if name.startswith("step"):
            return float(self.run("-c", STEP, name.split()[1], str(steps), "step")[0])
        if name == "evaluation":
            return float(self.run("-c", STEP, "fp32", str(max(1, steps // STEPS_OF_AN_EVALUATION)), name)[0])
        with tempfile.TemporaryDirectory() as out:
            study = Path(out, "small.yaml")
            study.write_text(SMALL)
            places = ["--runs", f"{out}/runs", "--reports", f"{out}/reports"]
            command = {
                "plan": ["plan", STUDY],
                "report": ["report", REPORT, "--out", out],
                "study fp32": ["ablate", str(study), *places, "--jobs", "1", "--no-mlflow"],
            }.get(name, ["--help"])
            times = STARTS if name == "start-up" else 1
            return sum(self.run("-m", "coregpt.cli", *command)[1] for _ in range(times))


def tree(files: Path, site: Path) -> Tree:
    site.mkdir()
    (site / "coregpt").symlink_to(files / "coregpt")
    (site / "coregpt_plugins").symlink_to(files / "plugins")
    return Tree(files, site)


def checked_out(commit: str | None, folder: Path) -> Tree:
    """The files of `commit` in `folder`; for None the working tree as it is. Nothing of git's own is written."""
    folder.mkdir()
    if commit is None:
        return tree(ROOT, folder / "site")
    archive = folder / "files.tar"
    done = subprocess.run(["git", "archive", "-o", str(archive), commit], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(f"{commit}: {done.stderr.strip()}")
    with tarfile.open(archive) as file:
        file.extractall(folder / "files", filter="data")
    return tree(folder / "files", folder / "site")


def measure(base: Tree, head: Tree, probes: Sequence[str], pairs: int, steps: int) -> dict[str, Change]:
    """Each probe once on each side unseen, then in pairs."""
    level = 1 - (1 - LEVEL) / len(probes)
    found = {}
    for name in probes:
        seconds: dict[Tree, list[float]] = {base: [], head: []}
        for pair in range(-1, pairs):
            for side in (base, head) if pair % 2 else (head, base):
                took = side.probe(name, steps)
                if pair >= 0:
                    seconds[side].append(took)
            print(f"{name}: {pair + 2} of {pairs + 1} pairs", file=sys.stderr, flush=True)
        found[name] = change(seconds[base], seconds[head], level)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guard", description="Is anything slower than before?")
    parser.add_argument("base", help="the commit to compare with")
    parser.add_argument("head", nargs="?", help="another commit; left out: the working tree")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--steps", type=int, default=40, help="training steps in each process")
    parser.add_argument("--probes", default=",".join(PROBES), help="some of: %(default)s")
    options = parser.parse_args(argv)
    probes = options.probes.split(",")
    if unknown := set(probes) - set(PROBES):
        parser.error(f"unknown probes {sorted(unknown)}; there are: {', '.join(PROBES)}")
    if options.pairs < 2:
        parser.error("an interval needs at least two pairs")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            base, head = checked_out(options.base, folder / "base"), checked_out(options.head, folder / "head")
            found = measure(base, head, probes, options.pairs, options.steps)
        except ConfigError as error:
            parser.error(str(error))
    rows = [
        [probe, f"{c.ratio:.3f}", f"{c.low:.3f} - {c.high:.3f}", "SLOWER" if c.slower else ""]
        for probe, c in found.items()
    ]
    print("\n".join(table(f"probe|head / base|{LEVEL:.0%} together|", rows)))
    slower = [probe for probe, c in found.items() if c.slower]
    verdict = f"slower: {', '.join(slower)}" if slower else "nothing is slower beyond noise"
    print(f"\n{verdict} ({options.pairs} pairs, {time.monotonic() - begun:.0f} s)")
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
