"""A terminal that does not speak UTF-8 gets letters that it has, and never ends a finished study with a traceback."""

import codecs
from typing import TextIO

SPELLED = {
    **{"±": "+-", "×": "x", "−": "-", "–": "-", "·": "*", "∞": "inf", "…": "..."},
    **{"▲": "+", "▼": "-", "→": "->"},
}
"""What is printed in place of a sign of ours; other letters are printed as their code, `\\xe9`."""
NAME = "coregpt"
UNKNOWN_BYTE = range(0xDC80, 0xDD00)
"""What Python makes of a byte in a file's name that is no letter."""


def lenient(stream: TextIO) -> None:
    """Make a stream print whatever it is given."""
    if hasattr(stream, "reconfigure") and not speaks_utf8(stream):
        codecs.register_error(NAME, spelled)
        stream.reconfigure(errors=NAME)


def speaks_utf8(stream: TextIO) -> bool:
    return codecs.lookup(stream.encoding or "ascii").name == "utf-8"


def spelled(error: UnicodeError) -> tuple[str | bytes, int]:
    """The codec's question what to do about letters it lacks, answered."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    if all(ord(letter) in UNKNOWN_BYTE for letter in letters):
        return bytes(ord(letter) & 0xFF for letter in letters), error.end
    known = (SPELLED.get(letter) or letter.encode("ascii", "backslashreplace").decode() for letter in letters)
    return "".join(known), error.end
