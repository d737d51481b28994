"""From logs of runs that CoreGPT did not make to the facts a report is made of. Reads no file."""

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from coregpt.contract.errors import ConfigError
from coregpt.lab.logs.files import LoggedArm
from coregpt.lab.logs.judge import is_full, judge
from coregpt.lab.logs.parse import LoggedRun
from coregpt.report.inputs import (
    ArmFacts,
    Confound,
    CurvePoint,
    DataFacts,
    EnvironmentFacts,
    RunFacts,
    RunTiming,
    StudyFacts,
)
from coregpt.report.numbers import listing, plural

UNKNOWN = "unknown"


@dataclass(frozen=True)
class ImportSettings:
    """What whoever imports decides; `common` says that the step is the last one all full runs share."""

    name: str
    source: str
    baseline: str
    metric: str
    step: int
    common: bool
    alpha: float
    margin: float
    command: str


def imported_facts(arms: Sequence[LoggedArm], settings: ImportSettings) -> tuple[StudyFacts, list[RunFacts]]:
    """Facts of the study and of every run in the logs, judged at the settings' step.

    Runs are paired by seed only if every arm has the same, known, distinct seeds. Raises ConfigError for a baseline
    that is no arm.
    """
    names = [arm.name for arm in arms]
    if settings.baseline not in names:
        raise ConfigError(f"--baseline {settings.baseline}: no such arm; expected one of {', '.join(names)}")
    seeds = {arm.name: [run.seed for run in arm.runs] for arm in arms}
    paired = _shared_seeds(list(seeds.values()))
    numbers = {arm.name: _numbers(arm, paired) for arm in arms}
    runs = [
        _run_facts(run, arm.name, number, settings)
        for arm in arms
        for run, number in zip(arm.runs, numbers[arm.name], strict=True)
    ]
    everyone = tuple(sorted({number for column in numbers.values() for number in column}))
    alike = len({len(column) for column in numbers.values()}) == 1
    study = StudyFacts(
        name=settings.name,
        question=_question(settings, names, bool(_uneven(arms, settings.step))),
        baseline=settings.baseline,
        arms=tuple(_arm_facts(arm, () if alike else tuple(numbers[arm.name]), settings.step) for arm in arms),
        metric=settings.metric,
        unit="nats per token",
        alpha=settings.alpha,
        margin=settings.margin,
        power=0.9,
        assumed_sd=None,
        seeds=everyone,
        paired=paired,
        exploratory=_exploratory(arms, settings.step),
        imported=settings.source,
        digest=_digest(runs),
        command=settings.command,
        confounds=tuple(_confounds(arms)),
        data=DataFacts(
            name=UNKNOWN, sha256=UNKNOWN, train_tokens=None, val_tokens=None, eval_tokens=None, split_rule=UNKNOWN
        ),
        environment=EnvironmentFacts(values=_environment(arms), warnings=tuple(_warnings(arms, settings, paired))),
    )
    return study, runs


def _question(settings: ImportSettings, names: Sequence[str], uneven: bool) -> str:
    others = [name for name in names if name != settings.baseline]
    who = others[0] if len(others) == 1 else f"{plural(len(others), 'arm')}"
    verb = "does" if len(others) == 1 else "do"
    where = f"in {settings.metric} at step {settings.step:,}"
    where += ", where their schedules stand at different points" if uneven else ""
    return f"Imported logs: how {verb} {who} compare with {settings.baseline} {where}?"


def _shared_seeds(columns: Sequence[Sequence[int | None]]) -> bool:
    """Whether every arm has the same seeds, each known and used once."""
    first = set(columns[0])
    return None not in first and all(set(column) == first and len(set(column)) == len(column) for column in columns)


def _numbers(arm: LoggedArm, paired: bool) -> list[int]:
    """Seeds if runs are paired, else the run's place in its arm."""
    return [run.seed if paired and run.seed is not None else place for place, run in enumerate(arm.runs)]


