"""Records: packed, with gaps, in both byte orders, with fields that are arrays; as zarr-python reads them."""

import json

import manifestry as mf
import numpy as np
import pytest
import zarr
from examples import examples
from hypothesis import given, settings, strategies as st
from manifestry.errors import ManifestError, UnsupportedFeatureError
from manifestry.model.codecs import Codec
from manifestry.model.datatypes import datatype_of, dtype_from_v3, fill_from_v3, has_byte_order
from manifestry.model.manifest import ChunkManifest
from manifestry.model.metadata import ArrayMetadata, RegularGrid
from manifestry.model.records import record_layout
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.zarr_documents.requirements import reader_packages

ARRAYS = np.dtype(
    [("a", "<i4"), ("b", "<f4", (2, 3)), ("s", "S3", (2,)), ("n", [("x", "<u2", (2,)), ("y", "?")], (2,))]
)


def tree_of(stored, data, fill):
    layout = record_layout(stored)
    codecs = (Codec("bytes", {"endian": layout.endian} if layout.endian else {}), *layout.codecs)
    metadata = ArrayMetadata(
        shape=(4,), dtype=layout.dtype, chunk_grid=RegularGrid((2,)), codecs=codecs, fill_value=fill
    )
    return VirtualGroup({"v": VirtualArray(metadata, ChunkManifest.from_inline((2,), {0: data}))})


@st.composite
def stored_dtypes(draw, depth=2):
    """Records with gaps at will, each number in its own byte order or all in one."""
    order = draw(st.sampled_from(["<", ">", ""]))
    codes = st.sampled_from(["i1", "u2", "i4", "f8", "c8", "S3", "V2"])
    formats = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(stored_dtypes(depth - 1)) if depth and draw(st.booleans()) else np.dtype(draw(codes))
        if kind.names is None:
            kind = kind.newbyteorder(order or draw(st.sampled_from("<>")))
        formats.append(np.dtype((kind, draw(st.sampled_from([(), (), (2,), (1,), (2, 3)])))))
    gaps = (
        draw(st.lists(st.integers(0, 3), min_size=len(formats), max_size=len(formats))) if draw(st.booleans()) else []
    )
    offsets, at = [], 0
    for kind, gap in zip(formats, gaps or [0] * len(formats), strict=True):
        offsets.append(at + gap)
        at += gap + kind.itemsize
    names = [f"f{i}" for i in range(len(formats))]
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": at + bool(gaps)})


@given(stored_dtypes(), st.integers(0, 2**32))
@settings(max_examples=examples(60), deadline=None)
def test_records_read_as_numpy_has_them(stored, seed):
    raw = np.random.default_rng(seed).integers(32, 127, 2 * stored.itemsize).astype("u1").tobytes()
    expected = np.frombuffer(raw, stored)
    layout = record_layout(stored)
    packed = expected.astype(layout.dtype)
    read = zarr.open_group(mf.open_store(tree_of(stored, raw, packed[0])), mode="r")["v"][...]
    assert read.dtype == layout.dtype
    assert read.tobytes() == packed.tobytes() + 2 * packed[:1].tobytes()


def test_fields_that_are_arrays_have_documents():
    document = datatype_of(ARRAYS).to_v3()
    assert json.loads(json.dumps(document))["configuration"]["fields"][1] == {
        "name": "b",
        "data_type": {"name": "manifestry.array", "configuration": {"data_type": "float32", "shape": [2, 3]}},
    }
    assert dtype_from_v3(document) == ARRAYS
    assert dtype_from_v3(zarr.dtype.data_type_registry.match_json(document, zarr_format=3).to_json(3)) == ARRAYS
    assert datatype_of(ARRAYS).package == "manifestry-codecs"
    assert has_byte_order(ARRAYS)
    fill = np.zeros(1, ARRAYS)
    fill["b"], fill["s"], fill["n"]["x"] = np.arange(6).reshape(2, 3), [b"ab", b""], 7
    text = datatype_of(ARRAYS).fill_to_v3(fill[0])
    assert text["b"] == [0, 1, 2, 3, 4, 5]
    assert text["n"] == [{"x": [7, 7], "y": False}] * 2
    assert fill_from_v3(ARRAYS, json.loads(json.dumps(text))).tobytes() == fill.tobytes()
    theirs = zarr.dtype.data_type_registry.match_json(document, zarr_format=3)
    assert theirs.to_json_scalar(fill[0], zarr_format=3) == text
    assert theirs.from_json_scalar(text, zarr_format=3).tobytes() == fill.tobytes()
    for wrong in ([0], [0] * 7, 3, None):
        with pytest.raises(ManifestError):
            fill_from_v3(ARRAYS, text | {"b": wrong})


def test_readers_are_told_what_they_need_and_zarr_v2_is_refused():
    tree = tree_of(np.dtype([("a", "u1", (2,))]), bytes(4), np.zeros((), [("a", "u1", (2,))])[()])
    assert reader_packages([tree]) == ("manifestry-codecs",)
    with pytest.raises(ManifestError, match="fields that are arrays"):
        datatype_of(ARRAYS).to_v2("<")


def test_layouts():
    assert record_layout(np.dtype([("a", ">i4"), ("b", ">f4", (2,))])).endian == "big"
    mixed = record_layout(np.dtype([("a", ">i2"), ("b", "<f4", (2,)), ("c", ">c8"), ("d", "S2", (2,)), ("e", ">U2")]))
    assert mixed.endian == "little"
    fields = [[0, 2, 1], [2, 8, 0], [10, 4, 1], [14, 4, 1], [18, 4, 0], [22, 4, 1], [26, 4, 1]]
    assert mixed.codecs == (Codec("manifestry.record", {"itemsize": 30, "fields": fields}),)
    assert record_layout(np.dtype([("a", "u1"), ("b", "?")])).endian is None
    for wrong in (np.dtype([]), np.dtype([("a", "i4", (0,))])):
        with pytest.raises(UnsupportedFeatureError, match="without fields"):
            record_layout(wrong)
    with pytest.raises(UnsupportedFeatureError, match="more than 10000 numbers"):
        record_layout(np.dtype([("a", "<i1"), ("b", ">i2", (20_000,))], align=True))
    with pytest.raises(UnsupportedFeatureError, match="more than 10000 fields"):
        record_layout(np.dtype([("a", [("b", "<i1")], (20_000,))]))
