"""How ManifestStore reads: requests that are joined, objects that have changed, errors, event loops."""

import asyncio
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import manifestry as mf
import numpy as np
import pytest
import zarr
from hypothesis import given, strategies as st
from manifestry.testing.building import TreeBuilder
from manifestry.testing.servers import range_server
from manifestry.zarr_store import ranges
from manifestry.zarr_store.ranges import RangeReader, check_unchanged
from obstore import exceptions as obs
from obstore.store import MemoryStore
from zarr.core.buffer import default_buffer_prototype

PROTOTYPE = default_buffer_prototype()
NOW = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)


class Recording:
    """A store that records the requests it gets, and how many are under way at once."""

    def __init__(self, inner: MemoryStore) -> None:
        self.inner = inner
        self.requests: list[tuple[int, int]] = []
        self.busy = self.most = 0

    async def get_async(self, path, *, options=None):
        self.requests.append(tuple(options["range"]))
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            await asyncio.sleep(0.001)
            return await self.inner.get_async(path, options=options)
        finally:
            self.busy -= 1

    async def head_async(self, path):
        return await self.inner.head_async(path)


def remote_array(values: np.ndarray, chunk: int, gap: int = 0) -> tuple[mf.VirtualGroup, Recording]:
    """A one-dimensional array in a memory store, `gap` bytes between its chunks."""
    data = bytearray()
    offsets = []
    for start in range(0, len(values), chunk):
        data += bytes(gap)
        offsets.append(len(data))
        data += values[start : start + chunk].tobytes()
    memory = MemoryStore()
    memory.put("x.bin", bytes(data))
    source = mf.Source("memory://m/x.bin", {"memory://m": memory})
    grid = mf.RegularGrid((chunk,))
    metadata = mf.ArrayMetadata(
        shape=values.shape,
        dtype=values.dtype,
        chunk_grid=grid,
        codecs=(mf.Codec("bytes", {"endian": "little"}),),
        fill_value=0,
        dims=("n",),
    )
    manifest = mf.ChunkManifest.from_columns((len(offsets),), [source.file], 0, offsets, chunk * values.itemsize)
    return mf.VirtualGroup({"v": mf.VirtualArray(metadata, manifest)}), Recording(memory)


def read_all(tree: mf.VirtualGroup, store: Recording) -> np.ndarray:
    return zarr.open_array(mf.open_store(tree, stores={"memory://m": store}), path="v", mode="r")[:]


def test_neighbouring_chunks_are_one_request():
    values = np.arange(1000, dtype="i4")
    tree, store = remote_array(values, 10)
    with zarr.config.set({"async.concurrency": 25}):
        np.testing.assert_array_equal(read_all(tree, store), values)
    assert len(store.requests) <= 100 // 25 + 1
    assert sum(b - a for a, b in store.requests) == 4000


def test_chunks_far_apart_are_not_joined(monkeypatch):
    monkeypatch.setattr(ranges, "MAX_GAP", 8)
    values = np.arange(40, dtype="i4")
    near, store = remote_array(values, 10, gap=8)
    np.testing.assert_array_equal(read_all(near, store), values)
    assert len(store.requests) == 1
    far, store = remote_array(values, 10, gap=9)
    np.testing.assert_array_equal(read_all(far, store), values)
    assert sum(b - a for a, b in store.requests) == 160


def test_requests_have_a_bound_in_length_and_in_number(monkeypatch):
    monkeypatch.setattr(ranges, "MAX_REQUEST", 100)
    monkeypatch.setattr(ranges, "MAX_REQUESTS", 3)
    values = np.arange(1000, dtype="i4")
    tree, store = remote_array(values, 10)
    with zarr.config.set({"async.concurrency": 100}):
        np.testing.assert_array_equal(read_all(tree, store), values)
    assert max(b - a for a, b in store.requests) <= 100
    assert 1 < store.most <= 3


@given(st.lists(st.tuples(st.integers(0, 600), st.integers(1, 60)), min_size=1, max_size=40), st.integers(1, 200))
def test_whatever_is_joined_each_gets_its_own_bytes(wanted, most):
    data = np.random.default_rng(0).integers(0, 255, 700, "u1").tobytes()
    memory = MemoryStore()
    memory.put("x.bin", data)
    registry = mf.Source("memory://m/x.bin", {"memory://m": memory}).registry
    file = mf.SourceFile("memory://m/x.bin", len(data))

    async def read() -> list[bytes]:
        reader = RangeReader(registry)
        return list(map(bytes, await asyncio.gather(*(reader.read(file, a, a + n) for a, n in wanted))))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "MAX_REQUEST", most)
        patch.setattr(ranges, "MAX_GAP", 16)
        assert asyncio.run(read()) == [data[a : a + n] for a, n in wanted]


