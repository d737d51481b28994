"""Runs of another kind than our trainer's, and what the house asks of them.

Core never names a kind. A kind is a class of configurations that answers what the engine answers for our own runs: what
of it is declared and hashed, what it costs as far as anybody knows, which code and inputs it stands for, how it is
executed. `lab/kinds.py` lists them. The fields of `RunConfig` that speak of our trainer stand at their defaults there:
nothing prints, hashes or trains them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel

from coregpt.contract.config import RunConfig
from coregpt.lab.study.problems import Problem

if TYPE_CHECKING:  # pages of a report do without torch
    from coregpt.engine.accounting import Cost
    from coregpt.engine.data import TokenSource

UNCOUNTED = 10**9
"""Steps of a run whose length nobody knows: it stands at no share of it until it ends."""


class Foreign(RunConfig, ABC):
    """One run that is not our trainer's. A kind without one of the answers cannot be made."""

    KEY: ClassVar[str]
    """The setting that says so."""
    FILE: ClassVar[type[BaseModel]]
    """What may stand there in a file."""

    @classmethod
    @abstractmethod
    def read(cls, said: Any, beside: Path, metric: str) -> "Self | list[Problem]":
        """From what an arm says under `KEY` in a file of the folder `beside`, judged by `metric`; or what is wrong with
        it, by key below."""

    @classmethod
    @abstractmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """As a run's config.json has it."""

    @classmethod
    @abstractmethod
    def restored(cls, settings: Mapping[str, Any], store: Path) -> Self:
        """From what a study declared of it, with what runs in `store` know beside. Raises ConfigError."""

    @abstractmethod
    def kept(self) -> dict[str, Any]:
        """What config.json has beside it, under `aside`: what a worker needs and no number depends on."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What is declared of it and hashed into the study."""

    def essence(self) -> dict[str, Any]:
        """What of `settings` can change a number: two versions with one essence are one, whatever they are called."""
        return self.settings()

    @abstractmethod
    def label(self) -> str:
        """Which version it is, for a line of a log."""

    @abstractmethod
    def same_as(self, other: "Foreign") -> bool:
        """Whether nothing that can change a number differs."""

    @abstractmethod
    def unlike(self, first: "Foreign") -> list[Problem]:
        """Why it cannot be compared with the first arm, by key below `KEY`."""

    @abstractmethod
    def shown(self) -> dict[str, Any]:
        """The same for people, by dotted key: how arms differ."""

    @abstractmethod
    def words(self) -> dict[str, Any]:
        """As a file would say it again, wherever it lies."""

    @abstractmethod
    def cost(self) -> "Cost":
        """Steps, as far as they are known; what core did not count is nothing here, and never shown."""

    @abstractmethod
    def derived(self) -> dict[str, str]:
        """What its settings come to, where arms may differ in it."""

    @abstractmethod
    def engine(self) -> str:
        """Stands for the digest of our engine: which rules the numbers were read by, in words with a space."""

    @abstractmethod
    def code(self) -> dict[str, str]:
        """Digests of the code it runs, by name."""

    @abstractmethod
    def source(self) -> "TokenSource":
        """Stands for the data: a name and a digest, and no token."""

    @abstractmethod
    def twice(self) -> Self:
        """The same run, to be made twice, so that it shows whether equal seeds give equal numbers."""

    def longest(self) -> float | None:
        """Seconds that it may take at most, where that is declared."""
        return None

    @abstractmethod
    def place(self) -> str:
        """Where it was found, for the screen."""

    @abstractmethod
    def execute(self, run: Path, stop: Callable[[], bool]) -> dict[str, Any]:
        """Execute it in its folder; how it ended, as a result says it. Raises CoreGPTError for what a user can mend."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """What it is computed with here."""

    @abstractmethod
    def refuse_moved(self) -> None:
        """Raises RunError where what it would be computed with is not what it was planned with."""

    @abstractmethod
    def refuse_again(self, run: Path) -> None:
        """Raises ConfigError for a complete run in its folder that would not come to the same result again."""


def foreign(config: RunConfig) -> Foreign | None:
    """The run as one of another kind; None for our trainer's."""
    return config if isinstance(config, Foreign) else None
