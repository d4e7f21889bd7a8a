"""Zarr v3 documents: against zarr-python, zarr-metadata and xarray, and back into the model."""

import copy
import json

import numpy as np
import pytest
import xarray as xr
import zarr
from examples import examples
from hypothesis import given, settings, strategies as st
from manifestry.errors import ManifestError, UnsupportedFeatureError
from manifestry.model.attributes import values_equal
from manifestry.model.codecs import Codec
from manifestry.model.datatypes import as_element, datatype_of, dtype_from_v3, fill_from_v3, has_byte_order, same_bits
from manifestry.model.metadata import ArrayMetadata, RectilinearGrid, RegularGrid
from manifestry.testing.strategies import array_metadata, attributes, dtypes, elements
from manifestry.testing.trees import make_sample
from manifestry.zarr_documents.masking import masks_to_v3
from manifestry.zarr_documents.nodes import documents_of
from manifestry.zarr_documents.v3 import array_document, group_document, metadata_from_document
from zarr_metadata.model import read_array_metadata_v3, read_group_metadata_v3

LITTLE = Codec("bytes", {"endian": "little"})


def assert_same(read, expected):
    assert read.dtype == expected.dtype
    assert read.shape == expected.shape
    if expected.dtype.kind in "TO":
        assert read.tolist() == expected.tolist()
    else:
        assert read.tobytes() == expected.tobytes()


@pytest.mark.usefixtures("rectilinear_allowed")
def test_zarr_reads_every_sample(sample, copy_to_zarr):
    root = zarr.open_group(copy_to_zarr(sample.tree), mode="r")
    for path, values in sample.values.items():
        array = root[path]
        assert_same(np.asarray(array[...], array.dtype), values)
        assert array.metadata.dimension_names == sample.tree[path].dims
    for path, expected in sample.attributes.items():
        node = root[path] if path else root
        found = node.attrs.asdict()
        found.pop("_FillValue", None)
        assert found == expected


@given(array_metadata())
@settings(max_examples=examples(50), deadline=None)
def test_documents_are_strict_and_come_back(metadata):
    document, issues = array_document(metadata)
    text = json.dumps(document, allow_nan=False)
    assert not issues
    back = metadata_from_document(json.loads(text))
    assert array_document(back)[0] == document
    assert same_bits(back.fill_value, metadata.fill_value)
    assert back.with_(attributes={}) == metadata.with_(attributes={})


@given(array_metadata())
@settings(max_examples=examples(25), deadline=None)
def test_zarr_metadata_accepts_documents(metadata):
    document, _ = array_document(metadata)
    read_array_metadata_v3(json.loads(json.dumps(document)))


@given(attributes())
@settings(max_examples=examples(25), deadline=None)
def test_zarr_metadata_accepts_groups(found):
    document, issues = group_document(found)
    assert not issues
    read_group_metadata_v3(json.loads(json.dumps(document, allow_nan=False)))


@given(dtypes())
@settings(max_examples=examples(40), deadline=None)
def test_data_types_are_zarrs_own(dtype):
    kind = zarr.dtype.VariableLengthBytes() if dtype.kind == "O" else dtype
    theirs = zarr.create_array({}, shape=(), dtype=kind, compressors=None).metadata.to_dict()
    assert datatype_of(dtype).to_v3() == theirs["data_type"]
    assert dtype_from_v3(theirs["data_type"]) == dtype
    endian = theirs["codecs"][0].get("configuration", {}).get("endian")
    assert has_byte_order(dtype) == (endian is not None)


@given(st.data())
@settings(max_examples=examples(50), deadline=None)
def test_fill_values_are_zarrs_own(data):
    dtype = data.draw(dtypes())
    fill = data.draw(elements(dtype))
    document = datatype_of(dtype).fill_to_v3(fill)
    json.dumps(document, allow_nan=False)
    back = fill_from_v3(dtype, document)
    assert same_bits(back, as_element(dtype, fill))
    if dtype.kind in "TO":
        return
    metadata = ArrayMetadata(
        shape=(2,),
        dtype=dtype,
        chunk_grid=RegularGrid((2,)),
        codecs=(LITTLE if has_byte_order(dtype) else Codec("bytes"),),
        fill_value=fill,
    )
    stored = zarr.storage.MemoryStore(
        {"zarr.json": zarr.buffer.cpu.Buffer.from_bytes(json.dumps(array_document(metadata)[0]).encode())}
    )
    read = zarr.open_array(stored, mode="r")[:]
    # By value: zarr-python makes signalling NaNs quiet.
    assert values_equal(read, np.array([fill, fill], dtype))


@pytest.mark.parametrize("bits", [0x7FC00123, 0xFFC00000, 0x7F800001, 0xFF812345])
def test_nan_payload_survives(bits):
    fill = np.array(bits, "u4").view("f4")[()]
    document = datatype_of(np.dtype("f4")).fill_to_v3(fill)
    assert document == f"0x{bits:08x}"
    assert fill_from_v3(np.dtype("f4"), document).tobytes() == fill.tobytes()


