"""The atlas: what each technique was worth in studies of one kind, all of them together in one table.

A family of techniques is a study, with a report of its own under `reports/atlas`. Each report corrects for its own
arms; whoever reads all of them reads many comparisons more, so here false discoveries are controlled over the table.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path

from scipy.stats import false_discovery_control

from coregpt.report.catalogue.facts import Catalogued, Effect, Family, Finding
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import from_json

ATLAS = "atlas"
"""The folder under `reports`."""
LEVEL = 0.05
"""The share of false ones that is allowed, on average, among all differences that are called found."""


LOWERS, RAISES, OPEN, LOST = "lowers the loss", "raises the loss", "not shown", "no outcome"
MISSED, BETTER_WITHOUT = "is missed", "is not missed: lower without"
"""Of one that was left out of a model."""
FOUND = (LOWERS, RAISES, MISSED, BETTER_WITHOUT)


def families_in(reports: Path) -> tuple[Family, ...]:
    """Every complete report under `reports/atlas`, in alphabetical order."""
    found = ((path, from_json(path.read_text("utf-8"), str(path))) for path in (reports / ATLAS).glob("*/report.json"))
    seen: dict[str, float] = {}
    made = []
    for path, report in sorted(found, key=lambda it: it[0]):
        runs = dict(_runs(report))
        shared = [seen[key] for key in runs if key in seen]
        made.append(_family(report, f"{ATLAS}/{path.parent.name}", shared))
        seen = runs | seen
    return tuple(made)


def _runs(report: Report) -> Iterator[tuple[str, float]]:
    """Every run of the test and of the bracket before it, by what no other run has, with its training seconds.

    A run that reports share was trained once and stands in each with the same number to its last digit. Trials have
    the seconds of their arm, divided.
    """
    for run, clock in zip(report.runs, report.timing.runs, strict=True):
        yield f"{run.run_id} {run.value!r}", clock.train_seconds or 0.0
    plugins = {arm.name: json.dumps(arm.plugins, sort_keys=True) for arm in report.study.arms}
    for arm in report.study.bracket.arms if report.study.bracket else ():
        seconds = report.timing.tuning.get(arm.arm, 0.0) / max(1, arm.runs)
        for point in arm.points:
            for seed, loss in zip(arm.seeds, point.losses, strict=True):
                yield f"{plugins[arm.arm]} {point.value!r} {seed} {loss!r}", seconds


def _family(report: Report, where: str, shared: list[float]) -> Family:
    """`shared`: seconds of those that an earlier family has too."""
    study = report.study
    tried = report.timing.tuning.values()
    seconds = math.fsum([*tried, *(run.train_seconds or 0.0 for run in report.timing.runs)])
    return Family(
        report=where,
        question=study.question,
        baseline=study.baseline,
        techniques=tuple(sorted(next(arm.plugins for arm in study.arms if arm.name == study.baseline))),
        seeds=len(study.seeds),
        runs=len(report.runs) + (sum(arm.runs for arm in study.bracket.arms) if study.bracket else 0),
        hours=seconds / 3600,
        shared_runs=len(shared),
        shared_hours=math.fsum(shared) / 3600,
        processor=study.environment.values.get("processor", ""),
        precision=study.environment.values.get("precision", ""),
        command=study.command,
    )


def findings(found: Catalogued) -> list[Finding]:
    """All comparisons of the atlas, the largest gain first; those without one last.

    `q` is Benjamini and Hochberg's adjusted p (1995). Arms share their baseline's runs, which is not the independence
    that its proof asks for: that the level holds all the same is simulated in a test. One without an outcome counts as
    a comparison with p = 1.
    """
    rows = [(each.name, effect) for each in found.techniques for effect in each.effects if _counts(effect)]
    if not rows:
        return []
    adjusted = false_discovery_control([1.0 if effect.p_alone is None else effect.p_alone for _, effect in rows])
    made = [
        Finding(technique=name, effect=effect, q=float(q)) for (name, effect), q in zip(rows, adjusted, strict=True)
    ]
    return sorted(made, key=lambda each: (each.effect.gain is None, -(each.effect.gain or 0.0), each.technique))


def _counts(effect: Effect) -> bool:
    """A comparison of the atlas. A pilot tested nothing, and is none."""
    return effect.report.startswith(f"{ATLAS}/") and not effect.pilot


def word(finding: Finding) -> str:
    """What the table as a whole allows to say: one of the words above."""
    effect = finding.effect
    if effect.gain is None or finding.q > LEVEL:
        return LOST if effect.gain is None else OPEN
    if effect.left_out:
        return MISSED if effect.gain > 0 else BETTER_WITHOUT
    return LOWERS if effect.gain > 0 else RAISES


def alone(finding: Finding) -> bool:
    """Whether its report, which corrects more strictly, says the same by itself."""
    effect, words = finding.effect, word(finding)
    better = words in (LOWERS, BETTER_WITHOUT)
    return words in FOUND and effect.verdict == ("better" if better else "worse")
