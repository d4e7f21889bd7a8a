"""What zarr-python encodes with Zarr v3 metadata, it must decode with ours of version 2, and the other way round."""

from __future__ import annotations

import asyncio
import json
import math

import numpy as np
import pytest
import zarr
from manifestry.errors import ManifestError, UnsupportedFeatureError
from manifestry.model.codecs import Codec
from manifestry.model.datatypes import datatype_of, dtype_from_v2, fill_from_v2
from manifestry.model.metadata import ArrayMetadata, RectilinearGrid, RegularGrid
from manifestry.zarr_documents.v2 import array_documents, group_documents, metadata_from_v2_documents
from manifestry.zarr_documents.v3 import array_document
from zarr.core.buffer import default_buffer_prototype
from zarr.core.buffer.cpu import Buffer
from zarr.storage import MemoryStore

LITTLE, BIG = Codec("bytes", {"endian": "little"}), Codec("bytes", {"endian": "big"})
ZLIB = Codec("numcodecs.zlib", {"level": 1})


def metadata(dtype, codecs, shape=(4, 6), chunks=None, **more):
    kind = np.dtype(dtype)
    fill = more.pop("fill", np.zeros((), kind)[()])
    return ArrayMetadata(
        shape=shape, dtype=kind, chunk_grid=RegularGrid(chunks or shape), codecs=tuple(codecs), fill_value=fill, **more
    )


def store_of(documents):
    """A memory store with documents (JSON values) and chunks (bytes)."""
    buffers = {
        key: Buffer.from_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
        for key, value in documents.items()
    }
    return MemoryStore(buffers)


def encoded_v3(meta, values):
    """The only chunk of an array, as zarr encodes it."""
    store = store_of({"zarr.json": array_document(meta)[0]})
    zarr.open_array(store, mode="r+", zarr_format=3)[...] = values
    key = "c/" + "/".join("0" * len(meta.shape)) if meta.shape else "c"
    return asyncio.run(store.get(key, default_buffer_prototype())).to_bytes()


def decoded_v2(meta, chunk):
    documents = array_documents(meta)
    key = ".".join("0" * len(meta.shape)) or "0"
    store = store_of({".zarray": documents.zarray, ".zattrs": documents.zattrs, key: chunk})
    return zarr.open_array(store, mode="r", zarr_format=2)[...]


def decoded_v3(meta, chunk):
    key = "c/" + "/".join("0" * len(meta.shape)) if meta.shape else "c"
    return zarr.open_array(store_of({"zarr.json": array_document(meta)[0], key: chunk}), mode="r", zarr_format=3)[...]


NUMBERS = (np.arange(24).reshape(4, 6) * 37 - 300).astype("i4")

PIPELINES = {
    "little": [LITTLE],
    "big": [BIG],
    "gzip": [LITTLE, Codec("gzip", {"level": 5})],
    "zstd": [LITTLE, Codec("zstd", {"level": 3, "checksum": True})],
    "blosc": [LITTLE, Codec("blosc", {"cname": "zstd", "clevel": 5, "shuffle": "bitshuffle", "typesize": 4, "blocksize": 0})],
    "crc32c": [LITTLE, Codec("crc32c")],
    "shuffle+zlib": [BIG, Codec("numcodecs.shuffle", {"elementsize": 4}), ZLIB],
    "shuffle without a size": [LITTLE, Codec("numcodecs.shuffle"), ZLIB],
    "fletcher32": [LITTLE, ZLIB, Codec("numcodecs.fletcher32")],
    "lzma": [LITTLE, Codec("numcodecs.lzma", {"preset": 1})],
    "bz2 of lz4": [LITTLE, Codec("numcodecs.lz4"), Codec("numcodecs.bz2")],
    "delta": [Codec("numcodecs.delta", {"dtype": "<i4"}), LITTLE, ZLIB],
    "reversed": [Codec("transpose", {"order": [1, 0]}), BIG, ZLIB],
    "not moved": [Codec("transpose", {"order": [0, 1]}), LITTLE],
    "imagecodecs bytes": [LITTLE, Codec("imagecodecs_deflate", {"level": 6})],
    "imagecodecs lzw": [LITTLE, Codec("imagecodecs_packbits")],
    "imagecodecs delta": [Codec("imagecodecs_delta", {"axis": -1, "dist": 1}), LITTLE, ZLIB],
    "imagecodecs delta, big": [Codec("imagecodecs_delta", {"axis": -1, "dist": 1}), BIG, ZLIB],
    "imagecodecs delta, reversed": [
        Codec("transpose", {"order": [1, 0]}), Codec("imagecodecs_delta", {"axis": 0, "dist": 1}), LITTLE, ZLIB,
    ],
    "imagecodecs byteshuffle": [Codec("imagecodecs_byteshuffle", {"axis": 1, "dist": 1}), ZLIB],
}  # fmt: skip


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_decodes_in_v2_and_comes_back(name):
    meta = metadata("i4", PIPELINES[name])
    chunk = encoded_v3(meta, NUMBERS)
    assert np.array_equal(decoded_v2(meta, chunk), NUMBERS)
    documents = array_documents(meta)
    back = metadata_from_v2_documents(json.loads(json.dumps(documents.zarray)), documents.zattrs)
    assert np.array_equal(decoded_v3(back, chunk), NUMBERS)


