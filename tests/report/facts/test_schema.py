"""The published JSON schema is the code's, and says what a report.json is to a reader that knows only the schema."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from coregpt.cli import main
from coregpt.report.facts.serialise import schema_text, to_json
from tests.report.studies import report
from tests.report.verdicts.test_compare import base, shifted

ROOT = Path(__file__).parents[3]
COMMITTED = sorted((ROOT / "reports").glob("*/report.json"))
TYPES = {"string": str, "boolean": bool, "array": list, "object": dict, "null": type(None)}
SAID_ONLY = {"title", "description", "default", "$defs", "$schema", "type"}
NOT_FINITE = ("Infinity", "-Infinity", "NaN")


def faults(value: Any, schema: dict[str, Any], top: dict[str, Any], at: str = "report") -> list[str]:
    """What is wrong with a value by JSON Schema 2020-12, written from its text; an unknown keyword is an error."""
    if "type" in schema and not _is(value, schema["type"]):
        return [f"{at}: type"]
    found: list[str] = []
    for word, said in schema.items():
        wrong = False
        if word in SAID_ONLY or word in ("items", "additionalProperties"):
            continue
        if word == "$ref":
            found += faults(value, top["$defs"][said.removeprefix("#/$defs/")], top, at)
        elif word == "anyOf":
            wrong = all(faults(value, each, top, at) for each in said)
        elif word == "const":
            wrong = value != said
        elif word == "enum":
            wrong = value not in said
        elif word == "required":
            wrong = not set(said) <= set(value)
        elif word == "properties":
            for key in value.keys() & said.keys():
                found += faults(value[key], said[key], top, f"{at}.{key}")
        elif word == "prefixItems":
            for i, (item, each) in enumerate(zip(value, said, strict=False)):
                found += faults(item, each, top, f"{at}.{i}")
        elif word in ("minItems", "minLength"):
            wrong = len(value) < said
        elif word == "maxItems":
            wrong = len(value) > said
        elif word in ("minimum", "maximum"):
            wrong = isinstance(value, (int, float)) and (value < said if word == "minimum" else value > said)
        elif word in ("exclusiveMinimum", "exclusiveMaximum"):
            wrong = isinstance(value, (int, float)) and (value <= said if "Min" in word else value >= said)
        else:
            raise AssertionError(f"the checker does not know '{word}'")
        found += [f"{at}: {word}"] if wrong else []
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        found += [f for i, item in enumerate(value) for f in faults(item, schema["items"], top, f"{at}.{i}")]
    extra = schema.get("additionalProperties")
    if isinstance(value, dict) and extra is not None and extra is not True:
        for key in value.keys() - schema.get("properties", {}).keys():
            found += [f"{at}.{key}: extra"] if extra is False else faults(value[key], extra, top, f"{at}.{key}")
    return found


def _is(value: Any, type_: str) -> bool:
    if isinstance(value, bool) or type_ not in ("number", "integer"):
        return type_ in TYPES and isinstance(value, TYPES[type_]) and (type_ == "boolean") == isinstance(value, bool)
    return isinstance(value, int) or (type_ == "number" and isinstance(value, float))


def of_report(data: Any) -> list[str]:
    schema = json.loads(schema_text())
    return faults(data, schema, schema)


def example() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(to_json(report({"gpt": base(), "odd": [None, *shifted(0.0)[1:]]})))
    return made


def test_the_published_schema_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--schema"]) == 0
    printed = capsys.readouterr().out
    again = "coregpt report --schema > docs/report.schema.json"
    assert (ROOT / "docs/report.schema.json").read_text() == printed, f"the model changed: {again}"


def test_without_a_file_the_command_says_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report"]) == 2
    assert "expected the path of a report.json" in capsys.readouterr().err


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_every_committed_report_keeps_the_schema(path: Path) -> None:
    assert of_report(json.loads(path.read_text())) == []


def test_a_report_with_numbers_that_json_does_not_have_keeps_the_schema() -> None:
    data = example()
    assert any(point[-1] in NOT_FINITE for run in data["runs"] for point in run["curve"])
    assert of_report(data) == []


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (("study", "alpha"), "high", r"study\.alpha"),
        (("study", "alpha"), 0.7, r"study\.alpha"),
        (("comparisons", 0, "verdict"), "great", r"verdict: enum"),
        (("runs", 0, "seed"), 1.5, r"seed: type"),
        (("runs", 0, "curve"), [[1, 2]], r"curve\.0"),
        (("extra",), 1, r"extra: extra"),
        (("schema",), 2, r"schema: const"),
    ],
)
def test_a_damaged_report_breaks_the_schema(path: tuple[Any, ...], value: Any, fault: str) -> None:
    data: Any = example()
    spot = data
    for step in path[:-1]:
        spot = spot[step]
    spot[path[-1]] = value
    found = of_report(data)
    assert any(re.search(fault, each) for each in found), found


def test_a_missing_key_breaks_the_schema() -> None:
    data = example()
    del data["headline"]
    assert of_report(data) == ["report: required"]
