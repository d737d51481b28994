"""YAML as people mean it: duplicate keys are errors, 1e9 is a number, `no` is a word, and lines are known.

Scalars follow YAML 1.2: PyYAML alone reads `1e-3` as text, `off` as false and `010` as eight. Of YAML 1.1 only the
merge key is known: `<<: *other` takes what `other` has and this mapping does not say itself.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from coregpt.contract.errors import ConfigError
from coregpt.lab.atomic import read_text

Key = tuple[str | int, ...]

MERGE = "<<"
PLAIN_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
SCALARS = (
    ("null", re.compile(r"~|null|Null|NULL|"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF")),
    ("int", re.compile(r"[-+]?[0-9][0-9_]*"), list("-+0123456789")),
    (
        "float",
        re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
        list("-+.0123456789"),
    ),
)


class Loader(yaml.SafeLoader):
    """Resolves plain scalars by YAML 1.2 and nothing else."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's protocol


for _name, _pattern, _first in SCALARS:
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(rf"^(?:{_pattern.pattern})$"), _first)


@dataclass(frozen=True)
class Document:
    """A mapping read from a file, and the line of everything in it."""

    file: str
    data: dict[str, Any]
    lines: dict[Key, int]

    def line(self, path: Key) -> int:
        """Line of a key, or of the nearest enclosing key that stands in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def where(self, path: Key) -> str:
        """`file:line: key.path`."""
        key = ".".join(map(str, path))
        return f"{self.file}:{self.line(path)}: {key}" if key else f"{self.file}:{self.line(path)}"


def read(path: Path) -> Document:
    """Read one mapping. Raises ConfigError for anything else, with file and line."""
    return parse(read_text(path), str(path))


def parse(text: str, file: str) -> Document:
    """Like `read`, from text; `file` names it in messages."""
    try:
        root = yaml.compose(text, Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(f"{file}:{line}: not valid YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}:1: not valid YAML: {error}") from error
    if root is None or (isinstance(root, yaml.ScalarNode) and not root.value):
        raise ConfigError(f"{file}:1: the file is empty; a study starts with 'question:'")
    reader = _Reader(file)
    data = reader.value(root, ())
    if not isinstance(data, dict):
        raise ConfigError(f"{file}:1: expected a mapping (question: ..., base: ...), got {_kind(data)}")
    return Document(file, data, reader.lines)


class _Reader:
    """Turns nodes into plain data and remembers lines."""

    def __init__(self, file: str):
        self.file, self.lines = file, dict[Key, int]()
        self.open: list[yaml.Node] = []

    def value(self, node: yaml.Node, path: Key) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if any(outer is node for outer in self.open):
            raise ConfigError(f"{self._at(node)}: an anchor that contains itself")
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        self.open.append(node)
        if node.tag not in PLAIN_TAGS:
            raise ConfigError(f"{self._at(node)}: the tag {node.tag} means nothing here; write a plain mapping or list")
        if isinstance(node, yaml.SequenceNode):
            result: Any = [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
        else:
            result = self.mapping(node, path)
        self.open.pop()
        return result

    def mapping(self, node: yaml.Node, path: Key) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: yaml.Node | None = None
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or not key.value:
                raise ConfigError(f"{self._at(key)}: a key must be a word")
            if key.value in result or (merged and _merges(key)):
                first = self.lines[(*path, key.value)]
                raise ConfigError(f"{self._at(key)}: '{key.value}' is given twice, first in line {first}")
            self.lines[(*path, key.value)] = key.start_mark.line + 1
            if _merges(key):
                merged = value
            else:
                result[key.value] = self.value(value, (*path, key.value))
        if merged is not None:
            for other in merged.value if isinstance(merged, yaml.SequenceNode) else [merged]:
                self.take(other, path, result)
        return result

    def take(self, node: yaml.Node, path: Key, into: dict[str, Any]) -> None:
        """What a merge key brings to the mapping at `path`; what is there already stays."""
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{self._at(node)}: '<<' takes from a mapping, or a list of them, as in '<<: *other'")
        aside = _Reader(self.file)
        aside.open = self.open
        for name, value in aside.value(node, path).items():
            if name not in into:
                into[name] = value
                here = (*path, name)
                self.lines |= {key: line for key, line in aside.lines.items() if key[: len(here)] == here}

    def scalar(self, node: yaml.ScalarNode) -> Any:
        text: str = node.value
        readers: dict[str, Callable[[str], Any]] = {
            "null": lambda _: None,
            "bool": lambda word: word.lower() == "true",
            "int": int,
            "float": lambda number: float(number.lower().replace(".inf", "inf").replace(".nan", "nan")),
            "str": str,
        }
        try:
            return readers[node.tag.removeprefix("tag:yaml.org,2002:")](text)
        except (KeyError, ValueError) as error:
            raise ConfigError(f"{self._at(node)}: {_unread(node.tag, text)}") from error

    def _at(self, node: yaml.Node) -> str:
        return f"{self.file}:{node.start_mark.line + 1}"


def _merges(key: yaml.ScalarNode) -> bool:
    """Whether a key is `<<`; quoted it is a word like any other."""
    return bool(key.value == MERGE and not key.style)


def _unread(tag: str, text: str) -> str:
    """What to say of a scalar that is not what its letters or its tag promise."""
    if tag in (f"tag:yaml.org,2002:{kind}" for kind in ("int", "float")):
        return f"'{text}' looks like a number and is none; write one underscore between digits, or quote a text"
    return f"the tag of '{text}' means nothing here; write plain text or a number"


def _kind(value: Any) -> str:
    return "a list" if isinstance(value, list) else f"'{value}'"