@pytest.mark.parametrize("kind", ["u1", "i2", "f4", "f8"])
@pytest.mark.parametrize("order", [(1, 2, 0), (2, 0, 1), (2, 1, 0)])
@pytest.mark.parametrize("endian", [LITTLE, BIG])
def test_rotated_dimensions_are_a_byte_transpose(kind, order, endian):
    values = (np.arange(3 * 5 * 4) * 7 % 251).astype(kind).reshape(3, 5, 4)
    meta = metadata(kind, [Codec("transpose", {"order": list(order)}), endian, ZLIB], values.shape)
    chunk = encoded_v3(meta, values)
    assert np.array_equal(decoded_v2(meta, chunk), values)
    back = metadata_from_v2_documents(array_documents(meta).zarray)
    assert back.codecs[0] == meta.codecs[0]
    assert np.array_equal(decoded_v3(back, chunk), values)


def test_dimensions_of_one_element_do_not_count_in_a_transpose():
    meta = metadata("i2", [Codec("transpose", {"order": [1, 0, 2]}), LITTLE], (1, 4, 6))
    assert array_documents(meta).zarray["order"] == "C"
    assert array_documents(meta).zarray["filters"] is None
    assert np.array_equal(decoded_v2(meta, NUMBERS.astype("<i2").tobytes())[0], NUMBERS)


@pytest.mark.parametrize("order", [[0, 2, 3, 1], [2, 3, 0, 1], [0, 3, 2, 1], [1, 0, 2, 3], [3, 2, 0, 1]])
@pytest.mark.parametrize("axis", [-1, -2, 0])
def test_a_codec_that_counts_dimensions_keeps_them(order, axis):
    values = (np.arange(60) * 7 % 251).astype("u1").reshape(1, 3, 4, 5)
    delta = Codec("imagecodecs_delta", {"axis": axis, "dist": 1})
    meta = metadata("u1", [Codec("transpose", {"order": order}), delta, Codec("bytes"), ZLIB], values.shape)
    chunk = encoded_v3(meta, values)
    assert np.array_equal(decoded_v2(meta, chunk), values)
    back = metadata_from_v2_documents(array_documents(meta).zarray)
    assert np.array_equal(decoded_v3(back, chunk), values)


def test_images_of_imagecodecs_and_float_predictors():
    image = (np.arange(300) % 17).astype("u1").reshape(10, 10, 3)
    meta = metadata("u1", [Codec("imagecodecs_jpeg2k", {"reversible": True})], image.shape)
    assert np.array_equal(decoded_v2(meta, encoded_v3(meta, image)), image)
    floats = np.linspace(-3, 9, 24, dtype="f4").reshape(4, 6)
    short = metadata("f4", [Codec("imagecodecs_float24", {"byteorder": "<"})])
    halves = (np.arange(24, dtype="f4") / 4).reshape(4, 6)
    chunk = encoded_v3(short, halves)
    assert len(chunk) == 3 * 24
    assert np.array_equal(decoded_v2(short, chunk), halves)
    assert np.array_equal(decoded_v3(metadata_from_v2_documents(array_documents(short).zarray), chunk), halves)
    meta = metadata("f4", [Codec("imagecodecs_floatpred", {"axis": -1, "dist": 1}), ZLIB])
    chunk = encoded_v3(meta, floats)
    assert np.array_equal(decoded_v2(meta, chunk), floats)
    assert np.array_equal(decoded_v3(metadata_from_v2_documents(array_documents(meta).zarray), chunk), floats)


