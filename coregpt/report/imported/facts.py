"""From logs of runs that CoreGPT did not make to the facts a report is made of. Reads no file."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from coregpt.contract.errors import ConfigError
from coregpt.lab.logs.files import LoggedArm
from coregpt.lab.logs.judge import judge
from coregpt.lab.logs.parse import LoggedRun
from coregpt.report.drawing.numbers import listing, plural
from coregpt.report.facts.environment import EnvironmentFacts
from coregpt.report.facts.inputs import ArmFacts, Confound, DataFacts, StudyFacts
from coregpt.report.facts.runs import CurvePoint, RunFacts, RunTiming
from coregpt.report.imported.schedules import incomparable, lengths, schedule_warnings, uneven

UNKNOWN = "unknown"


@dataclass(frozen=True)
class ImportSettings:
    """What whoever imports decides; `common` says that runs are judged at the last step the full ones share."""

    name: str
    source: str
    baseline: str
    metric: str
    steps: Mapping[str, int]
    """Where each arm is judged: one step for all, or with a target its own end."""
    common: bool
    alpha: float
    margin: float
    command: str
    target: float | None = None


def imported_facts(arms: Sequence[LoggedArm], settings: ImportSettings) -> tuple[StudyFacts, list[RunFacts]]:
    """Facts of the study and of every run in the logs, judged at the settings' steps.

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
        question=_question(settings, names, bool(uneven(arms, settings.steps))),
        baseline=settings.baseline,
        arms=tuple(_arm_facts(arm, () if alike else tuple(numbers[arm.name]), settings) for arm in arms),
        metric=settings.metric,
        unit="nats per token",
        alpha=settings.alpha,
        margin=settings.margin,
        power=0.9,
        assumed_sd=None,
        seeds=everyone,
        paired=paired,
        target=settings.target,
        incomparable=incomparable(arms, settings.baseline, settings.steps),
        exploratory=_exploratory(arms, settings),
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
    if settings.target is not None:
        goal = f"{settings.metric} {settings.target:g}"
        return f"Imported logs: which of {plural(len(names), 'arm')} reach {goal}, and after how many steps?"
    others = [name for name in names if name != settings.baseline]
    who = others[0] if len(others) == 1 else f"{plural(len(others), 'arm')}"
    verb = "does" if len(others) == 1 else "do"
    where = f"in {settings.metric} at step {settings.steps[settings.baseline]:,}"
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
    end = settings.steps[arm]
    judged = judge(run, settings.metric, end)
    points = [(step, value) for step, value in sorted(run.curve(settings.metric).items()) if step <= end]
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
            train_seconds=run.seconds.get(end) if reached else None,
            seconds=tuple(run.seconds[step] for step, _ in points) if timed else (),
        ),
    )


def _arm_facts(arm: LoggedArm, seeds: tuple[int, ...], settings: ImportSettings) -> ArmFacts:
    codes = sorted({run.facts["code"] for run in arm.runs if "code" in run.facts})
    source = f"; source code {listing(codes)}" if codes else ""
    return ArmFacts(
        name=arm.name,
        description=f"{plural(len(arm.runs), 'run')} planned for {lengths(arm)}{source}",
        parameters=None,
        flops_per_token=None,
        tokens=None,
        steps=settings.steps[arm.name],
        seeds=seeds,
    )


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
        *schedule_warnings(arms, settings.metric, settings.steps),
        *_limits(settings),
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
    text = f"All runs are judged at step {settings.steps[settings.baseline]:,}, {rule}."
    if settings.target is not None:
        ends = listing([f"{name} {step:,}" for name, step in settings.steps.items()])
        text = f"Each arm is judged at its own end, the last step that all its full runs log: {ends}."
    return text + (f" Ended before their planned length: {listing(early)}." if early else "")


def _limits(settings: ImportSettings) -> list[str]:
    """What reaching a target does and does not show."""
    if settings.target is None:
        return []
    return [
        f"The logs show after how many steps each recipe, trained to its own planned end, reached {settings.metric} "
        f"{settings.target:g}. They do not show what one technique is worth: recipes differ in more than that, a "
        "planned length is part of the recipe, and nobody tuned the baseline again. Losses of arms of different "
        "length are not compared. Seconds are left out: the machines are not known to be alike."
    ]


def _exploratory(arms: Sequence[LoggedArm], settings: ImportSettings) -> str:
    text = "the runs were read from logs; nothing was registered before they were made"
    if uneven(arms, settings.steps):
        step = settings.steps[settings.baseline]
        text += f", and at step {step:,} the arms stood at different points of their schedules"
    return text


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
        if told := _differing(arm):
            found.append(f"The runs of {arm.name} differ in {told}: one arm, several configurations.")
        for setting in _SETTINGS:
            values = _values(arm, setting)
            if len(values) > 1 and not (setting == "source code" and told):
                found.append(
                    f"The runs of {arm.name} differ in {setting} ({' / '.join(values)}): one arm, several setups."
                )
    return found


def _differing(arm: LoggedArm) -> str:
    """By name and values, settings that an arm's runs do not have in common, in their source code or as their own lines
    tell them; at most five. Of a kind that a run tells nothing of, nothing is compared."""
    several = len(_values(arm, "source code")) > 1
    kinds = ([run.settings for run in arm.runs] if several else [], [run.said for run in arm.runs])
    each: dict[str, dict[str, None]] = {}
    for runs in kinds:
        if all(runs):
            for name in dict.fromkeys(name for said in runs for name in said):
                each.setdefault(name, {}).update(dict.fromkeys(said.get(name, "not set") for said in runs))
    told = [f"{name} ({' / '.join(values)})" for name, values in each.items() if len(values) > 1]
    more = [f"{len(told) - 5} more settings"] if len(told) > 5 else []
    return listing([*told[:5], *more])


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
