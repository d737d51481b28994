"""What a study asks of the final weights of its runs, beside its metric."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coregpt.lab.study.declaration import Study
from coregpt.lab.study.sections.evaluate import EvaluateFile

KEY = "evaluate"
QUESTIONS, BOOKS = "hellaswag", "books"
PLACE_OF_FILE = {QUESTIONS: "file", BOOKS: "path"}
"""Outcomes that are measured on files of their own, and the key that says where these lie."""
IN_BOOKS = "loss in books, tokens before"
"""How the names of outcomes in books begin."""


@dataclass(frozen=True)
class Material:
    """A file or folder that an outcome is measured on."""

    path: Path
    sha256: str
    """What is asked does not depend on where it lies."""


@dataclass(frozen=True)
class Asked:
    """Secondary outcomes as declared."""

    said: EvaluateFile
    files: Mapping[str, Material] = field(default_factory=dict)
    """By key of `PLACE_OF_FILE`."""

    def declared(self) -> dict[str, Any]:
        """As plain data, without what is not asked."""
        said = self.said.model_dump(exclude_none=True)
        plain = {key: value for key, value in said.items() if value not in (False, [])}
        for key, place in PLACE_OF_FILE.items():
            if key in plain:
                own = {name: value for name, value in plain[key].items() if name != place}
                plain[key] = {"sha256": self.files[key].sha256 if key in self.files else "", **own}
        return plain


def asked_of(study: Study) -> Asked | None:
    """None for a study that asks for nothing."""
    found: Asked | None = study.designs.get(KEY)
    return found


def tokens_of(asked: Asked, study: Study) -> int:
    """How many tokens of the stream that the study reads."""
    return asked.said.tokens or study.arms[0].run.eval_tokens


def question(asked: Asked, study: Study) -> Mapping[str, Any]:
    """All that decides what a run answers, whichever study asks."""
    return {**asked.declared(), "stream": study.reads, "tokens": tokens_of(asked, study)}


def bucket_name(first: int, last: int) -> str:
    """Of places in a window, both included."""
    return f"{first:,} to {last:,}"


def places_of(bucket: str) -> tuple[int, int]:
    """What `bucket_name` was called with."""
    first, last = bucket.split(" to ")
    return _number(first), _number(last)


def bucket_of(outcome: str) -> tuple[int, int] | None:
    """(first, last) place of an outcome in books; None for any other."""
    match = re.fullmatch(rf"{IN_BOOKS}: ([\d,]+) to ([\d,]+)", outcome)
    return None if match is None else (_number(match[1]), _number(match[2]))


def _number(words: str) -> int:
    return int(words.replace(",", ""))
