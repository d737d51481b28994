"""How well arms that were matched before the first run came out."""

from collections.abc import Callable

from coregpt.lab.study.declaration import TOLERANCE
from coregpt.report.drawing.tables import Table
from coregpt.report.facts.inputs import ArmFacts, StudyFacts
from coregpt.report.facts.match import MatchedSeconds
from coregpt.report.facts.model import Report

TITLE = "Were the seconds equal?"
_MEANING = {
    "held": f"held: within {TOLERANCE:.0%}",
    "missed": f"MISSED: more than {TOLERANCE:.0%} off",
    "unclear": f"unclear: these clocks cannot tell whether it is within {TOLERANCE:.0%}",
}


def matched(study: StudyFacts) -> str:
    """`Matched on flops: gpt 8.17e+11, ngpt 8.16e+11 (-0.11%).`; empty for a study that matches nothing."""
    if not study.match:
        return ""
    if study.match == "seconds":
        each = ", ".join(f"{arm.name} {arm.tokens:,}" for arm in _arms(study))
        return f"Matched on seconds: tokens were set from speeds measured before the first run ({each}); see {TITLE}."
    amount = _AMOUNT[study.match]
    goal = next(amount(arm) for arm in study.arms if arm.name == study.baseline)
    said = [
        f"{arm.name} {amount(arm):,.6g}" + (f" ({amount(arm) / goal - 1:+.2%})" if amount(arm) != goal else "")
        for arm in _arms(study)
    ]
    return f"Matched on {study.match}: {', '.join(said)}."


def words(report: Report) -> str:
    """What the table of achieved seconds says, and what that means for the verdicts."""
    words = (
        f"Speeds were measured before the first run and set the tokens; this is what training then took, against "
        f"{report.study.baseline} with the same seed. {TOLERANCE:.0%} is what arms may differ by."
    )
    missed = [each.arm for each in report.timing.matched if each.word == "missed"]
    if not missed:
        return words
    return (
        f"{words} The match FAILED for {', '.join(missed)}: verdicts there are not at equal seconds. Declare "
        "'match: flops', which can be counted, or run on a quiet machine, in a new folder of runs."
    )


def table(report: Report) -> Table:
    """One row per matched arm."""
    rows = [(each.arm, *_off(each), _MEANING[each.word]) for each in report.timing.matched]
    head = ("arm", "training time, off by", "95% interval", "matched")
    bad = frozenset(i for i, each in enumerate(report.timing.matched) if each.word == "missed")
    return Table("Training time relative to the baseline", head, rows, bad=bad)


def missed_seconds(report: Report) -> list[str]:
    """One line per arm whose match on seconds failed."""
    return [
        "match: seconds: {} trained {} off the baseline's time (95% interval {})".format(each.arm, *_off(each))
        + f", more than {TOLERANCE:.0%}: its verdict is not at equal seconds"
        for each in report.timing.matched
        if each.word == "missed"
    ]


def _off(each: MatchedSeconds) -> tuple[str, str]:
    span = "{:+.1%} to {:+.1%}".format(*each.interval) if each.interval else "none with fewer than 3 seeds"
    return f"{each.off:+.1%}", span


def _arms(study: StudyFacts) -> list[ArmFacts]:
    return [arm for arm in study.arms if arm.name in (study.baseline, *study.treatments)]


_AMOUNT: dict[str, Callable[[ArmFacts], float]] = {
    "tokens": lambda arm: arm.tokens or 0,
    "params": lambda arm: arm.parameters or 0,
    "flops": lambda arm: (arm.flops_per_token or 0) * (arm.tokens or 0),
}
