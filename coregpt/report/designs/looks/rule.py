"""When a study's arms may be decided, from its facts."""

from coregpt.report.facts.inputs import StudyFacts
from coregpt.stats.looks.stopping import Rule, make_rule


def rule_of(study: StudyFacts) -> Rule | None:
    """The rule for each arm; None for a study that decides after all seeds."""
    declared = study.rule
    if declared is None:
        return None
    return make_rule(
        declared.sizes,
        study.alpha,
        len(study.treatments),
        anytime=declared.anytime,
        spending=declared.spending,
        gain=declared.futility,
        power=study.power,
    )