def test_the_last_codec_of_bytes_is_the_compressor():
    zarray = array_documents(metadata("i4", PIPELINES["shuffle+zlib"])).zarray
    assert zarray["filters"] == [{"id": "shuffle", "elementsize": 4}]
    assert zarray["compressor"] == {"id": "zlib", "level": 1}
    assert (zarray["dtype"], zarray["order"], zarray["dimension_separator"]) == (">i4", "C", ".")


REFUSED = {
    "sharding_indexed": [Codec("sharding_indexed", {"chunk_shape": [2, 2], "codecs": [LITTLE.to_zarr()]})],
    "transpose": [Codec("transpose", {"order": [0, 2, 1]}), LITTLE],
    "delta of big-endian": [Codec("numcodecs.delta", {"dtype": "<i4"}), BIG],
    "somebody.else": [LITTLE, Codec("somebody.else")],
    "imagecodecs_bitshuffle": [Codec("imagecodecs_bitshuffle", {"blocksize": 0})],
    "imagecodecs_chunked": [LITTLE, Codec("imagecodecs_chunked", {})],
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_form_is_refused_by_name(name):
    with pytest.raises(UnsupportedFeatureError, match=name) as caught:
        array_documents(metadata("i4", REFUSED[name], (2, 3, 4)), "group/array")
    assert caught.value.where == "group/array"
    assert caught.value.hint


def test_a_rectilinear_grid_is_refused():
    grid = ArrayMetadata(
        shape=(5,), dtype=np.dtype("i4"), chunk_grid=RectilinearGrid(((2, 3),)), codecs=(LITTLE,), fill_value=0
    )
    with pytest.raises(UnsupportedFeatureError, match="rectilinear chunk grid"):
        array_documents(grid, "a")


@pytest.mark.parametrize(
    ("kind", "fill", "text"),
    [
        ("?", True, True), ("i8", -(2**63), -(2**63)), ("u8", 2**64 - 1, 2**64 - 1), ("f4", np.float32(0.1), 0.10000000149011612),
        ("f8", np.nan, "NaN"), ("f8", -np.inf, "-Infinity"), ("c8", 1 + 2j, [1.0, 2.0]), ("S4", b"ab", "YWI="),
        ("U3", "ä", "ä"), ("V2", np.void(b"\x01\x02"), "AQI="), ("M8[s]", np.datetime64(5, "s"), 5),
    ],
)  # fmt: skip
def test_fill_values_are_what_zarr_writes(kind, fill, text):
    dtype = np.dtype(kind)
    assert datatype_of(dtype).fill_to_v2(fill) == text
    assert datatype_of(dtype).same(fill_from_v2(dtype, text), fill)
    made = zarr.create_array(MemoryStore(), shape=(1,), dtype=dtype, fill_value=fill, zarr_format=2)
    theirs = made.metadata.to_dict()
    assert json.loads(json.dumps(theirs["fill_value"])) == text
    assert theirs["dtype"] == datatype_of(dtype).to_v2("<")


def test_a_record_has_its_fields_and_its_fill_value():
    kind = np.dtype([("id", "i4"), ("xy", [("x", "f8"), ("y", "f8")]), ("tag", "S3")])
    text = datatype_of(kind).to_v2(">")
    assert text == [["id", ">i4"], ["xy", [["x", ">f8"], ["y", ">f8"]]], ["tag", "|S3"]]
    assert dtype_from_v2(text) == (kind, ">")
    with pytest.raises(ManifestError, match="must have the same byte order"):
        dtype_from_v2([["a", "<i4"], ["b", ">i4"]])


def test_nan_with_a_payload_has_no_spelling():
    payload = np.array(0x7FC00123, "u4").view("f4")[()]
    kind = np.dtype("f4")
    assert not datatype_of(kind).same(fill_from_v2(kind, datatype_of(kind).fill_to_v2(payload)), payload)
    documents = array_documents(metadata("f4", [LITTLE], fill=payload, attributes={"_FillValue": payload}))
    assert not documents.fill_is_stored


def test_the_mask_is_the_fill_value_and_nothing_else():
    plain = array_documents(metadata("i4", [LITTLE], fill=np.int32(7)))
    assert plain.zarray["fill_value"] is None
    assert not plain.fill_is_stored
    own = {"_FillValue": np.int32(-9), "units": "m"}
    masked = array_documents(metadata("i4", [LITTLE], fill=np.int32(7), attributes=own, dims=("y", "x")))
    assert masked.zarray["fill_value"] == -9
    assert masked.zattrs == {"_ARRAY_DIMENSIONS": ["y", "x"], "units": "m"}
    assert not masked.fill_is_stored
    same = array_documents(metadata("i4", [LITTLE], fill=np.int32(-9), attributes=own))
    assert same.fill_is_stored
    back = metadata_from_v2_documents(same.zarray, same.zattrs)
    assert (back.fill_value, back.attributes) == (-9, {"_FillValue": -9, "units": "m"})
    never = array_documents(metadata("i4", [LITTLE], attributes={"_FillValue": np.float64(1e20)}), "a")
    assert (never.zarray["fill_value"], never.zattrs, never.issues) == (None, {"_FillValue": 1e20}, ())


def test_documents_of_other_writers():
    zarray = {
        "zarr_format": 2, "shape": [4, 0], "chunks": [2, 0], "dtype": "<f8", "fill_value": None, "order": "F",
        "filters": None, "compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": -1, "blocksize": 0},
    }  # fmt: skip
    found = metadata_from_v2_documents(zarray, {"_FillValue": -1, "_ARRAY_DIMENSIONS": ["a", "b"]})
    assert [codec.name for codec in found.codecs] == ["transpose", "bytes", "blosc"]
    assert found.codecs[2].configuration["shuffle"] == "shuffle"
    assert (found.chunk_shape, found.dims, found.attributes) == ((2, 1), ("a", "b"), {"_FillValue": -1.0})
    with pytest.raises(UnsupportedFeatureError, match="filter 'grib'"):
        metadata_from_v2_documents({**zarray, "filters": [{"id": "grib"}]}, {}, "a")
    for broken in (
        {**zarray, "zarr_format": 3},
        {**zarray, "dtype": "<q9"},
        {"zarr_format": 2},
        {**zarray, "shape": 3},
        {**zarray, "shape": [4.5, 0]},
        {**zarray, "chunks": [math.inf, 0]},
        {**zarray, "order": "G"},
        {**zarray, "dtype": None},
        {**zarray, "dtype": "f8(,"},
        {**zarray, "dtype": "O"},
        {**zarray, "dtype": "<f8,<f8"},
        {**zarray, "dtype": []},
        {**zarray, "dtype": [["", "<f8"]]},
        {**zarray, "dtype": "<f2", "fill_value": 65535},
        {**zarray, "dtype": "<c8", "fill_value": [1e300, 0]},
        {**zarray, "dtype": "<U2", "fill_value": "abc"},
        {**zarray, "dtype": "|b1", "fill_value": 2},
        {**zarray, "dtype": "|S2", "fill_value": "no base64!"},
        {**zarray, "compressor": {}},
        {**zarray, "compressor": {"id": "blosc", "shuffle": 7}},
        {**zarray, "compressor": {"id": "shuffle", "elementsize": None}},
        {**zarray, "filters": [{"id": "delta"}]},
    ):
        with pytest.raises((ManifestError, UnsupportedFeatureError)):
            metadata_from_v2_documents(broken, {}, "a")
    assert np.isnat(metadata_from_v2_documents({**zarray, "dtype": "<m8"}).fill_value)
    narrow = metadata_from_v2_documents({**zarray, "compressor": {"id": "shuffle"}}).codecs[-1]
    assert narrow == Codec("numcodecs.shuffle", {"elementsize": 4})  # whatever the array has