@pytest.mark.parametrize(
    "dtype",
    [
        np.dtype("g"),
        np.dtype("G"),
        np.dtype("V0"),
        np.dtype("S0"),
        np.dtype({"names": ["a", "b"], "formats": ["i2", "i4"], "offsets": [0, 4]}),
        np.dtype({"names": ["a"], "formats": ["i2"], "itemsize": 8}),
    ],
    ids=str,
)
def test_types_without_a_name_are_refused(dtype):
    if dtype.itemsize == np.dtype("f8").itemsize and dtype.kind == "f":
        pytest.skip("this platform's long double is a float64")
    with pytest.raises(ManifestError, match=r"no data type|no padding"):
        datatype_of(dtype).to_v3()


@pytest.mark.parametrize(
    "document",
    [
        {"name": "struct", "configuration": {"fields": []}},
        None, 3, "float128", "r7", "rx", {}, {"name": "struct"}, {"name": "struct", "configuration": {"fields": [1]}},
        {"name": "fixed_length_utf32", "configuration": {"length_bytes": 7}},
        {"name": "null_terminated_bytes", "configuration": {"length_bytes": -1}},
        {"name": "null_terminated_bytes", "configuration": {"length_bytes": 2.5}},
        {"name": "numpy.datetime64", "configuration": {"unit": "fortnight", "scale_factor": 1}},
        {"name": "numpy.datetime64", "configuration": {"unit": "s", "scale_factor": "1]["}},
    ],
)  # fmt: skip
def test_unknown_data_types_are_manifest_errors(document):
    with pytest.raises(ManifestError):
        dtype_from_v3(document)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("i2", 1.5), ("i2", 40000), ("i2", "3"), ("u1", -1), ("?", "yes"), ("f4", "nan"), ("f4", None), ("f4", 1e300),
        ("f4", "0xzz"), ("c8", 3), ("c8", [1]), ("S2", "!!"), ("S2", "YWJj"), ("V2", "YQ=="), ("M8[s]", 1.5), ("U1", "ab"),
    ],
)  # fmt: skip
def test_bad_fill_values_are_manifest_errors(dtype, value):
    with pytest.raises(ManifestError):
        fill_from_v3(np.dtype(dtype), value)


