"""`coregpt plugins`: the catalogue of techniques, from the techniques' own text."""

import ast
import inspect
import sys
from pathlib import Path
from typing import Any

from coregpt.cli.screen import say
from coregpt.contract.errors import ConfigError, CoreGPTError
from coregpt.contract.plugin import PREFIXES, Plugin
from coregpt.lab.laws.laws import check as check_laws
from coregpt.lab.study.checkouts import elsewhere, where_searched
from coregpt.lab.study.registry import Catalogue, Found


def list_all() -> int:
    """Every technique with the first line of its card, under the question its folder answers."""
    catalogue = Catalogue()
    groups: dict[str, list[Found]] = {}
    for name in catalogue.names():
        found = catalogue.found[name][0]
        groups.setdefault(found.folder.replace(".", "/") or found.package, []).append(found)
    width = max(map(len, catalogue.names()), default=0)
    for group, members in sorted(groups.items()):
        say(": ".join(filter(None, [group, folder_line(members[0])])))
        for found in members:
            say(f"  {found.name.ljust(width)}  {_first_line(catalogue, found.name)}")
        say()
    for package, reason in catalogue.broken.items():
        say(f"{package}  (broken: {reason})")
    say(where_searched())
    if elsewhere():
        say(f"note: {elsewhere()}")
    return 0


def folder_line(found: Found) -> str:
    """First line of the docstring of the folder a technique lies in, read without importing it."""
    try:
        text = ast.get_docstring(ast.parse((found.path.parent / "__init__.py").read_text("utf-8")))
    except (OSError, SyntaxError, ValueError):
        return ""
    return (text or "").partition("\n")[0]


def _first_line(catalogue: Catalogue, name: str) -> str:
    try:
        return card(catalogue.cls(name)).splitlines()[0]
    except (CoreGPTError, IndexError) as error:
        return f"(broken: {error})"


def show(name: str) -> int:
    """A technique's card, options and hooks. `name` may be a file outside any package, as for `check`."""
    files, name = named(name)
    catalogue = Catalogue(files)
    plugin, found = catalogue.cls(name), catalogue.locate(name)
    say(card(plugin))
    say()
    say("Options" if plugin.model_fields else "No options")
    schema = plugin.model_json_schema().get("properties", {})
    for option, field in plugin.model_fields.items():
        say(f"  {option}: {_kind(schema[option])} = {field.default!r}")
        say(f"      {' '.join((field.description or '').split())}")
    if found.folder:
        say(f"Folder  {found.folder.replace('.', '/')}: {folder_line(found)}")
    say(f"File  {found.path}")
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
