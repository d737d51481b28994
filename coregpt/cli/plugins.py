"""`coregpt plugins`: the catalogue of techniques, from the techniques' own text."""

import inspect
import sys
from pathlib import Path
from typing import Any

from coregpt.cli.screen import say, table
from coregpt.contract.errors import ConfigError, CoreGPTError
from coregpt.contract.plugin import PREFIXES, Plugin
from coregpt.lab.laws.laws import check as check_laws
from coregpt.lab.study.registry import Catalogue


def list_all() -> int:
    """Every technique with the first line of its card."""
    catalogue = Catalogue()
    rows = [["technique", "what it does"]]
    for name in catalogue.names():
        try:
            rows.append([name, card(catalogue.cls(name)).splitlines()[0]])
        except (CoreGPTError, IndexError) as error:
            rows.append([name, f"(broken: {error})"])
    rows += [[package, f"(broken: {reason})"] for package, reason in catalogue.broken.items()]
    for line in table(rows):
        say(line)
    return 0


def show(name: str) -> int:
    """A technique's card, options and hooks. `name` may be a file outside any package, as for `check`."""
    files, name = named(name)
    plugin = Catalogue(files).cls(name)
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
    files, name = named(name)
    return 0 if check_laws(name, say, files) else 1


def named(argument: str) -> tuple[list[Path], str]:
    """`my_plugin.py` is the technique `my_plugin` in that file; anything else is a name."""
    path = Path(argument)
    if path.suffix != ".py":
        return [], argument
    if not path.is_file():
        raise ConfigError(f"there is no file {path}")
    return [path.resolve()], path.stem


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
