"""Printing: lines and tables."""

from coregpt.lab.progress import aligned as table

__all__ = ["say", "table"]


def say(text: str = "") -> None:
    """A line for the user, at once."""
    print(text, flush=True)  # noqa: T201
