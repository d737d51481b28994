"""The pages' section on early decisions."""

from coregpt.report.drawing.numbers import DASH, decimals, p_value, signed, span
from coregpt.report.drawing.tables import Table
from coregpt.report.facts.model import Report

TITLE = "Looks"

_DECISIONS = {
    "reject": "decided: different",
    "futile": "stopped for futility",
    "accept": "last look, no difference shown",
    "continue": "goes on",
}


def words(report: Report) -> str:
    """How looks decide, and what that does to estimates."""
    found, study = report.stopping, report.study
    assert found is not None
    arms = len(study.treatments)
    share = f"alpha {study.alpha:g}" + (f" divided by {arms} arms" if arms > 1 else "")
    text = (
        f"Each arm was judged by itself at {share}; a look decides where p is below its level. Intervals hold at "
        f"every look and for all arms together. Of {found.planned} planned runs, {found.spared} were not needed. An "
        "estimate at which an arm stopped early leans outward, as large ones stop first. Equivalence is tested at the "
        "last look only, on all seeds."
    )
    if report.design.method == "anytime":
        text += " p is 1 over the e-value, which may be looked at after every seed."
    if found.uncounted:
        text += f" Not counted, because their arms were decided before them: {', '.join(found.uncounted)}."
    return text


def table(report: Report) -> Table:
    """Every look, and what is to come."""
    found, digits = report.stopping, decimals(report.study, report.comparisons)
    assert found is not None
    rows = [
        (
            each.arm,
            f"{look.n}/{look.planned}",
            signed(look.gain, digits) if look.gain is not None else "by rank",
            span(look.interval, digits),
            p_value(look.p),
            p_value(look.level) if look.level else DASH,
            _DECISIONS[look.decision],
        )
        for each in found.arms
        for look in each.looks
    ]
    rows += [
        (each.arm, f"{each.seeds}/{len(report.study.seeds)}", DASH, DASH, DASH, DASH, "to come")
        for each in found.arms
        if not each.decided
    ]
    head = ("arm", "seeds", "gain", "repeated interval", "p", "level", "decision")
    return Table("Every look at every arm, in order", head, rows)
