"""Documents from files of text: which files there are, pieces of work of one size, and the documents of a piece.

A piece is a few files, a stretch of bytes of one file that begins and ends between two documents, or some row groups of
a Parquet file. Pieces are read in any order and by any process, and together they are every document once.
"""

import json
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from coregpt.contract.errors import DataError
from coregpt.text.checking import clean, line_of
from coregpt.text.extras import extra

PIECE = 16 * 2**20
"""Bytes of a piece of work, as far as documents allow it."""
LARGEST = 256 * 2**20
"""Bytes of the largest document: pieces are held in memory."""
KINDS = {".txt": "text", ".md": "text", ".rst": "text", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
"""Suffixes that are looked for in a folder. A file that is named itself is text if its suffix is another one."""
UNPACKED = (".gz", ".zst")
"""Of one packed file each; what it holds has the suffix before."""
PACKED = {".bz2", ".xz", ".zip", ".tar", ".tgz"}

Kind = Literal["text", "separated", "jsonl", "parquet"]


@dataclass(frozen=True)
class Reading:
    """How files are read."""

    separator: str | None = None
    """What stands between two documents of a text file; None: a file is one document."""
    field: str = "text"
    """Key of a JSON line, or column of a Parquet file, that holds the text."""
    encoding: str = "utf-8"
    """Of text files."""
    pattern: str | None = None
    """Names of the files that are looked for in a folder, such as `*.py`; None: those with a suffix of `KINDS`."""


@dataclass(frozen=True)
class File:
    """One file of text."""

    path: Path
    name: str
    """As documents are named: relative to the folder that was given."""
    kind: Kind
    size: int
    unpacked: Path | None = None
    """Where a packed one lies unpacked (see `coregpt.text.packed`); `path` stays what people are told."""

    @property
    def content(self) -> Path:
        """What is read."""
        return self.unpacked or self.path


@dataclass(frozen=True)
class Piece:
    """Some documents of one file, or some files of one document each."""

    files: tuple[File, ...]
    start: int = 0
    stop: int = 0
    """Bytes of a file of lines or separated text; row groups of a Parquet file."""

    @property
    def size(self) -> int:
        whole = self.files[0].kind in ("text", "parquet")
        return sum(file.size for file in self.files) if whole else self.stop - self.start


@dataclass(frozen=True)
class Document:
    """One text, valid UTF-8 without NUL, and where it is from."""

    name: str
    text: bytes


def find_files(inputs: Sequence[Path], reading: Reading) -> list[File]:
    """Every file once, in the order of `inputs` and then of names. Raises DataError for one that is not there."""
    found: dict[Path, File] = {}
    for given in inputs:
        if given.is_dir():
            paths = sorted(path for path in given.rglob(reading.pattern or "*") if path.is_file())
            paths = [path for path in paths if reading.pattern or _suffix(path) in KINDS]
            if not paths:
                wanted = reading.pattern or f"{', '.join(f'*{suffix}' for suffix in KINDS)}, packed or not"
                raise DataError(f"{given} holds no files {wanted}; name files, or say which with --pattern")
        elif given.exists():
            paths = [given]
        else:
            raise DataError(f"there is no file or folder {given}")
        for path in paths:
            name = path.relative_to(given).as_posix() if given.is_dir() else path.name
            found.setdefault(path.resolve(), File(path, name, kind_of(path, reading), path.stat().st_size))
    files = [file for file in found.values() if file.size]
    if not files:
        raise DataError(f"{', '.join(map(str, inputs))}: there is no text, all {len(found)} files are empty")
    return files


def kind_of(path: Path, reading: Reading) -> Kind:
    """Raises DataError for an archive, and for files packed in another way than `UNPACKED`."""
    suffix = _suffix(path)
    if suffix in PACKED:
        text = "expected text, JSON lines or Parquet, as they are or packed one by one as .gz or .zst; unpack it first"
        raise DataError(f"{path} is packed; {text}")
    kind: Kind = KINDS.get(suffix, "text")  # type: ignore[assignment]
    return "separated" if kind == "text" and reading.separator else kind


def _suffix(path: Path) -> str:
    """`.jsonl` for `a.jsonl` and `a.jsonl.gz`."""
    inner = path.with_suffix("") if path.suffix.lower() in UNPACKED else path
    return inner.suffix.lower()


def pieces(files: Sequence[File], reading: Reading) -> list[Piece]:
    """Work of about one size, in the order of the files. Raises DataError for a document that is too large."""
    found: list[Piece] = []
    small: list[File] = []
    for file in files:
        if file.kind == "text":
            if file.size > LARGEST:
                raise _too_large(file, 0, file.size)
            if small and sum(each.size for each in small) + file.size > PIECE:
                found.append(Piece(tuple(small)))
                small = []
            small.append(file)
            continue
        if small:
            found.append(Piece(tuple(small)))
            small = []
        found += _row_groups(file) if file.kind == "parquet" else _stretches(file, reading)
    return [*found, *([Piece(tuple(small))] if small else [])]


def _stretches(file: File, reading: Reading) -> Iterator[Piece]:
    """Cut behind the first separator after every `PIECE` bytes."""
    between = b"\n" if file.kind == "jsonl" else (reading.separator or "").encode(reading.encoding)
    with open(file.content, "rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = 0
        while start < file.size:
            at = content.find(between, start + PIECE)
            stop = file.size if at < 0 else at + len(between)
            # "\n\n\n" holds "\n\n" twice: the cut is behind both, so that it is one whoever begins where.
            while stop < file.size and content[stop + 1 - len(between) : stop + 1] == between:
                stop += 1
            if stop - start > LARGEST:  # of its documents only the last can be as large
                last = content.rfind(between, start, file.size if at < 0 else at)
                begin = start if last < 0 else last + len(between)
                if stop - begin > LARGEST:
                    raise _too_large(file, begin, stop)
            yield Piece((file,), start, stop)
            start = stop


def _too_large(file: File, start: int, stop: int) -> DataError:
    what = "line" if file.kind == "jsonl" else "document"
    cure = "" if file.kind == "jsonl" else "; say with --separator what stands between two documents"
    return DataError(
        f"{file.path}: a {what} of {(stop - start) / 2**20:,.0f} MB begins at byte {start:,}; expected "
        f"{LARGEST // 2**20} MB at most{cure}"
    )


def _row_groups(file: File) -> Iterator[Piece]:
    library = extra("pyarrow.parquet", "reading Parquet")
    try:
        facts = library.ParquetFile(file.content).metadata
    except Exception as error:
        raise DataError(f"{file.path} is no Parquet file ({str(error).splitlines()[0]})") from error
    for number in range(facts.num_row_groups):
        share = replace(file, size=-(-file.size // facts.num_row_groups))
        yield Piece((share,), number, number + 1)


def documents(piece: Piece, reading: Reading) -> Iterator[Document]:
    """The documents of a piece that hold more than white space. Raises DataError, naming file and place, for others
    than text."""
    first = piece.files[0]
    read = {"text": _whole, "separated": _separated, "jsonl": _lines, "parquet": _rows}[first.kind]
    for document in read(piece, reading):
        if document.text.strip():
            yield document


def _whole(piece: Piece, reading: Reading) -> Iterator[Document]:
    for file in piece.files:
        yield Document(file.name, clean(file.content.read_bytes(), reading.encoding, file.path, content=file.content))


def _bytes(piece: Piece) -> bytes:
    with open(piece.files[0].content, "rb") as file:
        file.seek(piece.start)
        return file.read(piece.stop - piece.start)


def _separated(piece: Piece, reading: Reading) -> Iterator[Document]:
    file, at = piece.files[0], piece.start
    between = (reading.separator or "").encode(reading.encoding)
    for part in _bytes(piece).split(between):
        yield Document(f"{file.name}@{at}", clean(part, reading.encoding, file.path, at, file.content))
        at += len(part) + len(between)


def _lines(piece: Piece, reading: Reading) -> Iterator[Document]:
    file, at = piece.files[0], piece.start
    for line in _bytes(piece).split(b"\n"):
        if line.strip():
            yield Document(f"{file.name}@{at}", _field(line, at, file, reading))
        at += len(line) + 1


def _field(line: bytes, at: int, file: File, reading: Reading) -> bytes:
    def wrong(what: str) -> DataError:
        return DataError(f"{file.path}:{line_of(file.content, at)}: {what}")

    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise wrong(f"is no JSON ({error}); expected one object a line") from error
    if not isinstance(row, dict) or reading.field not in row:
        keys = ", ".join(list(row)[:8]) if isinstance(row, dict) else type(row).__name__
        raise wrong(f"has no '{reading.field}', but {keys}; say with --field which key holds the text")
    text = row[reading.field]
    if text is None:
        return b""
    if not isinstance(text, str):
        raise wrong(f"'{reading.field}' is no text but {type(text).__name__}")
    if "\0" in text:
        raise wrong("holds a NUL character, which no text has")
    return text.encode("utf-8", errors="replace")


def _rows(piece: Piece, reading: Reading) -> Iterator[Document]:
    file = piece.files[0]
    opened = extra("pyarrow.parquet", "reading Parquet").ParquetFile(file.content)
    if reading.field not in opened.schema_arrow.names:
        names = ", ".join(opened.schema_arrow.names)
        raise DataError(
            f"{file.path} has no column '{reading.field}', but {names}; say with --field which holds the text"
        )
    for number in range(piece.start, piece.stop):
        try:
            column = opened.read_row_group(number, columns=[reading.field]).column(0)
        except Exception as error:  # the library's own
            first = str(error).partition("\n")[0]
            raise DataError(
                f"{file.path}: row group {number} cannot be read ({first}); bring the file again"
            ) from error
        for row, value in enumerate(column):
            text = value.as_py()
            if text is not None and not isinstance(text, str):
                raise DataError(f"{file.path}: column '{reading.field}' holds no text but {type(text).__name__}")
            if text and "\0" in text:
                raise DataError(
                    f"{file.path}: row {row} of row group {number} holds a NUL character, which no text has"
                )
            # Half surrogate pairs, which UTF-8 cannot hold, become question marks.
            yield Document(f"{file.name}@{number}.{row}", (text or "").encode("utf-8", errors="replace"))
