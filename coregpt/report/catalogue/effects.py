"""What published reports measured of each technique: comparisons of two arms that differ in it and in no other."""

from collections.abc import Iterator
from pathlib import Path

from coregpt.report.catalogue.again import Fresh, hold_against, looked_again
from coregpt.report.catalogue.facts import Effect
from coregpt.report.drawing.words import verdict_words
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Comparison, Report
from coregpt.report.facts.serialise import from_json


def effects_in(reports: Path) -> dict[str, list[Effect]]:
    """By technique, from every report under a folder that can be read."""
    found: dict[str, list[Effect]] = {}
    again = looked_again(reports)
    for path in sorted(reports.glob("**/report.json")):
        report, where = from_json(path.read_text(encoding="utf-8"), str(path)), path.parent.relative_to(reports)
        fresh = again.get(where.as_posix())
        if fresh is not None:
            hold_against(fresh, report, where.as_posix())
        for name, effect in _effects(report, where.as_posix(), fresh):
            found.setdefault(name, []).append(effect)
    return found


def _effects(report: Report, where: str, fresh: Fresh | None) -> Iterator[tuple[str, Effect]]:
    """Arms that have one technique more than the baseline, in the place of others or of none, or one less.

    Nothing of logs, whose techniques nobody knows.
    """
    facts = report.study
    arms = {arm.name: arm for arm in facts.arms}
    base = arms[facts.baseline]
    for comparison in report.comparisons:
        arm = arms[comparison.arm]
        added, gone = sorted(set(arm.plugins) - set(base.plugins)), sorted(set(base.plugins) - set(arm.plugins))
        left_out = not added
        if len(gone if left_out else added) != 1:
            continue
        (name,) = gone if left_out else added
        sign = -1 if left_out else 1
        ends = None if comparison.interval is None else sorted(sign * end for end in comparison.interval)
        yield (
            name,
            Effect(
                report=where,
                arm=arm.name,
                baseline=base.name,
                left_out=left_out,
                gain=None if comparison.gain is None else sign * comparison.gain,
                interval=None if ends is None else (ends[0], ends[1]),
                p=comparison.p if comparison.p_adjusted is None else comparison.p_adjusted,
                p_alone=comparison.p,
                detectable=comparison.smallest_detectable,
                size=_ratio(arm.parameters, base.parameters, left_out),
                flops=_ratio(arm.flops_per_token, base.flops_per_token, left_out),
                verdict=comparison.verdict,
                said=_said(facts, comparison),
                untuned=(facts.untuned or {}).get(arm.name, ""),
                tuned=facts.bracket is not None or report.tuning is not None,
                beside=_beside(facts, arm.name),
                processor=facts.environment.values.get("processor", ""),
                precision=facts.environment.values.get("precision", ""),
                again=None if fresh is None else fresh.of(arm.name, sign),
                unit=facts.unit,
                parameters=base.parameters or 0,
                tokens=base.tokens or 0,
                company=tuple(sorted(set(arm.plugins) & set(base.plugins))),
                instead=() if left_out else tuple(gone),
            ),
        )


def _said(study: StudyFacts, comparison: Comparison) -> str:
    words = verdict_words(comparison)
    return f"exploratory: {words}" if study.exploratory else words


def _beside(study: StudyFacts, arm: str) -> tuple[str, ...]:
    """Confounds of one arm, by the name of the setting."""
    return tuple(
        each.setting
        for each in study.confounds
        if each.values.get(arm) != each.values.get(study.baseline) and (each.why is None or each.why.get(arm) == "rest")
    )


def _ratio(arm: float | None, base: float | None, left_out: bool) -> float | None:
    """Of an arm and its baseline, as that of a model with the technique and one without."""
    if not arm or not base:
        return None
    return base / arm if left_out else arm / base
