"""The pages' sections on early decisions, and on what would decide the arms that are not."""

from collections.abc import Iterator

from coregpt.report.drawing.markup import Section
from coregpt.report.drawing.numbers import DASH, decimals, fixed, p_value, si, signed, span
from coregpt.report.drawing.tables import Table
from coregpt.report.facts.model import Report

LOOKS_TITLE = "Looks"
PAUSE_TITLE = "Arms left unfinished"
NEXT_TITLE = "What would decide it"

_DECISIONS = {
    "reject": "decided: different",
    "futile": "stopped for futility",
    "accept": "last look, no difference shown",
    "continue": "goes on",
}


def stopping_sections(report: Report) -> Iterator[Section]:
    """Those that the report has something to say in."""
    if report.stopping is not None:
        yield Section(LOOKS_TITLE, (_looks_words(report), _looks_table(report)))
    if report.pause is not None:
        yield Section(PAUSE_TITLE, (_pause_words(report), _pause_table(report)))
    if any(c.more_runs for c in report.comparisons):
        yield Section(NEXT_TITLE, (_next_words(report), _next_table(report)))


def _looks_words(report: Report) -> str:
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


def _looks_table(report: Report) -> Table:
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


def _pause_words(report: Report) -> str:
    found = report.pause
    assert found is not None
    return (
        f"All arms but {report.study.baseline} paused at step {found.step:,} of {found.steps:,}. An arm was finished "
        "only if a significant final result had a chance of 5% or more, the final gain being predicted as that at the "
        f"pause with the baseline's own scatter from there on (sd {fixed(found.rest_sd, 4)}). This saved "
        f"{found.saved:.0%} of all steps. It can take a verdict away and never makes one: an arm that is not finished "
        "is not shown to be equal, and a technique that acts late is judged before it does."
    )


def _pause_table(report: Report) -> Table:
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


def _next_words(report: Report) -> str:
    study = report.study
    return (
        f"For each undecided arm, the seeds beyond the present ones that would settle a difference of {study.margin:g} "
        f"with {study.power:.0%} probability, in runs of the arm and the baseline. Hours are training time measured "
        "here. Seeds added to this study make it exploratory, as its results are known: declare a new one on fresh "
        "seeds, with looks if it should stop as soon as it can."
    )


def _next_table(report: Report) -> Table:
    hours = report.timing.more_hours
    rows = [
        (
            c.arm,
            str(c.more_seeds),
            str(c.more_runs),
            si(c.more_flops),
            f"{hours[c.arm]:.2g}" if c.arm in hours else DASH,
        )
        for c in report.comparisons
        if c.more_runs
    ]
    return Table("To settle it", ("arm", "more seeds", "runs", "FLOPs", "hours"), rows)
