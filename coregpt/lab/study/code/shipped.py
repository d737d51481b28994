"""Whether a source is as it came with CoreGPT: its content stands in a list that lies beside the techniques.

The place of a file says nothing: in a clone, anybody writes into the folder of techniques.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path

LIST = "sha256.txt"
"""In the folder of a package: a line for each of its sources, its digest and its place there, as sha256sum has them."""


def listing(root: Path) -> str:
    """The list that the sources under `root` should have."""
    return "".join(f"{digest(path)}  {path.relative_to(root).as_posix()}\n" for path in sorted(root.rglob("*.py")))


def as_listed(root: Path, files: Iterable[Path]) -> bool:
    """Whether all files lie under `root`, with the content that they have in its list. Without a list none has."""
    try:
        lines = set((root / LIST).read_text("utf-8").splitlines())
    except (OSError, UnicodeDecodeError):
        return False
    return all(
        file.is_relative_to(root) and f"{digest(file)}  {file.relative_to(root).as_posix()}" in lines for file in files
    )


def digest(path: Path) -> str:
    """sha256 of a text, whatever ends its lines here."""
    return hashlib.sha256(path.read_text("utf-8").encode()).hexdigest()
