"""A command on this machine: what of it can change a number, and what a worker needs beside."""

from pydantic import Field

from coregpt.contract.config import Frozen
from coregpt.lab.command.file import MetricFile


class Command(Frozen):
    """All of a program that can change its numbers."""

    repo: str
    """Its name; where it lies changes nothing."""
    run: str
    commit: str
    patch: str = ""
    """sha256 of what is laid over the commit."""
    tree: str
    """git's name of all files, patched and edited with the placeholders as they stand."""
    edit: dict[str, dict[str, str]] = Field(default_factory=dict)
    set: dict[str, int | float | str | bool] = Field(default_factory=dict)
    inputs: dict[str, str] = Field(default_factory=dict)
    """sha256 of what it reads beside its code, by path."""
    metric: MetricFile = MetricFile()
    reports: str
    """What of its numbers decides."""
    env: dict[str, str] = Field(default_factory=dict)


class Aside(Frozen):
    """What a worker needs beside it, which changes no number."""

    place: str
    """Where the repository lies."""
    at: str
    """How the file called the version."""
    subject: str = ""
    patch: str = ""
    """In base64."""
    time_limit: float | None = None
    """Seconds; it is declared, and changes no number of a run that ends within it."""
    steps: int | None = None
    python: str = ""
    version: str = ""
    places: tuple[str, ...] = ()
    """Where packages are."""
    packages: dict[str, str] = Field(default_factory=dict)
    files: tuple[str, ...] = ()
    """Inputs, below the repository."""
    repeat: bool = False
    """Whether it is made twice, to see whether equal seeds give equal numbers."""
