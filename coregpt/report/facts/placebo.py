"""What a placebo of a study's baseline came to: the baseline against itself, under a second name."""

from coregpt.report.facts.base import Facts, Interval


class PlaceboFacts(Facts):
    """Once for real, and drawn again and again from every run of the baseline there was."""

    verdict: str
    """The word of the one for real."""
    seeds: int
    """On either side."""
    runs: int
    """Of the baseline that were drawn from."""
    draws: int
    called: int
    """Draws in which nothing was called something."""
    interval: Interval
    """Of Clopper and Pearson, 95%, of the share of draws."""
