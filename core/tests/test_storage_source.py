"""Source and StoreRegistry: local files, HTTP, S3, memory; the caller's stores; requests counted; faults in one line."""

import os
import pickle
import socket
import time

import pytest
from examples import examples
from hypothesis import given, settings, strategies as st
from manifestry.errors import OptionError, SourceError
from manifestry.storage.registry import StoreRegistry
from manifestry.storage.retrying import RetryPolicy
from manifestry.storage.source import HEAD_BYTES, REMOTE_HEAD_BYTES, Source
from manifestry.testing.servers import range_server
from obspec_utils.registry import ObjectStoreRegistry
from obspec_utils.wrappers import TracingReadableStore
from obstore.store import HTTPStore, LocalStore, MemoryStore
from s3_server import s3_server

DATA = bytes(i * 31 % 256 for i in range(300_000))
ODD = ["with space", "a#b", "100%25", "what?", "größe 世界", "back\\slash", "{{x}}", "a&b=c+d;e", "~x", "*"]


@pytest.fixture
def memory():
    store = MemoryStore()
    store.put("dir/a.bin", DATA)
    store.put("dir/sub/b.bin", b"b")
    store.put("empty", b"")
    return store


@pytest.fixture(scope="module")
def s3():
    with s3_server() as server:
        store = server.store()
        for name in ODD:
            store.put(f"dir/{name}", name.encode())
        store.put("dir/sub/x", b"x")
        yield server


@pytest.fixture
def s3_environment(s3, monkeypatch):
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3


