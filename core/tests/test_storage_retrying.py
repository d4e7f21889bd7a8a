"""What is tried again, for how long, and what is said when it was in vain."""

import pickle
import socket
import time
from functools import partial
from itertools import count

import manifestry as mf
import numpy as np
import obstore
import pytest
import zarr
from manifestry.cli.application import run
from manifestry.conversion.sources import expand_sources
from manifestry.errors import SourceError
from manifestry.model.manifest import ChunkManifest
from manifestry.storage.objects import list_objects
from manifestry.storage.registry import StoreRegistry
from manifestry.storage.retrying import RetryPolicy
from manifestry.storage.source import Source
from manifestry.testing.servers import range_server
from obstore.exceptions import GenericError
from obstore.store import HTTPStore, MemoryStore

DATA = bytes(i * 31 % 256 for i in range(40_000))
QUICK = RetryPolicy(busy=1, unreachable=0.3, silence=0.4, pause=0.05, longest_pause=0.1)
PATIENT = RetryPolicy(silence=0.4, pause=0.05, longest_pause=0.1)
BUSY = [408, 425, 429, 500, 502, 503, 504]


@pytest.fixture
def server():
    with range_server({"/a": DATA}) as running:
        yield running


def source(server, policy=PATIENT):
    return Source(f"{server.url}/a", StoreRegistry(policy=policy))


def first(number, status):
    """A fault of the first requests."""
    seen = count()
    return lambda *_: status if next(seen) < number else None


def hang(*_):
    time.sleep(1)


class TestDefaults:
    def test_minutes_for_the_busy_and_seconds_for_those_who_are_not_there(self):
        policy = StoreRegistry().policy
        assert policy.busy >= 120
        assert policy.silence < policy.busy
        assert max(policy.unreachable, policy.attempts * policy.connecting) + 0.5 < 10

    @pytest.mark.parametrize("url", ["http://h/x", "https://h/x?y", "s3://b/x", "gs://b/x", "az://b/x"])
    def test_stores_from_the_environment_follow_the_policy(self, url, monkeypatch):
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        store, _ = StoreRegistry().resolve(url)
        assert store.retry_config["retry_timeout"].total_seconds() >= 120
        assert (store.client_options["read_timeout"], store.client_options["timeout"]) == ("30s", "1day")

    @pytest.mark.parametrize(("url", "begin"), [("s3://b", "AWS_"), ("gs://b", "GOOGLE_"), ("az://b", "AZURE_")])
    def test_what_the_environment_says_of_connections_counts(self, url, begin, monkeypatch):
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
        for name, value in {"ALLOW_HTTP": "true", "READ_TIMEOUT": "7s", "PROXY_URL": "http://proxy"}.items():
            monkeypatch.setenv(begin + name, value)
        options = StoreRegistry().resolve(f"{url}/x")[0].client_options
        assert (options["allow_http"], options["read_timeout"], options["proxy_url"]) == ("true", "7s", "http://proxy")
        assert "connect_timeout" in options

    def test_a_server_that_is_busy_for_four_seconds(self, server):
        end = time.monotonic() + 4
        server.fault = lambda *_: 503 if time.monotonic() < end else None
        assert Source(f"{server.url}/a").range(0, 4) == DATA[:4]

    def test_the_policy_travels(self):
        registry = pickle.loads(pickle.dumps(StoreRegistry(policy=QUICK)))
        assert registry.policy == StoreRegistry(registry).policy == QUICK


