"""A finished study in a notebook: runs, curves and comparisons as pandas tables, from its report.json alone.

    from coregpt.results import load
    study = load("ngpt_vs_gpt")
    study.comparisons()[["arm", "verdict", "gain", "interval_low", "interval_high", "p_adjusted"]]

Lower metrics are better, gains are baseline minus arm. Nothing is computed here: every number is the report's, to the
last bit, and every planned run is there, whatever became of it. What has no table (effects of a factorial study,
targets, looks, tuning) is in `study.report`, as typed data. `weights(run_id)` reads the model that a run ended with.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from coregpt.contract.errors import ConfigError
from coregpt.lab.atomic import read_text
from coregpt.lab.study.registry import nearest
from coregpt.report.drawing.units import told_in
from coregpt.report.facts.model import Comparison, Report
from coregpt.report.facts.serialise import broken_seal, from_json
from coregpt.report.places import PUBLISHED, own

if TYPE_CHECKING:
    from torch import Tensor

_TEXT, _WHOLE, _COUNT, _NUMBER = "str", "int64", "Int64", "float64"
"""Types of columns. A count may be unknown (NA); an unknown number is NaN."""

_RUNS = {
    **{"arm": _TEXT, "seed": _WHOLE, "run_id": _TEXT, "status": _TEXT, "value": _NUMBER, "reason": _TEXT},
    **{"train_seconds": _NUMBER, "compile_seconds": _NUMBER, "tokens_per_second": _NUMBER},
    **{"peak_memory_bytes": _COUNT, "attempts": _COUNT, "first_started": _TEXT},
}
_CURVES = {
    **{"arm": _TEXT, "seed": _WHOLE, "run_id": _TEXT, "status": _TEXT, "step": _WHOLE},
    **{"tokens": _COUNT, "flops": _NUMBER, "seconds": _NUMBER, "value": _NUMBER},
}
_COMPARISONS = {
    **{"arm": _TEXT, "baseline": _TEXT, "verdict": _TEXT, "size": _TEXT, "pairs": _WHOLE, "gain": _NUMBER},
    **{"interval_low": _NUMBER, "interval_high": _NUMBER, "interval90_low": _NUMBER, "interval90_high": _NUMBER},
    **{
        "test_interval_low": _NUMBER,
        "test_interval_high": _NUMBER,
        "se": _NUMBER,
        "allowance": _NUMBER,
        "df": _NUMBER,
        "t": _NUMBER,
    },
    **{"p": _NUMBER, "p_adjusted": _NUMBER, "p_equivalence": _NUMBER, "p_sign_flip": _NUMBER, "p_welch": _NUMBER},
    **{"p_separate": _NUMBER, "p_failures": _NUMBER, "diverged": _WHOLE, "baseline_diverged": _WHOLE},
    **{"effect_size": _NUMBER, "smallest_detectable": _NUMBER, "seed_correlation": _NUMBER},
    **{"seed_correlation_low": _NUMBER, "seed_correlation_high": _NUMBER, "pairing_worth": _NUMBER},
    **{"more_seeds": _COUNT, "more_runs": _COUNT, "more_flops": _NUMBER, "look_seeds": _COUNT, "noisy": "bool"},
    **{
        "knows": _NUMBER,
        "missing_seeds": _TEXT,
        "gain_condition": _TEXT,
        "test": _TEXT,
        "cause": _TEXT,
        "sentence": _TEXT,
    },
}


def load(study: str | Path, reports: str | Path | None = None) -> "Results":
    """The results of a study: the name of its folder in `reports`, or the path of that folder or of its report.json.

    Without `reports` a name is looked for among reports on own runs (`runs/reports`), then among published ones
    (`reports`). A name that is there is that report, whatever else has this name. Raises ConfigError for a file that is
    not the whole report of a study or was edited, or if there is none, naming the nearest valid name.
    """
    source = _found(Path(study), (own(), PUBLISHED) if reports is None else (Path(reports),))
    text = read_text(source)
    if source.name == "trend.json":
        raise ConfigError(f"{source}: a trend over sizes has no runs of its own{_sizes(text)}")
    report = from_json(text, str(source))
    if broken := broken_seal(text):
        raise ConfigError(f"{source}: {broken}; what its runs were is in the folder of runs")
    return Results(report, source)


def _found(given: Path, places: Sequence[Path]) -> Path:
    """The file that is meant. Raises ConfigError."""
    for path in (*(place / given for place in places), given):  # of an absolute path all are the path itself
        files = [path] if path.is_file() and path.suffix == ".json" else [path / "report.json", path / "trend.json"]
        for file in files:
            if file.is_file():
                return file
    names = [file.parent.name for place in places for file in place.glob("*/report.json")]
    where = " or in ".join(map(str, places))
    raise ConfigError(f"there is no report '{given}' in {where}{nearest(given.stem, names)}")


def _sizes(trend: str) -> str:
    """Where to look instead, as far as the file says it."""
    try:
        return "; load one of " + ", ".join(json.loads(trend)["studies"])
    except (ValueError, KeyError, TypeError):
        return "; load the report of one size"


def weights(run_id: str, runs: str | Path = "runs") -> dict[str, "Tensor"]:
    """Final weights of a finished run by path, fp32 on the CPU: what its last evaluation saw, buffers among them.

    `run_id` is a whole id, as in the column of `Results.runs`. Raises ConfigError if the run is not in the folder
    `runs` or its weights were not kept, and RunError for a damaged file.
    """
    from coregpt.engine.weights import read  # imports torch, which tables do not need
    from coregpt.lab.study.inputs import weights_of

    found = read(weights_of(run_id, [Path(runs)]))
    return {**found.buffers, **found.params}


@dataclass(frozen=True, repr=False)
class Results:
    """Tables of one report. Each call makes a new one: what is done to it changes neither this nor the next."""

    report: Report
    source: Path = Path("report.json")
    """The file that it was read from."""

    def __repr__(self) -> str:
        study = self.report.study
        metric = told_in(study.metric, study.unit)
        return f"<{study.name}: {self.report.headline} ({metric}, baseline {study.baseline})>"

    def runs(self) -> pd.DataFrame:
        """One row per planned run, arms in the study's order, then seeds. Trials of a tuning are not among them.

        - `arm`, `seed`, `run_id`: `run_id` is "" if the run was never made.
        - `status`: finished, diverged, failed, missing, spared (not needed, its arm was decided) or aborted (paused and
          left without prospects).
        - `value`: the final metric, in `report.study.unit`. inf if the run diverged, as the tests count it: a mean over
          an arm with a diverged seed is inf, not the mean of the others. NaN if there is none (failed, missing, spared,
          aborted); pandas leaves NaN out of a mean, so look at `status` first.
        - `reason`: why there is no value, in words; else "".
        - `train_seconds`, `compile_seconds` (seconds), `tokens_per_second` (1/s), `peak_memory_bytes` (bytes),
          `attempts` (executions until it was complete): NaN or NA where not measured.
        - `first_started`: UTC, ISO 8601; "" where not recorded.
        """
        rows = [
            {**run.model_dump(exclude={"curve"}), **timing.model_dump(exclude={"seconds"})}
            for run, timing in zip(self.report.runs, self.report.timing.runs, strict=True)
        ]
        for row in rows:
            if row["status"] == "diverged":
                row["value"] = math.inf
        return _table(rows, _RUNS)

    def curves(self) -> pd.DataFrame:
        """One row per evaluation during training, of every run that has any, whatever became of it.

        - `arm`, `seed`, `run_id`, `status`: as in `runs`; a run that failed before its first evaluation has no row.
        - `step`: optimizer steps done. `tokens`: tokens trained on. `flops`: training FLOPs. `seconds`: of training.
          NA or NaN where nobody counted (imported logs).
        - `value`: the metric, in `report.study.unit`; NaN or inf where the run had diverged.

        At most 400 evaluations per run are in a report, evenly spread, the first and the last among them.
        """
        rows = []
        for run, timing in zip(self.report.runs, self.report.timing.runs, strict=True):
            who = {"arm": run.arm, "seed": run.seed, "run_id": run.run_id, "status": run.status}
            seconds = timing.seconds or (None,) * len(run.curve)
            rows += [{**who, **point._asdict(), "seconds": at} for point, at in zip(run.curve, seconds, strict=True)]
        return _table(rows, _CURVES)

    def comparisons(self) -> pd.DataFrame:
        """One row per arm against the baseline, arms in the study's order, those without a verdict among them.

        Gains, their intervals, `se` and `smallest_detectable` are in `report.study.unit`. A number is NaN, a count NA,
        where it cannot be had; `cause` says why there is no better, worse or equivalent.

        - `arm`, `baseline`; `verdict`: better, worse, equivalent, screened, candidate, no sign, inconclusive, unstable
          or invalid.
        - `size`: "below the margin", "at least the margin" or "".
        - `gain`: baseline minus arm, positive is better. `gain_condition`: what it is conditional on, if not all runs.
        - `interval_low`, `interval_high`: plain 95%. `interval90_low`, `interval90_high`: plain 90%, of equivalence.
          `test_interval_low`, `test_interval_high`: of all arms together at 1 - alpha.
        - `pairs`: seeds that count (unpaired: of the smaller arm). `se`, `df`, `t`: of the test that `test` names.
          `allowance`: the part of `se` squared that comes from arms' settings being estimated, by a bracket.
        - `p`: of this contrast alone. `p_adjusted`: corrected for the number of arms; this one decides.
          `p_equivalence`, `p_sign_flip`, `p_welch`, `p_separate` (paired t of this arm alone, Holm): beside it.
        - `diverged`, `baseline_diverged`: runs of each. `p_failures`: of that difference. `missing_seeds`: seeds
          without a value, with spaces between.
        - `effect_size`: Hedges g, in standard deviations between seeds. `smallest_detectable`: with the declared power.
        - `seed_correlation` (with `seed_correlation_low`, `seed_correlation_high`), `pairing_worth`: of one pair, in
          unpaired seeds.
        - `more_seeds`, `more_runs`, `more_flops` (FLOPs): what would probably decide it. `noisy`: the arm or the
          baseline is far noisier than the others. `look_seeds`: seeds at the look that decided, if there are looks.
        - `knows`: the gain on a second text that no run is named, of an arm that knows the text it is judged on.
        - `sentence`: the verdict in words.
        """
        return _table([_row(each, self.report.study.baseline) for each in self.report.comparisons], _COMPARISONS)


def _row(found: Comparison, baseline: str) -> dict[str, Any]:
    row = {"baseline": baseline, **dict(found)}
    for name in ("interval", "interval90", "test_interval", "seed_correlation_interval"):
        short = name.replace("correlation_interval", "correlation")
        row[f"{short}_low"], row[f"{short}_high"] = row.pop(name) or (None, None)
    row["diverged"], row["baseline_diverged"] = row.pop("failures")
    look = row.pop("look")
    row["look_seeds"] = look.n if look else None
    row["missing_seeds"] = " ".join(map(str, row["missing_seeds"]))
    return row


def _table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    """Types are given and not guessed: a column without any number is still one of numbers."""
    return pd.DataFrame(list(rows), columns=list(columns), dtype=object).astype(dict(columns))
