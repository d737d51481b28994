"""A model hub in miniature for the fetch tests: it redirects to a storage that knows ranges, and fails on request."""

import hashlib
import http.server
import socket
import struct
import time
from collections import defaultdict


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Hub(http.server.ThreadingHTTPServer):
    """Serves `files`; `faults[name]` are used up one per request, `linked[name]` are the redirect's headers."""

    daemon_threads = True

    def __init__(self, repository: str, files: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repository, self.files = repository, files
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.faults: dict[str, list[str]] = defaultdict(list)
        self.linked = {
            name: {"X-Linked-Size": str(len(data)), "X-Linked-ETag": f'"{sha(data)}"'} for name, data in files.items()
        }
        self.ranges: list[tuple[str, str | None]] = []
        """(file, Range header) of every request that reached the storage."""


class Handler(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        folder, _, name = self.path.partition("?")[0].rpartition("/")
        if name not in self.server.files:
            self.send_error(404)
        elif folder == f"/datasets/{self.server.repository}/resolve/main":
            self.answer(302, b"", 0, {"Location": f"/storage/{name}?signature=x", **self.server.linked[name]})
        elif folder == "/storage":
            self.server.ranges.append((name, self.headers["Range"]))
            faults = self.server.faults[name]
            self.store(self.server.files[name], faults.pop(0) if faults else "")
        else:
            self.send_error(404)

    def store(self, data: bytes, fault: str) -> None:
        if fault.isdigit():
            return self.send_error(int(fault))
        ranged = bool(self.headers["Range"]) and fault != "no ranges"
        start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-")) if ranged else 0
        if start >= len(data):
            return self.answer(416, b"", 0, {})
        rest = data[start:]
        headers = {"ETag": f'"{"0" * 64}"'}  # storages use such tags for other things than the content's sha256
        if ranged:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        sent = rest[: len(rest) // 2] if fault in ("drop", "reset") else rest
        self.answer(206 if ranged else 200, sent, len(rest), headers)
        if fault == "reset":
            self.wfile.flush()
            time.sleep(0.05)  # a reset overtakes bytes that are still on their way
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        return None

    def answer(self, status: int, body: bytes, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
