"""The pages' section on secondary outcomes."""

import math

from coregpt.report.drawing.numbers import DASH, fixed, p_value, plural, signed, span
from coregpt.report.drawing.tables import Table
from coregpt.report.facts.evaluate import Evaluated, Secondary, SecondaryResult
from coregpt.report.facts.model import Report

TITLE = "Secondary outcomes"


def words(report: Report) -> str:
    """What they are, how they were tested, and what does not follow from them."""
    asked, found = _both(report)
    study = report.study
    text = (
        "Secondary: no verdict follows from anything in this section, and none is changed by it. Measured of the final "
        f"weights of every finished run on {asked.tokens:,} tokens of {asked.stream}, beside {study.metric}; of a loss "
        "and of a calibration error less is better, of a share of right answers more. Differences are arm minus "
        "baseline, paired by seed"
    )
    if study.pilot:
        return f"{text}. A pilot tests nothing, so there is neither an interval nor a p-value."
    if study.bracket is not None:
        return (
            f"{text}. Every arm was tuned, and each 95% interval is of the arms at these settings: nothing in it "
            "allows for how well they were found, so nothing is tested here."
        )
    return text + (
        "; each 95% interval is for itself. p adjusted is corrected by Holm's rule for all "
        f"{plural(found.comparisons, 'comparison')} of this section, those without a test included. Lower or higher "
        f"was shown where it is below {study.alpha:g}; where nothing was shown, equality was not shown "
        "either."
    )


def warning(report: Report) -> str:
    """Of outcomes that somebody may have chosen in sight of the runs; empty for any other."""
    known = _both(report)[0].known
    if not known:
        return ""
    return (
        f"Exploratory: these outcomes were declared when {plural(known, 'run')} of the baseline and of other arms had "
        "results, so nobody can tell whether they were chosen by what they show. What is found here needs fresh seeds."
    )


def table(report: Report) -> Table:
    """One row for each outcome and arm."""
    found = _both(report)[1]
    head = ("outcome", "arm", "seeds", "baseline", "arm's", "difference", "95% interval", "p", "p adjusted", "shown")
    return Table(TITLE, head, [_row(each) for each in found.results], words=True)


def _row(each: SecondaryResult) -> tuple[str, ...]:
    digits = _digits(each.se)
    return (
        each.outcome,
        each.arm,
        str(each.pairs),
        fixed(each.baseline, digits),
        fixed(each.value, digits),
        signed(each.difference, digits),
        span(each.interval, digits),
        p_value(each.p),
        p_value(each.p_adjusted),
        each.untested or each.shown or DASH,
    )


def _digits(se: float | None) -> int:
    """Two digits of the standard error, as everywhere."""
    return min(6, max(3, 1 - math.floor(math.log10(se)))) if se else 4


def _both(report: Report) -> tuple[Evaluated, Secondary]:
    assert report.study.evaluated is not None
    assert report.secondary is not None
    return report.study.evaluated, report.secondary
