"""Noise borrowed from earlier reports of the same setup: `test.history`, for one comparison with 3 or 4 seeds.

What is tested is the mean of per-seed differences, so what is borrowed is the variance of such a difference. The arms
of a report share their baseline, hence not each arm against it but orthogonal contrasts of all arms (Helmert) are
taken: of equally noisy arms these are independent, and no run is counted twice.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from coregpt.contract.config import ModelShape
from coregpt.contract.errors import ConfigError
from coregpt.lab.designs.design import Design, Wrong
from coregpt.lab.study.declaration import Study, StudyFile
from coregpt.lab.study.outline import Plan
from coregpt.lab.study.problems import Problem
from coregpt.lab.study.whereabouts import where
from coregpt.stats.design import Design as Test
from coregpt.stats.design import choose_test
from coregpt.stats.moderated import VariancePrior, variance_prior
from coregpt.stats.power import detectable

WHERE = ("test", "history")
SEEDS = (3, 4)
SAME = ("model", "tokens", "batch_tokens", "eval_tokens")
"""Settings of the baseline that must be those of the history; so must the data."""


@dataclass(frozen=True)
class Borrowed:
    """The prior, and the reports it was made from."""

    prior: VariancePrior
    files: Mapping[str, str]
    """sha256 of each, by its path as declared."""
    data: frozenset[str]
    """Digests of the data they were measured on."""
    runs: frozenset[str]

    @property
    def df(self) -> float:
        """Degrees of freedom that a test gains."""
        return min(self.prior.df, self.prior.history_df)

    def declared(self) -> dict[str, Any]:
        return {"files": dict(self.files), "variance": self.prior.variance, "df": self.df}


class History(Design):
    """Earlier reports of the same setup lend what they know about the noise."""

    def names(self, file: StudyFile, test: Mapping[str, Any]) -> Iterator[str]:
        if test.get("history"):
            yield "test.history"

    def test_problems(self, file: StudyFile, test: Mapping[str, Any], arms: int, seeds: int) -> Iterator[Problem]:
        if test.get("history"):
            if arms != 2:
                yield (
                    ("history",),
                    f"is for one arm against the baseline; the noise of {arms} arms is pooled without it",
                )
            elif seeds not in SEEDS:
                why = "5 seeds bring their own noise" if seeds > max(SEEDS) else "fewer than 3 allow no test"
                yield ("history",), f"is for 3 or 4 seeds, not {seeds}: {why}; remove it"

    def reshape(self, study: Study, file: StudyFile, wrong: Wrong) -> Study:
        found = borrow(study)
        return study if found is None else replace(study, designs={**study.designs, "history": found})

    def test(self, study: Study, sd: float) -> tuple[Test, float | None] | None:
        found, test = borrowed(study), study.criterion
        if found is None:
            return None
        design = choose_test(len(study.seeds), len(study.compared) - 1, borrowed_df=found.df)
        return design, detectable(design, sd, test.alpha, test.power)

    def noise(self, study: Study) -> tuple[float, str] | None:
        found = borrowed(study)
        return None if found is None else (found.prior.variance**0.5, "from the declared history")

    def check(self, plan: Plan) -> None:
        """The history must be of the same data, and of other runs."""
        study, found = plan.study, borrowed(plan.study)
        if found is None:
            return
        if found.data != {plan.source.digest}:
            text = f"the history was measured on other data than {plan.source.digest[:12]}"
            raise ConfigError(f"{where(study, *WHERE)}: data: {text}")
        if shared := found.runs & {run.id for run in plan.runs}:
            text = f"{len(shared)} runs of this study are runs of its history; choose seeds that it does not have"
            raise ConfigError(f"{where(study, *WHERE)}: {text}")


def borrowed(study: Study) -> Borrowed | None:
    """What the declared history knows about the noise; None without one."""
    found: Borrowed | None = study.designs.get("history")
    return found


def borrow(study: Study) -> Borrowed | None:
    """Read the study's history, None if it declares none. Raises ConfigError for a report of another setup."""
    if not study.criterion.history:
        return None
    variances: list[float] = []
    dfs: list[int] = []
    files, data, runs = dict[str, str](), set[str](), set[str]()
    for name in study.criterion.history:
        raw = _bytes(study, name)
        files[name] = hashlib.sha256(raw).hexdigest()
        try:
            report = json.loads(raw)
            facts = report["study"]
            _same_setup(study, name, facts)
            found = _contrasts(report)
            data.add(facts["data"]["sha256"])
            runs |= {run["run_id"] for run in report["runs"]}
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{where(study, *WHERE)}: {name} is not a report made by CoreGPT ({error})") from None
        variances += found.var(axis=1, ddof=1).tolist()
        dfs += [found.shape[1] - 1] * len(found)
    try:
        prior = variance_prior(variances, dfs)
    except ConfigError as error:
        raise ConfigError(f"{where(study, *WHERE)}: {error}") from None
    return Borrowed(prior, files, frozenset(data), frozenset(runs))


def _bytes(study: Study, name: str) -> bytes:
    try:
        return (study.path.parent / name).read_bytes()
    except OSError as error:
        raise ConfigError(f"{where(study, *WHERE)}: {name}: cannot be read ({error.strerror})") from None


def _same_setup(study: Study, name: str, facts: Mapping[str, Any]) -> None:
    if not facts["declaration"]:
        raise ConfigError(f"{where(study, *WHERE)}: {name} was made from logs, its setup is not on record")
    theirs = facts["declaration"]["arms"][facts["baseline"]]
    theirs = {**theirs, "model": {**ModelShape().model_dump(mode="json"), **theirs["model"]}}  # older ones knew less
    mine = next(arm for arm in study.arms if arm.name == study.criterion.baseline).settings()
    for key in SAME:
        if mine[key] != theirs[key]:
            raise ConfigError(
                f"{where(study, *WHERE)}: {key} is {mine[key]}, but {theirs[key]} in {name}; not the same setup"
            )


def _contrasts(report: Mapping[str, Any]) -> np.ndarray:
    """(contrasts, seeds): each has the variance of a paired difference if arms are equally noisy."""
    measured = [arm["name"] for arm in report["study"]["arms"] if arm["name"] != report["study"].get("yardstick")]
    values = {arm: {r["seed"]: r["value"] for r in report["runs"] if r["arm"] == arm} for arm in measured}
    finished = {(r["arm"], r["seed"]) for r in report["runs"] if r["status"] == "finished"}
    seeds = [s for s in report["study"]["seeds"] if all((arm, s) in finished for arm in measured)]
    if len(seeds) < 2:
        raise ValueError("fewer than 2 seeds finished in every arm")
    table = np.array([[values[arm][s] for s in seeds] for arm in measured], dtype=np.float64)
    rows = [table[: i + 1].mean(axis=0) - table[i + 1] for i in range(len(table) - 1)]
    return np.array([row * np.sqrt(2 * (i + 1) / (i + 2)) for i, row in enumerate(rows)])