def _run_facts(run: LoggedRun, arm: str, number: int, settings: ImportSettings) -> RunFacts:
    judged = judge(run, settings.metric, settings.step)
    points = [(step, value) for step, value in sorted(run.curve(settings.metric).items()) if step <= settings.step]
    timed = all(step in run.seconds for step, _ in points)
    reached = judged.status == "finished"
    return RunFacts(
        run_id=run.name,
        arm=arm,
        seed=number,
        status=judged.status,
        value=judged.value,
        reason=judged.reason,
        curve=tuple(CurvePoint(step, None, None, value) for step, value in points),
        timing=RunTiming(
            train_seconds=run.seconds.get(settings.step) if reached else None,
            seconds=tuple(run.seconds[step] for step, _ in points) if timed else (),
        ),
    )


def _arm_facts(arm: LoggedArm, seeds: tuple[int, ...], step: int) -> ArmFacts:
    codes = sorted({run.facts["code"] for run in arm.runs if "code" in run.facts})
    source = f"; source code {listing(codes)}" if codes else ""
    return ArmFacts(
        name=arm.name,
        description=f"{plural(len(arm.runs), 'run')} planned for {_lengths(arm)}{source}",
        parameters=None,
        flops_per_token=None,
        tokens=None,
        steps=step,
        seeds=seeds,
    )


def _lengths(arm: LoggedArm) -> str:
    lengths = sorted({run.planned for run in arm.runs if run.planned is not None})
    return f"{listing([f'{length:,}' for length in lengths])} steps" if lengths else "an unknown number of steps"


_SETTINGS: dict[str, Callable[[LoggedRun], str]] = {
    "planned steps": lambda run: UNKNOWN if run.planned is None else f"{run.planned:,}",
    "device": lambda run: run.facts.get("device", UNKNOWN),
    "world size": lambda run: run.facts.get("world size", UNKNOWN),
    "torch": lambda run: run.facts.get("torch", UNKNOWN),
    "python": lambda run: run.facts.get("python", UNKNOWN),
    "driver": lambda run: run.facts.get("driver", UNKNOWN),
    "source code": lambda run: run.facts.get("code", UNKNOWN),
}
_EXPECTED_TO_DIFFER = ("source code",)


def _values(arm: LoggedArm, setting: str) -> list[str]:
    return sorted({_SETTINGS[setting](run) for run in arm.runs})


def _confounds(arms: Sequence[LoggedArm]) -> list[Confound]:
    """Settings that are not the same for all arms; the source code is where the technique is, so it may differ."""
    found = []
    for setting in _SETTINGS:
        values = {arm.name: " / ".join(_values(arm, setting)) for arm in arms}
        if len(set(values.values())) > 1 and setting not in _EXPECTED_TO_DIFFER:
            found.append(Confound(setting=setting, values=values))
    return found


def _environment(arms: Sequence[LoggedArm]) -> dict[str, str]:
    values = {}
    for setting in _SETTINGS:
        if setting not in _EXPECTED_TO_DIFFER and setting != "planned steps":
            values[setting] = " / ".join(sorted({value for arm in arms for value in _values(arm, setting)}))
    return values


def _warnings(arms: Sequence[LoggedArm], settings: ImportSettings, paired: bool) -> list[str]:
    return [
        _judged_at(arms, settings),
        *_schedules(arms, settings),
        "Judged against each other as published: runs that were made and not published cannot be counted, and "
        "whoever published them chose when to stop and what to compare.",
        _pairing(arms, paired),
        *_mixed(arms),
        *_continued(arms),
        *(text for arm in arms for text in arm.warnings),
    ]


def _judged_at(arms: Sequence[LoggedArm], settings: ImportSettings) -> str:
    rule = "the last step that every full run of every arm logs" if settings.common else "chosen at import"
    early = [run.name for arm in arms for run in arm.runs if run.ended_early()]
    text = f"All runs are judged at step {settings.step:,}, {rule}."
    return text + (f" Ended before their planned length: {listing(early)}." if early else "")


