"""`python -m benchmarks.what_a_second_buys STUDY.yaml --sizes 1024x280 1024x400`: which size of run says most a second.

The study is run at every size, batch x steps, all else as it declares (give each arm's rate with `--rates`, since a
rate that suits one size need not suit another; a bracket or taken settings are left out). What a size is worth is the
square of gain over standard deviation of a paired difference: seeds needed fall with it. Divided by the seconds of one
run it says what a second buys. Intervals are of 95%: of the standard deviation by chi-square, of gain over it by the
noncentral t, both exact for normal differences; the seconds vary with the machine, so compare sizes of one call only.
"""

import argparse
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy import optimize, stats

from benchmarks.pages import measured_with, publish, table
from coregpt.cli import main as coregpt
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import from_json

FEWEST = 3
FIRST_SEED = 9000
"""Seeds that no study has: a size that was chosen on the seeds of a test flatters it."""
Interval = tuple[float, float]


@dataclass(frozen=True)
class Size:
    """One size of one arm against the baseline."""

    size: str
    arm: str
    seeds: int
    seconds: float
    """Of training, median over all finished runs; evaluations and start come on top."""
    gain: float
    sd: float
    sd_interval: Interval
    ratio: float
    """Gain over sd."""
    ratio_interval: Interval

    @property
    def worth(self) -> tuple[float, float, float]:
        """(gain / sd)^2 a second, and its interval; from 0 on where the gain may be none."""
        low, high = self.ratio_interval
        least = 0.0 if low <= 0 <= high else min(low**2, high**2)
        return self.ratio**2 / self.seconds, least / self.seconds, max(low**2, high**2) / self.seconds


def ratio_interval(t: float, n: int, level: float = 0.95) -> Interval:
    """Of mean over sd, from t = sqrt(n) mean / sd of n differences: the noncentralities at which t is just likely."""

    def below(shift: float) -> float:
        found = float(stats.nct.cdf(t, n - 1, shift))
        return found if math.isfinite(found) else float(shift < t)  # scipy gives up far out

    def end(share: float) -> float:
        reach = 10 + 2 * abs(t)
        return float(optimize.brentq(lambda shift: below(shift) - share, t - reach, t + reach)) / math.sqrt(n)

    return end((1 + level) / 2), end((1 - level) / 2)


def sizes_of(report: Report, size: str) -> list[Size]:
    """Every arm of a report with three pairs or more, judged on `select`: what chooses reads nothing else."""
    values = {(run.arm, run.seed): run.select for run in report.runs if run.status == "finished"}
    spent = [each.train_seconds for each in report.timing.runs if each.train_seconds]
    found = []
    for arm in report.study.treatments:
        seeds = [seed for seed in report.study.seeds if {(arm, seed), (report.study.baseline, seed)} <= values.keys()]
        gains = np.array([(values[report.study.baseline, s] or 0) - (values[arm, s] or 0) for s in seeds])
        if len(gains) < FEWEST:
            continue
        n, sd = len(gains), float(gains.std(ddof=1))
        ratio = float(gains.mean()) / sd
        tails = stats.chi2.ppf([0.975, 0.025], n - 1)
        low, high = (float(sd * math.sqrt((n - 1) / tail)) for tail in tails)
        interval = ratio_interval(ratio * math.sqrt(n), n)
        seconds = float(np.median(spent))
        found.append(Size(size, arm, n, seconds, float(gains.mean()), sd, (low, high), ratio, interval))
    return found


def at_size(study: dict[str, Any], size: str, rates: dict[str, float], scale: str) -> dict[str, Any]:
    """The study's file with another batch and number of steps at one scale, and rates as given."""
    batch, steps = map(int, size.split("x"))
    made: dict[str, Any] = json.loads(json.dumps(study))
    for key in ("tuned", "bracket", "tuning"):
        made.pop(key, None)
    chosen = made.get("scales", {}).get(scale) or {}
    made["scales"] = {scale: chosen} if scale else {}
    (chosen if scale else made["base"]).update({"batch_tokens": batch, "tokens": batch * steps})
    for arm, rate in rates.items():
        own = made["arms"][arm] = made["arms"][arm] or {}
        own["optim"] = {**own.get("optim", {}), "lr": rate}
    return made


def run(path: Path, sizes: Sequence[str], rates: dict[str, float], seeds: int | None) -> list[Size]:
    """Every size as a study of its own, runs in a folder that is thrown away."""
    study, found = yaml.safe_load(path.read_text()), []
    scale = next(iter(study.get("scales") or {}), "")
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            made = at_size(study, size, rates, scale)
            number = seeds or made["seeds"]
            made["seeds"] = list(range(FIRST_SEED, FIRST_SEED + number)) if isinstance(number, int) else number
            file = Path(folder, f"size_{size}.yaml")
            file.write_text(yaml.safe_dump(made, sort_keys=False))
            places = ["--runs", f"{folder}/runs", "--reports", f"{folder}/reports", "--no-mlflow"]
            if coregpt(["ablate", str(file), *places]):
                raise SystemExit(f"{size}: the study did not end")
            report = Path(folder, "reports", file.stem, "report.json")
            found += sizes_of(from_json(report.read_text(), str(report)), size)
    return found


def lines(found: Sequence[Size]) -> list[str]:
    """The table."""
    rows = []
    for each in found:
        worth, least, most = each.worth
        rows.append(
            [
                *(each.size, each.arm, str(each.seeds), f"{each.seconds:.1f}", f"{each.gain:+.3f}"),
                f"{each.sd:.3f} ({each.sd_interval[0]:.3f} to {each.sd_interval[1]:.3f})",
                f"{each.ratio:.1f} ({each.ratio_interval[0]:.1f} to {each.ratio_interval[1]:.1f})",
                f"{worth:.2f} ({least:.2f} to {most:.2f})",
            ]
        )
    head = "tokens a step x steps|arm|seeds|seconds a run|gain|sd of a paired difference|gain/sd|(gain/sd)^2 a second"
    return table(head, rows)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.what_a_second_buys", description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--sizes", nargs="+", required=True, metavar="BATCHxSTEPS")
    parser.add_argument("--rates", nargs="*", default=[], metavar="ARM=LR", help="the learning rate of an arm")
    parser.add_argument("--seeds", type=int, help="instead of the study's")
    options = parser.parse_args(argv)
    rates = {arm: float(rate) for arm, _, rate in (each.partition("=") for each in options.rates)}
    found = run(options.study, options.sizes, rates, options.seeds)
    publish("what_a_second_buys", page(options.study.name, found, rates), record(found, rates))


def record(found: Sequence[Size], rates: dict[str, float]) -> dict[str, Any]:
    """The same as data."""
    return {"rates": rates, "sizes": [asdict(each) for each in found]}


def page(study: str, found: Sequence[Size], rates: dict[str, float]) -> list[str]:
    """What it was measured with, how to read it, and the table."""
    at = ", ".join(f"{arm} at {rate:g}" for arm, rate in rates.items()) or "the study's own"
    explained = (__doc__ or "").partition("\n\n")[2].strip()
    head = ["# What a second buys", "", f"`{study}` at other sizes; learning rates: {at}. {measured_with()}", ""]
    return [*head, explained, "", *lines(found)]


if __name__ == "__main__":
    main()
