"""Tokens that others have written without a header, such as nanoGPT's `train.bin` and `val.bin`, as shards.

Nothing of a bare file says how wide a token is, so it is looked at: read with the wrong width, it is refused.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from coregpt.contract.errors import DataError
from coregpt.engine.data import open_folder, read_shard, write_shard
from coregpt.engine.data.shards import FORMATS, Tokens
from coregpt.engine.data.source import META, FolderMeta
from coregpt.engine.data.width import likely_width, refuse_wrong_width
from coregpt.text.joining import SHARD, sha256
from coregpt.text.tokenizer import BYTES, NAMES, Tokenizer

Format = Literal["nanogpt", "uint32", "shards"]
FORMATS_OF: Mapping[str, np.dtype[Any] | None] = {"nanogpt": np.dtype("<u2"), "uint32": np.dtype("<u4"), "shards": None}
"""Type of a token; None for files with the header of llm.c, which says it."""


def convert(inputs: Sequence[Path], out: Path, tokenizer: Tokenizer, form: Format) -> Path:
    """A folder of shards of the same tokens, train from `*train*` and validation from `*val*`. Raises DataError."""
    if out.exists():
        raise DataError(f"{out} is there already; choose another --out, or remove it")
    streams = {kind: _files(inputs, kind) for kind in ("train", "val")}
    work = out.with_name(f".{out.name}.part")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        shards = [shard for kind, paths in streams.items() for shard in _write(paths, work, kind, tokenizer, form)]
        meta = FolderMeta(
            vocab=tokenizer.vocab,
            separator=tokenizer.separator,
            unit="byte" if tokenizer.name == BYTES else "token",
            token_bytes=[] if tokenizer.name == BYTES else tokenizer.token_bytes(),
            sha256={shard.name: sha256(shard) for shard in shards},
            about={"tokenizer": tokenizer.name, "tokenizer_sha256": tokenizer.digest, "made_from": form},
        )
        if tokenizer.name not in NAMES:
            (work / tokenizer.name).write_text(tokenizer.text, encoding="utf-8")
        (work / META).write_text(meta.model_dump_json(indent=1), encoding="utf-8")
        open_folder(work)
        os.replace(work, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return out


def _files(inputs: Sequence[Path], kind: str) -> list[Path]:
    found = [path for each in inputs for path in (sorted(each.glob("*.bin")) if each.is_dir() else [each])]
    missing = next((path for path in found if not path.is_file()), None)
    if missing is not None:
        raise DataError(f"there is no file {missing}")
    both = next((path for path in found if "train" in path.name and "val" in path.name), None)
    if both is not None:
        raise DataError(
            f"{both}: a name must contain either 'train' or 'val', not both, or it would be judged on itself"
        )
    of_kind = [path for path in found if kind in path.name]
    if not of_kind:
        raise DataError(
            f"{', '.join(map(str, inputs))}: expected files of tokens, *train*.bin and *val*.bin; none is *{kind}*.bin"
        )
    return of_kind


def _write(paths: Sequence[Path], work: Path, kind: str, tokenizer: Tokenizer, form: Format) -> list[Path]:
    written: list[Path] = []
    for path in paths:
        tokens = read_bare(path, form)
        largest = max(int(np.max(tokens[start : start + 2**24])) for start in range(0, len(tokens), 2**24))
        if largest >= tokenizer.vocab:
            raise DataError(
                f"{path} holds token id {largest:,}, and tokenizer '{tokenizer.name}' has {tokenizer.vocab:,} ids; "
                "name the one that the file was made with by --tokenizer"
            )
        for start in range(0, len(tokens), SHARD):
            shard = work / f"{kind}_{len(written):06d}.bin"
            write_shard(shard, tokens[start : start + SHARD], wide=tokenizer.vocab > 2**16)
            written.append(shard)
    return written


def read_bare(path: Path, form: Format) -> NDArray[Any]:
    """The tokens of a file, memory-mapped. Raises DataError for a width that the tokens cannot have."""
    kind = FORMATS_OF[form]
    size = path.stat().st_size
    with open(path, "rb") as file:
        headed = int.from_bytes(file.read(4), "little") in FORMATS
    if kind is None:
        return _headed(path, headed)
    if headed:
        raise DataError(f"{path} begins with the header of a shard; expected bare tokens; call it --format shards")
    if not size or size % kind.itemsize:
        raise DataError(
            f"{path} holds {size:,} bytes; expected one or more {kind.name} tokens of {kind.itemsize} bytes each"
        )
    tokens = np.memmap(path, dtype=kind, mode="r")
    likely = likely_width(tokens)
    if likely != kind.itemsize:
        other = "uint32" if likely == 4 else "nanogpt"
        raise DataError(
            f"{path} does not look like {kind.name} tokens, but like uint{8 * likely}; call it --format {other}"
        )
    return tokens


def _headed(path: Path, headed: bool) -> Tokens:
    """The tokens of a shard. Raises DataError for bare ones, and for a width that they cannot have."""
    if not headed:
        raise DataError(
            f"{path} does not begin with the magic number of a shard; if it holds bare tokens, call it "
            "--format nanogpt (uint16) or --format uint32"
        )
    tokens = read_shard(path)
    refuse_wrong_width(path, tokens)
    return tokens
