"""Archives whose files do not agree: each case refused by name with both values, harmonised exactly, or dropped."""

from pathlib import Path

import manifestry as mf
import numpy as np
import pytest
import zarr
from examples import examples
from hypothesis import given, settings, strategies as st
from manifestry.combine import concat, inline_array, merge
from manifestry.combine.chunking import join_along
from manifestry.combine.compatibility.differences import Aspect, differences
from manifestry.combine.index import check_order
from manifestry.combine.options import CombineOptions
from manifestry.combine.values import encode_values
from manifestry.errors import IncompatibleArraysError, UnsupportedFeatureError
from manifestry.model.codecs import Codec
from manifestry.model.files import SourceFile
from manifestry.model.manifest import ChunkManifest
from manifestry.model.metadata import ArrayMetadata, RegularGrid
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.storage.registry import StoreRegistry
from manifestry.testing.building import TreeBuilder
from manifestry.testing.servers import range_server

LITTLE = Codec("bytes", {"endian": "little"})
ZLIB = (LITTLE, Codec("numcodecs.zlib", {"level": 4}))
BASE = {"dims": ("time", "x"), "chunks": (1, 4), "codecs": ZLIB, "attributes": {"units": "K"}}


def file(directory: Path, name: str, value: float, dtype="i4", time=None, time_attributes=None, **changes):
    """A tree like a file of one step: `t`, its time, and a fixed coordinate."""
    (directory / name).mkdir()
    builder = TreeBuilder(directory / name)
    given = {**BASE, **changes}
    values = np.full((1, 4), value, dtype)
    if given["dims"] == ("x", "time"):
        values = values.T.copy()
    chunks = given.pop("chunks")
    builder.array("t", values, chunks, **given)
    clock = {"units": "days since 2000-01-01", **(time_attributes or {})}
    builder.array("time", np.array([value if time is None else time], "f8"), dims=("time",), attributes=clock)
    builder.array("x", np.arange(4.0), dims=("x",))
    return builder.tree()


def read(tree, path):
    return np.asarray(zarr.open_group(mf.open_store(tree), mode="r")[path][...])


