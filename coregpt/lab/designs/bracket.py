"""`bracket`: each arm's learning rate, or another setting, found on tuning seeds before the test.

Which rates are tried follows from the results (`stats.bracket`), and a curve through them says which one the test gets
(`stats.response`). All rates that the walk could come to are arms of a study of their own, NAME-bracket, called
`gpt/x0.5`; what is trained of them is decided as results come. What is hashed is the study as written, the setting and
the seeds; the ledger has the settings that were found before a test starts.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coregpt.contract.errors import ConfigError
from coregpt.lab.designs.design import Design, Task, Wrong
from coregpt.lab.designs.found import on_select, tuning_seeds
from coregpt.lab.designs.rates import at_rate, moving, unmovable
from coregpt.lab.records.losses import final
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.chaining import screens
from coregpt.lab.study.counting import counted
from coregpt.lab.study.declaration import Criterion, Study, StudyFile
from coregpt.lab.study.differences import settings
from coregpt.lab.study.outline import Outline, Plan, PlannedRun
from coregpt.lab.study.problems import Problem
from coregpt.lab.study.whereabouts import where
from coregpt.stats import bracket as walk
from coregpt.stats.design import Design as Test
from coregpt.stats.design import announced
from coregpt.stats.power import detectable

REACH = len(walk.FIRST) // 2 + walk.STEPS_OUT
"""Octaves that a walk can come away from the declared rate."""
RATES = tuple(half * walk.HALF for half in range(round(-REACH / walk.HALF), round(REACH / walk.HALF) + 1))
TYPICAL_RATES = 5.5
"""That a walk tries of one arm, on the average of curves of real models (`benchmarks/tuning_rules.py`)."""
Outcome = Callable[[PlannedRun], float | None]
"""Final loss of a run on `select`, inf if it diverged, None if it has none yet."""


@dataclass(frozen=True)
class Walk:
    """What moves, and the seeds that decide where to."""

    setting: str
    seeds: tuple[int, ...]
    """Of the baseline; every other arm has the first `each` of them."""
    each: int

    def declared(self) -> dict[str, Any]:
        """As plain data."""
        return {"setting": self.setting, "seeds": list(self.seeds), "each": self.each}


class Bracket(Design):
    """Arms are compared at settings of their own, and the test allows for how surely these are known."""

    def names(self, file: StudyFile, test: Mapping[str, Any]) -> Iterator[str]:
        if file.bracket is not None:
            yield "bracket"

    def reshape(self, study: Study, file: StudyFile, wrong: Wrong) -> Study:
        asked = file.bracket
        if asked is None:
            return study
        found: list[Problem] = []
        each = walk.tuning_seeds(len(study.seeds)) if asked.seeds is None else asked.seeds
        each = each if isinstance(each, int) else len(each)
        if each < 2:
            found.append((("bracket", "seeds"), "at least 2 are needed: one cannot tell a rate from luck"))
        # The baseline is in every comparison: what its rate misses flatters all arms, those of later screens too.
        shared = len(study.compared) > 2 or screens(study)
        baseline = max(each, len(study.seeds)) if shared else each
        given = asked.seeds if isinstance(asked.seeds, list) else baseline
        seeds = tuple(tuning_seeds(given, study.seeds, ("bracket", "seeds"), found))
        for arm in study.compared:
            reasons = unmovable(arm, asked.setting, (RATES[0], RATES[-1]), study.catalogue)
            found += ((("bracket", "setting"), text) for text in reasons)
        found += _made_alike(study, asked.setting)
        for key, text in found:
            wrong(key, text)
        made = Walk(asked.setting, seeds, each)
        return study if found else replace(study, designs={**study.designs, "bracket": made})

    def finds(self, study: Study) -> dict[str, tuple[str, ...]]:
        made = bracket_of(study)
        return {arm.name: moving(arm, made.setting, study.catalogue) for arm in study.written} if made else {}

    def refuse(self, outlined: Outline, nodes: str) -> None:
        study = outlined.study
        if bracket_of(study) and not study.as_declared:
            raise ConfigError(
                f"{where(study, 'bracket')}: its runs are known once the bracket is; that is 'coregpt ablate'"
            )

    def first(self, outlined: Outline) -> Outline | None:
        study = outlined.study
        return tried_at(outlined) if bracket_of(study) and not study.as_declared else None

    def wave(self, plan: Plan, store: Path) -> Iterator[Task] | None:
        """Every rate that has been tried, and those to try next, with the seeds of their arm."""
        return needed(plan, results(store)) if "walk" in plan.study.designs else None

    def known(self, plan: Plan, store: Path) -> int | None:
        return sum(1 for _ in needed(plan, results(store))) if "walk" in plan.study.designs else None

    def test(self, study: Study, sd: float) -> tuple[Test, float | None] | None:
        """One arm at a time: the allowances of arms differ, and that of the baseline is shared."""
        if bracket_of(study) is None:
            return None
        design, test = announced(len(study.seeds), len(study.compared) - 1, paired=True, tuned=True), study.criterion
        return design, detectable(design, sd, test.alpha, test.power)

    def expected(self, plan: Plan) -> int | None:
        made: Walk | None = plan.study.designs.get("walk")
        return None if made is None else _typical_runs(made, len(walkers(plan)))

    def told_of_trials(self, study: Study, trials: Outline) -> list[str]:
        made = bracket_of(study)
        if made is None:
            return []
        runs = _typical_runs(made, len(study.written))
        seeds = f"{made.each} seeds" + (f" ({len(made.seeds)} of the baseline)" if len(made.seeds) > made.each else "")
        return [
            f"Bracket first: {made.setting} of every arm in octave steps, half-octave points beside the best, on "
            f"{seeds} that are not the test's; about {TYPICAL_RATES} values an arm, {runs} runs.",
            "The test's interval grows by what is not known of the optimum; that part does not shrink with more seeds.",
        ]


def _typical_runs(made: Walk, arms: int) -> int:
    return round(TYPICAL_RATES * (made.each * (arms - 1) + len(made.seeds)))


def bracket_of(study: Study) -> Walk | None:
    """What is bracketed before the test; None where settings are as written."""
    found: Walk | None = study.designs.get("bracket")
    return found


# -- the rates of an arm -----------------------------------------------------------------------------------------


def tried_at(outlined: Outline) -> Outline:
    """All rates that may be tried, as arms; what they cost is what their arm costs."""
    study, made = outlined.study, bracket_of(outlined.study)
    assert made is not None
    test = study.criterion
    arms = {
        trial_name(arm.name, x): (arm, at_rate(arm, paths, x, study.catalogue))
        for arm in study.written
        for paths in [moving(arm, made.setting, study.catalogue)]
        for x in RATES
    }
    trials = replace(
        study,
        name=f"{study.name}-bracket",
        arms=tuple(on_select(replace(moved, name=name)) for name, (_, moved) in arms.items()),
        seeds=made.seeds,
        criterion=Criterion(baseline=trial_name(test.baseline, 0.0), alpha=test.alpha, margin=test.margin, sd=test.sd),
        techniques=(),
        as_declared=(),
        designs={"walk": made},
        reads="select",
    )
    if not made.setting.startswith("optim."):
        return counted(trials)
    return Outline(trials, {name: outlined.costs[arm.name] for name, (arm, _) in arms.items()}, {})


def trial_name(arm: str, x: float) -> str:
    """`gpt/x0.5`, x in octaves."""
    return f"{arm}/x{2.0**x:.3g}"


# -- the walk ----------------------------------------------------------------------------------------------------


def needed(plan: Plan, outcome: Outcome) -> Iterator[Task]:
    """See `Bracket.wave`."""
    for arm, tried in walked(plan, outcome).items():
        names = {trial_name(arm, x) for x in (*tried, *walk.next_rates(tried))}
        seeds = seeds_of(plan, arm)
        yield from (Task(run) for run in plan.runs if run.arm in names and run.seed in seeds)


def walked(plan: Plan, outcome: Outcome) -> dict[str, dict[float, list[float]]]:
    """By arm the rates that its walk has come to and whose runs have all ended, with the losses of its seeds in order.

    A rate that is complete for another reason, such as another study's, does not count: the walk would not be one.
    """
    runs = {(run.arm, run.seed): run for run in plan.runs}
    found = {}
    for arm in walkers(plan):
        seeds, tried = seeds_of(plan, arm), dict[float, list[float]]()
        waiting = list(walk.next_rates(tried))
        while waiting:
            x = waiting.pop(0)
            losses = [outcome(runs[trial_name(arm, x), seed]) for seed in seeds]
            known = [loss for loss in losses if loss is not None]
            if len(known) == len(losses):
                tried[x] = known
                waiting = waiting or list(walk.next_rates(tried))
        found[arm] = tried
    return found


def walkers(plan: Plan) -> list[str]:
    """The arms whose settings are looked for."""
    return list(dict.fromkeys(arm.name.rpartition("/x")[0] for arm in plan.study.arms))


def seeds_of(plan: Plan, arm: str) -> tuple[int, ...]:
    """The tuning seeds of an arm."""
    made: Walk = plan.study.designs["walk"]
    return made.seeds if plan.study.criterion.baseline == trial_name(arm, 0.0) else made.seeds[: made.each]


def results(store: Path) -> Outcome:
    """By what lies on disk."""
    return lambda run: final(RunFolder(store / run.id), "select")


# -- what cannot be bracketed ------------------------------------------------------------------------------------


def _made_alike(study: Study, setting: str) -> Iterator[Problem]:
    """Arms that differ in nothing but what is bracketed are one arm with two names."""
    for i, arm in enumerate(study.compared):
        for other in study.compared[:i]:
            mine, theirs = ({k: v for k, v in settings(each).items() if k != setting} for each in (arm, other))
            if mine == theirs:
                yield ("bracket",), f"'{arm.name}' and '{other.name}' differ in nothing but {setting}"