class TestPassingFaults:
    @pytest.mark.parametrize("status", [0, *BUSY])
    def test_every_request(self, server, status):
        one = source(server)
        server.fault = first(8, status)
        assert one.size == len(DATA)
        server.fault = first(8, status)
        assert one.ranges([(at, at + 10) for at in range(0, 40_000, 5000)], coalesce=0) == [
            DATA[at : at + 10] for at in range(0, 40_000, 5000)
        ]

    def test_a_request_that_hangs(self, server):
        one = source(server, RetryPolicy(busy=30, silence=0.3))
        server.fault = lambda *_: hang() if server.count() == 0 else None
        assert one.size == len(DATA)
        server.reset()
        assert one.range(0, 4) == DATA[:4]

    def test_a_quarter_of_many_requests(self, server):
        one = source(server)
        assert one.size
        seen = count()
        server.fault = lambda *_: 503 if next(seen) * 7919 % 101 < 25 else None
        ranges = [(at, at + 50) for at in range(0, 40_000, 1000)]
        assert one.ranges(ranges, coalesce=0) == [DATA[a:b] for a, b in ranges]

    def test_a_transfer_that_flows_may_take_longer_than_a_silence(self, server):
        one = source(server, RetryPolicy(silence=0.5))
        assert one.size
        server.drip = 0.1
        assert one.range(0, 12_000) == DATA[:12_000]
        assert server.count("GET") == 1

    def test_reading_a_store(self, server):
        metadata = mf.ArrayMetadata(
            shape=(40_000,),
            dtype=np.dtype("u1"),
            chunk_grid=mf.RegularGrid((10_000,)),
            codecs=(mf.Codec("bytes"),),
            fill_value=0,
        )
        manifest = ChunkManifest.from_columns((4,), [source(server).file], 0, np.arange(0, 40_000, 10_000), 10_000)
        tree = mf.VirtualGroup({"v": mf.VirtualArray(metadata, manifest)})
        store = mf.open_store(tree, stores=StoreRegistry(policy=PATIENT))
        server.fault = first(12, 503)
        assert zarr.open_array(store, path="v", mode="r")[...].tobytes() == DATA

    def test_listing_goes_on_where_it_stopped(self, monkeypatch):
        store, registry = MemoryStore(), StoreRegistry(policy=PATIENT)
        for name in "abcdefg":
            store.put(f"d/{name}.nc", b"x")
        registry._defaults["s3://b"] = store
        offsets = []

        real = obstore.list

        def pages(store, prefix, offset):
            offsets.append(offset)
            found = real(store, prefix, offset=offset, chunk_size=2)
            yield from [next(iter(found))] if len(offsets) == 1 else found
            if len(offsets) == 1:
                raise GenericError("S3 - 503\n inner: Status {\n   status: 503,")

        monkeypatch.setattr(obstore, "list", pages)
        assert [meta["path"] for meta in list_objects("s3://b/d/", registry)] == [f"d/{name}.nc" for name in "abcdefg"]
        assert offsets == [None, "d/b.nc"]
        offsets.clear()
        assert len(list(expand_sources(["s3://b/d/*.nc"], stores=registry))) == 7


