"""Which test a design calls for: decided from the number of seeds and arms alone, before any value is seen.

The same function serves `coregpt plan` and the report, so the test that was announced is the one that is run.
"""

from dataclasses import dataclass
from typing import Literal

Method = Literal[
    "none",
    "paired_t",
    "paired_t_holm",
    "dunnett",
    "welch_holm",
    "moderated",
    "screen_pooled",
    "screen_paired",
    "looks",
    "anytime",
]

Spending = Literal["pocock", "obrien_fleming"]
"""How planned looks share an alpha out (`stats.sequential`)."""

MIN_SEEDS = 3
MIN_ERROR_DF = 4
"""Fewer degrees of freedom estimate the noise too poorly to test anything (3-4 seeds of two arms)."""
SEPARATE_ERRORS_FROM = 8
"""From this many seeds each arm brings its own error estimate; below, borrowing across arms pays."""

NAMES: dict[Method, str] = {
    "none": "no test",
    "paired_t": "paired t-test",
    "paired_t_holm": "paired t-test per arm, Holm correction",
    "dunnett": "blocked analysis of variance, Dunnett comparisons with the baseline",
    "welch_holm": "Welch t-test per arm, Holm correction",
    "moderated": "moderated paired t-test, noise partly from the declared history",
    "screen_pooled": "screen: blocked analysis of variance, Benjamini-Hochberg over the arms",
    "screen_paired": "screen: paired t-test per arm, Benjamini-Hochberg over the arms",
    "looks": "paired t-test per arm at planned looks, alpha spent over them",
    "anytime": "e-value of the paired gains per arm, after every seed",
}


@dataclass(frozen=True)
class Design:
    """The chosen test. `error_df` is 0 when nothing can be tested; `reason` is one plain sentence."""

    method: Method
    n_seeds: int
    n_treatments: int
    error_df: int | float
    reason: str

    @property
    def name(self) -> str:
        """The test in the field's words."""
        return NAMES[self.method]

    @property
    def can_test(self) -> bool:
        """False if this design can only give 'inconclusive'."""
        return self.method != "none"

    @property
    def screens(self) -> bool:
        """Whether arms are only passed on for confirmation, with a bound on the share of false ones."""
        return self.method in ("screen_pooled", "screen_paired")


def choose_test(
    n_seeds: int, n_treatments: int, *, paired: bool = True, screen: bool = False, borrowed_df: float = 0.0
) -> Design:
    """Choose the primary test of `n_treatments` arms against one baseline with `n_seeds` seeds each.

    `paired` is False when the runs of one seed share nothing between arms (blocks are broken). A `screen` is declared.
    `borrowed_df` is what a declared history knows about the noise; one paired comparison of 3 or 4 seeds uses it.
    """
    if n_treatments < 1:
        raise ValueError(f"n_treatments must be at least 1, got {n_treatments}")
    method, own_df, reason = _choice(n_seeds, n_treatments, paired)
    error_df: int | float = own_df
    if screen and n_seeds >= MIN_SEEDS:
        method = "screen_pooled" if method == "dunnett" else "screen_paired"
        reason += "; declared a screen, whose finds need confirmation on fresh seeds"
    elif borrowed_df and paired and n_treatments == 1 and MIN_SEEDS <= n_seeds <= MIN_ERROR_DF:
        method, error_df = "moderated", borrowed_df + n_seeds - 1
        reason = f"{_seeds(n_seeds)} alone say too little about the noise; the history adds {borrowed_df:.3g} degrees"
        reason += " of freedom"
    return Design(method, n_seeds, n_treatments, error_df, reason)


def unpooled(design: Design) -> Design:
    """The same for arms with tuning allowances: these differ, so each arm is tested with its own error alone."""
    if design.method not in ("dunnett", "screen_pooled"):
        return design
    own_df, reason = design.n_seeds - 1, "arms tuned each by itself are tested each with its own error"
    if own_df < MIN_ERROR_DF:
        return Design("none", design.n_seeds, design.n_treatments, 0, f"{reason}; {_seeds(design.n_seeds)} are too few")
    method: Method = "screen_paired" if design.screens else "paired_t_holm"
    return Design(method, design.n_seeds, design.n_treatments, own_df, reason)


def announced(n_seeds: int, n_treatments: int, *, paired: bool, tuned: bool) -> Design:
    """The test of arms that may be `tuned`, each by itself."""
    found = choose_test(n_seeds, n_treatments, paired=paired)
    return unpooled(found) if tuned else found


def fewest_seeds(n_treatments: int, *, paired: bool = True, tuned: bool = False) -> int:
    """The smallest number of seeds that allow any verdict but 'inconclusive'; `tuned` arms have allowances."""
    n = MIN_SEEDS
    while not announced(n, n_treatments, paired=paired, tuned=tuned).can_test:
        n += 1
    return n


def smallest_sign_flip_p(n_pairs: int) -> float:
    """The smallest two-sided p-value the exact sign-flip test can give: 2^(1-n)."""
    return float(2.0 ** (1 - n_pairs))


def _choice(n: int, k: int, paired: bool) -> tuple[Method, int, str]:
    if n < MIN_SEEDS:
        return (
            "none",
            0,
            f"{_seeds(n)} cannot show how much seeds alone move the result",
        )
    if not paired:
        return (
            "welch_holm",
            2 * (n - 1),
            "runs of one seed share nothing between arms, so arms are compared unpaired",
        )
    if n >= SEPARATE_ERRORS_FROM:
        why = f"{_seeds(n)} are enough for every arm to bring its own estimate of the noise"
        return ("paired_t_holm" if k > 1 else "paired_t"), n - 1, why
    if k > 1:
        return (
            "dunnett",
            k * (n - 1),
            f"with {_seeds(n)}, pooling the noise of all {k + 1} arms detects more than separate tests",
        )
    if n - 1 < MIN_ERROR_DF:
        why = f"{_seeds(n)} of one pair of arms leave {n - 1} degrees of freedom for the noise"
        return "none", 0, f"{why}, and {MIN_ERROR_DF} are the fewest that carry a test"
    return "paired_t", n - 1, "one arm against the baseline, runs paired by seed"


def _seeds(n: int) -> str:
    return f"{n} seed" if n == 1 else f"{n} seeds"
