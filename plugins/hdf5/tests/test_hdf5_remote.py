"""Remote files: how many bytes and round trips parsing costs, counted by a server."""

import http.server
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import manifestry as mf
import netCDF4
import numpy as np
import pytest
from manifestry_hdf5 import file_bytes


class Counter:
    """What a range server saw: a round begins with a request that finds no other one on its way."""

    def __init__(self):
        self.lock = threading.Lock()
        self.requests = self.heads = self.bytes = self.rounds = self.active = 0

    def reset(self):
        self.requests = self.bytes = self.rounds = 0

    def begin(self):
        with self.lock:
            self.requests += 1
            self.rounds += self.active == 0
            self.active += 1

    def end(self, count):
        with self.lock:
            self.active -= 1
            self.bytes += count


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512  # of five, those who connect together would wait a second for each other


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
            counter.heads += 1
            self.answer(body=False)

    running = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
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


def assert_as_local(url, path):
    """That a remote file is read as a local one is, attributes and chunks."""
    remote, local = mf.parse(f"{url}/{path.name}"), mf.parse(path)
    arrays = dict(local.walk_arrays())
    assert [name for name, _ in remote.walk_arrays()] == list(arrays)
    for name, array in remote.walk_arrays():
        assert array.metadata == arrays[name].metadata
        assert array.manifest.inline_chunks() == arrays[name].manifest.inline_chunks()
        for ours, theirs in zip(array.manifest.columns()[1:], arrays[name].manifest.columns()[1:], strict=True):
            assert np.array_equal(ours, theirs)


def test_scattered_file_in_few_round_trips(server, scattered):
    url, counter = server
    assert_as_local(url, scattered)
    assert counter.rounds <= 3
    assert counter.bytes <= 1_000_000


def test_small_file_at_once(server, tmp_path):
    url, counter = server
    path = tmp_path / "small.h5"
    with h5py.File(path, "w") as file:
        file["group/x"] = np.arange(20_000.0)
        file["group/x"].attrs["units"] = "m"
        file.create_dataset("chunks", data=np.arange(5000.0), chunks=(10,), compression="gzip")
    assert path.stat().st_size > 200_000
    assert_as_local(url, path)
    assert counter.requests == 1


@pytest.mark.parametrize("name", ["hdf5", None])
def test_nothing_asks_for_the_size_alone(server, scattered, name):
    url, counter = server
    mf.parse(f"{url}/{scattered.name}", format=name)
    assert counter.heads == 0


def write_many(path, libver, variables=250):
    """Groups of variables that are compressed, with texts of variable length and dimension scales."""
    data = np.random.default_rng(0).random((10, 50))
    with h5py.File(path, "w", libver=libver, track_order=libver == "v108") as file:
        time = file.create_dataset("time", data=np.arange(10.0))
        time.make_scale("time")
        file["kind"] = np.dtype("f4")
        for name in ("first", "second"):
            group = file.create_group(name, track_order=libver == "v108")
            group.attrs["title"] = name
            for i in range(variables):
                growing = {"maxshape": (None, 50)} if i % 3 == 0 else {}
                kind = file["kind"] if i % 100 == 1 else "f8"
                variable = group.create_dataset(
                    f"variable_{i:04}", data=data, dtype=kind, chunks=(5, 50), compression="gzip", **growing
                )
                variable.attrs["long_name"] = f"variable {i} of the group {name}"
                for k in range(12 if i % 50 == 0 else 1):
                    variable.attrs[f"note{k}"] = "text" * (k + 1)
                variable.dims[0].attach_scale(time)


