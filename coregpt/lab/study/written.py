"""A study's file as it is written: its text and the keys of its top, read before anything that is slow to import."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from coregpt.contract.errors import ConfigError
from coregpt.lab.study.declaration import StudyFile
from coregpt.lab.study.problems import Problem, explain
from coregpt.lab.study.yamlfile import Document, read

ASIDE = "x-"
"""How top-level keys begin that say nothing: a place for anchors, `x-small: &small {dim: 64}`."""


def as_written(path: Path, over: Mapping[str, Any] | None = None) -> tuple[Document, StudyFile]:
    """The file, with keys of `over` in place of its own; arms are not merged and settings not looked at.

    Raises ConfigError with one line per problem, each with file, line and key.
    """
    document = read(path)
    document = replace(document, data={**document.data, **(over or {})})
    said = {key: value for key, value in document.data.items() if not key.startswith(ASIDE)}
    try:
        return document, StudyFile.model_validate(said)
    except ValidationError as error:
        raise refusal(document, explain(error, StudyFile)) from None


def refusal(document: Document, problems: Iterable[Problem]) -> ConfigError:
    """A line per problem, in the order of the file."""
    found = sorted(problems, key=lambda problem: document.line(problem[0]))
    return ConfigError("\n".join(f"{document.where(key)}: {text}" for key, text in found))
