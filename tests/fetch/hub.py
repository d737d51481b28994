"""A model hub in miniature: it redirects to a storage of another name that knows ranges, and fails on request.

As the real one does, the redirect names the commit, the file's size and sha256, and where Xet would have it.
"""

import abc
import hashlib
import http.server
import socket
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

MISSING = {"X-Error-Code": "EntryNotFound"}


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: "Hub", handler: type["Answering"], name: str):
        super().__init__(("127.0.0.1", 0), handler)
        self.hub = hub
        self.url = f"http://{name}:{self.server_port}"


class Hub:
    """Serves `files`; `faults[name]` are used up one per request, `linked[name]` are the redirect's headers."""

    def __init__(self, repository: str, files: dict[str, bytes]):
        self.folder = f"/datasets/{repository}/resolve/main/"
        self.files = files
        self.servers = (Server(self, Redirecting, "127.0.0.1"), Server(self, Storing, "localhost"))
        self.url, self.storage = (server.url for server in self.servers)
        self.faults: dict[str, list[str]] = defaultdict(list)
        self.linked = {name: self.links(data) for name, data in files.items()}
        self.asked: list[str] = []
        """Method and path of every request to the hub itself."""
        self.tokens: list[str] = []
        """What came with a request to show who asks."""
        self.ranges: list[tuple[str, str | None]] = []
        """(file, Range header) of every request that reached the storage."""
        self.served: dict[str, int] = defaultdict(int)
        """Bytes sent of each file."""
        self.released = threading.Event()
        """Ends every "hold"."""

    def links(self, data: bytes) -> dict[str, str]:
        return {
            "X-Linked-Size": str(len(data)),
            "X-Linked-ETag": f'"{sha(data)}"',
            "ETag": f'"{"d" * 64}"',
            "X-Xet-Hash": "d" * 64,
            "X-Xet-Refresh-Route": f"{self.url}/xet-read-token",
        }

    def starts(self, name: str) -> list[int]:
        """Where each request for the file began."""
        return [0 if asked is None else int(asked[6:-1]) for file, asked in self.ranges if file == name]

    @contextmanager
    def serving(self) -> Iterator["Hub"]:
        for server in self.servers:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield self
        self.released.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()


class Answering(http.server.BaseHTTPRequestHandler, abc.ABC):
    server: Server

    def answer(self, status: int, body: bytes, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    @abc.abstractmethod
    def do_GET(self) -> None:
        """Each kind of server answers in its own way; HEAD is the same without a body."""

    def log_message(self, *_: object) -> None:
        pass


class Redirecting(Answering):
    def do_GET(self) -> None:
        hub = self.server.hub
        hub.asked.append(f"{self.command} {self.path}")
        hub.tokens += self.headers.get_all("Authorization", [])
        name = self.path.removeprefix(hub.folder)
        if name not in hub.files:
            return self.answer(404, b"", 0, MISSING)
        at = f"{hub.storage}/{name}?signature=x"
        return self.answer(302, b"", 0, {"Location": at, "X-Repo-Commit": "c" * 40, **hub.linked[name]})


class Storing(Answering):
    def do_GET(self) -> None:
        hub = self.server.hub
        name = self.path.partition("?")[0].removeprefix("/")
        hub.ranges.append((name, self.headers["Range"]))
        faults, data = hub.faults[name], hub.files[name]
        fault = faults.pop(0) if faults else ""
        if fault.isdigit():
            return self.answer(int(fault), b"", 0, {})
        ranged = bool(self.headers["Range"]) and fault != "no ranges"
        start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-")) if ranged else 0
        if start >= len(data):
            return self.answer(416, b"", 0, {})
        rest = data[start:]
        headers = {"ETag": f'"{"0" * 64}"'}  # storages use such tags for other things than the content's sha256
        if ranged:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        sent = rest[: len(rest) // 2] if fault in ("drop", "reset", "hold") else rest
        hub.served[name] += len(sent)
        self.answer(206 if ranged else 200, sent, len(rest), headers)
        if fault == "hold":
            self.wfile.flush()
            hub.released.wait(120)
        if fault == "reset":
            self.wfile.flush()
            time.sleep(0.05)  # a reset overtakes bytes that are still on their way
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        return None
