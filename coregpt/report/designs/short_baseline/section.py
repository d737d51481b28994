"""The pages' section on steps saved."""

from coregpt.report.drawing.numbers import DASH, plural, signed, span
from coregpt.report.drawing.tables import Table
from coregpt.report.facts.model import Report

TITLE = "Steps saved"


def words(report: Report) -> str:
    """What the yardstick is and how far it reaches."""
    found = report.yardstick
    assert found is not None
    slope = "" if found.slope is None else f" One step is worth {found.slope:.3g} {report.study.unit} between them."
    return (
        f"The baseline was trained once more for {found.short_steps:,} instead of {plural(found.full_steps, 'step')}, "
        f"with its own complete schedule and the same seeds ({found.arm}).{slope} Steps saved are an arm's gain over "
        "that slope, with Fieller's 95% interval; the shared runs of the baseline are accounted for. The slope is "
        "taken as a straight line. No verdict follows from it."
    )


def table(report: Report) -> Table:
    """Gains as steps of the baseline."""
    found = report.yardstick
    assert found is not None
    rows = []
    for arm in found.arms:
        note = arm.cause or ("more than the yardstick spans: extrapolated" if arm.extrapolated else DASH)
        share = DASH if arm.share is None else signed(100 * arm.share, 1) + "%"
        rows.append((arm.arm, signed(arm.steps, 0), span(arm.interval, 0), share, note))
    return Table("Steps saved", ("arm", "steps saved", "95% interval", "of the baseline's", "note"), rows, words=True)
