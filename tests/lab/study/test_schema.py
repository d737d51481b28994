"""The schema of study files says what the reader of study files does."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.lab.kinds import KINDS
from coregpt.lab.study.declaration import StudyFile
from coregpt.lab.study.registry import Catalogue
from coregpt.lab.study.schema import study_schema
from coregpt.lab.study.yamlfile import read
from tests.report.facts.test_schema import faults

ROOT = Path(__file__).parents[3]
STUDIES = sorted([*(ROOT / "ablations").glob("*.yaml"), *(ROOT / "ablations" / "command").glob("*.yaml")])
SCHEMA = study_schema(Catalogue(), {kind.KEY: kind.FILE for kind in KINDS})


def wrong(data: dict[str, Any]) -> list[str]:
    """`patternProperties` is not known to the checker: keys for anchors are taken out as the schema says."""
    plain = {key: value for key, value in SCHEMA.items() if key not in ("patternProperties", "$schema")}
    said = {key: value for key, value in data.items() if not key.startswith("x-")}
    return faults(said, plain, SCHEMA, "study")


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_shipped_study_keeps_it(path: Path) -> None:
    assert wrong(read(path).data) == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("qestion",), "?"),
        (("base", "tokns"), 1),
        (("base", "model"), {"dim": "wide"}),
        (("base", "optim"), {"lr": -1}),
        (("test", "alpha"), 0.7),
        (("test", "baselin"), "gpt"),
        (("arms",), {"gpt": 3}),
        (("arms",), {"gpt": {"plugins": {"softcap": {"cup": 15}}}}),
        (("budget",), {"hours": 0}),
        (("bracket",), {"seed": 3}),
        (("tuning",), {"trials": 1, "space": {}}),
        (("gpus_per_run",), "many"),
    ],
)
def test_a_wrong_study_does_not(place: tuple[str, ...], value: Any) -> None:
    data = deepcopy(read(ROOT / "ablations" / "ngpt_vs_gpt.yaml").data)
    holder = data
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    assert wrong(data)


def test_it_has_every_key_of_the_file_and_every_technique() -> None:
    assert SCHEMA["properties"].keys() == StudyFile.model_fields.keys()
    assert SCHEMA["$defs"]["plugins"]["properties"].keys() == set(Catalogue().names())
    assert SCHEMA["patternProperties"].keys() == {"^x-"}


def test_null_removes_and_nothing_but_the_question_seeds_and_test_is_required() -> None:
    assert wrong({"question": "?", "seeds": 5, "test": {}, "arms": {"a": None, "b": {"optim": {"lr": None}}}}) == []
    assert wrong({"seeds": 5, "test": {}})


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA
