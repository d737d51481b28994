"""Packed files, unpacked beside the work before anything is read: pieces of work begin anywhere in a file, and a packed
one can only be read from its beginning."""

import contextlib
import gzip
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from coregpt.contract.errors import DataError
from coregpt.engine.data import replacing
from coregpt.text.extras import extra
from coregpt.text.reading import UNPACKED, File

CHUNK = 2**20
"""Bytes that are held in memory."""


def unpack(files: Sequence[File], folder: Path) -> list[File]:
    """The same files with packed ones unpacked into `folder`, which may hold some already; empty ones are left out.

    Raises DataError for a file that is damaged or cut off, and where there is nothing in any.
    """
    found = [_unpacked(file, folder / f"{number:06d}") for number, file in enumerate(files)]
    if not (whole := [file for file in found if file.size]):
        raise DataError(f"{files[0].path}: there is no text, all {len(files)} files are empty")
    return whole


@contextlib.contextmanager
def unpacked_for_now(files: Sequence[File]) -> Iterator[list[File]]:
    """As `unpack`, into a folder of the system that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="coregpt-"))
    try:
        yield unpack(files, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpacked(file: File, place: Path) -> File:
    if file.path.suffix.lower() not in UNPACKED:
        return file
    if not place.exists():
        place.parent.mkdir(exist_ok=True)
        with replacing(place) as out:
            for part in _parts(file.path):
                out.write(part)
    return replace(file, unpacked=place, size=place.stat().st_size)


def _parts(path: Path) -> Iterator[bytes]:
    try:
        with _stream(path) as packed:
            while part := packed.read(CHUNK):
                yield part
    except (OSError, EOFError, ValueError, zlib.error) as error:
        why = str(error).partition("\n")[0]
        raise DataError(f"{path} cannot be unpacked ({why}); it is damaged or cut off, bring it again") from error


def _stream(path: Path) -> Any:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rb")
    return extra("pyarrow", "reading .zst").input_stream(str(path), compression="zstd")
