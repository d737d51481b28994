"""One HTTP request for a file, or for the rest of it, as model hubs answer it.

A hub redirects to its storage. The redirect itself carries the file's size and sha256 (`X-Linked-Size`,
`X-Linked-ETag`); the storage's own ETag is no content hash and is not believed.

Source: Hugging Face hub documentation, Git LFS and Xet file downloads.
"""

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import IO

from coregpt.contract.errors import DataError

TIMEOUT_S = 30.0
CHUNK_BYTES = 2**20
SHA256 = re.compile(r"[0-9a-f]{64}")
NETWORK_FAULTS = (
    OSError,
    http.client.HTTPException,
)  # URLError, TimeoutError, resets and TLS faults are OSErrors


class TransientError(Exception):
    """A fault that may pass by itself: of the connection, of the server, or a damaged transfer."""


@dataclass(frozen=True)
class Answer:
    """What the server sends: the file's bytes from `start` on, and what it says the whole file is."""

    body: http.client.HTTPResponse | None
    """None when the bytes already had are all there are."""
    start: int
    size: int | None
    """Bytes of the whole file."""
    sha256: str | None

    def chunks(self) -> Iterator[bytes]:
        """The bytes from `start` on. Raises TransientError, but a connection closed early may look like the end."""
        while self.body is not None:
            try:
                chunk = self.body.read1(CHUNK_BYTES)  # what has come already survives a reset
            except NETWORK_FAULTS as error:
                raise TransientError(f"the connection broke ({error})") from error
            if not chunk:
                self.body.close()
                return
            yield chunk


class _KeepRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects and keeps their headers, which urllib otherwise throws away."""

    def __init__(self) -> None:
        self.headers: list[Message] = []

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        self.headers.append(headers)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def request(url: str, have: int) -> Answer:
    """Ask for `url` from byte `have` on. Raises TransientError, or DataError where that would not help."""
    redirects = _KeepRedirects()
    range_header = {"Range": f"bytes={have}-"} if have else {}
    headers = {"Accept-Encoding": "identity", "User-Agent": "coregpt", **range_header}
    try:
        opener = urllib.request.build_opener(redirects)
        body = opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        with error:
            size, sha256 = published(redirects.headers, [])
            if error.code == 416 and have:  # nothing lies beyond what we have: complete, or not this file
                return Answer(None, have, size, sha256)
            raise _refusal(url, error) from error
    except NETWORK_FAULTS as error:
        raise TransientError(f"no connection ({getattr(error, 'reason', error)})") from error
    start = have if body.status == 206 else 0
    size, sha256 = published(redirects.headers, [body.headers])
    if size is None and body.headers.get("Content-Length", "").isdigit():
        size = start + int(body.headers["Content-Length"])
    if start and not body.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        raise DataError(f"{url}: asked for bytes from {start} on, the server sent {body.headers.get('Content-Range')}")
    return Answer(body, start, size, sha256)


def published(redirects: list[Message], final: list[Message]) -> tuple[int | None, str | None]:
    """Size and sha256 of the whole file as the hub states them, where it does."""
    every = [*redirects, *final]
    sizes = [size for headers in every if (size := headers.get("X-Linked-Size", "")).isdigit()]
    tags = [_bare(headers.get("X-Linked-ETag", "")) for headers in every]
    for headers in redirects:  # their plain ETag is the same hash, unless it is the file's name in the Xet store
        tag = _bare(headers.get("ETag", ""))
        if tag != _bare(headers.get("X-Xet-Hash", "")):
            tags.append(tag)
    hashes = [tag for tag in tags if SHA256.fullmatch(tag)]
    return (int(sizes[0]) if sizes else None), (hashes[0] if hashes else None)


def _bare(tag: str) -> str:
    return tag.removeprefix("W/").strip('"').lower()


def _refusal(url: str, error: urllib.error.HTTPError) -> Exception:
    if error.code in (408, 429) or error.code >= 500:
        return TransientError(f"the server answered {error.code} {error.reason}")
    return DataError(f"{url}: the server answered {error.code} {error.reason}; check HF_ENDPOINT and the file's name")
