"""What lies in a prepared folder beside its shards: `meta.json`, which the engine reads, a manifest, a tokenizer."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coregpt import __version__
from coregpt.contract.errors import DataError
from coregpt.engine.data.source import HELD_OUT_TEXT, META, FolderMeta
from coregpt.text.joining import Corpus, Split, sha256
from coregpt.text.tokenizer import BYTES, GPT2, NAMES, Tokenizer, open_tokenizer

MANIFEST = "manifest.json"
SPLIT = "by the hash of each document; select and held-out are whole documents"


def write_notes(
    folder: Path,
    shards: Sequence[Path],
    tokenizer: Tokenizer,
    corpus: Corpus,
    parts: Split,
    astray: int,
    job: Mapping[str, Any],
) -> None:
    """`meta.json`, `manifest.json` and, where it is a file, `tokenizer.json`."""
    if tokenizer.name not in NAMES:
        (folder / tokenizer.name).write_text(tokenizer.text, encoding="utf-8")
    streams = {name: _sums(corpus, which) for name, which in parts.streams().items()}
    judged = streams["select"]["documents"] + streams["held_out"]["documents"]
    meta = FolderMeta(
        vocab=tokenizer.vocab,
        separator=tokenizer.separator,
        unit="byte" if tokenizer.name == BYTES else "token",
        select_tokens=streams["select"]["tokens"],
        token_bytes=[] if astray or tokenizer.name == BYTES else tokenizer.token_bytes(),
        sha256={path.name: sha256(path) for path in shards},
        about={
            "tokenizer": tokenizer.name,
            "tokenizer_sha256": tokenizer.digest,
            "split": SPLIT,
            HELD_OUT_TEXT: text_of(corpus, parts.held_out),
            **({"bits_per_byte": refusal(astray, judged)} if astray else {}),
        },
    )
    (folder / META).write_text(meta.model_dump_json(indent=1), encoding="utf-8")
    manifest = {
        "coregpt": __version__,
        "job": job["digest"],
        "files": [[name, size] for name, size, _ in job["files"]],
        **{key: job[key] for key in ("reading", "tokenizer", "held_out", "select", "once")},
        "streams": streams,
        "repeated_documents": parts.repeated,
        "dropped_documents": parts.dropped,
        "sha256": {path.name: sha256(path) for path in sorted(folder.iterdir())},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def text_of(corpus: Corpus, which: NDArray[np.int64]) -> str:
    """sha256 of the hashes of documents: whoever has the same has the same text in the same order."""
    return hashlib.sha256("\n".join(corpus.hashes[number] for number in which.tolist()).encode()).hexdigest()


def _sums(corpus: Corpus, which: Any) -> dict[str, int]:
    which = np.asarray(which)
    return {
        "documents": len(which),
        "tokens": int(corpus.tokens[which].sum()),
        "bytes": int(corpus.bytes[which].sum()),
    }


def refusal(astray: int, judged: int) -> str:
    """Why there are no bits per byte."""
    return f"refused: the tokens of {astray:,} of {judged:,} documents to judge by are not their bytes"


@dataclass(frozen=True)
class Notes:
    """What a folder says of its tokens."""

    tokenizer: str
    """As `open_tokenizer` takes it."""
    sha256: str
    """Of the tokenizer; empty where nobody wrote it down."""


def notes_of(folder: Path) -> Notes:
    """Raises DataError for a folder that does not say what its ids mean. One without notes holds GPT-2's."""
    try:
        meta = FolderMeta.model_validate_json((folder / META).read_bytes())
    except FileNotFoundError:
        return Notes(GPT2, "")
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / META} cannot be read ({str(error).splitlines()[0]})") from error
    named = str(meta.about.get("tokenizer", BYTES if meta.unit == "byte" else ""))
    if not named:
        raise DataError(f"{folder / META} does not say which tokenizer its ids are of; name it with --tokenizer")
    where = named if named in NAMES else str(folder / named)
    return Notes(where, str(meta.about.get("tokenizer_sha256", "")))


def tokenizer_of(folder: Path, given: str | None = None) -> Tokenizer:
    """The tokenizer of a folder of shards, or `given` if it is that one. Raises DataError if it is not."""
    if given is not None and not (folder / META).exists():
        return open_tokenizer(given)
    notes = notes_of(folder) if given is None or _says(folder) else Notes(given, "")
    found = open_tokenizer(given or notes.tokenizer)
    if notes.sha256 not in ("", found.digest):
        raise DataError(
            f"tokenizer '{given or notes.tokenizer}' is not the one that the shards in {folder} were made with (its "
            f"sha256 is {found.digest[:12]}, theirs {notes.sha256[:12]}); leave --tokenizer out, or prepare the text "
            "again"
        )
    return found


def _says(folder: Path) -> bool:
    try:
        notes_of(folder)
    except DataError:
        return False
    return True