class TestGivingUp:
    @pytest.mark.parametrize("status", BUSY)
    def test_servers_that_stay_busy(self, server, status):
        server.statuses = {"/a": status}
        with pytest.raises(SourceError, match=rf"/a: Server returned .* {status} .*; tried for [12] s$"):
            _ = source(server, QUICK).size
        assert server.count() > 5

    def test_servers_that_hang(self, server):
        server.fault = hang
        with pytest.raises(SourceError, match=r"/a: no answer within 0\.4 s; tried for [1-3] s$"):
            _ = source(server, QUICK).size

    def test_servers_that_hang_up(self, server):
        server.fault = lambda *_: 0
        with pytest.raises(SourceError, match=r"closed the connection before .* complete; tried for [12] s$"):
            _ = source(server, QUICK).size

    @pytest.mark.parametrize("status", [501, 416, 405])
    def test_faults_that_last_are_not_tried_again(self, server, status):
        one = source(server)
        assert one.size
        server.reset()
        server.statuses = {"/a": status}
        with pytest.raises(SourceError):
            one.range(0, 4)
        assert server.count() <= QUICK.attempts

    @pytest.mark.parametrize("scheme", ["http", "https", "s3"])
    def test_nobody_listens(self, scheme, monkeypatch):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            place = f"127.0.0.1:{probe.getsockname()[1]}"
        keys = {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x", "ENDPOINT_URL": f"http://{place}", "ALLOW_HTTP": "true"}
        for name, value in keys.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        url = "s3://bucket" if scheme == "s3" else f"{scheme}://{place}"
        with pytest.raises(SourceError, match="cannot be reached: connection refused") as caught:
            _ = Source(f"{url}/x", StoreRegistry(policy=RetryPolicy(unreachable=0.2))).size
        assert caught.value.exit_code == 5

    def test_a_host_that_was_not_there_is_not_asked_again_at_once(self, server, monkeypatch):
        registry = StoreRegistry(policy=RetryPolicy(unreachable=0.2))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            gone = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(SourceError, match="cannot be reached: connection refused"):
            _ = Source(f"{gone}/x", registry).size
        began = time.monotonic()
        with pytest.raises(SourceError, match=rf"^{gone}/y: cannot be reached: connection refused; tried for 0 s$"):
            _ = Source(f"{gone}/y", registry).size
        assert time.monotonic() - began < 0.1
        assert Source(f"{server.url}/a", registry).size == len(DATA)  # another port is another host
        assert not pickle.loads(pickle.dumps(registry)).policy.refusals._known
        monkeypatch.setattr("manifestry.storage.retrying.time.monotonic", lambda: began + 11)
        registry.policy.refusals.check(f"{gone}/y")

    def test_a_host_that_nobody_knows(self):
        with pytest.raises(SourceError, match="cannot be reached: the name of the host cannot be looked up"):
            mf.parse("http://no-such-host.invalid/x.nc", stores=StoreRegistry(policy=RetryPolicy(unreachable=0.2)))

    def test_a_server_that_goes_away(self, server, monkeypatch):
        one = source(server, RetryPolicy(unreachable=0.2))
        assert one.size
        gone = HTTPStore("http://127.0.0.1:9", client_options={"allow_http": True}, retry_config={"max_retries": 0})
        monkeypatch.setattr(one.registry, "resolve", lambda url: (gone, "a"))
        one = Source.at(one.url, one.registry, one.file)
        with pytest.raises(SourceError, match="cannot be reached: connection refused"):
            one.ranges([(0, 4), (30_000, 30_004)], coalesce=0)

    @pytest.mark.parametrize(
        ("url", "expected"), [("http", "cannot be reached: no connection in time"), ("https", "no secure connection")]
    )
    def test_connections_that_never_come(self, url, expected):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0 if url == "http" else 10)
            others = [socket.socket() for _ in range(4 if url == "http" else 0)]
            for other in others:  # the queue is full
                other.setblocking(False)
                other.connect_ex(listener.getsockname())
            policy = RetryPolicy(busy=0.5, unreachable=0.2, connecting=0.2, attempts=2)
            with pytest.raises(SourceError, match=expected):
                _ = Source(f"{url}://127.0.0.1:{listener.getsockname()[1]}/x", StoreRegistry(policy=policy)).size
            for other in others:
                other.close()

    def test_a_store_of_the_callers_has_its_own_policy(self, server):
        store = HTTPStore(server.url, client_options={"allow_http": True}, retry_config={"max_retries": 0})
        server.statuses = {"/a": 503}
        with pytest.raises(SourceError, match=r"503 Service Unavailable$"):
            _ = Source(f"{server.url}/a", {server.url: store}).size
        assert server.count() == 1

    def test_the_command_line(self, monkeypatch, capsys):
        monkeypatch.setattr("manifestry.storage.registry.RetryPolicy", partial(RetryPolicy, unreachable=0.2))
        assert run(["inspect", "http://127.0.0.1:9/x.nc"]) == 5
        assert "x.nc: cannot be reached: connection refused; tried for" in capsys.readouterr().err
