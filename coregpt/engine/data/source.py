"""A folder of shards as a data source: three streams, what ids mean, and a digest of it all.

`train` is trained on. `select` is cut from the end of the training shards: curves that people watch and everything
that is chosen (a learning rate, an arm to give up) reads it. `held_out` is every validation shard, whole: verdicts
read it and nothing else does, so that nothing was chosen to look good there.

The digest covers every byte of every shard, so two runs with equal digests were trained on equal data.
"""

import contextlib
import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError, model_validator

from coregpt.contract.errors import DataError
from coregpt.engine.data.files import cache_dir, replacing
from coregpt.engine.data.shards import FETCH_FINEWEB, TokenStream, read_shard
from coregpt.engine.data.width import refuse_wrong_width

META = "meta.json"
HELD_OUT_TEXT = "held_out_text"
"""Under `about`: sha256 of the hashes of the documents of `held_out` in their order, whatever their tokens are."""
GPT2_VOCAB = 50304  # 50257 ids, padded to a multiple of 128
GPT2_SEPARATOR = 50256
SELECT_SHARE = 8
"""At most one token of so many in the training shards is kept for `select`: choosing must not starve training."""
SMALL_FILE = 16 * 2**20  # bytes; smaller shards are hashed at every opening, larger ones when they change


class FolderMeta(BaseModel):
    """`meta.json` beside the shards; without the file the tokens are taken to be GPT-2's."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    vocab: PositiveInt = GPT2_VOCAB
    separator: NonNegativeInt | None = None
    unit: Literal["byte", "token"] = "token"
    select_tokens: NonNegativeInt | None = None
    """How many tokens at the end of the training shards are `select`, where whole documents were put there."""
    token_bytes: list[NonNegativeInt] = []
    """Raw bytes that each id stands for, by id; empty where they do not add up to the text. 0 for a separator."""
    sha256: dict[str, str] = {}
    """File name to the digest it must have."""
    about: dict[str, str | int] = {}
    """Facts that go into the report as they are."""
    documents: dict[str, list[str]] = {}
    """Names of the documents of each stream, in their order; only for people to look at."""

    @model_validator(mode="after")
    def _separator_is_an_id(self) -> Self:
        if self.separator is not None and self.separator >= self.vocab:
            raise ValueError(f"separator {self.separator} is not below vocab {self.vocab}")
        if len(self.token_bytes) > self.vocab:
            raise ValueError(f"token_bytes has {len(self.token_bytes)} ids, and vocab {self.vocab}")
        return self


@dataclass(frozen=True)
class TokenSource:
    """Where a run's tokens come from. The streams share no token; `train` and `held_out` share no shard."""

    name: str
    unit: Literal["byte", "token"]
    vocab: int
    """Every id is smaller than this; may be padded."""
    train: TokenStream
    select: TokenStream
    held_out: TokenStream
    separator: int | None
    """The id placed before each document, if there is one."""
    digest: str
    """sha256 over what ids mean and over the sha256 of every shard, in order; file names do not matter."""
    about: Mapping[str, str | int] = field(default_factory=dict)
    held_out_files: tuple[Path, ...] = ()
    """The shards of `held_out`, where it lies in files."""
    withheld: bool = False
    """Whether `held_out` was taken out, for a process that must not see what judges it."""
    token_bytes: Sequence[int] = ()
    """Raw bytes of the text that each id stands for; empty where nothing is known of them."""
    mixed: Mapping[str, TokenStream] = field(default_factory=dict)
    """Other sources that are trained on beside `train`, by the names of a mixture."""

    def without_held_out(self) -> Self:
        """The same for training alone: whoever holds it has neither the tokens of `held_out` nor its files open."""
        return replace(self, held_out=TokenStream([]), withheld=True)

    def sizes_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """Bytes of text of each of `ids` (n,); None where nothing is known. A separator has none."""
        if self.unit == "byte":
            return (ids != self.separator).astype(np.int64)
        if not self.token_bytes or (len(ids) and int(ids.max()) >= len(self.token_bytes)):
            return None
        return np.asarray(self.token_bytes, dtype=np.int64)[ids]

    def bytes_of(self, ids: NDArray[np.int64]) -> int | None:
        """Bytes of the text that `ids` (n,) are; None where nothing is known."""
        sizes = self.sizes_of(ids)
        return None if sizes is None else int(sizes.sum())

    def facts(self) -> dict[str, str | int | None]:
        """What the report says about the data: plain values, sizes in tokens."""
        return {
            **self.about,
            "name": self.name,
            "sha256": self.digest,
            "unit": self.unit,
            "vocab": self.vocab,
            "separator": self.separator,
            "train_tokens": len(self.train),
            "select_tokens": len(self.select),
            "held_out_tokens": len(self.held_out),
            "train_shards": self.train.shards,
            "held_out_shards": self.held_out.shards,
        }


@dataclass(frozen=True)
class ShardFacts:
    """What one reading of a whole shard told: its content hash and the largest token id in it."""

    sha256: str
    largest: int


