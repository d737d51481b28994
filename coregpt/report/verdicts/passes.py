"""How often runs went over the same training tokens: a technique may help to repeat data and not to learn."""

from coregpt.report.facts.inputs import StudyFacts

MANY_PASSES = 4
"""As `lab.planning.enough` has it; a test holds both to one number."""


def passes_notes(study: StudyFacts) -> list[str]:
    """A warning where data were repeated often."""
    often = study.passes
    if often is None or often <= MANY_PASSES:
        return []
    tokens = study.data.pass_tokens or study.data.train_tokens
    return [
        f"Every run went {often:.2g} times over the same {tokens:,} training tokens: the verdict is "
        "about repeating these data, and may not hold for new ones."
    ]
