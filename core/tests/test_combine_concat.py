"""`concat`: what comes out reads as numpy's concatenation of what went in, or is refused by name."""

from pathlib import Path

import manifestry as mf
import numpy as np
import pytest
import zarr
from examples import examples
from hypothesis import HealthCheck, given, settings, strategies as st
from manifestry.combine import concat
from manifestry.errors import IncompatibleArraysError, OptionError
from manifestry.model.codecs import Codec
from manifestry.model.metadata import RectilinearGrid
from manifestry.model.validation import validate_tree
from manifestry.testing.building import TreeBuilder

LITTLE = Codec("bytes", {"endian": "little"})
SHUFFLE = Codec("numcodecs.shuffle", {"elementsize": 4})
ZLIB = (LITTLE, Codec("numcodecs.zlib", {"level": 4}))


def part(directory: Path, name: str, *arrays: tuple, attributes: dict | None = None):
    """A tree of arrays ``(path, values, dims, chunks, further arguments)`` in files of its own."""
    (directory / name).mkdir()
    builder = TreeBuilder(directory / name)
    builder.group("", attributes or {})
    for path, values, dims, chunks, *more in arrays:
        builder.array(path, values, chunks, dims=dims, **(more[0] if more else {}))
    return builder.tree()


def read(tree, path: str) -> np.ndarray:
    validate_tree(tree)
    return np.asarray(zarr.open_group(mf.open_store(tree), mode="r")[path][...])


def days(directory: Path, count: int = 3, **changes: dict):
    """Trees as daily files: a record variable, its coordinate, fixed coordinates."""
    trees = []
    for day in range(count):
        at = changes.get(f"day{day}", {})
        temperature = np.arange(12, dtype="f4").reshape(1, 3, 4) + 100 * day
        units = at.get("units", "days since 2000-01-01")
        trees.append(
            part(
                directory,
                f"day{day}",
                ("time", np.array([at.get("time", day)], "f8"), ("time",), (512,), {"attributes": {"units": units}}),
                ("lat", np.arange(3.0) + at.get("shift", 0), ("lat",), None, {"codecs": at.get("lat_codecs")}),
                (
                    "t",
                    temperature,
                    ("time", "lat", "lon"),
                    (1, 3, 2),
                    {
                        "codecs": at.get("codecs", ZLIB),
                        "fill": at.get("fill", np.float32(0)),
                        "missing": at.get("missing", ()),
                        "attributes": at.get("attributes", {"units": "K"}),
                    },
                ),
                attributes={"title": "daily", "history": f"made on day {day}"},
            )
        )
    return trees


def test_daily_files(tmp_path):
    tree = concat(days(tmp_path), "time")
    np.testing.assert_array_equal(read(tree, "time"), [0.0, 1.0, 2.0])
    np.testing.assert_array_equal(read(tree, "lat"), [0.0, 1.0, 2.0])
    expected = np.concatenate([np.arange(12, dtype="f4").reshape(1, 3, 4) + 100 * d for d in range(3)])
    np.testing.assert_array_equal(read(tree, "t"), expected)
    assert tree["t"].manifest.grid_shape == (3, 1, 2)
    assert not tree["t"].manifest.inlined.any()
    assert tree["time"].manifest.inlined.all()
    assert tree["time"].attributes == {"units": "days since 2000-01-01"}
    assert [issue.path for issue in tree.issues] == ["@history"]
    assert tree.attributes == {"title": "daily", "history": "made on day 0"}


def test_attributes_that_differ_are_dropped_or_refused(tmp_path):
    trees = days(tmp_path, 2)
    assert concat(trees, "time", attributes="drop").attributes == {"title": "daily"}
    with pytest.raises(IncompatibleArraysError, match=r"attribute history differs between the first source and .*day1"):
        concat(trees, "time", attributes="raise")


def test_compression_level_does_not_matter(tmp_path):
    tree = concat(days(tmp_path, 2, day1={"codecs": (LITTLE, Codec("numcodecs.zlib", {"level": 9}))}), "time")
    assert read(tree, "t")[1, 0, 1] == 101
    assert not tree["t"].manifest.inlined.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attributes": {"units": "degC"}}, "the attribute units is 'degC' instead of 'K'"),
        ({"attributes": {"units": "K", "scale_factor": 0.5}}, "the attribute scale_factor is 0.5 instead of not set"),
        ({"attributes": {"units": "K", "_FillValue": np.float32(9)}}, "the attribute _FillValue is 9.0"),
        ({"codecs": (LITTLE, SHUFFLE, Codec("numcodecs.zlib", {"level": 4}))}, "the codec pipeline is"),
        ({"fill": np.float32(7), "missing": [(0, 0, 1)]}, "what missing chunks read as is 7.0 instead of 0.0"),
    ],
)
def test_what_decodes_differently_is_refused(tmp_path, change, message):
    with pytest.raises(IncompatibleArraysError, match=r"^t: .*day2") as caught:
        concat(days(tmp_path, day2=change), "time")
    assert message in str(caught.value)
    harmonised = [hint for hint in caught.value.hints if hint.options == {"on_conflict": "harmonise"}]
    assert bool(harmonised) == (set(change) != {"attributes"} or "_FillValue" in change["attributes"])