@pytest.mark.parametrize(
    ("kind", "filters", "last"),
    [
        ("<i4", [{"id": "delta", "dtype": "<i4", "astype": "<i2"}], "bytes"),
        ("<f4", [{"id": "delta", "dtype": "<i4"}], "refused"),
        ("<u4", [{"id": "delta", "dtype": "<i4"}], "refused"),
        ("<f8", [{"id": "fixedscaleoffset", "scale": 1, "offset": 0, "dtype": "<f8", "astype": "<i4"}], "bytes"),
        ("<f4", [{"id": "quantize", "digits": 2, "dtype": "<f4", "astype": "<f2"}], "manifestry.numcodecs"),
        ("<i4", [{"id": "delta", "dtype": "<i4"}, {"id": "delta", "dtype": "<f4"}], "manifestry.numcodecs"),
        ("|b1", [{"id": "packbits"}], "bytes"),
        ("|u1", [{"id": "packbits"}], "refused"),
    ],
)
def test_filters_of_numbers_of_another_type_are_no_codecs_of_v3(kind, filters, last):
    """Version 2 takes the bytes of one for elements of the other; version 3 would convert the numbers."""
    zarray = {
        "zarr_format": 2, "shape": [4], "chunks": [2], "dtype": kind, "fill_value": None, "order": "C",
        "filters": filters, "compressor": None,
    }  # fmt: skip
    if last == "refused":
        with pytest.raises(UnsupportedFeatureError, match=f"filter {filters[0]['id']} that decodes to"):
            metadata_from_v2_documents(zarray, {}, "a")
    else:
        assert metadata_from_v2_documents(zarray, {}, "a").codecs[-1].name == last


