"""The JSON schema of a study file, for editors: made from the models that read the file, and from every technique's.

It says of a key what kind of value it has and where it may stand. What only the whole study can tell (arms that are
alike, designs that exclude each other, budgets that are not equal) is told by `coregpt plan`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from coregpt.contract.config import RunConfig
from coregpt.contract.errors import CoreGPTError
from coregpt.lab.study.declaration import Criterion, Machine, StudyFile
from coregpt.lab.study.registry import Catalogue

Schema = dict[str, Any]
NULL: Schema = {"type": "null"}
SCALED = ("seeds", "gpus_per_run", "keep")
"""What a scale may set beside run settings and `test`."""
SEEDS = ("seed", "data_seed")
"""Set by the study's `seeds`, the same for every arm."""


def study_schema(catalogue: Catalogue, kinds: Mapping[str, type[BaseModel]] | None = None) -> Schema:
    """Draft 2020-12. Techniques that only a study's `plugin_files` have may have any options.

    `kinds`: by key, what an arm says that is of another kind than our trainer's.
    """
    others = kinds or {}
    techniques = dict(_techniques(catalogue))
    parts: set[type[BaseModel]] = {StudyFile, RunConfig, Machine, Criterion, *techniques.values(), *others.values()}
    made, shared = models_json_schema(
        [(model, "validation") for model in _ordered(parts)], ref_template="#/$defs/{model}"
    )
    schemas = {model: _found(ref, shared["$defs"]) for (model, _), ref in made.items()}
    run = {**schemas[RunConfig]["properties"], **schemas[Machine]["properties"]}
    run = {key: schema for key, schema in run.items() if key not in SEEDS}
    run |= {key: schemas[model] for key, model in others.items()}
    options = {name: {"anyOf": [_loose(schemas[model]), NULL]} for name, model in techniques.items()}
    run["plugins"] = {**_described(run["plugins"]), "$ref": "#/$defs/plugins"}
    file = schemas[StudyFile]
    criterion = _section({key: _nullable(schema) for key, schema in schemas[Criterion]["properties"].items()})
    settings = _section({key: _nullable(_loose(schema)) for key, schema in run.items()})
    own = {key: file["properties"][key] for key in SCALED}
    scale = {**settings["properties"], **own, "test": {"$ref": "#/$defs/test"}}
    arm = {**settings["properties"], "inert": {"type": "boolean"}}
    sections = {
        "plugins": {"type": "object", "properties": options},
        "settings": settings,
        "test": criterion,
        "scale": {"anyOf": [_section(scale), NULL]},
        "arm": {"anyOf": [_section(arm), NULL]},
        "size": {"anyOf": [{"$ref": "#/$defs/settings"}, NULL]},
    }
    top = {
        **file["properties"],
        "base": {"$ref": "#/$defs/settings"},
        "arms": _by_name("arm"),
        "scales": _by_name("scale"),
        "sizes": _by_name("size"),
        "techniques": {"anyOf": [{"$ref": "#/$defs/plugins"}, NULL]},
        "test": {"$ref": "#/$defs/test"},
    }
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A CoreGPT study",
        "type": "object",
        "properties": top,
        "patternProperties": {"^x-": {"description": "Says nothing: a place for anchors."}},
        "additionalProperties": False,
        "required": file["required"],
        "$defs": {**{name: _loose(each) for name, each in shared["$defs"].items()}, **sections},
    }
    return _used(_tidied(whole))


def _techniques(catalogue: Catalogue) -> Iterable[tuple[str, type[BaseModel]]]:
    """Those that can be read; a broken one may have any options."""
    for name in catalogue.names():
        try:
            yield name, catalogue.cls(name)
        except CoreGPTError:
            continue


def _ordered(models: Iterable[type[BaseModel]]) -> list[type[BaseModel]]:
    return sorted(models, key=lambda model: (model.__module__, model.__name__))


def _found(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    ref = schema.get("$ref")
    return definitions[ref.rpartition("/")[2]] if ref else schema


def _section(properties: Mapping[str, Schema]) -> Schema:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _by_name(section: str) -> Schema:
    return {"type": "object", "additionalProperties": {"$ref": f"#/$defs/{section}"}}


def _described(schema: Schema) -> Schema:
    return {key: schema[key] for key in ("title", "description") if key in schema}


def _nullable(schema: Schema) -> Schema:
    """Null removes what a layer below has set."""
    branches = schema.get("anyOf", [])
    if NULL in branches or schema.get("type") == "null":
        return schema
    kept = {key: value for key, value in schema.items() if key in ("title", "description", "default")}
    own = {key: value for key, value in schema.items() if key not in kept}
    return {**kept, "anyOf": [*(branches or [own]), NULL]}


def _loose(schema: Schema) -> Schema:
    """A layer need not say everything: nothing is required, and null removes."""
    if "properties" not in schema:
        return schema
    inner = {key: _nullable(_loose(value)) for key, value in schema["properties"].items()}
    return {**{key: value for key, value in schema.items() if key != "required"}, "properties": inner}


def _tidied(value: Any) -> Any:
    """Without pydantic's own words: `gt` beside `minimum`, and titles that only repeat the key."""
    if isinstance(value, list):
        return [_tidied(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: _tidied(item) for key, item in value.items() if not (key == "title" and isinstance(item, str))}
    if isinstance(found.get("gt"), int | float):
        found["exclusiveMinimum"] = found.pop("gt")
    return found


def _used(schema: Schema) -> Schema:
    """Without definitions that nothing refers to any more."""
    definitions = schema["$defs"]
    wanted: list[str] = []
    waiting = [{key: value for key, value in schema.items() if key != "$defs"}]
    while waiting:
        for name in _references(waiting.pop()):
            if name not in wanted:
                wanted.append(name)
                waiting.append(definitions[name])
    return {**schema, "$defs": {name: definitions[name] for name in sorted(wanted)}}


def _references(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        if isinstance(ref := value.get("$ref"), str):
            yield ref.rpartition("/")[2]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
