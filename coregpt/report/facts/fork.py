"""What the report says of arms that share their beginning, as data."""

from coregpt.report.facts.base import Facts


class Fork(Facts):
    """What a fork trains, the trunk of each seed counted once, beside what separate runs would."""

    share: float
    """Of the baseline's tokens, the part before the fork."""
    tokens: int
    flops: float
    whole_tokens: int
    whole_flops: float
    unchanged: tuple[str, ...] = ()
    """Arms that ended at exactly the baseline's number with every seed."""