def test_a_group_has_two_documents():
    zgroup, zattrs, issues = group_documents({"title": "x", "odd": object()}, "g")
    assert (zgroup, zattrs) == ({"zarr_format": 2}, {"title": "x"})
    assert [issue.path for issue in issues] == ["g@odd"]


@pytest.mark.parametrize("wrong", [[{"id": "zlib"}], [], {}, {"id": 3}, "zlib", 1, False, {"level": 1}])
@pytest.mark.parametrize("member", ["compressor", "filters"])
def test_codecs_that_are_no_objects_are_named(member, wrong):
    zarray = array_documents(metadata("i4", [LITTLE])).zarray
    zarray[member] = [wrong] if member == "filters" else wrong
    with pytest.raises(
        ManifestError, match=rf"^g/a: the {member.rstrip('s')} is .* and must be an object with the text"
    ):
        metadata_from_v2_documents(zarray, {}, "g/a")


def test_filters_that_are_no_list_are_named():
    zarray = array_documents(metadata("i4", [LITTLE])).zarray | {"filters": {"id": "zlib"}}
    with pytest.raises(ManifestError, match=r"^g/a: filters are .* must be a list of objects, or null"):
        metadata_from_v2_documents(zarray, {}, "g/a")


def test_a_scalar_lacks_no_names():
    scalar = metadata("i4", [LITTLE], shape=())
    assert (scalar.dims, array_documents(scalar).zattrs) == ((), {"_ARRAY_DIMENSIONS": []})
    assert array_document(scalar)[0]["dimension_names"] == []
    assert metadata("i4", [LITTLE]).dims is None


@pytest.mark.parametrize("kind", ["|S4", "|V4"])
@pytest.mark.parametrize("fill", ["AAEC*Aw==", "AAEC Aw==", "AAECAw=", "A===", "\n"])
def test_fills_that_are_no_base64_are_refused(kind, fill):
    """Letters that are none of base64 are not dropped, as Python's decoder does unless it is told otherwise."""
    assert bytes(fill_from_v2(np.dtype(kind), "AAECAw=="))[:4] == bytes(range(4))
    with pytest.raises(ManifestError, match="is not a fill value"):
        fill_from_v2(np.dtype(kind), fill)
