"""ManifestStore against zarr's own MemoryStore, and as zarr and xarray see it."""

import asyncio
import pickle

import manifestry as mf
import numpy as np
import pytest
import xarray as xr
import zarr
from examples import examples
from hypothesis import given, settings, strategies as st
from manifestry.model.codecs import serializer
from manifestry.model.manifest import ChunkManifest
from manifestry.model.metadata import ArrayMetadata, RegularGrid
from manifestry.model.provenance import Provenance
from manifestry.testing.building import TreeBuilder
from manifestry.testing.strategies import virtual_groups
from manifestry.testing.trees import SampleTree
from manifestry.zarr_documents.v3 import array_document
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import cpu, default_buffer_prototype
from zarr.storage import MemoryStore

PROTOTYPE = default_buffer_prototype()


def requests_of(length: int) -> list:
    spots = sorted({0, 1, 2, length // 2, max(length - 1, 0), length, length + 3})
    return [
        None,
        *(RangeByteRequest(a, b) for a in spots for b in spots),
        *(OffsetByteRequest(n) for n in spots),
        *(SuffixByteRequest(n) for n in spots),
    ]


def absent_keys(keys: list[str]) -> list[str]:
    changed = [k + "/0" for k in keys] + [k + "/" for k in keys] + ["/" + k for k in keys] + [k[:-1] for k in keys]
    numbers = [
        k.rpartition("/")[0] + f"/{n}" for k in keys for n in ("-1", "00", "01", "+0", "1e0", "٣", "9" * 50, "x")
    ]
    return sorted(
        {*changed, *numbers, "", "/", "c", "c/0", "zarr.json/zarr.json", "nothing/zarr.json", ".zgroup"} - {*keys}
    )


async def to_bytes(store, key, request):
    found = await store.get(key, PROTOTYPE, request)
    return None if found is None else found.to_bytes()


async def collect(listing) -> list[str]:
    return [name async for name in listing]


def test_every_key_byte_request_and_listing_as_memory_store(sample: SampleTree, copy_to_zarr):
    mine, reference = mf.open_store(sample.tree), copy_to_zarr(sample.tree)

    async def compare() -> None:
        held = {key: await to_bytes(reference, key, None) async for key in reference.list()}
        for key, data in held.items():
            assert await mine.exists(key), key
            assert await mine.getsize(key) == len(data), key
            wanted = requests_of(len(data))
            expected = [await to_bytes(reference, key, request) for request in wanted]
            assert [await to_bytes(mine, key, request) for request in wanted] == expected, key
            parts = await mine.get_partial_values(PROTOTYPE, [(key, request) for request in wanted])
            assert [part.to_bytes() for part in parts] == expected, key
        for key in absent_keys(list(held)):
            assert not await mine.exists(key), key
            assert await mine.get(key, PROTOTYPE) is None, key
            with pytest.raises(FileNotFoundError):
                await mine.getsize(key)
        prefixes = {key[:n] for key in held for n in range(len(key) + 1)} | {"nothing", "zarr.json/", "c/"}
        assert sorted(await collect(mine.list())) == sorted(held)
        for prefix in prefixes:
            assert sorted(await collect(mine.list_prefix(prefix))) == sorted(k for k in held if k.startswith(prefix))
        for prefix in {p.rstrip("/") for p in prefixes} | {p + "/" for p in prefixes if p[-1:] != "/"}:
            expected = sorted(await collect(reference.list_dir(prefix)))
            assert sorted(await collect(mine.list_dir(prefix))) == expected, prefix
        assert await mine.getsize_prefix("") == sum(map(len, held.values()))

    asyncio.run(compare())


def test_zarr_reads_the_values(sample: SampleTree):
    with zarr.config.set({"array.rectilinear_chunks": True}):
        root = zarr.open_group(mf.open_store(sample.tree), mode="r")
        assert {path for path, node in root.members(max_depth=None) if isinstance(node, zarr.Array)} == {*sample.values}
        for path, expected in sample.values.items():
            found = root[path][...]
            assert np.asarray(found).dtype == expected.dtype, path
            np.testing.assert_array_equal(found, expected, err_msg=path)
        for path, attributes in sample.attributes.items():
            found = dict((root[path] if path else root).attrs)
            found.pop("_FillValue", None)
            assert found == attributes, path


def test_xarray_reads_without_a_warning(tmp_path):
    builder = TreeBuilder(tmp_path)
    values = np.arange(24, dtype="i2").reshape(4, 6)
    own = {"scale_factor": np.float32(0.5), "_FillValue": np.int16(5)}
    builder.array("t2m", values, (2, 3), dims=("y", "x"), attributes=own)
    builder.array("x", np.arange(6.0), dims=("x",))
    builder.array("deep/er/n", np.arange(3), dims=("n",))
    store = mf.open_store(builder.tree())
    for consolidated in (False, None):
        found = xr.open_zarr(store, consolidated=consolidated, chunks=None)
        np.testing.assert_array_equal(found.t2m, np.where(values == 5, np.nan, values * 0.5))
        assert found.x.to_index().tolist() == list(range(6))
    tree = xr.open_datatree(store, engine="zarr", consolidated=False)
    assert tree["deep/er/n"].values.tolist() == [0, 1, 2]


class Counting(dict):
    """A mapping that counts how often it is asked."""

    asked = 0

    def get(self, key, default=None):
        type(self).asked += 1
        return super().get(key, default)

    def _refuse(self, *_):
        raise AssertionError("opening one array must not walk over all of them")

    __iter__ = keys = values = items = _refuse


def test_opening_one_array_costs_the_same_however_many_there_are(tmp_path, monkeypatch):
    builder = TreeBuilder(tmp_path)
    builder.array("v", np.arange(4), (2,), dims=("n",))
    one = builder.tree().arrays["v"]
    made = []
    monkeypatch.setattr("manifestry.zarr_store.keys.array_document", lambda *a: made.append(a) or array_document(*a))
    work = []
    for count in (20, 2000):
        Counting.asked, made[:] = 0, []
        store = mf.open_store(mf.VirtualGroup(Counting({f"v{i}": one for i in range(count)})))
        array = zarr.open_array(store, path="v7", mode="r")
        assert array[:].tolist() == [0, 1, 2, 3]
        assert zarr.open_array(store, path="v7", mode="r") == array
        work.append((Counting.asked, len(made)))
    assert work[0] == work[1]
    assert work[0][1] == 1


def test_what_contradicts_itself_is_not_shown(tmp_path):
    builder = TreeBuilder(tmp_path)
    builder.array("right", np.arange(4), (2,), dims=("n",))
    right = builder.tree().arrays["right"]
    wrong = mf.VirtualArray(right.metadata.with_(shape=(40,)), right.manifest)
    store = mf.open_store(mf.VirtualGroup({"right": right, "wrong": wrong}))
    with pytest.raises(mf.ManifestError, match="wrong"):
        zarr.open_array(store, path="wrong", mode="r")
    assert zarr.open_array(store, path="right", mode="r")[3] == 3


def test_attributes_without_a_json_form_are_told(tmp_path, caplog):
    builder = TreeBuilder(tmp_path)
    builder.array("v", np.arange(4), dims=("n",), attributes={"odd": object(), "units": "m"})
    array = zarr.open_array(mf.open_store(builder.tree()), path="v", mode="r")
    assert dict(array.attrs) == {"units": "m"}
    assert "v@odd" in caplog.text


def test_it_is_read_only(tmp_path):
    builder = TreeBuilder(tmp_path)
    builder.array("v", np.arange(4), dims=("n",))
    store = mf.open_store(builder.tree())
    assert store.read_only
    assert not any((store.supports_writes, store.supports_deletes, store.supports_partial_writes))
    for change in (store.set("zarr.json", cpu.Buffer.from_bytes(b"")), store.delete("zarr.json")):
        with pytest.raises(ValueError, match="read-only mode"):
            asyncio.run(change)
    with pytest.raises(ValueError, match="read-only"):
        zarr.open_group(store, mode="a")
    with pytest.raises(ValueError, match="Unexpected byte_range"):
        asyncio.run(store.get("zarr.json", PROTOTYPE, (0, 2)))


def test_equality_and_pickling(tmp_path):
    builder = TreeBuilder(tmp_path)
    builder.array("v", np.arange(4), dims=("n",))
    tree = builder.tree()
    store = mf.open_store(tree)
    again = pickle.loads(pickle.dumps(store))
    assert again == store
    assert hash(again) == hash(store)
    assert zarr.open_array(again, path="v", mode="r")[:].tolist() == [0, 1, 2, 3]
    assert store != mf.open_store(tree.with_(attributes={"title": "other"}))
    assert store != mf.open_store(tree, stores={"s3://bucket": object()})
    assert store != MemoryStore()
    assert repr(store) == "<ManifestStore of 1 arrays>"
    origin = Provenance("raw", "1", {}, mf.FileTable([mf.SourceFile("s3://b/x.raw")]))
    assert repr(mf.open_store(tree.with_(provenance=(origin,)))) == "<ManifestStore of s3://b/x.raw>"


def test_lists_millions_of_chunks_without_holding_them():
    metadata = mf.ArrayMetadata(
        shape=(1 << 40,),
        dtype=np.dtype("u1"),
        chunk_grid=mf.RegularGrid((1,)),
        codecs=(mf.Codec("bytes"),),
        fill_value=np.uint8(0),
        dims=("n",),
    )
    manifest = mf.ChunkManifest.from_columns((1 << 40,), [mf.SourceFile("file:///x")], 0, 0, 1)
    store = mf.open_store(mf.VirtualGroup({"v": mf.VirtualArray(metadata, manifest)}))

    async def first(count: int) -> list[str]:
        found = []
        async for key in store.list_prefix("v/"):
            found.append(key)
            if len(found) == count:
                break
        return found

    assert asyncio.run(first(3)) == ["v/zarr.json", "v/c/0", "v/c/1"]
    assert asyncio.run(store.exists(f"v/c/{(1 << 40) - 1}"))
    assert not asyncio.run(store.exists(f"v/c/{1 << 40}"))


SEGMENTS = st.sampled_from(
    ["a", "b", "c", "g", "zarr.json", "0", "1", "2", "10", "00", "01", "-1", "", "+1", "٣", "x" * 30]
)


@given(
    lengths=st.lists(st.integers(0, 3), min_size=6, max_size=6),
    keys=st.lists(st.lists(SEGMENTS, max_size=6).map("/".join), min_size=1, max_size=30),
)
def test_any_key_means_what_a_dictionary_says(lengths, keys):
    metadata = mf.ArrayMetadata(
        shape=(3, 2),
        dtype=np.dtype("u1"),
        chunk_grid=mf.RegularGrid((1, 1)),
        codecs=(mf.Codec("bytes"), mf.Codec("gzip", {"level": 1})),
        fill_value=0,
    )
    chunks = {i: bytes([i] * n) for i, n in enumerate(lengths) if n}
    array = mf.VirtualArray(metadata, mf.ChunkManifest.from_inline((3, 2), chunks))
    # Names that look like the parts of keys.
    tree = mf.VirtualGroup(
        {"a": array, "c": array}, groups={"g": mf.VirtualGroup({"0": array}, groups={"c": mf.VirtualGroup()})}
    )
    held = {f"{p}/c/{i // 2}/{i % 2}": data for p in ("a", "c", "g/0") for i, data in chunks.items()}
    nodes = {"zarr.json", "a/zarr.json", "c/zarr.json", "g/zarr.json", "g/0/zarr.json", "g/c/zarr.json"}
    store = mf.open_store(tree)

    async def check() -> None:
        assert {*await collect(store.list())} == {*held, *nodes}
        for key in [*keys, *held]:
            if key in nodes:
                assert await store.exists(key)
            else:
                found = await store.get(key, PROTOTYPE)
                assert (found.to_bytes() if found is not None else None) == held.get(key)

    asyncio.run(check())


@settings(max_examples=examples(100), deadline=None)
@given(virtual_groups())
def test_listings_of_any_tree_agree(tree):
    nodes = {f"{path}/zarr.json".lstrip("/") for path, _ in (*tree.walk(), *tree.walk_arrays())}
    chunks = {
        f"{path}/c/{at.replace('.', '/')}" if array.shape else f"{path}/c"
        for path, array in tree.walk_arrays()
        for at in array.manifest.to_dict()
    }
    keys = sorted(nodes | chunks)
    copy = MemoryStore({key: cpu.Buffer.from_bytes(b"") for key in keys})
    store = mf.open_store(tree)

    async def check() -> None:
        assert sorted(await collect(store.list())) == keys
        for prefix in {"", *(key.rpartition("/")[0] for key in keys), *(key[: len(key) // 2] for key in keys)}:
            assert sorted(await collect(store.list_prefix(prefix))) == [k for k in keys if k.startswith(prefix)]
            assert sorted(await collect(store.list_dir(prefix))) == sorted(await collect(copy.list_dir(prefix))), prefix
        for key in chunks:
            assert await store.exists(key)

    asyncio.run(check())


def test_a_grid_of_more_chunks_than_a_source_may_have_is_shown():
    """Limits are for strangers: what is a tree already was let in."""
    count = mf.Limits().max_chunks + 1
    metadata = ArrayMetadata(
        shape=(count,),
        dtype=np.dtype("u1"),
        chunk_grid=RegularGrid((1,)),
        codecs=(serializer(np.dtype("u1")),),
        fill_value=7,
    )
    tree = mf.VirtualGroup({"v": mf.VirtualArray(metadata, ChunkManifest.missing((count,)))})
    assert zarr.open_group(mf.open_store(tree), mode="r")["v"][count - 1] == 7