def local_array(directory: Path) -> tuple[mf.VirtualGroup, Path]:
    directory.mkdir(exist_ok=True)
    builder = TreeBuilder(directory)
    builder.array("v", np.arange(100, dtype="i4"), (10,), dims=("n",), gap=0)
    return builder.tree(), directory / "data.bin"


def truncate(path: Path) -> None:
    os.truncate(path, 50)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def touch(path: Path) -> None:
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (truncate, "had 400 bytes, and has 50; parse it again"),
        (grow, "had 400 bytes, and has 404; parse it again"),
        (touch, "was last changed .* and now .*; parse it again"),
        (Path.unlink, "does not exist"),
    ],
)
def test_local_file_that_changed_is_refused(tmp_path, change, message):
    tree, path = local_array(tmp_path)
    array = zarr.open_array(mf.open_store(tree), path="v", mode="r")
    assert array[3] == 3
    change(path)
    with pytest.raises(mf.SourceError, match=message):
        array[:]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (bytes(400), "its entity tag was .*, and is .*; parse it again"),
        (bytes(399), "had 400 bytes, and has 399; parse it again"),
        (bytes(20), "had 400 bytes, and has 20; parse it again"),  # the range itself is refused by the store
    ],
)
def test_remote_object_that_changed_is_refused(data, message):
    tree, store = remote_array(np.arange(100, dtype="i4"), 10)
    store.inner.put("x.bin", data)
    with pytest.raises(mf.SourceError, match=message):
        read_all(tree, store)


def test_remote_object_that_is_gone():
    tree, store = remote_array(np.arange(100, dtype="i4"), 10)
    store.inner.delete("x.bin")
    with pytest.raises(mf.SourceError, match=r"memory://m/x.bin: does not exist"):
        read_all(tree, store)


@pytest.fixture
def served():
    """A file of 100 chunks over HTTP, and the array in it."""
    values = np.arange(1000, dtype="i4")
    with range_server({"/x.bin": values.tobytes()}) as server:
        source = mf.Source(f"{server.url}/x.bin")
        metadata = mf.ArrayMetadata(
            shape=values.shape,
            dtype=values.dtype,
            chunk_grid=mf.RegularGrid((10,)),
            codecs=(mf.Codec("bytes", {"endian": "little"}),),
            fill_value=0,
        )
        manifest = mf.ChunkManifest.from_columns((100,), [source.file], 0, np.arange(100) * 40, 40)
        yield server, mf.VirtualGroup({"v": mf.VirtualArray(metadata, manifest)}), values


def test_http_in_few_requests_and_no_byte_too_many(served):
    server, tree, values = served
    array = zarr.open_array(mf.open_store(tree), path="v", mode="r")
    server.reset()
    np.testing.assert_array_equal(array[:], values)
    assert server.count("HEAD") == 0
    assert server.count("GET") <= 20
    assert server.sent == values.nbytes
    server.reset()
    np.testing.assert_array_equal(array[500:510], values[500:510])
    assert (server.count(), server.sent) == (1, 40)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda server: server.objects.update({"/x.bin": bytes(4000)}), "its entity tag was"),
        (lambda server: server.objects.update({"/x.bin": bytes(4001)}), "had 4000 bytes, and has 4001"),
        (lambda server: server.objects.update({"/x.bin": bytes(10)}), "had 4000 bytes, and has 10"),
        (lambda server: server.objects.clear(), "does not exist"),
        (lambda server: server.statuses.update({"/x.bin": 403}), "may not be read with these credentials"),
        (lambda server: server.statuses.update({"/x.bin": 401}), "needs credentials"),
        (lambda server: setattr(server, "ranges", False), "x.bin: "),
    ],
)
def test_http_that_is_not_what_was_parsed(served, change, message):
    server, tree, _ = served
    array = zarr.open_array(mf.open_store(tree), path="v", mode="r")
    change(server)
    with pytest.raises(mf.SourceError, match=message):
        array[500:]


def test_stores_of_an_object_store_registry():
    registries = pytest.importorskip("obspec_utils.registry")
    tree, store = remote_array(np.arange(100, dtype="i4"), 10)
    registry = registries.ObjectStoreRegistry({"memory://m": store.inner})
    assert zarr.open_array(mf.open_store(tree, stores=registry), path="v", mode="r")[:].tolist() == list(range(100))


