"""The atlas: what each technique was worth in studies of one kind, all of them together in one table.

A family of techniques is a study, with a report of its own under `reports/atlas`. Each report corrects for its own
arms; whoever reads all of them reads many comparisons more, so here false discoveries are controlled over the table.
"""

import math
from pathlib import Path

from scipy.stats import false_discovery_control

from coregpt.report.catalogue.facts import Catalogued, Effect, Family, Finding
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import from_json

ATLAS = "atlas"
"""The folder under `reports`."""
LEVEL = 0.05
"""The share of false ones that is allowed, on average, among all differences that are called found."""


def families_in(reports: Path) -> tuple[Family, ...]:
    """Every complete report under `reports/atlas`, in alphabetical order."""
    found = ((path, from_json(path.read_text("utf-8"), str(path))) for path in (reports / ATLAS).glob("*/report.json"))
    return tuple(_family(report, f"{ATLAS}/{path.parent.name}") for path, report in sorted(found, key=lambda it: it[0]))


def _family(report: Report, where: str) -> Family:
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
        processor=study.environment.values.get("processor", "a processor that was not noted"),
        precision=study.environment.values.get("precision", ""),
        command=study.command,
    )


def findings(found: Catalogued) -> list[Finding]:
    """All comparisons of the atlas, the largest gain first; those without one last.

    `q` is Benjamini and Hochberg's adjusted p (1995). Arms share their baseline's runs, which is not the independence
    that its proof asks for: that the level holds all the same is simulated in a test. One without an outcome counts as
    a comparison with p = 1.
    """
    rows = [(each.name, effect) for each in found.techniques for effect in each.effects if _of_atlas(effect)]
    if not rows:
        return []
    adjusted = false_discovery_control([1.0 if effect.p_alone is None else effect.p_alone for _, effect in rows])
    made = [
        Finding(technique=name, effect=effect, q=float(q)) for (name, effect), q in zip(rows, adjusted, strict=True)
    ]
    return sorted(made, key=lambda each: (each.effect.gain is None, -(each.effect.gain or 0.0), each.technique))


def _of_atlas(effect: Effect) -> bool:
    return effect.report.startswith(f"{ATLAS}/")


def word(finding: Finding) -> str:
    """`lowers the loss`, `raises the loss` or, where the table as a whole allows neither, `not shown`."""
    gain = finding.effect.gain
    if gain is None or finding.q > LEVEL:
        return "no outcome" if gain is None else "not shown"
    return "lowers the loss" if gain > 0 else "raises the loss"