def open_folder(folder: Path, name: str | None = None, meta: FolderMeta | None = None) -> TokenSource:
    """Open `*train*.bin` and `*val*.bin` of a folder, each in the order of their names, and check them.

    `meta` overrides `meta.json`. Raises DataError for missing, damaged or mixed-up shards, for ids beyond the
    vocabulary, and for a shard that is in both streams.
    """
    train, val = _shard_paths(folder)
    meta = meta or _read_meta(folder)
    shards, held_out = (TokenStream([read_shard(path) for path in paths]) for paths in (train, val))
    trained, select = without_select(shards, held_out, meta.select_tokens)
    facts = shard_facts(folder, [*train, *val])
    _check_shards(folder, meta, facts)
    shas = [[facts[path.name].sha256 for path in paths] for paths in (train, val)]
    for path in val:
        if facts[path.name].sha256 in shas[0]:
            raise DataError(f"{path} is also a training shard under another name; validation must be unseen text")
    cut = [] if meta.select_tokens is None else [meta.select_tokens]
    canonical = json.dumps([meta.unit, meta.vocab, meta.separator, *shas, *cut])
    return TokenSource(
        name=name or folder.resolve().name,
        unit=meta.unit,
        vocab=meta.vocab,
        train=trained,
        select=select,
        held_out=held_out,
        separator=meta.separator,
        digest=hashlib.sha256(canonical.encode()).hexdigest(),
        about=meta.about,
        held_out_files=tuple(val),
        token_bytes=tuple(meta.token_bytes),
    )


def without_select(
    shards: TokenStream, held_out: TokenStream, declared: int | None = None
) -> tuple[TokenStream, TokenStream]:
    """(train, select): the end of the training shards, as long as `held_out` where there are tokens enough, apart.

    The cut is a fact of the data and not of a run, so that no run of any study trains on what another one is chosen
    by. It may lie inside a document, whose beginning is then trained on; `declared` tokens are whole documents, and an
    eighth at most is a rule for them too. Raises DataError where they are more.
    """
    most = len(shards) // SELECT_SHARE
    if declared is not None and declared > most:
        raise DataError(
            f"select_tokens is {declared:,}, but of {len(shards):,} tokens at most {most:,} may be kept apart"
        )
    cut = len(shards) - (min(len(held_out), most) if declared is None else declared)
    return shards.part(0, cut), shards.part(cut, len(shards))


def _shard_paths(folder: Path) -> tuple[list[Path], list[Path]]:
    train, val = (sorted(folder.glob(f"*{kind}*.bin")) for kind in ("train", "val"))
    both = sorted(set(train) & set(val))
    if both:
        raise DataError(f"{both[0]}: a shard's name must contain either 'train' or 'val', not both")
    for kind, paths in (("train", train), ("val", val)):
        if not paths:
            remedy = FETCH_FINEWEB if folder.name.startswith("fineweb") else "`coregpt data prepare` makes them of text"
            raise DataError(f"{folder} holds no *{kind}*.bin; expected *train*.bin and *val*.bin shards; {remedy}")
    return train, val


def _read_meta(folder: Path) -> FolderMeta:
    path = folder / META
    try:
        return FolderMeta.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return FolderMeta(vocab=GPT2_VOCAB, separator=GPT2_SEPARATOR)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        near = difflib.get_close_matches(key, FolderMeta.model_fields, n=1)
        hint = f" (did you mean '{near[0]}'?)" if near and first["type"] == "extra_forbidden" else ""
        raise DataError(f"{path}: {key + ': ' if key else ''}{first['msg']}{hint}") from error


def _check_shards(folder: Path, meta: FolderMeta, facts: Mapping[str, ShardFacts]) -> None:
    for file, shard in facts.items():
        if shard.largest >= meta.vocab:
            raise DataError(
                f"{folder / file} holds token id {shard.largest}, but the vocabulary has {meta.vocab} ids; "
                f"set 'vocab' in {folder / META}"
            )
    for file, expected in meta.sha256.items():
        if file in facts and facts[file].sha256 != expected:
            raise DataError(f"{folder / file} has sha256 {facts[file].sha256}; meta.json expects {expected}")


def shard_facts(folder: Path, paths: Iterable[Path]) -> dict[str, ShardFacts]:
    """Content facts by file name. Large files are read once and remembered by size and modification time."""
    note = cache_dir() / "manifests" / f"{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]}.json"
    known = _read_note(note)
    facts, large = {}, {}
    for path in paths:
        size, modified = _stamp(path)
        entry = known.get(path.name, {})
        if entry.get("stamp") == [size, modified]:
            facts[path.name] = ShardFacts(entry["sha256"], entry["largest"])
        else:
            facts[path.name] = _read_whole(path)
        if size >= SMALL_FILE:
            large[path.name] = {"stamp": [size, modified], **vars(facts[path.name])}
    if large != known:
        _write_note(note, large)
    return facts


def _write_note(note: Path, entries: Mapping[str, Any]) -> None:
    with contextlib.suppress(OSError):  # a read-only cache only means hashing again next time
        note.parent.mkdir(parents=True, exist_ok=True)
        with replacing(note) as file:
            file.write(json.dumps(entries, indent=1).encode())


def _read_note(note: Path) -> dict[str, dict[str, Any]]:
    """Earlier facts, or nothing where there are none."""
    try:
        return dict(json.loads(note.read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    return status.st_size, status.st_mtime_ns


def _read_whole(path: Path) -> ShardFacts:
    tokens = read_shard(path)
    refuse_wrong_width(path, tokens)
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    piece = 2**24  # tokens at a time, so that resident memory stays small
    largest = max(int(np.max(tokens[start : start + piece])) for start in range(0, len(tokens), piece))
    return ShardFacts(sha256, largest)