def _exploratory(arms: Sequence[LoggedArm], step: int) -> str:
    text = "the runs were read from logs; nothing was registered before they were made"
    if _uneven(arms, step):
        text += f", and at step {step:,} the arms stood at different points of their schedules"
    return text


def _uneven(arms: Sequence[LoggedArm], step: int) -> dict[str, float]:
    """The share of its planned steps that each arm has done; empty if all have done the same."""
    shares: dict[str, float] = {}
    for arm in arms:
        lengths = [run.planned for run in arm.runs if run.planned is not None]
        if lengths:
            shares[arm.name] = step / max(lengths)
    return shares if len({round(share, 3) for share in shares.values()}) > 1 else {}


def _own_ends(arms: Sequence[LoggedArm], metric: str) -> str:
    """What the full runs of each arm reached at their own ends."""
    told = []
    for arm in arms:
        full = [run for run in arm.runs if is_full(run, metric)]
        if full:
            values = [list(run.curve(metric).values())[-1] for run in full]
            spread = f", sd {statistics.stdev(values):.4f}" if len(values) > 1 else ""
            end = listing(sorted({f"{run.last_step:,}" for run in full}))
            told.append(
                f"{arm.name} {statistics.mean(values):.4f} after {end} steps ({plural(len(full), 'run')}{spread})"
            )
    return "; ".join(told)


def _schedules(arms: Sequence[LoggedArm], settings: ImportSettings) -> list[str]:
    """How far each arm's schedule had come: a run in mid-schedule is not the finished technique."""
    shares, step = _uneven(arms, settings.step), settings.step
    if not shares:
        return []
    told = listing([f"{name} {share:.0%}" for name, share in shares.items()])
    return [
        f"Mean {settings.metric} at each arm's own end, which is not tested because the ends differ: "
        f"{_own_ends(arms, settings.metric)}.",
        f"At step {step:,} the arms have done different shares of their planned steps ({told}). The learning rate "
        "usually falls towards the planned end, so a run in mid-schedule still has much of its gain before it: the "
        "differences mix technique and schedule, and do not rank the finished techniques.",
    ]


def _pairing(arms: Sequence[LoggedArm], paired: bool) -> str:
    if paired:
        return "Runs are paired by the seeds the logs name, which all arms share."
    unknown = [arm.name for arm in arms if any(run.seed is None for run in arm.runs)]
    if unknown:
        silent = all(run.seed is None for arm in arms for run in arm.runs)
        why = "no log names its seed" if silent else f"not all logs of {listing(unknown)} name their seeds"
    else:
        why = "the arms do not have the same distinct seeds"
    return f"Runs are compared unpaired: {why}. The column 'seed' numbers the runs of each arm."


def _mixed(arms: Sequence[LoggedArm]) -> list[str]:
    found = []
    for arm in arms:
        for setting in _SETTINGS:
            values = _values(arm, setting)
            if len(values) > 1:
                found.append(
                    f"The runs of {arm.name} differ in {setting} ({' / '.join(values)}): one arm, several setups."
                )
    return found


def _continued(arms: Sequence[LoggedArm]) -> list[str]:
    return [
        f"{run.name} goes back to step {listing([f'{step:,}' for step in run.resumed_at])}: read as continued from a "
        "checkpoint."
        for arm in arms
        for run in arm.runs
        if run.resumed_at
    ]


def _digest(runs: Sequence[RunFacts]) -> str:
    """sha256 over every curve with its arm: equal logs give equal digests, wherever they lie."""
    rows = [[run.arm, run.seed, run.status, [[p.step, repr(p.value)] for p in run.curve]] for run in runs]
    return sha256(json.dumps(rows).encode()).hexdigest()
