"""Virtual datasets: what xarray does with whole chunks works, all else is refused clearly; nothing is lost on the way."""

import pickle
from pathlib import Path

import manifestry as mf
import numpy as np
import pytest
import xarray as xr
import zarr
from manifestry.model.codecs import Codec
from manifestry.model.validation import validate_tree
from manifestry.testing.building import TreeBuilder
from manifestry.xarray_bridge import VirtualDuckArray, from_virtual_dataset

LITTLE = Codec("bytes", {"endian": "little"})
ZLIB = (LITTLE, Codec("numcodecs.zlib", {"level": 1}))


def day(directory: Path, name: str, at: int, **attributes):
    (directory / name).mkdir()
    builder = TreeBuilder(directory / name)
    builder.group("", {"title": "daily", "version": np.float32(0.1)})
    builder.array("time", np.array([at], "i4"), dims=("time",), attributes={"units": "days since 2000-01-01"})
    builder.array("x", np.arange(6.0), dims=("x",))
    builder.array("t", np.arange(24, dtype="i2").reshape(1, 4, 6) + 100 * at, (1, 2, 3), dims=("time", "y", "x"),
                  codecs=ZLIB, attributes={"coordinates": "lat", **attributes})  # fmt: skip
    builder.array("lat", np.arange(24.0).reshape(4, 6), dims=("y", "x"))
    builder.array("odd", np.arange(3), dims=None)
    return builder.tree()


def expected(*days: int) -> np.ndarray:
    return np.concatenate([np.arange(24, dtype="i2").reshape(1, 4, 6) + 100 * at for at in days])


def read(dataset: xr.Dataset, name: str) -> np.ndarray:
    tree = from_virtual_dataset(dataset)
    validate_tree(tree)
    return np.asarray(zarr.open_group(mf.open_store(tree), mode="r")[name][...])


def test_round_trip_is_exact(sample):
    dataset = mf.to_datatree(sample.tree)
    assert dataset.manifestry.to_tree() == sample.tree
    assert pickle.loads(pickle.dumps(dataset)).manifestry.to_tree() == sample.tree


def test_nothing_is_read_and_coordinates_are_known(tmp_path):
    tree = day(tmp_path, "a", 3)
    (tmp_path / "a" / "data.bin").unlink()
    dataset = mf.to_xarray(tree)
    assert set(dataset.coords) == {"time", "x", "lat"}
    assert dataset.sizes == {"time": 1, "x": 6, "y": 4, "unnamed_odd_0": 3}
    assert isinstance(dataset.t.data, VirtualDuckArray)
    assert "VirtualDuckArray" in repr(dataset)
    assert "numcodecs.zlib" in dataset.t.data._repr_html_()
    assert "manifestry" in dataset._repr_html_() or "VirtualDuckArray" in dataset._repr_html_()
    assert dataset.manifestry.nbytes == tree.nbytes
    with pytest.raises(mf.UnsupportedFeatureError, match="the values of a virtual array"):
        np.asarray(dataset.t)
    with pytest.raises(mf.UnsupportedFeatureError, match=r"numpy\.add"):
        dataset.t + 1


def test_concat_along_a_dimension(tmp_path):
    sets = [mf.to_xarray(day(tmp_path, name, at)) for at, name in enumerate("abc")]
    joined = xr.concat(
        sets, "time", data_vars="minimal", coords="minimal", compat="equals", join="override", combine_attrs="override"
    )
    assert joined.t.shape == (3, 4, 6)
    np.testing.assert_array_equal(read(joined, "t"), expected(0, 1, 2))
    np.testing.assert_array_equal(read(joined, "time"), [0, 1, 2])
    nested = xr.combine_nested(
        sets, "time", data_vars="minimal", coords="minimal", compat="equals", join="override", combine_attrs="override"
    )
    assert nested.manifestry.to_tree() == joined.manifestry.to_tree()
    assert (
        mf.concat([ds.manifestry.to_tree() for ds in sets], "time")["t"].manifest
        == joined.manifestry.to_tree()["t"].manifest
    )


def test_combine_by_loaded_coordinates(tmp_path):
    sets = [mf.to_xarray(day(tmp_path, name, at), load=True) for at, name in ((2, "b"), (0, "a"))]
    joined = xr.combine_by_coords(
        sets, data_vars="minimal", coords="minimal", compat="override", combine_attrs="override"
    )
    assert joined.indexes["time"].strftime("%Y-%m-%d").tolist() == ["2000-01-01", "2000-01-03"]
    np.testing.assert_array_equal(read(joined, "t"), expected(0, 2))
    np.testing.assert_array_equal(read(joined, "time"), [0, 2])
    assert joined.manifestry.to_tree()["time"].attributes["units"] == "days since 2000-01-01"


