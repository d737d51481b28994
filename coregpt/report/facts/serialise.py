"""Report <-> canonical JSON: sorted keys, shortest exact floats, NaN and infinities as strings.

The text holds a seal, a digest of the facts in it that follow from nothing else in it. It is no signature: who wants
to forge a report can; it tells of a report that somebody has changed by hand.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from coregpt.contract.errors import ConfigError
from coregpt.report.facts.model import SCHEMA, Report

SEALED = ("schema", "study", "runs", "tuning", "published")
"""What the seal is of, and the same in every execution. The rest is made anew from it and from what clocks measured."""


def to_json(report: Report) -> str:
    """Canonical text: equal reports give equal bytes."""
    plain = report.model_dump(mode="python", by_alias=True)
    plain["seal"] = _seal(plain)
    return "{\n" + ",\n".join(f"{_line(key)}: {_block(plain[key])}" for key in sorted(plain)) + "\n}\n"


def from_json(text: str, source: str = "report.json") -> Report:
    """Read a report back. `source` names the file in messages.

    Raises ConfigError if the text is truncated, is not a report, or comes from a newer version.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: not complete JSON ({error}); the file is truncated or damaged") from None
    if isinstance(data, dict) and data.get("kind") == "noise":
        raise ConfigError(f"{source}: a report of coregpt noise: it measures one arm and compares none")
    if not isinstance(data, dict) or "schema" not in data:
        raise ConfigError(f"{source}: not a CoreGPT report: expected an object with the key 'schema'")
    schema = data["schema"]
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise ConfigError(f"{source}: schema: expected {SCHEMA}, got {schema!r}")
    if schema > SCHEMA:
        raise ConfigError(
            f"{source}: schema: written by a newer CoreGPT (schema {schema}, this one reads {SCHEMA}); upgrade it"
        )
    data.pop("seal", None)
    try:
        return Report.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{source}: {first_problem(error)}") from None


def first_problem(error: ValidationError) -> str:
    """The first of what is wrong with facts, in plain words: `runs.0.value: is missing`."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    words = {"missing": "is missing", "extra_forbidden": "unknown key"}
    said = words.get(first["type"]) or first["msg"].removeprefix("Value error, ").replace("Input should", "should")
    got = "" if first["type"] in (*words, "value_error") else f", got {first['input']!r:.40}"
    return f"{place}: {said}{got}" if place else f"{said}{got}"


def broken_seal(text: str) -> str:
    """What tells that facts in the text of a report may not be those that were written; empty if they are."""
    data = json.loads(text)
    if "seal" not in data:
        return "it has no seal, with which every report is written"
    same = data["seal"] == _seal(data)
    return "" if same else "its study or its runs are not those that were written: the seal is of others"


def _seal(plain: Mapping[str, Any]) -> str:
    found = hashlib.sha256()
    for key in SEALED:
        found.update(f"{key}:{_line(plain.get(key))}\n".encode())
    return found.hexdigest()


def schema_text() -> str:
    """The JSON schema of report.json, for readers in any language; `docs/report.schema.json` is this text."""
    made = Report.model_json_schema(schema_generator=_Schema)
    made["properties"]["seal"] = {"type": "string", "description": f"sha256 of {', '.join(SEALED)} as they stand here."}
    return json.dumps(made, sort_keys=True, indent=1, ensure_ascii=False) + "\n"


class _Schema(GenerateJsonSchema):
    """Floats may be the strings that stand for what JSON has no numbers for."""

    def float_schema(self, schema: Any) -> JsonSchemaValue:
        return {"anyOf": [super().float_schema(schema), {"enum": ["NaN", "Infinity", "-Infinity"]}]}

    def generate(self, schema: Any, mode: Any = "validation") -> JsonSchemaValue:
        return {"$schema": self.schema_dialect, **super().generate(schema, mode)}


def _block(value: Any) -> str:
    if isinstance(value, (list, tuple)) and value:  # one run, arm or note per line: readable and easy to diff
        return "[\n" + ",\n".join(_line(item) for item in value) + "\n]"
    return _line(value)


def _line(value: Any) -> str:
    try:
        return _ENCODER.encode(value)
    except ValueError:  # a number that JSON does not have; few runs hold one, and looking at every number takes long
        return _ENCODER.encode(_plain(value))


_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        return value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
