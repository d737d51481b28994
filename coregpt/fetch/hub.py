"""One file of a dataset on the hub through huggingface_hub, resumed, of the published size and sha256.

Not `hf_hub_download`: in newer versions (1.33 and 2.4, not yet 1.16) it begins an interrupted file anew in every
process, and it compares no sha256 of what it downloads. `http_get` below it goes on from the end of a file it is given,
over plain HTTP also where the hub offers Xet, so that a mirror need only know ranges.

No token is read or sent: the data is public, and a stale token would have it refused.
"""

import contextlib
import hashlib
import io
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled  # HTTPError is its HTTP client's
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers, disable_progress_bars

from coregpt.contract.errors import DataError

ATTEMPTS = 5  # in a row that bring the file no further
PAUSE_S = 1.0  # after the first failure; doubles with each further one
PROGRESS_S = 5.0
SHA256 = re.compile(r"[0-9a-f]{64}")

Progress = Callable[[str], None]


class TransientError(Exception):
    """A fault that may pass by itself: of the connection, of the server, or a damaged transfer."""


@dataclass(frozen=True)
class Published:
    """What the hub says the whole file is."""

    size: int | None
    """In bytes."""
    sha256: str | None
    """A file in Git LFS or Xet has its sha256 as its tag."""


def download(endpoint: str, repository: str, file: str, part: Path, progress: Progress, instead: str) -> None:
    """Bring `part`, which has the name of `file` in the dataset `repository` and ends in `.part`, to the whole file.

    Gives up after ATTEMPTS in a row that brought it no further. Raises DataError, or OSError of the disk.

    `instead`: what does as well as the file, in words.
    """
    name = part.stem
    url = hf_hub_url(repository, file, repo_type="dataset", endpoint=endpoint)
    disable_progress_bars()
    furthest = failures = 0
    while True:
        try:
            _attempt(url, part, progress)
        except TransientError as fault:
            reached = _size(part)
            failures = 1 if reached > furthest else failures + 1
            furthest = max(furthest, reached)
            if failures >= ATTEMPTS:
                raise DataError(
                    f"cannot fetch {url}: {fault} (tried {failures} times). Check the network and proxy, or "
                    f"set HF_ENDPOINT to a mirror, and run the command again: it resumes. Without a network, "
                    f"copy {name} into {part.parent} by hand, or use {instead}"
                ) from fault
            pause = PAUSE_S * 2 ** (failures - 1)
            progress(f"{name}: {fault}; next attempt in {pause:.0f} s")
            time.sleep(pause)
        else:
            return


def _attempt(url: str, part: Path, progress: Progress) -> None:
    """Bring `part` to its full length and verify it. Raises TransientError, or DataError if that cannot help."""
    with _sorted_faults(url):
        answer = get_hf_file_metadata(url, token=False)
    tag = (answer.etag or "").lower()
    published = Published(answer.size or None, tag if SHA256.fullmatch(tag) else None)
    have = _size(part)
    if published.size is None or have > published.size:
        part.unlink(missing_ok=True)
        have = 0
    # Compressed, a range would count other bytes than the file's.
    headers = {**build_hf_headers(token=False), "accept-encoding": "identity"}
    with _Part(part, published.size, progress) as file:
        with _sorted_faults(url):
            http_get(url, file, resume_size=have, headers=headers, expected_size=published.size)
        file.flush()
        os.fsync(file.fileno())
    _verify(url, part, published, resumed=have > 0)


class _Part(io.BufferedWriter):
    """The file at its end, telling now and then how far it is."""

    def __init__(self, path: Path, size: int | None, progress: Progress):
        super().__init__(io.FileIO(path, "a"))
        self._name, self._progress, self._said = path.stem, progress, -PROGRESS_S
        self._of = f" of {size / 1e6:.0f}" if size else ""

    def write(self, chunk: bytes, /) -> int:  # type: ignore[override]
        written = super().write(chunk)
        if time.monotonic() - self._said > PROGRESS_S:
            self._said = time.monotonic()
            self._progress(f"{self._name}: {self.tell() / 1e6:.0f}{self._of} MB")
        return written


@contextlib.contextmanager
def _sorted_faults(url: str) -> Iterator[None]:
    """What huggingface_hub raises becomes TransientError, DataError, or stays an OSError of the disk."""
    try:
        yield
    except HfHubHTTPError as error:
        code, reason = error.response.status_code, error.response.reason_phrase
        if code in (408, 416, 429) or code >= 500:
            raise TransientError(f"the server answered {code} {reason}") from error
        raise DataError(f"{url}: the server answered {code} {reason}; check HF_ENDPOINT and the file's name") from error
    except OfflineModeIsEnabled as error:
        raise DataError(f"cannot fetch {url}: HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set; unset it") from error
    except HTTPError as error:
        raise TransientError(f"the connection failed ({error or type(error).__name__})") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise TransientError("the bytes received are not as many as were announced") from error


def _verify(url: str, part: Path, published: Published, resumed: bool) -> None:
    size = _size(part)
    with open(part, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if published.size in (None, size) and published.sha256 in (None, sha256):
        return
    part.unlink()
    fault = f"{size:,} bytes of sha256 {sha256}; published are {published.size} bytes of sha256 {published.sha256}"
    if resumed:  # the older part may stem from another version of the file
        raise TransientError(f"the resumed file does not match ({fault})")
    raise DataError(f"{url} delivered {fault}; something on the way alters it: try another network or HF_ENDPOINT")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0
