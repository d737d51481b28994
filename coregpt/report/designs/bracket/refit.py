"""Do the settings of the test, and what the test allows for, follow from the losses that the report shows?"""

import math
from collections.abc import Iterator

from coregpt.report.designs.bracket.words import untuned
from coregpt.report.facts.bracket import ArmBracket
from coregpt.report.facts.inputs import StudyFacts
from coregpt.stats.response import Residual, fit, residual

TOLERANCE = 1e-5
"""Of numbers that follow from others: settings have six digits."""


def contradictions(study: StudyFacts) -> Iterator[str]:
    """What was edited by hand; nothing for a study without a bracket."""
    found = study.bracket
    if found is None:
        return
    for arm, why in untuned(found, study.baseline).items():
        if arm not in study.incomparable:
            yield f"{arm}: the report compares it, but {why}"
    noise = residual([each.tried for each in found.arms])
    for each in found.arms:
        yield from _of_arm(each, noise)


def _of_arm(each: ArmBracket, noise: Residual) -> Iterator[str]:
    try:
        again = fit(each.tried, noise)
    except ValueError as error:
        yield f"{each.arm}: its bracket cannot be fitted: {error}"
        return
    value = each.declared * 2.0 ** (again.optimum or 0.0)
    pairs = (
        ("value of the test", each.value, value),
        ("expected loss", each.expected_loss, again.expected_loss),
        ("number of tuning seeds", len(each.seeds), again.seeds),
        ("reason why it is not tuned", each.why_not, again.why_not),
    )
    for name, said, follows in pairs:
        if not _same(said, follows):
            yield f"{each.arm}: the report says {name} {said}, but the losses of its bracket give {follows}"


def _same(said: object, follows: object) -> bool:
    if isinstance(said, float) and isinstance(follows, float):
        return math.isclose(said, follows, rel_tol=TOLERANCE, abs_tol=1e-12)
    return said == follows
