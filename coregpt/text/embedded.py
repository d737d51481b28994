"""The embedded corpus `pydocs` as text: for a tokenizer or shards of one's own, where there is no other text."""

import json
from collections.abc import Sequence
from pathlib import Path

from coregpt.contract.errors import DataError
from coregpt.engine.data import NAMES, cache_dir, pydocs, replacing

NAME = NAMES[0]


def embedded() -> Path:
    """A file of JSON lines, a document each, in the order of the corpus; made in the cache by the first call.

    Equal interpreters have equal bytes. Raises DataError where the cache cannot be written.
    """
    source = pydocs()
    path = cache_dir() / f"{NAME}-{source.digest[:12]}.jsonl"
    if not path.exists():
        streams = (source.train, source.select, source.held_out)  # `select` is the end of what `train` begins
        text = b"".join(bytes(stream.slice(0, len(stream)).tolist()) for stream in streams)
        lines = [json.dumps({"text": each.decode()}, ensure_ascii=False) for each in text.split(b"\0") if each]
        try:
            with replacing(path) as file:
                file.write("\n".join([*lines, ""]).encode())
        except OSError as error:
            raise DataError(f"cannot write {path} ({error}); set COREGPT_CACHE to a writable folder") from error
    return path


def with_embedded(inputs: Sequence[Path]) -> list[Path]:
    """Files as they were named, and the embedded corpus where its name is no file's."""
    return [embedded() if str(path) == NAME and not path.exists() else path for path in inputs]
