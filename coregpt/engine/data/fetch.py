"""Download the pre-tokenised FineWeb-10B shards of the speedrun community, resumably and verified.

A shard holds 100M GPT-2 tokens in 200 MB. An interrupted download goes on from its `.part` file.

Source: dataset repository kjj0/fineweb10B-gpt2 on the Hugging Face hub.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from coregpt.contract.errors import DataError
from coregpt.engine.data.download import Answer, TransientError, request
from coregpt.engine.data.shards import read_shard

try:
    import fcntl
except ImportError:  # not a POSIX system: two fetches at once are then only caught by the checksum
    fcntl = None  # type: ignore[assignment]

REPOSITORY = "kjj0/fineweb10B-gpt2"
TRAIN_SHARDS = 103
PUBLIC_ENDPOINT = "https://huggingface.co"
ATTEMPTS = 5  # in a row that bring the file no further
PAUSE_S = 1.0  # after the first failure; doubles with each further one
PROGRESS_S = 5.0

Progress = Callable[[str], None]


def fetch_fineweb(folder: Path, shards: int, endpoint: str | None, progress: Progress) -> list[Path]:
    """Fetch the validation shard and the first `shards` training shards into `folder`; return their paths.

    Complete files are kept. `endpoint` defaults to `$HF_ENDPOINT`, else the public hub; `progress` gets one
    plain line at a time. Raises DataError, which says what to do, when a file cannot be had or is not what was
    published.
    """
    if not 1 <= shards <= TRAIN_SHARDS:
        raise DataError(f"fineweb10B has 1 to {TRAIN_SHARDS} training shards; {shards} were asked for")
    base = (endpoint or os.environ.get("HF_ENDPOINT") or PUBLIC_ENDPOINT).rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise DataError(f"the endpoint must be an http(s) address, not '{base}'; check HF_ENDPOINT")
    names = ["fineweb_val_000000.bin", *(f"fineweb_train_{i:06d}.bin" for i in range(1, shards + 1))]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone_in(folder):
            for name in names:
                _fetch(f"{base}/datasets/{REPOSITORY}/resolve/main/{name}", folder / name, progress)
    except OSError as error:  # faults of the network arrive as TransientError, so this is the disk
        raise DataError(f"cannot write to {folder} ({error.strerror or error}); make room or choose another") from error
    return [folder / name for name in names]


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Two fetches into one folder would append to the same partial files."""
    with open(folder / ".fetch.lock", "w") as lock:
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DataError(f"another process is fetching into {folder}; wait for it or stop it") from error
        yield


def _fetch(url: str, path: Path, progress: Progress) -> None:
    """Attempt until the file is complete; give up after ATTEMPTS in a row that brought it no further."""
    with contextlib.suppress(DataError):  # absent, or left damaged by another tool
        read_shard(path)
        progress(f"{path.name}: already there")
        return
    part = path.with_name(path.name + ".part")
    furthest = failures = 0
    while True:
        try:
            _attempt(url, part, progress)
        except TransientError as fault:
            reached = part.stat().st_size
            failures = 1 if reached > furthest else failures + 1
            furthest = max(furthest, reached)
            if failures >= ATTEMPTS:
                raise DataError(
                    f"cannot fetch {url}: {fault} (tried {failures} times). Check the network and proxy, or "
                    f"set HF_ENDPOINT to a mirror, and run the command again: it resumes. Without a network, "
                    f"copy {path.name} into {path.parent} by hand, or use 'pydocs', which needs no download"
                ) from fault
            pause = PAUSE_S * 2 ** (failures - 1)
            progress(f"{path.name}: {fault}; next attempt in {pause:.0f} s")
            time.sleep(pause)
        else:
            os.replace(part, path)
            progress(f"{path.name}: complete")
            return


def _attempt(url: str, part: Path, progress: Progress) -> None:
    """Bring `part` to its full length and verify it. Raises TransientError, or DataError if that cannot help."""
    with open(part, "ab") as file:
        answer = request(url, file.tell())
        file.truncate(answer.start)
        said = -PROGRESS_S
        done = answer.start
        of = f" of {answer.size / 1e6:.0f}" if answer.size else ""
        for chunk in answer.chunks():
            file.write(chunk)
            done += len(chunk)
            if time.monotonic() - said > PROGRESS_S:
                said = time.monotonic()
                progress(f"{part.stem}: {done / 1e6:.0f}{of} MB")
        file.flush()
        os.fsync(file.fileno())
    _verify(url, part, answer)


def _verify(url: str, part: Path, answer: Answer) -> None:
    size = part.stat().st_size
    if answer.size is not None and size < answer.size:
        raise TransientError(f"the connection ended after {size:,} of {answer.size:,} bytes")
    with open(part, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if answer.size not in (None, size) or answer.sha256 not in (None, sha256):
        os.truncate(part, 0)
        fault = f"{size:,} bytes of sha256 {sha256}; published are {answer.size} bytes of sha256 {answer.sha256}"
        if answer.start:  # the older part may stem from another version of the file
            raise TransientError(f"the resumed file does not match ({fault})")
        raise DataError(f"{url} delivered {fault}; something on the way alters it: try another network or HF_ENDPOINT")
    try:
        read_shard(part)
    except DataError as error:
        part.unlink()
        raise DataError(f"{url} is not a token shard: {error}") from error
