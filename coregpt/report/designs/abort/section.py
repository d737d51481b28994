"""The pages' section on arms left unfinished."""

from coregpt.report.drawing.numbers import DASH, fixed, p_value, signed
from coregpt.report.drawing.tables import Table
from coregpt.report.facts.model import Report

TITLE = "Arms left unfinished"


def words(report: Report) -> str:
    """How arms were given up, and what that cannot do."""
    found = report.pause
    assert found is not None
    return (
        f"All arms but {report.study.baseline} paused at step {found.step:,} of {found.steps:,}. An arm was finished "
        "only if a significant final result had a chance of 5% or more, the final gain being predicted as that at the "
        f"pause with the baseline's own scatter from there on (sd {fixed(found.rest_sd, 4)}). This saved "
        f"{found.saved:.0%} of all steps. It can take a verdict away and never makes one: an arm that is not finished "
        "is not shown to be equal, and a technique that acts late is judged before it does."
    )


def table(report: Report) -> Table:
    """Every arm at the pause."""
    found = report.pause
    assert found is not None
    rows = [
        (
            arm.arm,
            signed(arm.gain, 4),
            DASH if arm.chance is None else p_value(arm.chance),
            "not known yet" if arm.chance is None else "not finished" if arm.aborted else "finished",
        )
        for arm in found.arms
    ]
    head = ("arm", "mean gain at the pause", "chance of significance", "decision")
    return Table(f"At step {found.step:,}", head, rows)
