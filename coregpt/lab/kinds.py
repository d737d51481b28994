"""Every kind of run beside our trainer's, by the setting that says so."""

from collections.abc import Mapping
from typing import Any

from coregpt.contract.config import RunConfig
from coregpt.lab.command.config import CommandRun
from coregpt.lab.study.kind import Foreign

KINDS: tuple[type[Foreign], ...] = (CommandRun,)


def kind_in(settings: Mapping[str, Any]) -> type[Foreign] | None:
    """The kind that settings are of; None for our trainer's."""
    return next((kind for kind in KINDS if kind.KEY in settings), None)


def config_of(record: Mapping[str, Any]) -> RunConfig:
    """The configuration in a run's config.json, of whichever kind."""
    kind = kind_in(record["config"])
    return RunConfig.model_validate(record["config"]) if kind is None else kind.of_record(record)
