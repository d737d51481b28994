"""What a study's file says of a command: a program in a git repository, how it is called, what it reports."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PositiveInt, field_validator, model_validator

from coregpt.contract.config import Frozen

WORD = re.compile(r"[A-Za-z_]\w*")
OWN = ("seed", "out")
"""Placeholders that the harness fills in."""
UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
Format = Literal["nanogpt", "modded-nanogpt", "jsonl", "csv"]


def seconds(said: Any) -> Any:
    """`20m`, `90s`, `1.5h` or plain seconds."""
    if isinstance(said, str):
        found = re.fullmatch(r"\s*([0-9.]+)\s*([smhd]?)\s*", said)
        if found is None:
            raise ValueError(f"expected a time such as 90s, 20m or 2h, got {said!r}")
        return float(found[1]) * UNITS[found[2] or "s"]
    return said


class MetricFile(Frozen):
    """How numbers are read of what the program prints."""

    pattern: str | None = None
    """A line with names in braces, as `step {step}: val loss {val_loss}`; numbers stand in their places."""
    format: Format | None = None
    """A known program's lines, instead of a pattern. Without both, JSON lines in the file $COREGPT_METRICS."""
    file: str | None = None
    """Where the lines are, inside {out} or the clone, if the program does not print them."""
    final: Literal["last", "lowest"] = "last"
    """Which of the values decides."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.pattern is not None and self.format is not None:
            raise ValueError("pattern and format are two ways to read a line; remove one of them")
        if self.pattern is not None and not self.names:
            raise ValueError(f"the pattern {self.pattern!r} has no name in braces, such as {{val_loss}}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """What the pattern names, in order."""
        return tuple(re.findall(r"\{([A-Za-z_]\w*)\}", self.pattern or ""))

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, said: str | None) -> str | None:
        names = re.findall(r"\{(.*?)\}", said or "")
        for name in names:
            if not WORD.fullmatch(name):
                raise ValueError(f"{{{name}}} is no name; write {{val_loss}}, and what surrounds it as it is printed")
        if len(set(names)) < len(names):
            raise ValueError("a name stands in the pattern twice")
        return said


class CommandFile(Frozen):
    """One arm's program, complete: base, scale and arm merged."""

    repo: str
    """A git repository, beside the study's file. It is never written to."""
    run: str
    """The command, called in a clone of the repository; {seed}, {out} and what `set` has are filled in."""
    at: str = "HEAD"
    """A branch, tag or commit; a patch file, laid over HEAD; or `worktree`, the uncommitted changes as they are now."""
    edit: dict[str, dict[str, str]] = Field(default_factory=dict)
    """By file, what is found in it and put in its place, in the clone of every arm alike; found exactly once."""
    set: dict[str, int | float | str | bool] = Field(default_factory=dict)
    """Values of placeholders; environment variables of these names too."""
    reads: tuple[str, ...] = ()
    """Inputs outside git, in the repository: hashed, and linked into the clone."""
    metric: MetricFile = MetricFile()
    time_limit: Annotated[float, Field(gt=0), BeforeValidator(seconds)] | None = None
    """Of one run, in seconds; a run that takes longer is killed and has failed."""
    env: dict[str, str | int | float | bool] | tuple[str, ...] = Field(default_factory=dict)
    """Environment variables with their values, or a list of names whose values are taken from where it is called."""
    steps: PositiveInt | None = None
    """How many steps a run has, where that is known: for progress alone."""

    @field_validator("reads", "env", mode="before")
    @classmethod
    def _listed(cls, said: Any) -> Any:
        return tuple(said) if isinstance(said, list) else said

    @field_validator("set")
    @classmethod
    def _words(cls, said: dict[str, Any]) -> dict[str, Any]:
        for name in said:
            if not WORD.fullmatch(name):
                raise ValueError(f"'{name}' is no name of a placeholder: letters, digits and _")
            if name in OWN:
                raise ValueError(f"'{name}' is filled in by the study; call yours otherwise")
        return said

    @field_validator("edit")
    @classmethod
    def _finds(cls, said: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        for file, edits in said.items():
            if any(not old for old in edits):
                raise ValueError(f"{file}: an empty text stands everywhere; write what is to be replaced")
        return said

    @model_validator(mode="after")
    def _seeded(self) -> Self:
        texts = [self.run, *(new for edits in self.edit.values() for new in edits.values())]
        said = [*texts, *map(str, self.environment.values())]
        if not any("{seed}" in text for text in said):
            raise ValueError(
                "{seed} stands nowhere in run, edit or env: every run would be the same one. Give it to the program "
                "(--seed={seed}), or put it where the program sets its seed, with edit"
            )
        return self

    @property
    def environment(self) -> dict[str, Any]:
        """Declared values of environment variables."""
        return dict(self.env) if isinstance(self.env, dict) else {}

    @property
    def passed(self) -> tuple[str, ...]:
        """Names of environment variables whose values are taken over."""
        return self.env if isinstance(self.env, tuple) else ()


def filled(text: str, values: dict[str, Any]) -> str:
    """A text with the placeholders that are known; other braces stay as they are."""
    return re.sub(r"\{([A-Za-z_]\w*)\}", lambda found: str(values.get(found[1], found[0])), text)


def unknown(text: str, values: dict[str, Any]) -> list[str]:
    """Placeholders of a text that nothing fills in."""
    return [name for name in re.findall(r"\{([A-Za-z_]\w*)\}", text) if name not in values]


def as_text(value: Any) -> str:
    """As a command line and an environment have it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