def test_arrays_that_decode_differently_are_not_joined(tmp_path):
    sets = [mf.to_xarray(day(tmp_path, "a", 0, scale_factor=0.1)), mf.to_xarray(day(tmp_path, "b", 1))]
    with pytest.raises(mf.IncompatibleArraysError, match=r"the attribute scale_factor is not set instead of 0.1"):
        xr.concat(
            sets,
            "time",
            data_vars="minimal",
            coords="minimal",
            compat="override",
            join="override",
            combine_attrs="override",
        )


def test_coordinates_are_compared_by_value(tmp_path):
    a, b = mf.to_xarray(day(tmp_path, "a", 0)), mf.to_xarray(day(tmp_path, "b", 1))
    assert a.lat.variable.equals(b.lat.variable)
    assert not a.t.variable.equals(b.t.variable)


@pytest.mark.parametrize(
    "key",
    [
        {"x": slice(3, 6)}, {"x": slice(0, 3), "y": slice(2, None)}, {"time": 0}, {"time": slice(0, 0)}, {"y": [2, 3]},
        {"y": slice(0, 2), "time": 0}, {"x": slice(None)},
    ],
)  # fmt: skip
def test_selecting_whole_chunks(tmp_path, key):
    dataset = mf.to_xarray(day(tmp_path, "a", 1))[["t"]].reset_coords(drop=True)
    truth = xr.DataArray(expected(1), dims=("time", "y", "x")).isel(key)
    picked = dataset.isel(key)
    assert picked.t.dims == truth.dims
    np.testing.assert_array_equal(read(picked, "t"), truth.values)


def test_selections_that_cut_chunks(tmp_path):
    dataset = mf.to_xarray(day(tmp_path, "a", 1))
    for key in ({"x": slice(1, 4)}, {"x": 2}, {"x": [0, 5]}, {"x": slice(None, None, 2)}):
        with pytest.raises((mf.UnsupportedFeatureError, mf.IncompatibleArraysError)):
            dataset[["t"]].reset_coords(drop=True).isel(key)
    np.testing.assert_array_equal(read(dataset[["lat"]].isel(y=slice(1, 3)), "lat"), np.arange(24.0).reshape(4, 6)[1:3])


def test_rearranging(tmp_path):
    dataset = mf.to_xarray(day(tmp_path, "a", 1))[["t"]].reset_coords(drop=True)
    turned = dataset.transpose("x", "time", "y")
    np.testing.assert_array_equal(read(turned, "t"), expected(1).transpose(2, 0, 1))
    again = turned.transpose("y", "x", "time")
    np.testing.assert_array_equal(read(again, "t"), expected(1).transpose(1, 2, 0))
    assert again.transpose("time", "y", "x").manifestry.to_tree() == dataset.manifestry.to_tree()
    more = dataset.isel(time=0).expand_dims("run").rename(t="temperature", y="row")
    assert more.temperature.dims == ("run", "row", "x")
    np.testing.assert_array_equal(read(more, "temperature"), expected(1))
    np.testing.assert_array_equal(read(dataset.expand_dims(run=2), "t"), np.stack([expected(1)] * 2))
    stacked = xr.concat(
        [dataset, dataset],
        "run",
        data_vars="all",
        join="override",
        coords="minimal",
        compat="override",
        combine_attrs="override",
    )
    np.testing.assert_array_equal(read(stacked, "t"), np.stack([expected(1)] * 2))


def test_writing_through_the_accessor(tmp_path):
    dataset = mf.to_xarray(day(tmp_path, "a", 1), load=["time"]).assign(note=("n", ["a", "ü"]))
    report = dataset.manifestry.write(tmp_path / "out.json", format="kerchunk-json")
    assert report.arrays == 6
    tree = mf.parse(tmp_path / "out.json", format="kerchunk-json")
    assert np.asarray(zarr.open_group(mf.open_store(tree), mode="r")["note"][...]).tolist() == ["a", "ü"]


def test_chosen_coordinates_are_found_again(tmp_path):
    dataset = mf.to_xarray(day(tmp_path, "a", 1)).set_coords("odd").reset_coords("lat")
    tree = dataset.assign_coords(run=7).manifestry.to_tree()
    assert tree.attributes["coordinates"] == "odd run"
    assert set(mf.to_xarray(tree).coords) == {"time", "x", "odd", "run", "lat"}  # t says that lat is one
    assert set(xr.open_dataset(tree, engine="manifestry").coords) == {"time", "x", "odd", "run", "lat"}
    named = tree.select(exclude=["odd"])  # xarray's own engine wants names for all dimensions
    assert set(xr.open_zarr(mf.open_store(named), consolidated=False).coords) == {"time", "x", "run", "lat"}
