"""Repositories on S3 whose server is busy, or is not there."""

import http.client
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

import icechunk
import manifestry as mf
import numpy as np
import pytest
from manifestry.plugin import ChunkManifest, StoreRegistry
from manifestry.storage.retrying import RetryPolicy
from manifestry.testing.refusing import refuses
from manifestry_icechunk.repository import retrying as patience
from s3_server import s3_server

BUSY_FOR = 0.4
"""Longer than the first, brief requests last."""


class Proxy:
    """Stands before a server; `fault` gives a status to answer a kind of request with, or None."""

    def __init__(self, host):
        self.host, self.fault, self.refused, self.lock = host, None, [], Lock()

    def busy(self, kind, status=503, seconds=BUSY_FOR):
        until = time.monotonic() + 1e9
        begun = []

        def fault(asked):
            nonlocal until
            if kind not in (asked, "ANY"):
                return None
            with self.lock:
                if not begun:
                    begun.append(time.monotonic())
                    until = begun[0] + seconds
            return status if time.monotonic() < until else None

        self.refused.clear()
        self.fault = fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def _go(self):
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = "LIST" if "list-type" in self.path else self.command
        status = proxy.fault(kind) if proxy.fault else None
        if status is not None:
            proxy.refused.append(kind)
            self._send(status, {}, b"")
            return
        connection = http.client.HTTPConnection(proxy.host)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        kept = {k: v for k, v in answer.getheaders() if k.lower() not in ("transfer-encoding", "connection", "server")}
        self._send(answer.status, kept, data)

    def _send(self, status, headers, data):
        self.send_response_only(status)
        for name, value in ({"Content-Length": str(len(data))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _go


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Clients hang up on what they have given up."""


@contextmanager
def proxied(host):
    server = _Server(("127.0.0.1", 0), _Handler)
    server.proxy = Proxy(host)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.proxy, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def place():
    with s3_server("archive") as server, proxied(server.endpoint.partition("//")[2]) as (proxy, endpoint):
        yield proxy, type(server)(endpoint, "archive", {}).store()


@pytest.fixture
def _short(monkeypatch):
    """The brief requests are over before the server is there again; a process repeats a hundred requests in all."""
    monkeypatch.setattr(patience, "_PATIENT", (12, 300, 600))
    monkeypatch.setattr(patience, "_BRIEF", (2, 10, 20))


def tree(path):
    path.write_bytes(np.arange(4.0).tobytes())
    metadata = mf.ArrayMetadata(
        shape=(4,),
        dtype=np.dtype("f8"),
        chunk_grid=mf.RegularGrid((2,)),
        codecs=(mf.Codec("bytes", {"endian": "little"}),),
        fill_value=0.0,
        dims=("t",),
    )
    manifest = ChunkManifest.from_columns((2,), [mf.Source(path).file], 0, np.array([0, 16]), 16)
    return mf.VirtualGroup({"x": mf.VirtualArray(metadata, manifest)})


@pytest.mark.usefixtures("_short")
@pytest.mark.parametrize("kind", ["GET", "PUT", "LIST"])  # a process repeats a hundred requests in all
def test_a_busy_server_is_waited_for(place, tmp_path, kind):
    proxy, store = place
    target, options = f"s3://archive/{kind}.icechunk", {"stores": {"s3://archive": store}}
    values = tree(tmp_path / "a.bin")
    proxy.busy(kind)
    mf.write(values, target, **options)
    assert proxy.refused
    for change in ({"append_dim": "t"}, {"region": {"t": (0, 4)}}):
        proxy.busy("GET" if kind == "LIST" else kind)
        mf.write(values, target, **options, **change)
        assert proxy.refused
    proxy.busy("GET" if kind == "PUT" else kind)
    assert mf.parse(target, allow=[str(tmp_path)], **options)["x"].shape == (8,)
    proxy.fault = None


@pytest.mark.usefixtures("_short")
def test_what_is_forbidden_is_not_waited_for(place, tmp_path):
    proxy, store = place
    proxy.busy("ANY", 403, 60)
    with refuses():
        mf.write(tree(tmp_path / "a.bin"), "s3://archive/none.icechunk", stores={"s3://archive": store})
    assert len(proxy.refused) < 10
    proxy.fault = None


@pytest.mark.parametrize("host", ["127.0.0.1:9", "no-such-host.invalid"])
def test_nobody_is_there(tmp_path, host):
    registry = StoreRegistry(policy=RetryPolicy(unreachable=0.2))
    settings = {"endpoint_url": f"http://{host}", "region": "us-east-1", "anonymous": True}
    began = time.monotonic()
    calls = (
        lambda: mf.write(tree(tmp_path / "a.bin"), "s3://archive/o.icechunk", stores=registry, storage=settings),
        lambda: mf.parse("s3://archive/o.icechunk", format="icechunk", stores=registry, storage=settings),
    )
    for call in calls:
        with refuses(match=r"Connection refused|dns error|cannot be reached"):
            call()
    assert time.monotonic() - began < 5


def test_own_requests_get_minutes_and_readers_what_the_owner_chose(place, tmp_path):
    proxy, store = place
    proxy.fault = None
    tries, first, longest = patience._PATIENT
    pauses = [min(first * 2**n, longest) / 2000 for n in range(tries - 1)]  # half of each, on average
    assert 150 < sum(pauses) < 300
    target, options = "s3://archive/chosen.icechunk", {"stores": {"s3://archive": store}}
    mf.write(tree(tmp_path / "a.bin"), target, **options)
    storage = icechunk.s3_storage(
        bucket="archive",
        prefix="chosen.icechunk",
        endpoint_url=store.config["endpoint"],
        region="us-east-1",
        allow_http=True,
        force_path_style=True,
        access_key_id="test",
        secret_access_key="test",
    )
    repository = icechunk.Repository.open(storage)
    config = repository.config
    config.storage = icechunk.StorageSettings(retries=icechunk.StorageRetriesSettings(max_tries=7))
    repository.reopen(config=config).save_config()
    mf.write(tree(tmp_path / "a.bin"), target, append_dim="t", **options)
    kept = icechunk.Repository.fetch_config(storage).storage
    assert (kept.retries.max_tries, kept.timeouts) == (7, None)