def good_document():
    metadata = ArrayMetadata(
        shape=(5, 4),
        dtype=np.dtype("f4"),
        chunk_grid=RegularGrid((2, 4)),
        codecs=(LITTLE,),
        fill_value=0.0,
        dims=("y", "x"),
        attributes={"units": "m"},
    )
    return array_document(metadata)[0]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("zarr_format", 2), ("node_type", "group"), ("shape", [5.0, 4]), ("shape", [-5, 4]), ("shape", "54"), ("shape", None),
        ("chunk_grid", {"name": "regular", "configuration": {"chunk_shape": [0, 4]}}),
        ("chunk_grid", {"name": "regular", "configuration": {"chunk_shape": [2]}}),
        ("chunk_grid", {"name": "other", "configuration": {}}),
        ("chunk_grid", {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": [[[1, 10**12]], 4]}}),
        ("chunk_grid", {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": [[2, 2], 4]}}),
        ("chunk_grid", {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": [[0, 5], 4]}}),
        ("chunk_grid", {"name": "rectilinear", "configuration": {"kind": "file", "chunk_shapes": [5, 4]}}),
        ("chunk_grid", {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": ["5", 4]}}),
        ("dimension_names", "yx"), ("extension", 3), ("extension", {"must_understand": True}),
        ("codecs", None), ("codecs", [{}]), ("codecs", [3]), ("dimension_names", ["y"]), ("dimension_names", [1, 2]),
        ("fill_value", {}), ("attributes", [1]), ("storage_transformers", [{"name": "x"}]), ("data_type", "float128"),
    ],
)  # fmt: skip
def test_documents_that_are_none(field, value):
    document = good_document() | {field: value}
    with pytest.raises(ManifestError):
        _ = metadata_from_document(document).grid_shape


@pytest.mark.parametrize("field", ["shape", "data_type", "chunk_grid", "codecs", "fill_value", "zarr_format"])
def test_documents_without_a_field(field):
    document = copy.deepcopy(good_document())
    del document[field]
    with pytest.raises(ManifestError):
        metadata_from_document(document)


def test_rectilinear_document_round_trip():
    grid = RectilinearGrid(((2, 2, 3), (5,), (1,) * 4))
    metadata = ArrayMetadata(shape=(7, 5, 4), dtype=np.dtype("i2"), chunk_grid=grid, codecs=(LITTLE,), fill_value=0)
    document = array_document(metadata)[0]
    assert document["chunk_grid"]["configuration"]["chunk_shapes"] == [[[2, 2], 3], [5], [[1, 4]]]
    assert metadata_from_document(document) == metadata
    document["chunk_grid"]["configuration"]["chunk_shapes"] = [4, [2, 3], 3]
    assert metadata_from_document(document).grid_shape == (2, 2, 2)


FILL_ATTRIBUTES = [
    ("?", True, [True, False]),
    ("i1", -5, [-5, 5]),
    ("u8", 2**64 - 1, [2**64 - 1, 0]),
    ("f2", 0.5, [0.5, 1]),
    ("f4", np.float32(1e20), [1e20, 1]),
    ("f8", np.nan, [np.nan, 1]),
    ("f8", -np.inf, [-np.inf, 1]),
    ("c8", 1 + 2j, [1 + 2j, 1]),
    ("i4", np.array([7], "i4"), [7, 8]),
]


@pytest.mark.parametrize(("code", "fill", "values"), FILL_ATTRIBUTES)
def test_xarray_masks_by_fill_attribute(code, fill, values):
    dtype = np.dtype(code)
    store = {}
    array = zarr.create_group(store).create_array("a", shape=(2,), dtype=dtype, dimension_names=["n"])
    array[:] = np.array(values, dtype)
    array.attrs["_FillValue"] = masks_to_v3(dtype, {"_FillValue": fill}).attributes["_FillValue"]
    masked = xr.open_zarr(store, consolidated=False)["a"]
    assert masked.isnull().values.tolist() == [True, False]
    raw = xr.open_zarr(store, consolidated=False, mask_and_scale=False)["a"]
    assert raw.dtype == dtype
    assert same_bits(as_element(dtype, raw.attrs["_FillValue"]), as_element(dtype, np.asarray(fill).ravel()[0]))


@pytest.mark.parametrize(("code", "fill", "values"), FILL_ATTRIBUTES)
def test_fill_attribute_comes_back_in_the_type_of_the_array(code, fill, values):
    dtype = np.dtype(code)
    codecs = (LITTLE if has_byte_order(dtype) else Codec("bytes"),)
    metadata = ArrayMetadata(
        shape=(2,),
        dtype=dtype,
        chunk_grid=RegularGrid((2,)),
        codecs=codecs,
        fill_value=values[1],
        dims=None,
        attributes={"_FillValue": fill},
    )
    back = metadata_from_document(json.loads(json.dumps(array_document(metadata)[0]))).attributes["_FillValue"]
    assert same_bits(back, as_element(dtype, np.asarray(fill).ravel()[0]))


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [
        ("S3", b"a"), ("S1", "a"), ("S1", np.array([b"a", b"b"])), (object, b"a"), ("V2", np.void(b"ab")),
        ("M8[s]", np.datetime64(1, "s")), ("i2", np.nan), ("u1", np.array([np.nan, np.nan])),
        ("f4", np.array([np.inf, 1.0])), ("i4", 3j), ("c8", np.array([3j, 1])),
    ],
)  # fmt: skip
def test_fill_attributes_that_readers_cannot_have_are_left_out_and_reported(dtype, fill):
    dtype = np.dtype(dtype)
    codecs = (LITTLE if has_byte_order(dtype) else Codec("bytes"),)
    initial = {"S": b"", "U": "", "T": "", "O": b"", "V": b"\0\0"}.get(dtype.kind, 0)
    metadata = ArrayMetadata(
        shape=(2,),
        dtype=dtype,
        chunk_grid=RegularGrid((2,)),
        codecs=codecs,
        fill_value=initial,
        dims=None,
        attributes={"_FillValue": fill, "kept": 1},
    )
    document, issues = array_document(metadata, "g/a")
    assert document["attributes"] == {"kept": 1}
    assert [(issue.path, issue.feature, issue.severity) for issue in issues] == [
        ("g/a@_FillValue", "_FillValue left out", "reported")
    ]


def test_xarray_decodes_special_texts_in_missing_value(tmp_path, copy_to_zarr):
    tree = make_sample("zeros", tmp_path).tree
    array = tree["floats"]
    marked = array.metadata.with_(attributes={"missing_value": np.float32(np.nan)})
    tree = tree.with_(arrays={"floats": type(array)(marked, array.manifest)})
    opened = xr.open_zarr(copy_to_zarr(tree), consolidated=False)
    assert opened["floats"].values.tolist() == np.zeros((4, 6)).tolist()


@pytest.mark.parametrize("code", ["f4", "c8"])
def test_fill_attribute_that_no_element_can_be_stays(code):
    metadata = ArrayMetadata(
        shape=(2,),
        dtype=np.dtype(code),
        chunk_grid=RegularGrid((2,)),
        codecs=(LITTLE,),
        fill_value=0,
        dims=None,
        attributes={},
    )
    wide = np.dtype("f8" if code == "f4" else "c16")
    huge = masks_to_v3(wide, {"_FillValue": 1e300}).attributes["_FillValue"]
    document = array_document(metadata)[0] | {"attributes": {"_FillValue": huge}}
    assert metadata_from_document(document).attributes["_FillValue"] == huge


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_type_that_zarr_has_no_name_for_is_refused_by_its_name(zarr_format):
    metadata = ArrayMetadata(
        shape=(2,),
        dtype=np.dtype(np.longdouble),
        chunk_grid=RegularGrid((2,)),
        codecs=(Codec("bytes", {"endian": "little"}),),
        fill_value=np.longdouble(0),
    )
    with pytest.raises((ManifestError, UnsupportedFeatureError), match="no data type for numpy's dtype"):
        documents_of(metadata, "v", zarr_format=zarr_format)
