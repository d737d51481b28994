"""What a study asks of the final weights of its runs, beside its metric."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coregpt.lab.study.declaration import Study
from coregpt.lab.study.evaluate_file import EvaluateFile

KEY = "evaluate"


@dataclass(frozen=True)
class Asked:
    """Secondary outcomes as declared."""

    said: EvaluateFile
    questions: Path | None = None
    """Where the questions of HellaSwag lie."""
    sha256: str = ""
    """Of that file: what is asked does not depend on where it lies."""

    def declared(self) -> dict[str, Any]:
        """As plain data, without what is not asked."""
        said = self.said.model_dump(exclude_none=True)
        plain = {key: value for key, value in said.items() if value not in (False, [])}
        if self.said.hellaswag is not None:
            own = self.said.hellaswag.model_dump(exclude_none=True, exclude={"file"})
            plain["hellaswag"] = {"sha256": self.sha256, **own}
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
