"""How well arms that were matched before the first run came out."""

from collections.abc import Callable

from coregpt.report.inputs import ArmFacts, StudyFacts


def matched(study: StudyFacts) -> str:
    """` Matched on flops: gpt 8.17e+11, ngpt 8.16e+11 (-0.11%).`; empty for a study that matches nothing."""
    if not study.match:
        return ""
    if study.match == "seconds":
        each = ", ".join(f"{arm.name} {arm.tokens:,}" for arm in _arms(study))
        return f" Matched on seconds: tokens were set from speeds measured before the first run ({each})."
    amount = _AMOUNT[study.match]
    goal = next(amount(arm) for arm in study.arms if arm.name == study.baseline)
    said = [
        f"{arm.name} {amount(arm):,.6g}" + (f" ({amount(arm) / goal - 1:+.2%})" if amount(arm) != goal else "")
        for arm in _arms(study)
    ]
    return f" Matched on {study.match}: {', '.join(said)}."


def _arms(study: StudyFacts) -> list[ArmFacts]:
    return [arm for arm in study.arms if arm.name in (study.baseline, *study.treatments)]


_AMOUNT: dict[str, Callable[[ArmFacts], float]] = {
    "tokens": lambda arm: arm.tokens or 0,
    "params": lambda arm: arm.parameters or 0,
    "flops": lambda arm: (arm.flops_per_token or 0) * (arm.tokens or 0),
}
