"""The embedded corpus "pydocs": about 2 MB of byte tokens made from the running Python's own documentation.

It needs no download and nothing is shipped: the first use builds it into the cache. Equal interpreters build
equal corpora; where interpreters differ the digest does, so their runs are never mistaken for each other.
"""

import contextlib
import hashlib
import platform
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coregpt.contract.errors import DataError
from coregpt.engine.data.documents import Document, help_topics, python_documentation
from coregpt.engine.data.files import cache_dir, replacing
from coregpt.engine.data.shards import read_shard, write_shard
from coregpt.engine.data.source import META, FolderMeta, TokenSource, open_folder

RECIPE = 1  # raise it when the text or its order changes, so that older caches are not taken for the new corpus
SEPARATOR = 0  # NUL occurs in no document
BYTE_VOCAB = 256
VAL_SHARE = 0.10
LARGEST_VAL_DOCUMENT = 0.01  # share of all bytes; larger ones always train, so that validation spans many topics


def pydocs(cache: Path | None = None) -> TokenSource:
    """Open the corpus, building it first where the cache (default `cache_dir()`) does not hold it intact.

    Raises DataError when this Python has too little documentation or the cache cannot be written.
    """
    folder = (cache or cache_dir()) / _folder_name()
    if (folder / META).exists():
        with contextlib.suppress(DataError):  # damaged: building again yields the same bytes
            return open_folder(folder, "pydocs")
    build(folder, python_documentation())
    return open_folder(folder, "pydocs")


def _folder_name() -> str:
    """Cache key of one interpreter; another vendor's build, or topics installed later, make another key."""
    identity = f"{RECIPE} {sys.version} {sysconfig.get_path('stdlib')} {len(help_topics())}"
    return f"pydocs-{platform.python_version()}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


def build(folder: Path, documents: Sequence[Document]) -> None:
    """Write train.bin, val.bin and, last, meta.json into `folder`.

    Each file is replaced whole and equal documents give equal bytes, so any number of processes may build at once
    while others read.
    """
    train, val = split(documents)
    digests = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, part in (("train.bin", train), ("val.bin", val)):
            tokens = encode(part)
            write_shard(folder / file, tokens)
            if not np.array_equal(read_shard(folder / file), tokens):
                raise DataError(f"{folder / file} does not read back as written; check the disk")
            digests[file] = hashlib.sha256((folder / file).read_bytes()).hexdigest()
        with replacing(folder / META) as meta:
            meta.write(_meta(train, val, digests).model_dump_json(indent=1).encode())
    except OSError as error:
        raise DataError(
            f"cannot build the corpus 'pydocs' in {folder} ({error}); set COREGPT_CACHE to a writable folder"
        ) from error


def split(documents: Sequence[Document]) -> tuple[list[Document], list[Document]]:
    """(train, val), each in order of the documents' hashes; validation is the front, up to 10% of bytes.

    The hash covers name and text, so a document keeps its place whatever is added or dropped elsewhere.
    """
    sizes = {document.name: len(document.encoded()) + 1 for document in documents}
    total = sum(sizes.values())
    train: list[Document] = []
    val: list[Document] = []
    held = 0
    for document in sorted(documents, key=_hash):
        size = sizes[document.name]
        if held < VAL_SHARE * total and size <= LARGEST_VAL_DOCUMENT * total:
            val.append(document)
            held += size
        else:
            train.append(document)
    return train, val


def _hash(document: Document) -> bytes:
    return hashlib.sha256(document.name.encode() + b"\0" + document.encoded()).digest()


def encode(documents: Sequence[Document]) -> NDArray[np.uint8]:
    """Byte tokens of the documents, each after a separator, shape (bytes,)."""
    return np.frombuffer(b"".join(b"\0" + document.encoded() for document in documents), dtype=np.uint8)


def _meta(train: Sequence[Document], val: Sequence[Document], digests: Mapping[str, str]) -> FolderMeta:
    return FolderMeta(
        vocab=BYTE_VOCAB,
        separator=SEPARATOR,
        unit="byte",
        sha256=dict(digests),
        about={
            "python": platform.python_version(),
            "train_documents": len(train),
            "val_documents": len(val),
            "split": "by document hash, first 10% of bytes for validation, repetitions removed",
        },
        documents={"train": [each.name for each in train], "val": [each.name for each in val]},
    )
