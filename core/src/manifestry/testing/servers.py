"""A server for tests, on a free port of 127.0.0.1: HTTP with ranges, which counts."""

from __future__ import annotations

import re
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from hashlib import sha256
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, override

__all__ = ["RangeServer", "Request", "range_server"]

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as the server saw it: what was asked, the bytes sent, and when, in seconds."""

    method: str
    path: str
    range: str
    sent: int
    begun: float
    ended: float


@dataclass(slots=True, kw_only=True)
class RangeServer:
    """What a range server serves and has seen.

    Attributes
    ----------
    url
        ``http://127.0.0.1:PORT``.
    objects
        Bodies by path as the request has it, encoded and with its query.
    latency
        Seconds that every answer waits.
    drip
        Seconds that every kilobyte of a body waits.
    redirects
        Paths, or URLs of other servers, to send requests on to (302), by path.
    statuses
        Statuses to answer with instead, by path (403, 503, ...).
    fault
        Called with method, path and range of each request; gives a status to answer with instead, 0 to reset the
        connection, or None when nothing is wrong. It may wait.
    head, ranges
        Whether HEAD requests and ranges are understood.
    requests
        What was asked so far.
    """

    url: str
    objects: dict[str, bytes]
    latency: float = 0.0
    drip: float = 0.0
    redirects: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    fault: Callable[[str, str, str], int | None] | None = None
    head: bool = True
    ranges: bool = True
    requests: list[Request] = field(default_factory=list)

    def count(self, method: str | None = None) -> int:
        """Number of requests, of one method or of all."""
        return sum(method in (None, request.method) for request in self.requests)

    @property
    def sent(self) -> int:
        """Bytes of bodies sent."""
        return sum(request.sent for request in self.requests)

    @property
    def round_trips(self) -> int:
        """Number of requests that waited for each other: the longest chain of which none overlaps the next."""
        chain, last = 0, 0.0
        for request in sorted(self.requests, key=lambda request: request.ended):
            if request.begun >= last:
                chain, last = chain + 1, request.ended
        return chain

    def reset(self) -> None:
        """Forget what was asked so far."""
        self.requests.clear()

    def fail_once(self, status: int) -> None:
        """From now on, refuse the first request for each range of each object with a status, 0 for a reset."""
        seen = set()
        lock = Lock()

        def fault(*request: str) -> int | None:
            with lock:
                repeated = request in seen
                seen.add(request)
            return None if repeated else status

        self.fault = fault


@contextmanager
def range_server(objects: Mapping[str, bytes], *, latency: float = 0.0) -> Iterator[RangeServer]:
    """Serve bytes over HTTP.

    Parameters
    ----------
    objects
        Bodies by request path, for example ``{"/a.nc": b"..."}``.
    latency
        Seconds that every answer waits.
    """
    server = _Server(("127.0.0.1", 0), _Handler)
    state = RangeServer(url=f"http://127.0.0.1:{server.server_port}", objects=dict(objects), latency=latency)
    server.state, server.lock = state, Lock()  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512  # of five, those who connect together would wait a second for each other


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: tests are silent."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        state: RangeServer = self.server.state  # type: ignore[attr-defined]
        begun = time.monotonic()
        time.sleep(state.latency)
        asked_range = self.headers.get("Range", "")
        fault = state.fault(self.command, self.path, asked_range) if state.fault else None
        status, data, headers = self._find(state) if fault is None else (fault, b"", {})
        # Written down before it is sent: a client that has its answer must find its request counted.
        asked = Request(
            method=self.command,
            path=self.path,
            range=asked_range,
            sent=len(data) if body else 0,
            begun=begun,
            ended=time.monotonic(),
        )
        with self.server.lock:  # type: ignore[attr-defined]
            state.requests.append(asked)
        if not status:
            self._hang_up()
            return
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        step = 1000 if state.drip else len(data)
        for at in range(0, len(data) if body else 0, step or 1):
            time.sleep(state.drip)
            self.wfile.write(data[at : at + step])

    def _hang_up(self) -> None:
        """Reset the connection: closing it with no time to linger."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _find(self, state: RangeServer) -> tuple[int, bytes, dict[str, str]]:
        if self.path in state.statuses:
            return state.statuses[self.path], b"", {}
        if self.path in state.redirects:
            return HTTPStatus.FOUND, b"", {"Location": state.redirects[self.path]}
        if self.command == "HEAD" and not state.head:
            return HTTPStatus.METHOD_NOT_ALLOWED, b"", {}
        whole = state.objects.get(self.path)
        if whole is None:
            return HTTPStatus.NOT_FOUND, b"", {}
        headers = {
            "ETag": f'"{sha256(whole).hexdigest()[:16]}"',
            "Last-Modified": formatdate(1_600_000_000, usegmt=True),
        }
        match = _RANGE.fullmatch(self.headers.get("Range", "")) if state.ranges else None
        if match is None:
            return HTTPStatus.OK, whole, headers | ({"Accept-Ranges": "bytes"} if state.ranges else {})
        start = int(match[1]) if match[1] else max(0, len(whole) - int(match[2]))
        stop = min(int(match[2]) + 1, len(whole)) if match[1] and match[2] else len(whole)
        if start >= len(whole):
            return HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", {"Content-Range": f"bytes */{len(whole)}"}
        part = {"Content-Range": f"bytes {start}-{stop - 1}/{len(whole)}"}
        return HTTPStatus.PARTIAL_CONTENT, whole[start:stop], headers | part