def failure(source):
    """The one line that says why a source has no size."""
    with pytest.raises(SourceError) as caught:
        _ = source.size
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestLocal:
    @pytest.mark.parametrize("name", [*ODD, "new\nline", "\x7f", "a\udcffb", "trailing "])
    def test_any_name(self, name, tmp_path):
        (tmp_path / name).write_bytes(DATA)
        source = Source(tmp_path / name)
        assert source.local_path == tmp_path / name
        assert (source.size, source.etag, source.name) == (len(DATA), None, name)
        assert source.last_modified.timestamp() == pytest.approx(os.stat(tmp_path / name).st_mtime, abs=1e-5)
        assert source.ranges([(5, 9), (0, 0), (299_990, 300_000)]) == [DATA[5:9], b"", DATA[-10:]]
        with source.open() as file:
            assert file.read() == DATA
        assert not source.is_prefix
        assert source.exists()

    @pytest.mark.parametrize("name", ODD)
    def test_any_name_through_a_store_of_the_caller(self, name, tmp_path):
        (tmp_path / name).write_bytes(DATA)
        source = Source(tmp_path / name, {str(tmp_path): LocalStore(tmp_path)})
        assert source.local_path is None
        assert (source.size, source.path) == (len(DATA), name)
        assert source.ranges([(5, 9), (299_990, 300_000)]) == [DATA[5:9], DATA[-10:]]
        assert source.open().read() == DATA
        assert Source(tmp_path, {"file:///": LocalStore("/")}).is_prefix

    def test_characters_that_stores_do_not_allow(self, tmp_path):
        (tmp_path / "a\nb").touch()
        assert "object stores do not allow" in failure(Source(tmp_path / "a\nb", {"/": LocalStore("/")}))

    def test_prefix(self, tmp_path):
        (tmp_path / "b").touch()
        (tmp_path / "a").mkdir()
        source = Source(tmp_path)
        assert source.is_prefix
        assert not source.exists()
        assert source.list() == ["a/", "b"]
        assert source.child("b").url == f"file://{tmp_path}/b"
        assert "is a directory" in failure(source)

    def test_faults(self, tmp_path, monkeypatch):
        (tmp_path / "file").touch()
        assert failure(Source(tmp_path / "no\nthing")).endswith("/no\\nthing: does not exist")
        assert "lies below something that is not a directory" in failure(Source(tmp_path / "file/x"))
        assert "File name too long" in failure(Source(tmp_path / ("x" * 300)))
        assert not Source(tmp_path / "nothing").exists()
        assert not Source(tmp_path / "file/x").exists()
        monkeypatch.setattr(os, "open", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
        (tmp_path / "file").write_bytes(b"x")
        with pytest.raises(SourceError, match="may not be read: permission denied"):
            Source(tmp_path / "file").range(0, 1)

    def test_a_file_that_shrank(self, tmp_path):
        (tmp_path / "file").write_bytes(DATA)
        source = Source(tmp_path / "file")
        assert source.size == len(DATA)
        (tmp_path / "file").write_bytes(b"short")
        with pytest.raises(SourceError, match="has changed: it ends at byte 5 now, and had 300000 bytes"):
            source.range(0, 100)

    @pytest.mark.parametrize("wanted", [(299_999, 300_001), (-1, 5), (2**64, 2**64 + 1), (0, 2**70)])
    def test_ranges_outside(self, wanted, tmp_path):
        (tmp_path / "file").write_bytes(DATA)
        with pytest.raises(SourceError, match=r"has 300000 bytes, so the range .* is not in it"):
            Source(tmp_path / "file").ranges([wanted])


class TestMemory:
    def test_object(self, memory):
        source = Source("memory://here/dir/a.bin", {"memory://here": memory})
        assert (source.size, source.local_path, source.path) == (len(DATA), None, "dir/a.bin")
        assert source.etag is not None
        assert source.head(10) == DATA[:10]
        assert source.head(HEAD_BYTES + 5) == DATA[: HEAD_BYTES + 5]
        assert source.range(299_000, 400_000) == DATA[299_000:]
        assert source.ranges([]) == []
        reader = source.open()
        reader.seek(123_456)
        assert reader.read(1000) == DATA[123_456:124_456]

    def test_prefix(self, memory):
        source = Source("memory://here/dir", {"memory://here/": memory})
        assert source.is_prefix
        assert source.list() == ["a.bin", "sub/"]
        assert source.child("sub").list() == ["b.bin"]
        assert source.child("sub/b.bin").range(0, 1) == b"b"
        assert Source("memory://here", {"memory://here": memory}).list() == ["dir/", "empty"]
        assert not Source("memory://here/dir/a.bin", {"memory://here": memory}).is_prefix
        assert not Source("memory://here/empty", {"memory://here": memory}).is_prefix

    def test_first_bytes(self, memory):
        for name, size in (("dir/a.bin", len(DATA)), ("empty", 0), ("dir/sub/b.bin", 1)):
            source = Source(f"memory://here/{name}", {"memory://here": memory})
            data = bytes(memory.get(name).bytes())
            assert source.head() == data[:REMOTE_HEAD_BYTES]
            assert source.file == Source(source.url, {"memory://here": memory}).file
            assert source.size == size
        with pytest.raises(SourceError, match="does not exist"):
            Source("memory://here/none", {"memory://here": memory}).head()

    def test_resolve(self, memory):
        source = Source("memory://here/dir/a.bin", {"memory://here": memory})
        assert source.resolve("sub/b.bin").range(0, 1) == b"b"
        assert source.resolve("/empty").size == 0

    def test_without_a_store(self):
        assert "no store was given" in failure(Source("memory://here/a"))

    @given(
        st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3000)), max_size=6), st.sampled_from([0, 100, 16384])
    )
    @settings(max_examples=examples(50), deadline=None)
    def test_ranges_are_the_bytes(self, ranges, coalesce):
        store = MemoryStore()
        store.put("a", DATA[:3000])
        source = Source("memory://m/a", {"memory://m": store})
        assert source.ranges(ranges, coalesce=coalesce) == [DATA[:3000][a:b] for a, b in ranges]


