"""What users, files and ledgers already rely on, as plain data: made anew it must equal what is committed here.

`python -m tests.golden.surface` writes `surface.json` again after a change that is meant; the diff of that file then
shows a reviewer exactly what a user will notice.
"""

import argparse
import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import yaml

from coregpt.cli import main, parser
from coregpt.contract.config import RunConfig
from coregpt.lab.planning.load import load_family
from coregpt.lab.records.ledger import Event
from coregpt.lab.study.declaration import Criterion, Machine, StudyFile
from coregpt.lab.study.sections.space import TuningFile

ROOT = Path(__file__).parent.parent.parent
FILE = Path(__file__).with_name("surface.json")
MISTAKES = (
    (),
    ("ablat",),
    ("plan", "nowhere.yaml"),
    ("plan", "ablations/ngpt_vs_gpt.yaml", "--scale", "laptp"),
    ("plan", "ablations/ngpt_vs_gpt.yaml", "--jobs", "0"),
    ("report", "nowhere.json"),
    ("plugins", "show", "ngtp"),
    ("data", "fetch", "x"),
    ("verify", "nowhere.json"),
    ("import", "nowhere"),
    ("logs", "nothing", "--runs", "nowhere"),
    ("rerun", "nothing", "--runs", "nowhere"),
    ("ledger", "verify", "--runs", "nowhere"),
)
"""Commands that end at once and write nothing."""


def surface() -> dict[str, Any]:
    """Everything that is compared, by kind."""
    return {
        "help": dict(helps(parser(), "coregpt")),
        "mistakes": [[list(arguments), *answer(arguments)] for arguments in MISTAKES],
        "digests": dict(digests()),
        "ledger events": sorted(get_args(Event)),
        "keys": {
            "study": sorted(StudyFile.model_fields),
            "test": sorted(Criterion.model_fields),
            "tuning": sorted(TuningFile.model_fields),
            "run": sorted({**RunConfig.model_fields, **Machine.model_fields}),
        },
    }


def helps(command: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, list[str]]]:
    """The help of a command and of those below it, as words: how lines are wrapped depends on Python's version."""
    yield name, command.format_help().split()
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner, below in action.choices.items():
                yield from helps(below, f"{name} {inner}")


def answer(arguments: tuple[str, ...]) -> tuple[int, str]:
    """Exit code and what is said on standard error."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
    return code, said.getvalue()


def digests() -> Iterator[tuple[str, str]]:
    """Of what every shipped study declares, at every scale and size."""
    for path in sorted((ROOT / "ablations").glob("*.yaml")):
        for scale in yaml.safe_load(path.read_text()).get("scales", {None: {}}):
            for study in load_family(path, scale):
                yield "/".join(filter(None, (path.stem, scale, study.member))), study.digest


if __name__ == "__main__":
    FILE.write_text(json.dumps(surface(), indent=1, ensure_ascii=False) + "\n")