CASES = {
    # what differs in the second file: (changes, what the message says, values after harmonising or why there are none)
    "scale factor": ({"attributes": {"units": "K", "scale_factor": 0.1}},
                     "the attribute scale_factor is 0.1 instead of not set", "scale_factor differs"),
    "offset": ({"attributes": {"units": "K", "add_offset": 5.0}}, "the attribute add_offset is 5.0", "add_offset differs"),
    "units": ({"attributes": {"units": "degC"}}, "the attribute units is 'degC' instead of 'K'", "units differs"),
    "no units": ({"attributes": {}}, "the attribute units is not set instead of 'K'", "units differs"),
    "fill value": ({"attributes": {"units": "K", "_FillValue": np.int32(-9)}},
                   "the attribute _FillValue is -9 instead of not set", [[0] * 4, [7] * 4]),
    "fill value in use": ({"value": -9, "attributes": {"units": "K", "_FillValue": np.int32(-9)}},
                          "the attribute _FillValue is -9", "missing values have no mark"),
    "type": ({"dtype": "f8"}, "the data type is float64 instead of int32", [[0] * 4, [7] * 4]),
    "type without an exact form": ({"dtype": "f8", "value": 0.5}, "the data type is float64", "not exact as int32"),
    "chunks": ({"chunks": (1, 2)}, "the chunk shape is (1, 2) instead of (1, 4)", [[0] * 4, [7] * 4]),
    "dimensions": ({"dims": ("x", "time"), "chunks": (4, 1)}, "the list of dimensions is ('x', 'time')", "the list of dimensions differs"),
    "codec": ({"codecs": (LITTLE, Codec("gzip", {"level": 1}))}, 'the codec pipeline is "bytes', [[0] * 4, [7] * 4]),
    "byte order": ({"codecs": (Codec("bytes", {"endian": "big"}), *ZLIB[1:])}, 'the codec pipeline is "bytes',
                   [[0] * 4, [7] * 4]),
    "flag meanings": ({"attributes": {"units": "K", "flag_meanings": "a b"}}, "flag_meanings is 'a b'", "flag_meanings differs"),
    "unsigned": ({"attributes": {"units": "K", "_Unsigned": "true"}}, "_Unsigned is 'true'", "_Unsigned differs"),
    "grid mapping": ({"attributes": {"units": "K", "grid_mapping": "crs"}}, "grid_mapping is 'crs'", "grid_mapping differs"),
    "valid range": ({"attributes": {"units": "K", "valid_range": "0 to 5"}}, "valid_range is '0 to 5'", "valid_range differs"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_differs(case, tmp_path):
    changes, message, outcome = CASES[case]
    changes = {"value": 7, **changes}
    trees = [file(tmp_path, "first", 0), file(tmp_path, "second", time=1, **changes)]
    with pytest.raises(IncompatibleArraysError, match=r"^t: .*second/data\.bin") as caught:
        concat(trees, "time")
    assert message in str(caught.value)
    dropped = concat(trees, "time", on_conflict="drop")
    assert set(dropped.arrays) == {"time", "x"}
    assert [issue.path for issue in dropped.issues if issue.severity == "refused"] == ["t"]
    if isinstance(outcome, str):
        with pytest.raises(IncompatibleArraysError, match=rf"^t: .*second/data\.bin.*{outcome}"):
            concat(trees, "time", on_conflict="harmonise")
        return
    found = concat(trees, "time", on_conflict="harmonise")
    np.testing.assert_array_equal(read(found, "t"), outcome)
    assert found["t"].attributes == {"units": "K"} or case == "fill value"


def test_times_of_another_calendar(tmp_path):
    trees = [file(tmp_path, "first", 0), file(tmp_path, "second", 7, time=48, time_attributes={"calendar": "noleap"})]
    with pytest.raises(
        IncompatibleArraysError,
        match=r"^time: the attribute calendar is 'noleap' instead of not set in .*second/data\.bin: "
        "times of the calendar noleap are not times of standard",
    ):
        concat(trees, "time")


@pytest.mark.parametrize("codecs", [
    ((LITTLE, Codec("numcodecs.zlib", {"level": 1})), (LITTLE, Codec("numcodecs.zlib", {"level": 9}))),
    ((LITTLE, Codec("gzip", {"level": 1})), (LITTLE, Codec("gzip", {"level": 9}))),
    ((LITTLE, Codec("zstd", {"level": 0, "checksum": False})), (LITTLE, Codec("zstd", {"level": 5, "checksum": True}))),
    ((LITTLE, Codec("numcodecs.bz2", {"level": 1})), (LITTLE, Codec("numcodecs.bz2", {"level": 9}))),
])  # fmt: skip
def test_a_level_is_no_difference(codecs):
    parts = []
    for i, own in enumerate(codecs):
        metadata = ArrayMetadata(
            shape=(1, 4),
            dtype=np.dtype("i4"),
            chunk_grid=RegularGrid((1, 4)),
            codecs=own,
            fill_value=0,
            dims=("time", "x"),
        )
        parts.append(VirtualGroup({"t": encode_values(np.full((1, 4), i, "i4"), metadata)}))
    found = concat(parts, "time")
    np.testing.assert_array_equal(read(found, "t"), [[0] * 4, [1] * 4])
    assert found["t"].manifest.inline == b"".join(part["t"].manifest.inline for part in parts)  # not encoded anew


def test_missing_chunks_of_minus_zero_are_not_those_of_zero(tmp_path):
    trees = [file(tmp_path, str(i), 1, "f4", time=i, fill=np.float32(fill), missing=[(0, 0)])
             for i, fill in enumerate((0.0, -0.0))]  # fmt: skip
    with pytest.raises(IncompatibleArraysError, match=r"what missing chunks read as is -0\.0 instead of 0\.0"):
        concat(trees, "time")


class TestWhatSomeFilesLack:
    def trees(self, tmp_path, without, **changes):
        both = [file(tmp_path, "first", 3, **changes), file(tmp_path, "second", 4, **changes)]
        return [both[0], both[1].select(exclude=[without])]

    def test_no_value_means_missing(self, tmp_path):
        trees = self.trees(tmp_path, "t")
        with pytest.raises(IncompatibleArraysError, match=r"^t: is not in .*second/data\.bin$"):
            concat(trees, "time")
        with pytest.raises(
            IncompatibleArraysError, match=r"t: is not in .*second/data\.bin, and no value of int32 means missing"
        ):
            concat(trees, "time", missing="fill")
        assert set(concat(trees, "time", missing="drop").arrays) == {"time", "x"}

    @pytest.mark.parametrize("missing", ["raise", "drop"])
    def test_what_no_file_has(self, missing, tmp_path):
        whole, without = self.trees(tmp_path, "t")
        if missing == "drop":
            assert "t" not in concat([without], "time", like=whole, missing=missing).arrays
        else:
            with pytest.raises(IncompatibleArraysError, match=r"^t: is not in .*second/data\.bin"):
                concat([without], "time", like=whole)

    @pytest.mark.parametrize("name", ["_FillValue", "missing_value"])
    def test_a_value_that_means_missing(self, name, tmp_path):
        trees = self.trees(tmp_path, "t", attributes={name: np.int32(-9)})
        found = concat(trees, "time", missing="fill")
        assert read(found, "t").tolist() == [[3] * 4, [-9] * 4]
        assert found["t"].manifest.stored.tolist() == [True, False]

    @pytest.mark.parametrize("value", [np.int64(2**40), np.float64(0.5), np.array([], "i4"), "none"])
    def test_a_missing_value_that_no_element_can_be(self, value, tmp_path):
        trees = self.trees(tmp_path, "t", attributes={"missing_value": value})
        with pytest.raises(IncompatibleArraysError, match="no value of int32 means missing"):
            concat(trees, "time", missing="fill")

    def test_a_coordinate_is_not_filled(self, tmp_path):
        trees = self.trees(tmp_path, "time")
        with pytest.raises(IncompatibleArraysError, match=r"^time: is not in .*second/.*a coordinate has no missing"):
            concat(trees, "time", missing="fill")


def test_a_dimension_of_two_lengths_in_one_file(tmp_path):
    """netCDF-4 variables may end before their unlimited dimension does: what follows would lie at other times."""
    trees = []
    for name, steps in (("a", 2), ("b", 1)):
        (tmp_path / name).mkdir()
        builder = TreeBuilder(tmp_path / name)
        builder.array("time", np.arange(2.0), dims=("time",))
        builder.array("t", np.ones((steps, 4)), (1, 4), dims=("time", "x"), codecs=ZLIB)
        trees.append(builder.tree())
    with pytest.raises(IncompatibleArraysError, match=r"^t: .*time has length 1, and 2 in time, in file.*b/data\.bin"):
        concat(trees, "time")
    assert list(concat(trees, "time", on_conflict="drop").arrays) == ["time"]
    assert concat([tree.select(exclude=["t"]) for tree in trees], "time")["time"].shape == (4,)


class TestLossyCodecs:
    """What a lossy codec gives back is not what it is given: chunks are never encoded anew with one."""

    LOSSY = (Codec("numcodecs.bitround", {"keepbits": 3}), LITTLE, Codec("gzip", {"level": 1}))

    def test_joining(self, tmp_path):
        values = (np.arange(12, dtype="f4") + np.float32(0.123)).reshape(3, 4)
        trees = [file(tmp_path, str(i), 0.0, "f4", time=i) for i in range(2)]
        whole = encode_values(values, trees[0]["t"].metadata.with_(codecs=ZLIB, chunk_grid=RegularGrid((2, 4))))
        lossy = VirtualArray(whole.metadata.with_(codecs=(self.LOSSY[0], *whole.metadata.codecs)), whole.manifest)
        time = inline_array(np.arange(3.0), ("time",))
        odd = [VirtualGroup({"t": lossy, "time": time})] * 2
        with pytest.raises(UnsupportedFeatureError, match=r"encoding with numcodecs\.bitround.*the codec is lossy"):
            concat(odd, "time")
        exact = [VirtualGroup({"t": whole, "time": time})] * 2
        np.testing.assert_array_equal(read(concat(exact, "time"), "t"), np.concatenate([values, values]))

    def test_a_codec_that_happens_to_be_exact(self):
        like = ArrayMetadata(
            shape=(4,), dtype=np.dtype("f4"), chunk_grid=RegularGrid((4,)), codecs=self.LOSSY, fill_value=0, dims=("x",)
        )
        even = encode_values(np.array([1, 2, 3, 4], "f4"), like)
        assert even.manifest.inlined.all()
        with pytest.raises(UnsupportedFeatureError, match="lossy"):
            encode_values(np.array([1.1, 2, 3, 4], "f4"), like)


def test_splitting_into_countless_chunks_is_refused():
    def flat(n, name):
        metadata = ArrayMetadata(
            shape=(n,),
            dtype=np.dtype("f4"),
            chunk_grid=RegularGrid((n,)),
            codecs=(LITTLE,),
            fill_value=0,
            dims=("time",),
        )
        return VirtualArray(metadata, ChunkManifest.single(SourceFile(f"s3://b/{name}"), 0, 4 * n, (1,)))

    arrays = [flat(200_000_001, "a"), flat(200_000_000, "b")]
    with pytest.raises(IncompatibleArraysError, match="split to 1 elements they would be 400000001 chunks"):
        join_along(arrays, 0, "v", options=CombineOptions(), stores=StoreRegistry())


class TestOrder:
    @pytest.mark.parametrize(("parts", "features"), [
        ([[0, 1], [2, 3]], []),
        ([[3, 2], [1, 0]], []),
        ([[2, 3], [0, 1]], ["coordinate not monotonic"]),
        ([[0, 5], [3, 9]], ["coordinate not monotonic", "sources overlap"]),
        ([[0, 5], [], [5, 9]], ["duplicate coordinate values"]),
        ([[0, 5], [0, 5]], ["coordinate not monotonic", "sources overlap", "duplicate coordinate values"]),
        ([[9, 4], [6, 2]], ["coordinate not monotonic", "sources overlap"]),
    ])  # fmt: skip
    def test_what_is_reported(self, parts, features):
        values = np.concatenate([np.array(p, "i8") for p in parts])
        issues = check_order("time", values, list(map(len, parts)), "abc".__getitem__)
        assert [issue.feature for issue in issues] == features

    def test_who_overlaps(self):
        values = np.array([0, 9, 20, 30, 4, 6])
        issues = check_order("time", values, [2, 2, 2], "abc".__getitem__)
        assert issues[1].message == "1 of 3; first c (4 to 6) and a (0 to 9)"

    def test_texts_have_an_order_too(self):
        values = np.array(["b", "a", "c"], np.dtypes.StringDType())
        assert [issue.feature for issue in check_order("n", values, [1, 1, 1], str)] == ["coordinate not monotonic"]

    @settings(max_examples=examples(50))
    @given(st.lists(st.lists(st.integers(-5, 5), max_size=4), min_size=1, max_size=4))
    def test_any_order(self, parts):
        values = np.array([v for part in parts for v in part], "i8")
        found = {issue.feature for issue in check_order("v", values, list(map(len, parts)), str)}
        steps = np.diff(values)
        assert ("coordinate not monotonic" in found) == (bool((steps < 0).any()) and bool((steps > 0).any()))
        assert ("duplicate coordinate values" in found) == (len(set(values.tolist())) < values.size)


class TestRemoteCoordinates:
    """Fixed coordinates of remote files are compared by value, and fetched side by side."""

    COUNT = 24

    def trees(self, url, *, differing=None):
        metadata = ArrayMetadata(
            shape=(4,),
            dtype=np.dtype("f8"),
            chunk_grid=RegularGrid((4,)),
            codecs=(LITTLE,),
            fill_value=0.0,
            dims=("x",),
        )
        time = [inline_array(np.array([i]), ("time",)) for i in range(self.COUNT)]
        for i in range(self.COUNT):
            known = SourceFile(f"{url}/{i}", 40)
            offset = 8 if i == differing else 0
            x = VirtualArray(metadata, ChunkManifest.single(known, offset, 32, (1,)))
            yield VirtualGroup({"time": time[i], "x": x})

    def test_side_by_side(self):
        body = np.arange(5.0).tobytes()
        with range_server({f"/{i}": body for i in range(self.COUNT)}, latency=0.02) as server:
            found = concat(self.trees(server.url), "time")
            assert server.count("HEAD") == 0  # the sizes were seen when the files were parsed
            assert server.count("GET") == self.COUNT
            assert server.round_trips < self.COUNT / 2
            assert found["x"].manifest.files.urls == (f"{server.url}/0",)
            with pytest.raises(IncompatibleArraysError, match=r"^x: .*/17: element \[0\] is 1.0 instead of 0.0"):
                concat(self.trees(server.url, differing=17), "time")
            with pytest.raises(IncompatibleArraysError, match=r"x is in .*/0 and .*/3 with different values"):
                merge(tree.select(["x"]) for tree in self.trees(server.url, differing=3))
            server.reset()
            concat(self.trees(server.url, differing=17), "time", compat="override")
            assert not server.count()
            with pytest.raises(IncompatibleArraysError, match="comparing its values reads 32 bytes of every source"):
                merge((tree.select(["x"]) for tree in self.trees(server.url)), inline_limit=31)
            assert not server.count()


def test_arrays_of_a_group_lie_beside_the_coordinate_of_a_group_above(tmp_path):
    """netCDF-4 variables in groups may end before the dimension of the root does, too."""
    parts = [
        VirtualGroup(
            {"time": inline_array([0, 1], ("time",))},
            groups={"group": VirtualGroup({"t": inline_array(range(n), ("time",))})},
        )
        for n in (1, 2)
    ]
    with pytest.raises(
        IncompatibleArraysError, match=r"^group/t: the dimension time has length 1, and 2 in time, in tree 0"
    ):
        concat(parts, "time")
    assert concat([part.select(group="group") for part in parts], "time")["t"].shape == (3,)


def test_nothing_is_left(tmp_path):
    trees = [file(tmp_path, str(i), 1, "i4", attributes={"units": f"{i} m"}) for i in range(2)]
    with pytest.raises(
        IncompatibleArraysError, match=r"no variable with the dimension 'time' is left: t: incompatible"
    ):
        concat([tree.select(exclude=["time"]) for tree in trees], "time", on_conflict="drop")


@pytest.mark.parametrize("name", ["_Encoding", "dtype", "units_metadata", "month_lengths"])
def test_attributes_that_say_how_values_are_decoded(name, tmp_path):
    trees = [file(tmp_path, str(i), i, "i1", attributes={name: "bool"} if i else {}) for i in range(2)]
    with pytest.raises(IncompatibleArraysError, match=f"t: the attribute {name} is 'bool' instead of not set"):
        concat(trees, "time")


@pytest.mark.parametrize(
    ("changes", "aspect", "attribute", "only_storage"),
    [
        ({"dtype": np.dtype("i2")}, Aspect.DATA_TYPE, "", False),
        ({"dims": ("x", "time")}, Aspect.DIMENSIONS, "", False),
        ({"shape": (2, 3)}, Aspect.SHAPE, "", False),
        ({"codecs": ZLIB}, Aspect.CODECS, "", True),
        ({"chunk_grid": RegularGrid((2, 2))}, Aspect.CHUNKS, "", True),
        ({"fill_value": 7}, Aspect.FILL_VALUE, "", True),
        ({"attributes": {"units": "km"}}, Aspect.ATTRIBUTE, "units", False),
    ],
    ids=[aspect.name for aspect in Aspect],
)
def test_every_aspect_of_a_difference_is_named_and_classified(changes, aspect, attribute, only_storage):
    metadata = ArrayMetadata(
        shape=(2, 4),
        dtype=np.dtype("i4"),
        chunk_grid=RegularGrid((2, 4)),
        codecs=(LITTLE,),
        fill_value=0,
        dims=("time", "x"),
        attributes={"units": "m"},
    )
    other = metadata.with_(**changes)
    arrays = [VirtualArray(m, ChunkManifest.missing(m.grid_shape)) for m in (metadata, other)]
    first, *more = differences(*arrays, None)
    assert (first.aspect, first.attribute, first.only_storage) == (aspect, attribute, only_storage)
    # A fill value has the type of its array.
    assert [one.aspect for one in more] == ([Aspect.FILL_VALUE] if aspect is Aspect.DATA_TYPE else [])
    assert str(first).startswith(f"{aspect.value} {attribute}".strip() + " is ")
