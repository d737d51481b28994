"""Documents for the embedded corpus: the running Python's own documentation, read without importing it.

A help topic of `pydoc_data` is one document; the docstrings of one standard library module are one document.
What an earlier document already said is left out, so that a split by document is also a split by text.
"""

import ast
import bisect
import importlib
import itertools
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from coregpt.contract.errors import DataError

ENOUGH = 1_000_000  # bytes; the docstrings alone reach it, the help topics alone do not
PACKAGES = "Debian, Ubuntu: libpython3-stdlib; Fedora: python3-libs"
LONG_PASSAGE = 100  # characters; shorter repetitions, a sentence of boilerplate, are ordinary language
# Tests, demos and vendored wheels: code that documents nothing or is not the standard library's own.
SKIPPED_FOLDERS = {"test", "tests", "idle_test", "turtledemo", "pydoc_data", "_bundled", "site-packages"}
STATEMENT_LISTS = ("body", "handlers", "orelse", "finalbody")


@dataclass(frozen=True)
class Document:
    """One text with the name it is split by; `text` is what is trained on (no NUL characters)."""

    name: str
    text: str

    def encoded(self) -> bytes:
        """UTF-8 bytes; half surrogate pairs, which UTF-8 cannot hold, become question marks."""
        return self.text.encode("utf-8", errors="replace")


def python_documentation() -> list[Document]:
    """All documents of this interpreter, without repetitions, sorted by name.

    Raises DataError when it has too little of them, naming what is missing.
    """
    topics = help_topics()
    stdlib = Path(sysconfig.get_path("stdlib"))
    modules = module_docstrings(stdlib)
    documents = without_repetitions(itertools.chain(topics.items(), modules.items()))
    size = sum(len(document.encoded()) for document in documents)
    if size < ENOUGH:
        raise DataError(
            f"corpus 'pydocs': {sys.executable} has only {size:,} bytes of documentation ({len(topics)} help topics "
            f"in pydoc_data, {len(modules)} module sources under {stdlib}); expected {ENOUGH:,} or more. Install the "
            f"complete standard library with its .py files ({PACKAGES}) or use another data source"
        )
    return documents


def help_topics() -> dict[str, list[str]]:
    """The texts behind `help("TOPIC")`, one per document; empty where Python came without them."""
    try:
        topics = importlib.import_module("pydoc_data.topics").topics
    except ImportError:  # some distributions package it apart from the interpreter
        return {}
    return {f"topic:{name}": [text] for name, text in sorted(topics.items())}


def module_docstrings(stdlib: Path) -> dict[str, list[str]]:
    """Docstrings of every standard library module whose source lies under `stdlib`, in source order."""
    found = {}
    for path in sorted(stdlib.rglob("*.py")):
        parts = path.relative_to(stdlib).with_suffix("").parts
        if parts[0] in sys.stdlib_module_names and SKIPPED_FOLDERS.isdisjoint(parts):
            found["module:" + ".".join(parts)] = list(docstrings(_parse(path)))
    return found


def _parse(path: Path) -> ast.AST:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a stray backslash in somebody's docstring
        try:
            return ast.parse(path.read_bytes(), filename=str(path))
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"corpus 'pydocs': {path} is not readable Python ({error}); reinstall Python") from error


def docstrings(node: ast.AST) -> Iterator[str]:
    """Docstrings of a module, its classes and its functions, at any depth, in source order."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        text = ast.get_docstring(node)
        if text:
            yield text
    for name in STATEMENT_LISTS:
        for child in getattr(node, name, ()):
            yield from docstrings(child)


def without_repetitions(documents: Iterable[tuple[str, list[str]]]) -> list[Document]:
    """Drop from each document what an earlier one says already; documents left empty disappear.

    Dropped are texts that occurred before, of any length, and paragraphs that share LONG_PASSAGE characters
    (white space aside) with an earlier document, also where the shared passage straddles several of them.
    """
    texts_seen: set[str] = set()
    passages_seen: set[int] = set()
    kept = []
    for name, texts in documents:
        fresh = []
        for text in texts:
            key = _squeezed(text)
            if key not in texts_seen:
                texts_seen.add(key)
                fresh.append(text.replace("\0", "").strip("\n"))
        text = _without_seen_passages("\n\n".join(fresh), passages_seen)
        if text:
            kept.append(Document(name, text))
    return sorted(kept, key=lambda document: document.name)


def _without_seen_passages(text: str, seen: set[int]) -> str:
    """`text` less the paragraphs that touch a passage in `seen`, to which its own are then added."""
    paragraphs = re.split(r"\n\s*\n", text)
    squeezed = [_squeezed(paragraph) for paragraph in paragraphs]
    starts = list(itertools.accumulate((len(words) + 1 for words in squeezed[:-1]), initial=0))
    passages = list(_passages(" ".join(squeezed)))
    repeated: set[int] = set()
    for start, passage in passages:
        if passage in seen:
            first = bisect.bisect_right(starts, start) - 1
            last = bisect.bisect_left(starts, start + LONG_PASSAGE)
            repeated.update(range(first, last))
    seen.update(passage for _, passage in passages)
    return "\n\n".join(paragraph for i, paragraph in enumerate(paragraphs) if i not in repeated).strip("\n")


def _passages(squeezed: str) -> Iterator[tuple[int, int]]:
    """(start, hash) of the LONG_PASSAGE characters from the beginning of every word on."""
    for match in re.finditer(r"\S+", squeezed):
        start = match.start()
        if start + LONG_PASSAGE <= len(squeezed):
            yield start, hash(squeezed[start : start + LONG_PASSAGE])


def _squeezed(text: str) -> str:
    return " ".join(text.split())
