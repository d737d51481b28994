"""What a declared history contributes, in words."""

from coregpt.report.drawing.numbers import listing
from coregpt.report.facts.inputs import PriorFacts


def history_words(prior: PriorFacts) -> str:
    """Where the borrowed variance comes from, and what it is worth."""
    files = listing([f"{name} (sha256 {digest})" for name, digest in prior.files.items()])
    return (
        f"Declared history of the noise: {files}. It puts the standard deviation of a paired difference at "
        f"{prior.variance**0.5:.3g}, worth {prior.df:.3g} degrees of freedom (Smyth 2004)."
    )
