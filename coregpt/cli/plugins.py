"""`coregpt plugins`: the catalogue of techniques, from the techniques' own text."""

import inspect
import sys
from typing import Any

from coregpt.cli.screen import say, table
from coregpt.contract.errors import CoreGPTError
from coregpt.contract.plugin import PREFIXES, Plugin
from coregpt.lab.laws import check as check_laws
from coregpt.lab.registry import Catalogue


def list_all() -> int:
    """Every technique with the first line of its card."""
    catalogue = Catalogue()
    rows = [["technique", "what it does"]]
    for name in catalogue.names():
        try:
            rows.append([name, card(catalogue.cls(name)).splitlines()[0]])
        except (CoreGPTError, IndexError) as error:
            rows.append([name, f"(broken: {error})"])
    for line in table(rows):
        say(line)
    return 0


def show(name: str) -> int:
    """A technique's card, options and hooks."""
    plugin = Catalogue().cls(name)
    say(card(plugin))
    say()
    say("Options" if plugin.model_fields else "No options")
    schema = plugin.model_json_schema().get("properties", {})
    for option, field in plugin.model_fields.items():
        say(f"  {option}: {_kind(schema[option])} = {field.default!r}")
        say(f"      {' '.join((field.description or '').split())}")
    say(f"Hooks  {', '.join(hooks(plugin))}")
    for word, names in (("Requires", plugin.requires), ("After", plugin.after), ("Conflicts", plugin.conflicts)):
        if names:
            say(f"{word}  {', '.join(names)}")
    return 0


def check(name: str) -> int:
    """Test the laws every plugin must keep; exit code 1 if one is broken."""
    return 0 if check_laws(name, say) else 1


def card(plugin: type[Plugin]) -> str:
    """The module docstring."""
    return inspect.cleandoc(sys.modules[plugin.__module__].__doc__ or "")


def hooks(plugin: type[Plugin]) -> list[str]:
    """Names of the hooks a plugin answers or wraps."""
    return sorted(name for name in dir(plugin) if name.startswith(PREFIXES))


def _kind(schema: dict[str, Any]) -> str:
    """Type and bounds of an option, from its JSON schema."""
    if "enum" in schema:
        return " or ".join(map(repr, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(_kind(branch) for branch in schema["anyOf"])
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[key]}" for key, sign in signs.items() if key in schema]
    return " ".join([str(schema.get("type", "value")), *([f"({', '.join(bounds)})"] if bounds else [])])
