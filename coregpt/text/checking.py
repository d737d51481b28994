"""Is it text? What is not is refused with file and place, and with what it probably is."""

import codecs
from pathlib import Path

from coregpt.contract.errors import DataError

MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""What files in other encodings begin with, longest first."""


def clean(raw: bytes, encoding: str, path: Path, at: int = 0, content: Path | None = None) -> bytes:
    """The UTF-8 of a text that lies at byte `at` of a file. Raises DataError for what is no text in this encoding.

    `content`: where the file's bytes lie if not at `path`, which is how it is called.
    """
    lines = content or path
    if encoding.lower().replace("-", "") in ("utf8", "utf8sig"):
        return _utf8(raw, path, at, lines)
    try:
        text = raw.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise DataError(f"{path}: is not {encoding} ({error}); say with --encoding what it is") from error
    return _without_nul(text.encode("utf-8", errors="replace"), path, at, lines)


def _utf8(raw: bytes, path: Path, at: int, lines: Path) -> bytes:
    raw = raw.removeprefix(codecs.BOM_UTF8) if at == 0 else raw
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = line_of(lines, at + error.start)
        probably = next((name for mark, name in MARKS.items() if at == 0 and raw.startswith(mark)), None)
        byte = raw[error.start]
        if probably is None:
            probably = "no text" if b"\0" in raw[:4096] else "latin-1 or cp1252, in whole or in part"
        raise DataError(
            f"{path}:{line}: byte 0x{byte:02x} is no UTF-8; the file is probably {probably}; say with --encoding what "
            "it is, or leave it out"
        ) from error
    return _without_nul(raw, path, at, lines)


def _without_nul(raw: bytes, path: Path, at: int, lines: Path) -> bytes:
    nul = raw.find(b"\0")
    if nul >= 0:
        raise DataError(
            f"{path}:{line_of(lines, at + nul)}: a NUL byte, which no text has; the file is binary or UTF-16; leave it "
            "out, or say with --encoding what it is"
        )
    return raw


def line_of(path: Path, at: int) -> int:
    """The number of the line in which byte `at` of a file lies; 1 where there is no such file."""
    try:
        with open(path, "rb") as file:
            lines, left = 1, at
            while left > 0 and (part := file.read(min(left, 2**20))):
                lines += part.count(b"\n")
                left -= len(part)
            return lines
    except OSError:
        return 1