def test_object_of_unknown_size_that_ends_too_early():
    tree, store = remote_array(np.arange(100, dtype="i4"), 10)
    manifest = tree.arrays["v"].manifest
    unknown = mf.ChunkManifest.from_columns(
        (10,), [mf.SourceFile("memory://m/x.bin")], 0, manifest.offsets + np.uint64(20), 40
    )
    tree = mf.VirtualGroup({"v": mf.VirtualArray(tree.arrays["v"].metadata, unknown)})
    with pytest.raises(mf.SourceError, match="ends at byte 400, before 420"):
        read_all(tree, store)


@pytest.mark.parametrize(
    ("seen", "same"),
    [
        ({}, True),
        ({"size": 11}, False),
        ({"size": None, "etag": None, "last_modified": None}, True),
        ({"etag": '"b"'}, False),
        ({"etag": 'W/"a"'}, True),
        ({"last_modified": NOW + timedelta(days=1)}, True),  # the tag decides where there is one
        ({"etag": None, "last_modified": NOW + timedelta(days=1)}, False),
        ({"etag": None, "last_modified": NOW + timedelta(microseconds=1)}, True),  # rounding of a float64
        ({"etag": None, "last_modified": NOW + timedelta(microseconds=50)}, False),
        ({"etag": None, "last_modified": NOW.replace(microsecond=0)}, True),  # a server that gives whole seconds
        ({"etag": None, "last_modified": NOW.replace(microsecond=0) - timedelta(seconds=1)}, False),
    ],
)
def test_what_counts_as_changed(seen, same):
    parsed = mf.SourceFile("s3://b/k", 10, '"a"', NOW)
    now = mf.SourceFile(**{"url": parsed.url, "size": 10, "etag": '"a"', "last_modified": NOW, **seen})
    if same:
        check_unchanged(parsed, now)
    else:
        with pytest.raises(mf.SourceError, match="has changed since it was parsed"):
            check_unchanged(parsed, now)


def test_a_relocated_file_may_have_another_time(tmp_path):
    tree, path = local_array(tmp_path / "here")
    moved = tmp_path / "there"
    moved.mkdir()
    (moved / path.name).write_bytes(path.read_bytes())
    os.utime(moved / path.name, (1, 1))
    relocated = tree.relocate({f"file://{path.parent}": f"file://{moved}"})
    assert zarr.open_array(mf.open_store(relocated), path="v", mode="r")[99] == 99
    truncate(moved / path.name)
    with pytest.raises(mf.SourceError, match="had 400 bytes, and has 50"):
        zarr.open_array(mf.open_store(relocated), path="v", mode="r")[:]


class Failing:
    """A store of which every request fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def get_async(self, path, *, options=None):
        raise self.error

    head_async = get_async


@pytest.mark.parametrize("name", sorted(n for n in dir(obs) if n.endswith("Error") and n != "NotFoundError"))
def test_every_error_of_the_store_library_is_a_source_error(name):
    tree, _ = remote_array(np.arange(100, dtype="i4"), 10)
    with pytest.raises(mf.SourceError, match=r"memory://m/x\.bin: ") as caught:
        read_all(tree, Failing(getattr(obs, name)("the reason")))
    assert "\n" not in str(caught.value)


def test_one_store_in_several_event_loops_and_threads(tmp_path):
    tree, _ = local_array(tmp_path)
    store = mf.open_store(tree)
    found = []

    def work() -> None:
        async def read() -> bytes:
            parts = await asyncio.gather(*(store.get(f"v/c/{i}", PROTOTYPE) for i in range(10)))
            return b"".join(p.to_bytes() for p in parts)

        found.append(asyncio.run(read()))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [np.arange(100, dtype="i4").tobytes()] * 6


def test_who_gives_up_waiting_does_not_harm_the_others():
    tree, recording = remote_array(np.arange(100, dtype="i4"), 10)
    store = mf.open_store(tree, stores={"memory://m": recording})

    async def read() -> list:
        tasks = [asyncio.create_task(store.get(f"v/c/{i}", PROTOTYPE)) for i in range(4)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, cancelled, *rest = asyncio.run(read())
    assert isinstance(cancelled, asyncio.CancelledError)
    expected = np.arange(100, dtype="i4").reshape(10, 10)
    assert [p.to_bytes() for p in (first, *rest)] == [expected[i].tobytes() for i in (0, 2, 3)]