@pytest.mark.parametrize("libver", ["earliest", "v108", "latest"])
def test_many_variables_in_few_round_trips(server, tmp_path, libver):
    url, counter = server
    path = tmp_path / "many.h5"
    write_many(path, libver)
    assert path.stat().st_size > 1 << 20
    assert_as_local(url, path)
    assert counter.rounds <= 10


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_paged_file_in_two_round_trips(server, tmp_path, libver):
    url, counter = server
    path = tmp_path / "paged.h5"
    with h5py.File(path, "w", libver=libver, fs_strategy="page", fs_page_size=1 << 20) as file:
        for i in range(12):
            data = np.random.default_rng(i).random((40, 30, 40), "f4")
            variable = file.create_dataset(f"v{i}", data=data, chunks=(1, 30, 40), maxshape=(None, 30, 40))
            variable.attrs["units"] = "K"
    assert path.stat().st_size > 3 << 20
    assert_as_local(url, path)
    assert counter.rounds <= 2


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_scattered_pages_in_two_round_trips(server, tmp_path, libver):
    url, counter = server
    path = tmp_path / "paged.h5"
    with h5py.File(path, "w", libver=libver, fs_strategy="page", fs_page_size=1 << 16) as file:
        for i in range(110):
            data = np.random.default_rng(i).integers(0, 255, (8, 1 << 14), "u1")
            variable = file.create_dataset(f"v{i:03}", data=data, chunks=(1, 1 << 14), maxshape=(None, 1 << 14))
            variable.attrs["units"] = np.bytes_("K")
    assert path.stat().st_size > 13 << 20
    assert_as_local(url, path)
    assert counter.rounds <= 2
    assert counter.bytes <= 1_000_000


def test_what_waits_for_others_is_asked_for_with_them(server, tmp_path):
    url, counter = server
    path = tmp_path / "groups.h5"
    with h5py.File(path, "w", fs_strategy="page", fs_page_size=1 << 16) as file:
        for g in range(4):
            for i in range(12):
                file[f"g{g}/v{i}"] = np.zeros(1 << 15)
                file[f"g{g}/v{i}"].attrs.update({f"note{k}": "text" * k for k in range(9)})
    assert path.stat().st_size > 12 << 20
    assert_as_local(url, path)
    assert counter.rounds <= 4


def test_texts_in_a_large_collection_come_with_the_others(server, tmp_path):
    url, counter = server
    path = tmp_path / "texts.h5"
    with h5py.File(path, "w") as file:
        file["padding"] = np.zeros(100_000)
        for i in range(3):
            file[f"x{i}"] = np.arange(3)
            file[f"x{i}"].attrs["history"] = "a line of a long text\n" * 2000
            file[f"more{i}"] = np.zeros(100_000)
    assert_as_local(url, path)
    assert counter.rounds <= 5


@pytest.mark.parametrize("chunks", [None, (10,)])
def test_values_that_are_copied_come_together(server, tmp_path, chunks):
    url, counter = server
    path = tmp_path / "copied.h5"
    with h5py.File(path, "w") as file:
        for i in range(8):
            names = [f"station {k} of {i}" * 4 for k in range(200)]
            file.create_dataset(f"names{i}", data=names, dtype=h5py.string_dtype(), chunks=chunks)
            file[f"padding{i}"] = np.zeros(150_000)
    assert_as_local(url, path)
    assert counter.rounds <= 6


def test_members_of_groups_above_come_together(server, tmp_path):
    url, counter = server
    path = tmp_path / "inner.h5"
    with h5py.File(path, "w") as file:
        for i in range(16):
            file[f"x{i}"] = np.zeros(150_000)
            file[f"x{i}"].attrs["comment"] = np.bytes_("c" * 1500)
        file["inner/y"] = np.arange(3)
    tree = mf.parse(f"{url}/{path.name}", group="inner")
    assert list(tree.arrays) == ["y"]
    assert counter.rounds <= 4


def test_sources_of_a_virtual_dataset_are_opened_together(server, tmp_path):
    url, counter = server
    layout = h5py.VirtualLayout((12, 100), "f8")
    for i in range(12):
        with h5py.File(tmp_path / f"part{i}.h5", "w") as file:
            file["x"] = np.arange(100.0)
        layout[i] = h5py.VirtualSource(f"part{i}.h5", "x", (100,))
    with h5py.File(tmp_path / "whole.h5", "w", libver="latest") as file:
        file.create_virtual_dataset("all", layout)
    tree = mf.parse(f"{url}/whole.h5")
    assert len(tree["all"].manifest.files) == 12
    # The header of each, and of each that the file names whether it is where it seems to be.
    assert (counter.requests, counter.heads) == (1 + 2 * 12, 0)
    assert counter.rounds <= 4  # one more for all of those questions together


