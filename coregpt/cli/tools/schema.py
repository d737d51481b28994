"""`coregpt schema`: what the files may hold, for editors and programs."""

import json
from typing import Any

from coregpt.cli.screen import say
from coregpt.lab.kinds import KINDS
from coregpt.lab.study.registry import Catalogue
from coregpt.lab.study.schema import study_schema
from coregpt.report.facts.serialise import schema_text
from coregpt.report.facts.verdict_file import VerdictFile
from coregpt.report.verdicts.exit_codes import table


def show_schema(kind: str) -> int:
    """The JSON schema of a study file, of report.json or of verdict.json, or the table of exit codes as Markdown."""
    texts = {
        "study": lambda: _text(study_schema(Catalogue(), {kind.KEY: kind.FILE for kind in KINDS})),
        "report": schema_text,
        "verdict": verdict_schema_text,
        "exit-codes": table,
    }
    say(texts[kind]().rstrip())
    return 0


def verdict_schema_text() -> str:
    """`docs/verdict.schema.json` is this text."""
    return _text({"$schema": "https://json-schema.org/draft/2020-12/schema", **VerdictFile.model_json_schema()})


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
