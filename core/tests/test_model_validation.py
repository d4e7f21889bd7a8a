"""The validation gate: each contradiction by itself, and that whatever is drawn as valid passes."""

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from manifestry.errors import ManifestError
from manifestry.model.codecs import Codec
from manifestry.model.files import SourceFile
from manifestry.model.limits import Limits
from manifestry.model.manifest import INLINE, ChunkManifest
from manifestry.model.metadata import ArrayMetadata, RectilinearGrid, RegularGrid
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.model.validation import is_node_name, validate_array, validate_tree
from manifestry.testing.strategies import virtual_groups

LITTLE, ZLIB = Codec("bytes", {"endian": "little"}), Codec("numcodecs.zlib", {"level": 1})
FILE = SourceFile("file:///a", 100)


def array(manifest=None, dtype="f4", codecs=(LITTLE, ZLIB), shape=(4,), chunks=(2,), fill=None):
    kind = np.dtype(dtype)
    initial = {"T": "", "O": b"", "U": "", "S": b""}.get(kind.kind, 0) if fill is None else fill
    metadata = ArrayMetadata(shape=shape, dtype=kind, chunk_grid=RegularGrid(chunks), codecs=codecs, fill_value=initial)
    return VirtualArray(metadata, ChunkManifest.missing(metadata.grid_shape) if manifest is None else manifest)


def stored(offsets, lengths, files=(FILE,), index=0, inline=b""):
    return ChunkManifest.from_columns((2,), list(files), index, offsets, lengths, inline=inline)


@given(virtual_groups())
@settings(max_examples=examples(40), deadline=None)
def test_valid_trees_pass(tree):
    validate_tree(tree)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (ChunkManifest.missing((3,)), r"the chunk grid is \(3,\), expected \(2,\)"),
        (stored([0, 95], [1, 6]), "a chunk ends at byte 101 of file:///a, which has 100"),
        (stored([0, 100], [1, 1]), "ends at byte 101"),
        (stored(2**63, 1), "ends at byte 9223372036854775809"),
        (stored(np.array([0, 2**64 - 1], "u8"), [1, 2]), r"beyond 2\*\*64"),
        (stored([0, 2], [1, 2], (), INLINE, b"abc"), "a chunk ends at byte 4 of the inline bytes, which has 3"),
    ],
)
def test_ranges_that_contradict_their_file(manifest, message):
    with pytest.raises(ManifestError, match="^g/a: .*" + message):
        validate_array(array(manifest), "g/a")


def test_ranges_up_to_the_end_and_files_of_unknown_size_pass():
    validate_array(array(stored([0, 90], [10, 10])))
    validate_array(array(stored([0, 2**62], [10, 10], [SourceFile("file:///a")])))
    validate_array(array(stored([0, 2], [2, 1], (), INLINE, b"abc")))


def test_uncompressed_chunks_have_one_length():
    validate_array(array(stored([0, 8], 8), codecs=(LITTLE,)))
    validate_array(array(stored([0, 8], [8, 0]), codecs=(LITTLE,)))
    with pytest.raises(ManifestError, match="uncompressed chunk has 7 bytes, expected 8"):
        validate_array(array(stored([0, 8], [8, 7]), codecs=(LITTLE,)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codecs": ()}, "no codec turns the array into bytes"),
        ({"codecs": (Codec("transpose", {"order": [0]}),)}, "no codec turns the array into bytes"),
        ({"codecs": (LITTLE, LITTLE)}, "bytes comes after bytes"),
        ({"codecs": (ZLIB, LITTLE)}, "bytes comes after numcodecs.zlib"),
        ({"codecs": (LITTLE, Codec("transpose", {"order": [0]}))}, "transpose comes after bytes"),
        (
            {"codecs": (Codec("transpose", {"order": [1]}), LITTLE)},
            "transpose has the order .* not one of 1 dimensions",
        ),
        ({"codecs": (Codec("transpose"), LITTLE)}, "transpose has the order .* not one of 1 dimensions"),
        ({"codecs": (Codec("bytes"),)}, "needs an endian"),
        ({"codecs": (Codec("bytes"),), "dtype": "U3"}, "needs an endian"),
        ({"codecs": (Codec("bytes"),), "dtype": [("a", "S2"), ("b", "i2")], "fill": (b"", 0)}, "needs an endian"),
        ({"codecs": (Codec("bytes"),), "dtype": np.dtypes.StringDType()}, "cannot store"),
        ({"codecs": (Codec("vlen-utf8"),)}, "cannot store float32"),
        ({"codecs": (Codec("vlen-utf8"),), "dtype": object}, "cannot store object"),
        ({"dtype": "g"}, "no data type"),
    ],
)
def test_codecs_that_contradict_the_type(changes, message):
    if changes.get("dtype") == "g" and np.dtype("g") == np.dtype("f8"):
        pytest.skip("this platform's long double is a float64")
    with pytest.raises(ManifestError, match=message):
        validate_array(array(**changes))


