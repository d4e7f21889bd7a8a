"""Remote files: how many bytes and round trips parsing costs, counted by a server."""

import http.server
import re
import threading
import time
from pathlib import Path

import h5py
import manifestry as mf
import netCDF4
import numpy as np
import pytest


class Counter:
    """What a range server saw: a round begins with a request that finds no other one on its way."""

    def __init__(self):
        self.lock = threading.Lock()
        self.requests = self.bytes = self.rounds = self.active = 0

    def begin(self):
        with self.lock:
            self.requests += 1
            self.rounds += self.active == 0
            self.active += 1

    def end(self, count):
        with self.lock:
            self.active -= 1
            self.bytes += count


@pytest.fixture
def server(tmp_path):
    counter = Counter()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments):
            pass

        def answer(self, *, body):
            counter.begin()
            time.sleep(0.03)  # long enough for requests that belong together to meet
            data = (tmp_path / Path(self.path).name).read_bytes()
            span = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            part = data[int(span[1]) : int(span[2]) + 1] if span else data
            counter.end(len(part) if body else 0)
            self.send_response(206 if span else 200)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(part)))
            self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            if span:
                self.send_header("Content-Range", f"bytes {span[1]}-{int(span[1]) + len(part) - 1}/{len(data)}")
            self.end_headers()
            if body:
                self.wfile.write(part)

        def do_GET(self):
            self.answer(body=True)

        def do_HEAD(self):
            self.answer(body=False)

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}", counter
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def scattered(tmp_path):
    """Variables written step by step, so that their index nodes lie all over the file."""
    path = tmp_path / "scattered.nc"
    noise = np.random.default_rng(0)
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", None), ("y", 60), ("x", 90)):
            file.createDimension(name, size)
        variables = [
            file.createVariable(f"v{i}", "f4", ("time", "y", "x"), chunksizes=(1, 60, 90), zlib=True) for i in range(4)
        ]
        for step in range(150):
            for variable in variables:
                variable[step] = noise.normal(size=(60, 90))
    return path


def test_scattered_file_in_few_round_trips(server, scattered):
    url, counter = server
    tree = mf.parse(f"{url}/{scattered.name}")
    assert counter.rounds <= 6
    assert counter.bytes <= 1_500_000
    assert counter.bytes < scattered.stat().st_size / 8
    local = mf.parse(scattered)
    for name, array in tree.walk_arrays():
        assert np.array_equal(array.manifest.offsets, local[name].manifest.offsets)
        assert np.array_equal(array.manifest.lengths, local[name].manifest.lengths)


def test_links_of_a_remote_file_stay_remote(server, tmp_path):
    url, _ = server
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.arange(5)
    with h5py.File(tmp_path / "main.h5", "w") as file:
        file["x"] = np.arange(7)
        file["there"] = h5py.ExternalLink("other.h5", "/x")
        file["detour"] = h5py.SoftLink("/there")
    tree = mf.parse(f"{url}/main.h5", on_unsupported="skip")
    assert tree.arrays["there"].shape == (5,)
    assert tree.arrays["there"].manifest.files.urls == (f"{url}/other.h5",)
    assert tree.arrays["detour"].manifest.files.urls == (f"{url}/other.h5",)
    assert not tree.issues


def test_every_index_is_read_remotely(server, tmp_path):
    url, _ = server
    path = tmp_path / "indexes.h5"
    with h5py.File(path, "w", libver="latest") as file:
        for name, maximum in (("fixed", None), ("extensible", (40, None)), ("tree", (None, None))):
            file.create_dataset(name, data=np.arange(900).reshape(30, 30), chunks=(2, 2), maxshape=maximum)
    remote, local = mf.parse(f"{url}/indexes.h5"), mf.parse(path)
    for name, array in local.walk_arrays():
        assert np.array_equal(remote[name].manifest.offsets, array.manifest.offsets), name
