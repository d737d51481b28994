"""Random mistakes in study files, made from a seed: what a hurried author, an editor or a program may write."""

import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import yaml

VALUES: tuple[Any, ...] = (
    *(0, -1, 1, 3, 0.5, -0.0, 1e-400, 1e308, 2**70, True, False, None),
    *("", "no", "gpt", "1__0240", "0x10", "1e3", "auto", "..", "/", "ü", "\u202eabc", "a" * 300, "*", "{}"),
    *([], [1], [1, "a"], [[]], {}, {"a": 1}, {"": 1}, {"lr": {"lr": 1}}, float("inf"), float("nan")),
)
LETTERS = (
    "\t",
    " ",
    "\u00a0",
    "\u2028",
    "\ufeff",
    "é",
    "🙂",
    "\u202e",
    "'",
    '"',
    ":",
    "-",
    "#",
    "&a ",
    "*a ",
    "%",
    "|",
    "@",
    "`",
)
LINES = (
    "<<: *base",
    "<<: {seeds: 3}",
    "<<: 3",
    "  <<: [*a, *b]",
    "x-mine: &a {lr: 1}",
    "--- ",
    "...",
    "? a",
    "!!python/x 1",
    "&a a: *a",
)

Path = tuple[Any, ...]


def mutated(text: str, seed: int) -> tuple[str, str]:
    """A study's text with one to three mistakes, and their names."""
    draw = random.Random(f"mutation {seed}")
    names = []
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        name, mistake = draw.choice(MISTAKES)
        names.append(name)
        text = mistake(text, draw)
    return text, " then ".join(names)


def in_data(change: Callable[[Any, Path, random.Random], None]) -> Callable[[str, random.Random], str]:
    """A mistake in what the file says; a text that says nothing any more stays as it is."""

    def mistake(text: str, draw: random.Random) -> str:
        try:
            data = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError):
            return text
        places = list(_places(data)) if isinstance(data, dict) else []
        if places:
            change(data, draw.choice(places), draw)
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True) if places else text

    return mistake


def _places(data: Any, path: Path = ()) -> "list[Path]":
    """Where something stands, however deep."""
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    found = [path] if path else []
    for key, value in inside:
        found += _places(value, (*path, key))
    return found


def _holder(data: Any, path: Path) -> Any:
    for key in path[:-1]:
        data = data[key]
    return data


def _value(data: Any, path: Path, draw: random.Random) -> None:
    _holder(data, path)[path[-1]] = deepcopy(draw.choice(VALUES))


def _type(data: Any, path: Path, draw: random.Random) -> None:
    holder = _holder(data, path)
    was = holder[path[-1]]
    holder[path[-1]] = draw.choice([[was], {"value": was}, str(was), {str(was): was}, [was, was]])


def _scaled(data: Any, path: Path, draw: random.Random) -> None:
    """A factor that turns a number into one that is far too large, too small, or no longer whole."""
    holder, factor = _holder(data, path), draw.choice((-1, 0, 0.1, 1.5, 10, 1000, 1e12))
    if isinstance(holder[path[-1]], int | float):
        holder[path[-1]] *= factor


def _key(data: Any, path: Path, draw: random.Random) -> None:
    """Misspelled, taken from elsewhere, or no word at all; the order stays."""
    holder = _holder(data, path)
    if not isinstance(holder, dict):
        return
    elsewhere = [place[-1] for place in _places(data) if isinstance(place[-1], str)]
    name = str(path[-1])
    cut = draw.randrange(len(name) or 1)
    new = draw.choice([name[:cut] + name[cut + 1 :], name + "s", name.upper(), draw.choice(elsewhere), 1, "é", "x-a"])
    items = [(new if key == path[-1] else key, value) for key, value in holder.items()]
    holder.clear()
    holder.update(items)


def _gone(data: Any, path: Path, draw: random.Random) -> None:
    del _holder(data, path)[path[-1]]


def _moved(data: Any, path: Path, draw: random.Random) -> None:
    """Cut out here and put in there."""
    was = _holder(data, path).pop(path[-1])
    places = [place for place in _places(data) if isinstance(_at(data, place), dict)]
    target = _at(data, draw.choice(places)) if places else data
    target[path[-1]] = was


def _at(data: Any, path: Path) -> Any:
    for key in path:
        data = data[key]
    return data


def _copied(data: Any, path: Path, draw: random.Random) -> None:
    """What stands in one place also in another, once or twice; PyYAML writes the second as an alias of an anchor."""
    taken = deepcopy(_at(data, draw.choice(_places(data))))
    _holder(data, path)[path[-1]] = taken if draw.random() < 0.5 else [taken, taken]


def _indented(text: str, draw: random.Random) -> str:
    lines = text.split("\n")
    at = draw.randrange(len(lines))
    line = lines[at]
    lines[at] = draw.choice((" " + line, "  " + line, "\t" + line, line[1:], line.lstrip(), "    " + line))
    return "\n".join(lines)


def _lettered(text: str, draw: random.Random) -> str:
    at = draw.randrange(len(text) + 1)
    return text[:at] + draw.choice(LETTERS) + text[at:]


def _cut(text: str, draw: random.Random) -> str:
    at = draw.randrange(len(text) + 1)
    return text[:at] + text[at + draw.choice((1, 1, 5, 10**6)) :]


def _lined(text: str, draw: random.Random) -> str:
    lines = text.split("\n")
    at = draw.randrange(len(lines) + 1)
    return "\n".join([*lines[:at], draw.choice((*LINES, draw.choice(lines))), *lines[at:]])


MISTAKES: tuple[tuple[str, Callable[[str, random.Random], str]], ...] = (
    ("value", in_data(_value)),
    ("value", in_data(_value)),
    ("type", in_data(_type)),
    ("number", in_data(_scaled)),
    ("key", in_data(_key)),
    ("gone", in_data(_gone)),
    ("moved", in_data(_moved)),
    ("copied", in_data(_copied)),
    ("indentation", _indented),
    ("letter", _lettered),
    ("cut", _cut),
    ("line", _lined),
)