class TestHttp:
    @pytest.fixture
    def server(self):
        with range_server({"/d/a.bin": DATA, "/a%20b%2Fc.bin?sig=x%2B1&y": DATA, "/empty": b""}) as server:
            yield server

    def test_url_is_sent_verbatim(self, server):
        path = "/a%20b%2Fc.bin?sig=x%2B1&y"
        source = Source(server.url + path)
        assert source.range(5, 9) == DATA[5:9]
        assert {request.path for request in server.requests} == {path}
        assert source.name == "a%20b%2Fc.bin"
        assert not source.is_prefix

    def test_size_tag_and_time_are_asked_for_once(self, server):
        source = Source(server.url + "/d/a.bin")
        assert source.file == source.file
        assert source.etag.startswith('"')
        assert source.last_modified.year == 2020
        source.head()
        source.head(100)
        source.open().read(10)
        assert (server.count("HEAD"), server.count("GET")) == (1, 1)

    @pytest.mark.parametrize("size", [1, REMOTE_HEAD_BYTES - 1, REMOTE_HEAD_BYTES, REMOTE_HEAD_BYTES + 1])
    def test_size_tag_and_time_come_with_the_first_bytes(self, server, size):
        server.objects["/x"] = data = (DATA * 2)[:size]
        source, asked = Source(server.url + "/x"), Source(server.url + "/x")
        assert asked.size == size
        server.reset()
        assert source.head() == data[:REMOTE_HEAD_BYTES]
        assert source.file == asked.file
        assert (source.exists(), source.is_prefix, source.head(10)) == (True, False, data[:10])
        assert source.blocks(block_size=1000).read_range(0, 900) == data[:900]
        assert (server.count("HEAD"), server.count("GET"), server.sent) == (0, 1, min(size, REMOTE_HEAD_BYTES))
        assert source.head(10**6) == data

    def test_first_bytes_of_servers_without_head_requests(self, server):
        server.head = False
        source = Source(server.url + "/d/a.bin")
        assert (source.head(), source.size) == (DATA[:REMOTE_HEAD_BYTES], len(DATA))

    def test_first_bytes_of_servers_without_ranges(self, server):
        server.ranges = False
        source, empty = Source(server.url + "/d/a.bin"), Source(server.url + "/empty")
        with pytest.raises(SourceError, match="does not answer requests for byte ranges"):
            source.head()
        assert (source.size, empty.head(), empty.size) == (len(DATA), b"", 0)

    def test_first_bytes_and_faults(self, server):
        server.statuses = {"/401": 401, "/403": 403, "/400": 400}
        for path, message in (("/none", "does not exist"), ("/401", "needs credentials"), ("/400", "400 Bad Request")):
            with pytest.raises(SourceError, match=message):
                Source(server.url + path).head()
        assert server.count("HEAD") == 0
        server.fail_once(503)
        assert Source(server.url + "/d/a.bin").head(5) == DATA[:5]

    def test_what_is_only_asked_for_is_not_read(self, server):
        assert Source(server.url + "/d/a.bin").exists()
        assert (server.count("HEAD"), server.count("GET")) == (1, 0)

    def test_many_far_ranges_are_on_their_way_together(self, server):
        source = Source(server.url + "/d/a.bin")
        assert source.size
        server.reset()
        server.latency = 0.1
        wanted = [(i * 2000 % 300_000, i * 2000 % 300_000 + 5) for i in range(110, -10, -1)] + [(7, 7)]
        wanted += [(a, b + 20) for a, b in wanted[:30]]
        assert source.ranges(wanted, coalesce=100) == [DATA[a:b] for a, b in wanted]
        assert server.count() == 120
        assert server.round_trips <= 4

    def test_near_ranges_are_one_request_and_far_ones_are_concurrent(self, server):
        source = Source(server.url + "/d/a.bin")
        assert source.size
        server.reset()
        wanted = [(0, 10), (1000, 1010), (17_000, 17_010), (200_000, 200_010)]
        assert source.ranges(wanted) == [DATA[a:b] for a, b in wanted]
        assert (server.count("GET"), server.sent) == (2, 17_010 + 10)
        server.reset()
        server.latency = 0.1
        wanted = [(i * 30_000, i * 30_000 + 5) for i in range(10)]
        assert source.ranges(wanted) == [DATA[a:b] for a, b in wanted]
        assert server.count() == 10
        assert server.round_trips <= 3

    def test_block_reader_fetches_what_it_touches(self, server):
        source = Source(server.url + "/d/a.bin")
        reader = source.blocks(block_size=1000)
        assert reader.read_range(150_500, 150_600) == DATA[150_500:150_600]
        assert server.sent == 1000

    def test_faults(self, server):
        server.statuses = {"/401": 401, "/403": 403}
        assert failure(Source(server.url + "/none")) == f"{server.url}/none: does not exist"
        assert "needs credentials" in failure(Source(server.url + "/401"))
        assert "may not be read with these credentials" in failure(Source(server.url + "/403"))
        assert not Source(server.url + "/none").exists()
        with pytest.raises(SourceError):
            Source(server.url + "/403").exists()

    def test_busy_servers_are_asked_again_and_then_given_up(self, server):
        server.statuses = {"/503": 503}
        registry = StoreRegistry(policy=RetryPolicy(busy=0.5, pause=0.1))
        assert "503 Service Unavailable; tried for" in failure(Source(server.url + "/503", registry))
        assert server.count() > 2

    def test_servers_without_head_requests(self, server):
        server.head = False
        source = Source(server.url + "/d/a.bin")
        assert source.size == len(DATA)
        assert source.range(7, 9) == DATA[7:9]

    def test_servers_without_ranges(self, server):
        server.ranges = False
        with pytest.raises(SourceError, match="does not answer requests for byte ranges"):
            Source(server.url + "/d/a.bin").range(5, 9)

    def test_empty_objects(self, server):
        source = Source(server.url + "/empty")
        assert (source.size, source.head(), source.open().read()) == (0, b"", b"")

    def test_nobody_listens(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        begun = time.monotonic()
        assert "/x: cannot be reached: connection refused; tried for" in failure(Source(f"http://127.0.0.1:{port}/x"))
        assert time.monotonic() - begun < 10

    def test_a_store_of_the_caller_wins(self, server):
        store = HTTPStore(server.url + "/d", client_options={"allow_http": True})
        source = Source("http://elsewhere/x/a.bin", {"http://elsewhere/x": store})
        assert source.range(0, 3) == DATA[:3]
        assert not source.is_prefix

    def test_plain_keys_of_a_host_share_a_store(self, server):
        registry = StoreRegistry()
        first, key = registry.resolve(server.url + "/d/a.bin")
        second, other = registry.resolve(server.url + "/empty")
        assert first is second
        assert (key, other) == ("d/a.bin", "empty")
        for odd in ("/d/a.bin?x", "/a%20b", "/d//a.bin", "/d/../a.bin", "/d/", "/a+b", "/ü"):
            assert registry.resolve(server.url + odd)[1] == ""


class TestS3:
    @pytest.mark.parametrize("name", ODD)
    def test_any_key(self, name, s3_environment):
        source = Source(f"s3://bucket/dir/{name}")
        assert source.range(0, source.size) == name.encode()
        assert source.etag

    def test_prefix(self, s3_environment):
        assert Source("s3://bucket/dir").is_prefix
        assert Source("s3://bucket/dir/").list() == sorted([*ODD, "sub/"])
        assert not Source("s3://bucket/dir/sub/x").is_prefix
        assert not Source("s3://bucket/di").is_prefix

    def test_first_bytes(self, s3_environment):
        store = s3_environment.store()
        for name, data in (("dir/sub/large", DATA), ("dir/sub/empty", b""), ("dir/a#b", b"a#b")):
            store.put(name, data)
            source = Source(f"s3://bucket/{name}")
            assert not Source(f"s3://bucket/{name}").is_prefix
            assert source.head() == data[:REMOTE_HEAD_BYTES]
            assert source.file == Source(f"s3://bucket/{name}").file
        with pytest.raises(SourceError, match="does not exist"):
            Source("s3://bucket/none").head()

    def test_faults(self, s3_environment):
        assert failure(Source("s3://bucket/none")) == "s3://bucket/none: does not exist"
        assert "does not exist" in failure(Source("s3://none/x"))

    def test_without_credentials(self, monkeypatch):
        for name in os.environ:
            if name.startswith("AWS_"):
                monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
        begun = time.monotonic()
        failure(Source("s3://bucket/x"))
        assert time.monotonic() - begun < 20

    def test_the_callers_store_wins_over_the_environment(self, s3, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        source = Source("s3://bucket/dir/a#b", {"s3://bucket": s3.store()})
        assert source.range(0, 3) == b"a#b"
        assert Source("s3://bucket/dir/a#b", {"s3://bucket/dir": s3.store("dir")}).size == 3


class TestRegistry:
    def test_the_longest_prefix_that_ends_at_a_segment_counts(self):
        outer, inner = MemoryStore(), MemoryStore()
        registry = StoreRegistry({"s3://b": outer, "s3://b/data/": inner})
        assert registry.resolve("s3://b/data/x/y") == (inner, "x/y")
        assert registry.resolve("s3://b/database/x") == (outer, "database/x")
        assert registry.resolve("s3://b/data") == (inner, "")
        assert registry.serves("s3://b/x")
        assert not registry.serves("s3://bb/x")

    @pytest.mark.parametrize("prefix", ["/", "file:///", "file://"])
    def test_the_root_of_the_file_system(self, prefix):
        store = MemoryStore()
        registry = StoreRegistry({prefix if prefix != "file://" else "file:///": store})
        assert registry.resolve("file:///a/b") == (store, "a/b")
        assert not registry.serves("s3://a/b")

    @pytest.mark.parametrize("key", [*(f"dir/{name}" for name in ODD), "a\tb"])
    def test_object_store_registry(self, key):
        store = MemoryStore()
        registry = StoreRegistry(ObjectStoreRegistry({"s3://bucket": store}))
        assert registry.resolve(f"s3://bucket/{key}") == (store, key)
        assert registry.resolve("https://elsewhere/a")[0] is not store

    def test_object_store_registry_with_http(self):
        with range_server({"/d/a%20b": DATA}) as server:
            store = HTTPStore(server.url, client_options={"allow_http": True})
            source = Source(server.url + "/d/a%20b", ObjectStoreRegistry({server.url: store}))
            assert source.store is store
            assert source.range(0, 3) == DATA[:3]

    def test_stores_that_are_not_obstores(self, memory):
        traced = TracingReadableStore(
            memory, trace := __import__("obspec_utils.wrappers", fromlist=["x"]).RequestTrace()
        )
        source = Source("s3://bucket/dir/a.bin", ObjectStoreRegistry({"s3://bucket": traced}))
        assert source.ranges([(0, 3), (5, 7)]) == [DATA[:3], DATA[5:7]]
        assert not source.is_prefix
        assert source.head() == DATA[:REMOTE_HEAD_BYTES]
        assert source.size == len(DATA)
        assert trace.requests

    def test_a_registry_of_ours_is_taken_over(self, memory):
        registry = StoreRegistry({"memory://m": memory})
        assert StoreRegistry(registry).resolve("memory://m/x") == (memory, "x")

    def test_what_is_no_registry(self):
        with pytest.raises(OptionError, match="not list"):
            Source("/a", [MemoryStore()])

    def test_pickle(self, tmp_path):
        (tmp_path / "a").write_bytes(DATA)
        for source in (Source(tmp_path / "a"), Source(tmp_path / "a", {"/": LocalStore("/")})):
            assert source.range(0, 2) == DATA[:2]
            again = pickle.loads(pickle.dumps(source))
            assert (again.url, again.range(0, 2)) == (source.url, DATA[:2])
            assert (again.local_path is None) == (source.local_path is None)


def test_stores_of_every_kind_are_converted_in_one_place(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    store = LocalStore(tmp_path)
    ours = StoreRegistry({"memory://x": store})
    assert StoreRegistry.of(ours) is ours
    for stores in ({"memory://x": store}, ours, ObjectStoreRegistry({"memory://x": store})):
        assert StoreRegistry.of(stores).resolve("memory://x/a") == (store, "a")
        assert Source("memory://x/a", stores).size == 3
    assert not StoreRegistry.of(None).serves("memory://x/a")
    with pytest.raises(OptionError, match="stores must be a mapping of URL prefix to store, or a registry, not list"):
        StoreRegistry.of([store])
