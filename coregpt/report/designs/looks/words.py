"""What follows the sentence on one arm: of deciding early, or of wishing to."""

from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Comparison


def no_peeking(study: StudyFacts, c: Comparison) -> str:
    """Why there is no verdict before the last seed, and what to declare for one."""
    if c.verdict != "invalid" or not c.missing_seeds or study.imported or study.rule is not None:
        return ""
    return (
        f" A fixed number of seeds has one verdict, after all {len(study.seeds)}: who looks at every seed and stops "
        "when it suits errs far more often than alpha says. To decide on fewer, declare looks or anytime before the "
        "first run."
    )


def stopped_early(c: Comparison) -> str:
    """What to think of an estimate that was large enough to stop for."""
    if c.look is None or c.look.decision != "reject" or c.look.n == c.look.planned:
        return ""
    return f" Stopped early, after {c.look.n} of {c.look.planned} seeds: the estimate leans outward."
