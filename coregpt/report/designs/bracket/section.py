"""The pages' section on a bracket: what each value came to, the curve through them, what the test allows for."""

import math

from coregpt.report.designs.bracket.words import words
from coregpt.report.drawing.markup import Section
from coregpt.report.drawing.numbers import duration, fixed, si
from coregpt.report.drawing.tables import Table
from coregpt.report.facts.bracket import ArmBracket
from coregpt.report.facts.model import Report
from coregpt.report.facts.tuning import shown

TITLE = "Each arm at its own setting"


def bracket_section(report: Report) -> Section:
    """For a study whose arms were bracketed before the test."""
    found = report.study.bracket
    assert found is not None
    tables = [found_table(report), allowance_table(report), *(tried_table(report, each) for each in found.arms)]
    return Section(TITLE, (words(found, report.study.metric), *tables))


def found_table(report: Report) -> Table:
    """What came out for each arm, and what it took."""
    found = report.study.bracket
    assert found is not None
    rows = [
        (
            each.arm,
            shown(each.declared),
            shown(each.value),
            _interval(each),
            each.kind if not each.why_not else "not tuned",
            str(len(each.points)),
            str(each.runs),
            f"{si(each.flops)} FLOPs",
            duration(report.timing.tuning.get(each.arm)),
        )
        for each in found.arms
    ]
    head = (
        "arm",
        "declared",
        "used in the test",
        "95% interval",
        "by",
        "values tried",
        "runs",
        "spent",
        "training time",
    )
    return Table(f"{found.setting} of each arm", head, rows)


def allowance_table(report: Report) -> Table:
    """The parts of each standard error."""
    rows = []
    for c in report.comparisons:
        tuning = None if c.se is None else math.sqrt(c.allowance or 0.0)
        rows.append((c.arm, fixed(c.sampling_se, 4), fixed(tuning, 4), fixed(c.se, 4)))
    return Table("Standard error of each gain", ("arm", "from seeds", "from tuning", "in all"), rows)


def tried_table(report: Report, each: ArmBracket) -> Table:
    """Every value of one arm."""
    found = report.study.bracket
    assert found is not None
    rows = [
        (
            f"{point.x:+g}",
            shown(point.value),
            *(fixed(loss, 4) for loss in point.losses),
            fixed(sum(point.losses) / len(point.losses), 4),
        )
        for point in each.points
    ]
    head = ("octaves", found.setting, *(f"seed {seed}" for seed in each.seeds), "mean")
    bad = frozenset(i for i, point in enumerate(each.points) if not all(map(math.isfinite, point.losses)))
    return Table(
        f"Values tried of {each.arm}, final {report.study.metric}, ∞ where a run diverged", head, rows, bad=bad
    )


def _interval(each: ArmBracket) -> str:
    if each.interval is None:
        return "unknown"
    low, high = (each.declared * 2.0**end for end in each.interval)
    return f"{low:.3g} to {high:.3g}"