@pytest.mark.parametrize("dtype", ["i1", "?", "S5", "V3", [("a", "S2"), ("b", "u1")]])
def test_types_without_byte_order_need_no_endian(dtype):
    fill = {"S": b"", "V": bytes(3)}.get(np.dtype(dtype).kind, 0) if isinstance(dtype, str) else (b"", 0)
    validate_array(array(dtype=dtype, codecs=(Codec("bytes"),), fill=fill))


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(max_chunks=1), "2 chunks, more than the limit of 1"),
        (Limits(max_inline_bytes=2), "3 bytes inline, more than the limit of 2"),
    ],
)
def test_limits_of_an_array(limits, message):
    with pytest.raises(ManifestError, match=message):
        validate_array(array(stored([0, 1], [1, 2], (), INLINE, b"abc")), limits=limits)


def test_limits_of_a_tree():
    nested = VirtualGroup()
    for _ in range(5):
        nested = VirtualGroup({"a": array()}, groups={"g": nested})
    validate_tree(nested, Limits(max_arrays=11, max_depth=5))
    with pytest.raises(ManifestError, match="limit of 10"):
        validate_tree(nested, Limits(max_arrays=10))
    with pytest.raises(ManifestError, match="limit of 4"):
        validate_tree(nested, Limits(max_depth=4))


@pytest.mark.parametrize("name", ["", ".", "..", "...", "a/b", "/", "zarr.json", "a\\b", "a\udc80"])
def test_names_that_zarr_cannot_have(name):
    assert not is_node_name(name)
    with pytest.raises(ManifestError, match="cannot be a name"):
        validate_tree(VirtualGroup(groups={"g": VirtualGroup({name: array()})}))
    with pytest.raises(ManifestError, match="cannot be a name"):
        validate_tree(VirtualGroup(groups={name: VirtualGroup()}))


def test_one_name_for_an_array_and_a_group():
    with pytest.raises(ManifestError, match="x is both an array and a group"):
        validate_tree(VirtualGroup({"x": array()}, groups={"x": VirtualGroup()}))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RegularGrid((0,)), "chunk shape .* must be positive"),
        (lambda: RegularGrid((2, -1)), "chunk shape .* must be positive"),
        (lambda: RegularGrid((2,)).grid_shape((2, 2)), "does not match the shape"),
        (lambda: RectilinearGrid(((2, 0),)), "must be positive"),
        (lambda: RectilinearGrid(((2, 2),)).grid_shape((5,)), "do not add up"),
        (lambda: RectilinearGrid(((2, 2),)).grid_shape((2,)), "do not add up"),
        (lambda: RectilinearGrid(((2, 2),)).grid_shape((4, 1)), "do not add up"),
        (
            lambda: ArrayMetadata(
                shape=(-1,), dtype=np.dtype("i1"), chunk_grid=RegularGrid((1,)), codecs=(), fill_value=0
            ),
            "shape",
        ),
        (
            lambda: ArrayMetadata(
                shape=(1,), dtype=np.dtype("i1"), chunk_grid=RegularGrid((1,)), codecs=(), fill_value=0, dims=("a", "b")
            ),
            "dimension names .* expected 1",
        ),
        (
            lambda: ArrayMetadata(
                shape=(1,), dtype=np.dtype("i1"), chunk_grid=RegularGrid((1,)), codecs=(), fill_value=1.5
            ),
            "cannot be an element",
        ),
        (
            lambda: ArrayMetadata(
                shape=(1,), dtype=np.dtype("U1"), chunk_grid=RegularGrid((1,)), codecs=(), fill_value="ab"
            ),
            "cannot be an element",
        ),
    ],
    ids=range(11),
)
def test_metadata_that_contradicts_itself(make, message):
    with pytest.raises(ManifestError, match=message):
        make()


def test_metadata_is_in_native_byte_order():
    metadata = ArrayMetadata(
        shape=(1,),
        dtype=np.dtype(">f8"),
        chunk_grid=RegularGrid((1,)),
        codecs=(LITTLE,),
        fill_value=np.array(2, ">f8")[()],
    )
    assert metadata.dtype.isnative
    assert metadata.fill_value == 2
    assert metadata == metadata.with_(dtype=np.dtype("f8"), fill_value=2.0)
    assert metadata.with_(fill_value=0.0) != metadata.with_(fill_value=-0.0)
    assert metadata.with_(fill_value=np.nan) == metadata.with_(fill_value=float("nan"))