def test_incompatible_variable_is_dropped_on_request(tmp_path):
    tree = concat(days(tmp_path, day1={"attributes": {"units": "degC"}}), "time", on_conflict="drop")
    assert set(tree.arrays) == {"time", "lat"}
    assert [(i.path, i.severity) for i in tree.issues if i.path == "t"] == [("t", "refused")]


def test_fill_value_does_not_matter_where_everything_is_stored(tmp_path):
    tree = concat(days(tmp_path, 2, day1={"fill": np.float32(7)}), "time")
    assert read(tree, "t")[1, 2, 3] == 111


def test_time_units_are_harmonised_exactly(tmp_path):
    change = {"units": "hours since 2000-01-02 12:00", "time": -12.0}
    tree = concat(days(tmp_path, 2, day1=change), "time")
    np.testing.assert_array_equal(read(tree, "time"), [0.0, 1.0])
    assert [issue.feature for issue in tree.issues if issue.path == "time"] == ["times harmonised"]


def test_time_without_exact_form_is_refused(tmp_path):
    trees = days(tmp_path, 2, day1={"units": "microseconds since 2100-01-01", "time": 1 / 3})
    with pytest.raises(IncompatibleArraysError, match=r"the time 0\.3333333333333333 .* has no exact number"):
        concat(trees, "time")


def test_bounds_follow_the_units_of_their_variable(tmp_path):
    trees = []
    for name, units, bounds in (("a", "days since 2000-01-01", [[0, 1]]), ("b", "days since 2000-01-02", [[0, 1]])):
        attributes = {"units": units, "bounds": "time_bnds"}
        trees.append(
            part(
                tmp_path,
                name,
                ("time", np.array([0], "i4"), ("time",), None, {"attributes": attributes}),
                ("time_bnds", np.array(bounds, "i4"), ("time", "nv"), None, {"codecs": ZLIB}),
            )
        )
    tree = concat(trees, "time")
    np.testing.assert_array_equal(read(tree, "time"), [0, 1])
    np.testing.assert_array_equal(read(tree, "time_bnds"), [[0, 1], [1, 2]])


def test_small_arrays_are_harmonised_to_codecs_and_types(tmp_path):
    change = {"codecs": (Codec("bytes", {"endian": "big"}),)}
    tree = concat(days(tmp_path, 2, day1=change), "time", on_conflict="harmonise")
    np.testing.assert_array_equal(read(tree, "t")[1], 100 + np.arange(12, dtype="f4").reshape(3, 4))
    assert tree["t"].manifest.inlined.tolist() == [False, False, True, True]
    with pytest.raises(IncompatibleArraysError, match="48 bytes would be copied; the limit is 47"):
        concat(days(tmp_path / "x", 2, day1=change) if (tmp_path / "x").mkdir() is None else (), "time",
               on_conflict="harmonise", inline_limit=47)  # fmt: skip


def test_fixed_coordinates_are_compared_by_value(tmp_path):
    with pytest.raises(IncompatibleArraysError, match=r"^lat: .*day2.*element \[0\] is 0.5 instead of 0.0"):
        concat(days(tmp_path, day2={"shift": 0.5}), "time")
    (tmp_path / "b").mkdir()
    trees = days(tmp_path / "b", day1={"lat_codecs": (LITTLE, Codec("gzip", {"level": 1}))})
    np.testing.assert_array_equal(read(concat(trees, "time"), "lat"), [0.0, 1.0, 2.0])
    (tmp_path / "c").mkdir()
    tree = concat(days(tmp_path / "c", day2={"shift": 0.5}), "time", compat="override")
    np.testing.assert_array_equal(read(tree, "lat"), [0.0, 1.0, 2.0])


