"""A mistake as data: the file, line and key that its message names, what was expected, the nearest valid name.

Messages are written for people, in one form: `file:line: key: what is wrong; did you mean 'x'?`. This reads that form
back, so that no error is worded twice.
"""

import re
from typing import Any

_PLACE = re.compile(r"(?P<file>[^\n:]*[^\n:\d\s][^\n:]*?\.\w+)(?::(?P<line>\d+))?: (?P<rest>.*)", re.S)
_KEY = re.compile(r"(?P<key>[\w.\-\[\]'/ ]+?): (?P<rest>.*)", re.S)
_EXPECTED = re.compile(r"(?:expected|should be) (?P<what>.+?)(?=, (?:got|but|and) |; |\.$|$)", re.S)
_NEAREST = re.compile(r"did you mean '(?P<name>[^']+)'\?")
_THERE = re.compile(r"; there are: (?P<names>.+?)(?:; |$)", re.S)


def as_data(message: str) -> dict[str, Any]:
    """`{"message", "problems": [...]}`; what a problem's text does not name is None."""
    return {"message": message, "problems": [problem(line) for line in message.split("\n")]}


def problem(text: str) -> dict[str, Any]:
    """One line of a message."""
    place = _PLACE.fullmatch(text)
    rest = place["rest"] if place else text
    key = _KEY.fullmatch(rest) if place and place["line"] else None
    near, expected, there = _NEAREST.search(text), _EXPECTED.search(text), _THERE.search(text)
    return {
        "file": place["file"] if place else None,
        "line": int(place["line"]) if place and place["line"] else None,
        "key": key["key"] if key else None,
        "message": key["rest"] if key else rest,
        "expected": expected["what"] if expected else there["names"] if there else None,
        "nearest": near["name"] if near else None,
    }
