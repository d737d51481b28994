"""Settings as a log's own lines tell them: arguments, a configuration in braces, `lr=0.02` or `lr: 0.02`."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_VALUE = r"[-+]?[\d.][\w.+-]*|True|False|None|true|false|null|\"[^\"]*\"|'[^']*'|[A-Za-z][\w./-]*"
_PAIR = re.compile(rf"(?<![\w.-])(?:--)?([A-Za-z_][\w.-]*)\s*=\s*({_VALUE})(?=[\s,;)}}\]]|$)")
_LINE = re.compile(rf"\s*([A-Za-z_][\w.-]*)\s*:\s*({_VALUE})\s*")
_ARGUMENT = re.compile(rf"(?<![\w.-])--([A-Za-z][\w.-]*)\s+({_VALUE})(?=\s|$)")
_OWN = re.compile(
    r"seed|(?:^|[._-])(?:time|date|now|seconds?|ms|dir|folder|path|file|log|id|uuid|name|host|hostname|addr|port|rank|pid|url"
    r"|user|loss|mem|memory|gib|gb|mb|speed)(?:$|[._-])",
    re.IGNORECASE,
)
"""Names of what every run has of its own: two runs of one configuration differ in them."""


def settings_in(line: str) -> dict[str, str]:
    """Names and values that a line tells of a run, `{"optim.lr": "0.02"}`; nothing where it is about something else."""
    found = _written(line[line.find("{") :].strip())
    pairs = _flat(found) if found is not None else _pairs(line)
    return {name: value.strip("\"'") for name, value in pairs if not _OWN.search(name)}


def _written(text: str) -> Mapping[str, Any] | None:
    """What a text is that holds one JSON object or one dictionary of Python's."""
    if not (text.startswith("{") and text.endswith("}")):
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return found if isinstance(found, dict) else None
    return None


def _flat(found: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in found.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", str(value)


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    if (whole := _LINE.fullmatch(line)) is not None:
        yield whole[1], whole[2]
    for pattern in (_PAIR, _ARGUMENT):
        yield from pattern.findall(line)