def test_order_of_the_coordinate_is_reported(tmp_path):
    tree = concat(days(tmp_path, day1={"time": 5}, day2={"time": 5}), "time")
    assert [issue.feature for issue in tree.issues if issue.path == "time"] == ["duplicate coordinate values"]
    (tmp_path / "b").mkdir()
    tree = concat(days(tmp_path / "b", 4, day1={"time": 7}), "time")
    issues = [issue for issue in tree.issues if issue.path == "time"]
    assert [issue.feature for issue in issues] == ["coordinate not monotonic"]
    assert "first 2.0 in file://" in issues[0].message
    assert "day2" in issues[0].message


def test_missing_variables(tmp_path):
    both = [
        part(tmp_path, "a", ("t", np.ones((1, 4), "f4"), ("time", "x"), None),
             ("q", np.full((1, 4), 5, "f4"), ("time", "x"), None)),
        part(tmp_path, "b", ("t", np.zeros((1, 4), "f4"), ("time", "x"), None)),
    ]  # fmt: skip
    with pytest.raises(IncompatibleArraysError, match=r"q: is not in .*b/data.bin; missing='fill'"):
        concat(both, "time")
    assert set(concat(both, "time", missing="drop").arrays) == {"t"}
    filled = concat(both, "time", missing="fill")
    np.testing.assert_array_equal(read(filled, "q"), [[5] * 4, [np.nan] * 4])
    np.testing.assert_array_equal(read(filled, "t"), [[1] * 4, [0] * 4])
    again = concat([concat(both[:1], "time"), filled], "time", missing="fill")
    np.testing.assert_array_equal(read(again, "q"), [[5] * 4, [5] * 4, [np.nan] * 4])


def test_filling_is_refused_where_missing_chunks_mean_something_else(tmp_path):
    sparse = {"missing": [(0, 1)], "fill": np.float32(0)}
    both = [
        part(tmp_path, "a", ("t", np.ones((1, 4), "f4"), ("time", "x"), None),
             ("q", np.ones((1, 4), "f4"), ("time", "x"), (1, 2), sparse)),
        part(tmp_path, "b", ("t", np.zeros((1, 4), "f4"), ("time", "x"), None)),
    ]  # fmt: skip
    with pytest.raises(IncompatibleArraysError, match=r"chunks that are missing read as 0.0"):
        concat(both, "time", missing="fill")


def test_groups(tmp_path):
    trees = [
        part(tmp_path, name, ("inner/deep/t", np.full((2, 2), i, "i2"), ("time", "x"), None))
        for i, name in enumerate("ab")
    ]
    tree = concat(trees, "time")
    np.testing.assert_array_equal(read(tree, "inner/deep/t"), [[0, 0], [0, 0], [1, 1], [1, 1]])


def test_unknown_dimension_and_option(tmp_path):
    with pytest.raises(OptionError, match=r"no array has the dimension 'tiem' \(there are: lat, lon, time\)"):
        concat(days(tmp_path, 2), "tiem")
    with pytest.raises(OptionError, match="concat has no option 'compatt'; did you mean 'compat'"):
        concat([], "time", compatt=1)
    with pytest.raises(OptionError, match="nothing to combine"):
        concat([], "time")


MONTHS = (31, 28, 31)


def months(tmp_path: Path, codecs, chunk: int | None = None, lengths=MONTHS):
    tmp_path.mkdir(exist_ok=True)
    whole = np.arange(sum(lengths) * 6, dtype="i4").reshape(-1, 2, 3)
    starts = np.cumsum((0, *lengths))
    trees = [
        part(tmp_path, f"m{i}",
             ("t", whole[a : a + n], ("time", "y", "x"), (chunk or n, 2, 3), {"codecs": codecs}))
        for i, (a, n) in enumerate(zip(starts, lengths, strict=False))
    ]  # fmt: skip
    return whole, trees


def test_uncompressed_chunks_are_split(tmp_path):
    whole, trees = months(tmp_path, (LITTLE,))
    tree = concat(trees, "time")
    np.testing.assert_array_equal(read(tree, "t"), whole)
    assert tree["t"].metadata.chunk_shape == (1, 2, 3)
    assert not tree["t"].manifest.inlined.any()
    whole, trees = months(tmp_path / "even", (LITTLE,), lengths=(12, 8, 4))
    assert concat(trees, "time")["t"].metadata.chunk_shape == (4, 2, 3)


