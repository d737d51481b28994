"""How the verdict was reached, in words: what was fixed beforehand, and by what."""

from coregpt.report.designs import DESIGNS
from coregpt.report.drawing.numbers import fixed
from coregpt.report.drawing.units import with_unit
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Report


def method(report: Report) -> list[str]:
    """How the verdict was reached and what was fixed before any result, as paragraphs."""
    study, design = report.study, report.design
    level = f"alpha {study.alpha:g}" if study.screen is None else f"false discovery rate {study.screen:g}"
    rules = f"{level} two-sided, margin {with_unit(f'±{study.margin:g}', study.unit)}, power {study.power:g}"
    if study.imported:
        return [
            f"Test: {design.name}. Why: {design.reason}. Chosen from the number of runs and arms alone.",
            f"Read from {study.imported}. Nothing was fixed before these runs were made: whoever made, chose and "
            f"published them may have looked. Set at import: {rules}.",
        ]
    found = [
        f"Test: {design.name}. Why: {design.reason}. Chosen from the number of seeds and arms, before any result.",
        f"Fixed beforehand: {rules}, seeds {', '.join(map(str, study.seeds))}.",
    ]
    if study.declaration:
        found.append(_hypothesis(study))
    if study.reads is not None:
        found.append(_streams(study))
    found += [words for design in DESIGNS for words in design.method(report)]
    if report.planned_detectable is not None:
        found.append(
            f"Planned to detect {with_unit(fixed(report.planned_detectable, 4), study.unit)} with {study.power:.0%} "
            f"probability, assuming a standard deviation of {study.assumed_sd:g} between paired runs."
        )
    return found


def _hypothesis(study: StudyFacts) -> str:
    expected = {"better": "better", "worse": "worse", "either": "better or worse"}[study.direction]
    said = f"Hypothesis: {study.hypothesis.rstrip('.')}. " if study.hypothesis else ""
    if study.hypothesis or study.direction != "either":
        said += f"Expected: {expected}. "
    equal = study.equal if study.program is None else "nothing by us; what a program spends is its own affair"
    return f"{said}Held equal between arms: {equal}."


def _streams(study: StudyFacts) -> str:
    """Which tokens were read for what."""
    if study.reads == "select":
        return (
            f"Read: {study.metric}, on tokens cut from the end of the training stream that no run trains on. A study "
            "that chooses reads these; validation tokens are left for verdicts."
        )
    curves = "so were the curves, as the target asks" if study.curves == "held_out" else "curves were not"
    return (
        f"Read: {study.metric}, on validation tokens that chose nothing ('held_out'); {curves}. Whatever was chosen on "
        "the way read select_loss, on tokens cut from the end of the training stream that no run trains on."
    )


def digest_label(study: StudyFacts) -> str:
    """What the study's digest is of."""
    return "Digest of the imported curves" if study.imported else "Preregistration digest"