def test_threads_do_not_wait_for_each_other(server, scattered, tmp_path):
    url, counter = server
    for i in range(24):
        (tmp_path / f"copy{i}.nc").symlink_to(scattered)
    mf.parse(f"{url}/copy0.nc")
    alone = counter.rounds
    counter.reset()
    with ThreadPoolExecutor(24) as pool:
        trees = list(pool.map(lambda i: mf.parse(f"{url}/copy{i}.nc"), range(24)))
    assert len(trees) == 24
    assert counter.rounds <= 24 * alone / 4  # the server shares a processor with them, or it would be as few as for one


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


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("maximum", [(300, 300), (None, 300), (None, None)])
def test_every_index_in_few_round_trips(server, tmp_path, libver, maximum):
    url, counter = server
    path = tmp_path / "index.h5"
    with h5py.File(path, "w", libver=libver) as file:
        file["before"] = np.zeros(100_000)
        file.create_dataset("x", data=np.arange(90_000).reshape(300, 300), chunks=(3, 3), maxshape=maximum)
    assert_as_local(url, path)
    assert counter.rounds <= 5


def test_indexes_of_many_blocks_are_read_past_the_pages(server, tmp_path, monkeypatch):
    monkeypatch.setattr(file_bytes, "_MAX_KEPT_BLOCKS", 2)
    url, _ = server
    path = tmp_path / "index.h5"
    with h5py.File(path, "w", libver="latest") as file:
        for name, maximum in (("fixed", None), ("extensible", (200, None)), ("tree", (None, None))):
            file.create_dataset(name, data=np.arange(40_000).reshape(200, 200), chunks=(2, 2), maxshape=maximum)
            file.create_dataset(f"{name}_empty", shape=(9, 9), dtype="i4", chunks=(2, 2), maxshape=maximum)
    assert_as_local(url, path)


def test_ends_of_short_variables_cost_no_further_round(server, tmp_path):
    """What is beyond the end of a dataset in its last chunk is looked at together with what is copied."""
    url, counter = server
    rounds = {}
    for name, records in (("even.nc", 3), ("short.nc", 8)):
        with netCDF4.Dataset(tmp_path / name, "w") as file:
            file.createDimension("t", None)
            file.createVariable("texts", str, ("t",))[0] = "a"
            for n in range(4):
                file.createVariable(f"v{n}", "i4", ("t",), chunksizes=(200_000,), zlib=True)[:3] = n
            file.createVariable("t", "i4", ("t",))[:] = np.arange(records)
            file.createVariable("room", "f8", ("t",), chunksizes=(200_000,))[:records] = 1.0
        counter.reset()
        remote = mf.parse(f"{url}/{name}")
        rounds[name] = counter.rounds
        assert remote["v3"].shape == (records,)
        assert_as_local(url, tmp_path / name)
    assert rounds["short.nc"] == rounds["even.nc"]


@pytest.mark.parametrize("options", [{"group": "g7"}, {"include": ["g7/*"]}])
def test_a_selection_costs_few_rounds_for_the_lengths_of_other_groups(server, tmp_path, options):
    url, counter = server
    path = tmp_path / "groups.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("t", None)
        for n in range(20):
            for m in range(3):
                file.createVariable(f"g{n}/v{m}", "f4", ("t",))[: n + 1] = np.ones(n + 1)
                file.createVariable(f"g{n}/w{m}", "i4", ("t",))
                file.createVariable(f"g{n}/room{m}", "f8", ("t",), chunksizes=(20_000,))[:1] = n
    counter.reset()
    tree = mf.parse(f"{url}/{path.name}", **options)
    rounds, counter.rounds = counter.rounds, 0
    mf.parse(f"{url}/{path.name}")
    assert {array.shape for _, array in tree.walk_arrays()} == {(20,)}
    assert rounds <= counter.rounds + 4