def test_compressed_chunks_are_copied_within_a_limit(tmp_path):
    whole, trees = months(tmp_path, ZLIB)
    tree = concat(trees, "time")
    np.testing.assert_array_equal(read(tree, "t"), whole)
    assert tree["t"].manifest.inlined.tolist() == [False, True, True]
    with pytest.raises(
        IncompatibleArraysError, match=r"lengths 31 in chunks of 31 in .*m0.*, 28 in chunks of 28 in .*m1.*1416 bytes"
    ):
        concat(trees, "time", inline_limit=100)
    with pytest.raises(IncompatibleArraysError, match="chunks end inside dimension 0"):
        concat(trees, "time", partial="raise")


def test_rectilinear_grid_only_when_asked_for(tmp_path):
    whole, trees = months(tmp_path, ZLIB)
    tree = concat(trees, "time", partial="rectilinear")
    assert tree["t"].metadata.chunk_grid == RectilinearGrid(((31, 28, 31), (2,), (3,)))
    with zarr.config.set({"array.rectilinear_chunks": True}):
        np.testing.assert_array_equal(read(tree, "t"), whole)
    _, ragged = months(tmp_path / "ragged", ZLIB, chunk=10)
    with pytest.raises(IncompatibleArraysError, match="longer than its part"):
        concat(ragged, "time", partial="rectilinear")


def test_last_chunk_may_be_partial(tmp_path):
    whole, trees = months(tmp_path, ZLIB, chunk=10, lengths=(20, 10, 7))
    tree = concat(trees, "time")
    np.testing.assert_array_equal(read(tree, "t"), whole)
    assert not tree["t"].manifest.inlined.any()


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=4).filter(any),
    chunks=st.lists(st.integers(1, 6), min_size=4, max_size=4),
    same=st.booleans(),
    compressed=st.booleans(),
    axis=st.integers(0, 1),
)
def test_any_lengths_and_chunks_read_as_numpy_concatenates(tmp_path_factory, lengths, chunks, same, compressed, axis):
    directory = tmp_path_factory.mktemp("any")
    values = [
        np.arange(n * 4, dtype="i2").reshape((n, 4) if axis == 0 else (4, n)) + 1000 * i for i, n in enumerate(lengths)
    ]
    dims = ("a", "b") if axis == 0 else ("b", "a")
    trees = []
    for i, data in enumerate(values):
        c = chunks[0] if same else chunks[i]
        codecs = ZLIB if compressed else (LITTLE,)
        trees.append(part(directory, str(i), ("v", data, dims, (c, 2) if axis == 0 else (2, c), {"codecs": codecs})))
    np.testing.assert_array_equal(read(concat(trees, "a"), "v"), np.concatenate(values, axis))


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ({"grid_mapping_name": "mercator", "false_easting": 0.0}, {"grid_mapping_name": "mercator", "false_easting": 5.0},
         "the attribute false_easting is 5.0 instead of 0.0"),
        ({"proj:code": "EPSG:32632"}, {"proj:code": "EPSG:32633"}, "the attribute proj:code is 'EPSG:32633'"),
    ],
)  # fmt: skip
def test_values_at_other_places_are_not_joined(tmp_path, one, other, message):
    trees = [
        part(
            tmp_path,
            name,
            ("t", np.zeros((1, 2)), ("time", "x"), None),
            ("crs", np.array(0, "i4"), (), None, {"attributes": a}),
        )
        for name, a in (("a", one), ("b", other))
    ]
    with pytest.raises(IncompatibleArraysError, match=f"crs: {message}"):
        concat(trees, "time")
    roots = [tree.select(exclude=["crs"]).with_(attributes=a) for tree, a in zip(trees, (one, other), strict=True)]
    if "proj:code" in one:
        with pytest.raises(IncompatibleArraysError, match="values at different places are not one array"):
            concat(roots, "time")


def test_further_variables_are_copied_on_request(tmp_path):
    trees = days(tmp_path)
    tree = concat(trees, "time", load=["lat", "t"])
    assert tree["lat"].manifest.inlined.all()
    assert tree["t"].manifest.inlined.all()
    expected = read(concat(trees, "time"), "t")
    for path in (tmp_path).glob("day*/data.bin"):
        path.unlink()
    np.testing.assert_array_equal(read(tree, "t"), expected)
    np.testing.assert_array_equal(read(tree, "lat"), [0.0, 1.0, 2.0])
    with pytest.raises(OptionError, match="load: 'lta' is not a variable; there are: lat, t, time"):
        concat(trees, "time", load=["lta"])
    with pytest.raises(
        IncompatibleArraysError, match="lat: copying its values takes 24 bytes; the limit is inline_limit=23"
    ):
        concat(
            days(tmp_path / "b", 1) if (tmp_path / "b").mkdir() is None else (), "time", load=["lat"], inline_limit=23
        )
