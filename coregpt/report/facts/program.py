"""What a report says of arms that are programs of somebody else's."""

from pydantic import Field

from coregpt.report.facts.base import Facts


class ProgramArm(Facts):
    """One arm's code and settings, and what differs from the baseline's; "" and empty for the baseline itself."""

    arm: str
    at: str
    """What the file calls the version."""
    commit: str
    subject: str = ""
    patch: str = ""
    """sha256 of what was laid over the commit; "" where nothing was."""
    stat: str = ""
    """Of the difference in code: files and lines."""
    diff: str = ""
    """In full, patches and edits included; cut where it is very long."""
    settings: tuple[str, ...] = ()
    """`lr 0.001 -> 0.002`."""
    packages: tuple[str, ...] = ()
    """`torch 2.12.0 -> 2.13.0`; Python itself is one of them."""


class ProgramFacts(Facts):
    """Of a study whose arms are commands."""

    repo: str
    command: str
    """Of the baseline, with its placeholders."""
    edit: dict[str, dict[str, str]] = Field(default_factory=dict)
    inputs: dict[str, str] = Field(default_factory=dict)
    """sha256 by path."""
    metric: str
    """How it is read, in words."""
    final: str
    time_limit: float | None = None
    arms: tuple[ProgramArm, ...]
    unreported: tuple[str, ...] = ()
    """What could be compared if the program told it."""
    repeated_seed: int | None = None
    """Of the run that was made twice; None while none was."""
    repeated: tuple[float | None, float | None] | None = None
    """What it came to, both times; None of a run that was lost."""
    same: bool | None = None
    """Whether both were equal to the last digit at every step."""
