"""From the runs of all rates that were tried to the settings of the test, with the fit behind them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from coregpt.contract.errors import ConfigError
from coregpt.lab.designs.bracket import Walk, bracket_of, seeds_of, trial_name, walked
from coregpt.lab.designs.rates import moving, point_at
from coregpt.lab.designs.tuned import remarks, taken_of
from coregpt.lab.records.history import History
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.differences import settings
from coregpt.lab.study.outline import Plan, PlannedRun
from coregpt.report.designs.bracket.words import untuned
from coregpt.report.facts.bracket import ArmBracket, Bracketed, BracketSource, RatePoint
from coregpt.report.facts.runs import RunFacts
from coregpt.report.facts.tuning import shown
from coregpt.report.reading.collector import Collector
from coregpt.report.reading.environment import environment
from coregpt.report.reading.found import Found
from coregpt.report.reading.runs import collect_runs, ledger_of
from coregpt.stats.bracket import Tried, in_vain, next_rates
from coregpt.stats.response import Response, fit, residual


class Bracket(Collector):
    """Rates that were tried, fits, and the values that the test runs with."""

    def facts(self, plan: Plan, store: Path) -> dict[str, Any]:
        """Of settings that another report has found."""
        found = taken_from(plan, store)
        if found is None:
            return {}
        return {"bracket": found, "incomparable": untuned(found, plan.study.criterion.baseline)}

    def find(self, study: Study, trials: Plan, store: Path) -> Found | None:
        return found_by_walk(study, trials, store) if bracket_of(study) else None


def taken_from(plan: Plan, store: Path) -> Bracketed | None:
    """The bracket of the report that a study names, arms in this study's order. Raises ConfigError for a broken one."""
    taken = taken_of(plan.study)
    if taken is None or taken.report is None:
        return None
    source = BracketSource(
        path=taken.path,
        sha256=taken.sha256,
        question=taken.report["study"]["question"],
        remarks=(*remarks(plan), *_elsewhere(taken.report, plan, store)),
    )
    try:
        found = Bracketed.model_validate({**taken.bracket, "source": source})
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{taken.path}: bracket.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    order = [arm.name for arm in plan.study.written]
    return found.model_copy(update={"arms": tuple(sorted(found.arms, key=lambda each: order.index(each.arm)))})


def _elsewhere(report: Mapping[str, Any], plan: Plan, store: Path) -> Iterator[str]:
    """Where the bracket's runs were not computed as the test's are."""
    then, now = report["study"].get("environment", {}).get("values", {}), environment(plan, store).values
    for key, words in (("processor", "on another kind of processor"), ("precision", "in another precision")):
        if key in then and key in now and then[key] != now[key]:
            yield f"{words} ({then[key]})"


def found_by_walk(study: Study, trials: Plan, store: Path) -> Found | None:
    """None while a walk has not ended. A result that is not the one on record is no outcome."""
    made: Walk = trials.study.designs["walk"]
    facts = {run.run_id: run for run in collect_runs(trials, store, ledger_of(trials, store))}
    tried = walked(trials, lambda run: _outcome(facts[run.id]))
    if any(next_rates(rates) for rates in tried.values()):
        return None
    noise = residual(list(tried.values()))
    started = _started(trials, store)
    arms = tuple(
        _arm(study, arm.name, made, seeds_of(trials, arm.name), tried[arm.name], fit(tried[arm.name], noise))
        for arm in study.written
    )
    spent = {arm.name: _runs(trials.runs, arm.name, tried[arm.name], facts) for arm in study.written}
    arms = tuple(
        each.model_copy(
            update={
                "runs": len(spent[each.arm]),
                "started": started.get(each.arm, 0),
                "flops": sum(run.curve[-1].flops or 0.0 for run in spent[each.arm] if run.curve),
            }
        )
        for each in arms
    )
    found = Bracketed(setting=made.setting, arms=arms, reads=trials.study.reads)
    why = {each.arm: each.why_not for each in arms if each.why_not}
    vain = in_vain(why, [each.arm for each in arms], study.criterion.baseline)
    return Found(
        settings=found.settings,
        lines=tuple(_line(each, made.setting) for each in arms),
        facts={"bracket": found, "incomparable": untuned(found, study.criterion.baseline)},
        in_vain="; ".join(f"{arm} is not tuned: {text}" for arm, text in why.items()) if vain else "",
        seconds={name: sum(run.timing.train_seconds or 0.0 for run in runs) for name, runs in spent.items()},
    )


def _arm(study: Study, name: str, made: Walk, seeds: Sequence[int], tried: Tried, response: Response) -> ArmBracket:
    arm = next(arm for arm in study.written if arm.name == name)
    declared = settings(arm)[made.setting]
    paths = moving(arm, made.setting, study.catalogue)
    moved = point_at(arm, paths, response.optimum or 0.0)
    points = tuple(
        RatePoint(x=x, value=point_at(arm, paths, x)[made.setting], losses=tuple(losses))
        for x, losses in sorted(tried.items())
    )
    return ArmBracket(
        arm=name,
        declared=declared,
        value=moved[made.setting],
        settings=moved,
        points=points,
        seeds=tuple(seeds),
        kind=response.kind,
        optimum=response.optimum,
        minimum=response.minimum,
        interval=response.interval,
        curvature=response.curvature,
        expected_loss=response.expected_loss,
        coefficients=response.coefficients,
        edge=response.edge,
        cliff=response.cliff,
        why_not=response.why_not,
    )


def _line(each: ArmBracket, setting: str) -> str:
    values = f"{each.arm}: {len(each.points)} values of {setting} tried"
    if each.why_not:
        return f"{values}, not tuned: {each.why_not}; the test runs with {shown(each.value)}"
    return f"{values}, the test runs with {shown(each.value)}"


def _outcome(run: RunFacts) -> float | None:
    if run.status == "finished" and run.value is not None:
        return run.value
    return float("inf") if run.status == "diverged" else None


def _runs(planned: Sequence[PlannedRun], arm: str, tried: Tried, facts: Mapping[str, RunFacts]) -> list[RunFacts]:
    names = {trial_name(arm, x) for x in tried}
    own = [facts[run.id] for run in planned if run.arm in names]
    return [run for run in own if run.status in ("finished", "diverged")]


def _started(trials: Plan, store: Path) -> dict[str, int]:
    """By arm: runs at any of its rates, under any declaration, that were ever started."""
    counts: dict[str, int] = {}
    for past in History(Ledger.of(store).read(), trials.study.name).runs():
        arm = past.arm.rpartition("/")[0]
        counts[arm] = counts.get(arm, 0) + 1
    return counts
