"""Native stores, written by zarr-python and xarray, as sources."""

from __future__ import annotations

import json

import manifestry as mf
import numpy as np
import pytest
import xarray as xr
import zarr
from manifestry import UnknownFormatError
from manifestry.plugin import MalformedFileError, SourceError, UnsupportedFeatureError
from obstore.store import MemoryStore

VALUES = np.arange(42, dtype="f4").reshape(6, 7)


def rewritten(tree, tmp_path, name="out.json"):
    """The tree through Kerchunk references of Zarr v3, read by fsspec and zarr."""
    import fsspec

    mf.write(tree, tmp_path / name, zarr_format=3)
    system = fsspec.filesystem("reference", fo=str(tmp_path / name), asynchronous=True, remote_protocol="file")
    return zarr.open_group(zarr.storage.FsspecStore(system, read_only=True, path=""), mode="r", zarr_format=3)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("separator", [".", "/"])
def test_arrays_and_groups(tmp_path, version, separator):
    root = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=version, attributes={"title": "x"})
    name = "v2" if version == 2 else "default"
    encoding = {"name": name, "separator": separator}
    options = {"chunks": (4, 4), "fill_value": -1.0, "chunk_key_encoding": encoding}
    plain = root.create_array("plain", shape=(6, 7), dtype="f4", compressors=None, **options)
    plain[...] = VALUES
    inner = root.create_group("g", attributes={"level": 1})
    inner.create_array("packed", shape=(6, 7), dtype="f4", **options)[...] = VALUES
    inner.create_array("sparse", shape=(6, 7), dtype="f4", **options)[:4, :4] = VALUES[:4, :4]
    inner.create_array("scalar", shape=(), dtype="i2")[...] = 5
    tree = mf.parse(tmp_path / "s.zarr")
    assert tree.attributes == {"title": "x"}
    assert tree["g"].attributes == {"level": 1}
    assert tree["plain"].manifest.stored_count == 4
    assert tree["g/sparse"].manifest.stored_count == 1
    assert all(file.last_modified is not None and file.size for file in tree.files)
    again = rewritten(tree, tmp_path)
    assert np.array_equal(again["plain"][...], VALUES)
    assert np.array_equal(again["g/packed"][...], VALUES)
    assert np.array_equal(again["g/sparse"][...], inner["sparse"][...])
    assert again["g/scalar"][...] == 5
    assert list(mf.parse(tmp_path / "s.zarr", group="g", include=["packed"]).arrays) == ["packed"]


def test_shards_stay_shards(tmp_path):
    root = zarr.open_group(tmp_path / "s.zarr", mode="w")
    root.create_array("v", shape=(6, 7), dtype="f4", shards=(4, 4), chunks=(2, 2))[...] = VALUES
    tree = mf.parse(tmp_path / "s.zarr")
    assert tree["v"].manifest.grid_shape == (2, 2)
    assert [codec.name for codec in tree["v"].metadata.codecs] == ["sharding_indexed"]
    assert np.array_equal(rewritten(tree, tmp_path)["v"][...], VALUES)
    with pytest.raises(UnsupportedFeatureError, match="sharding_indexed in Zarr v2"):
        mf.write(tree, tmp_path / "v2.json")


@pytest.mark.parametrize("version", [2, 3])
def test_what_xarray_writes_reads_as_xarray_reads_it(tmp_path, version):
    data = np.array([[1.5, np.nan, 0.0], [4.0, -9.0, 0.0]])
    dataset = xr.Dataset({"a": (("y", "x"), data, {"units": "m"}), "b": ("x", [0, 1, 2])}, coords={"x": [10, 20, 30]})
    encoding = {"a": {"_FillValue": -9.0}}
    dataset.to_zarr(tmp_path / "s.zarr", zarr_format=version, consolidated=version == 2, encoding=encoding)
    tree = mf.parse(tmp_path / "s.zarr")  # a consolidated store has .zmetadata, as Kerchunk Parquet has
    assert tree["a"].dims == ("y", "x")
    mf.write(tree, tmp_path / "out.json")
    with xr.open_zarr(tmp_path / "s.zarr", consolidated=False) as right:
        options = {"remote_protocol": "file"}
        found = xr.open_dataset(str(tmp_path / "out.json"), engine="kerchunk", storage_options=options)
        for name in ("a", "b", "x"):
            assert found[name].dtype == right[name].dtype
            xr.testing.assert_identical(found[name].load(), right[name].load())


@pytest.mark.parametrize("version", [2, 3])
def test_a_store_that_is_one_array(tmp_path, version):
    zarr.save_array(str(tmp_path / "alone.zarr"), VALUES, zarr_format=version)
    tree = mf.parse(tmp_path / "alone.zarr")
    assert np.array_equal(rewritten(tree, tmp_path)["alone"][...], VALUES)


def test_a_remote_prefix():
    store = MemoryStore()
    root = zarr.open_group(zarr.storage.ObjectStore(store), mode="w", path="data/s.zarr", zarr_format=3)
    root.create_array("v", shape=(6, 7), dtype="f4", chunks=(4, 4), compressors=None)[...] = VALUES
    tree = mf.parse("memory://there/data/s.zarr", stores={"memory://there": store})
    assert min(tree.files.urls) == "memory://there/data/s.zarr/v/c/0/0"
    assert tree["v"].manifest.stored_count == 4
    assert tree.files[0].etag


def test_other_things_in_the_directory_are_left_alone(tmp_path):
    root = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=2)
    root.create_array("v", shape=(4,), dtype="i4", chunks=(2,))[...] = [1, 2, 3, 4]
    (tmp_path / "s.zarr/v/README.md").write_text("hello")
    (tmp_path / "s.zarr/notes").mkdir()
    (tmp_path / "s.zarr/notes/0").write_text("hello")
    assert mf.parse(tmp_path / "s.zarr")["v"].manifest.stored_count == 2


def test_stores_that_lie(tmp_path):
    root = zarr.open_group(tmp_path / "s.zarr", mode="w", zarr_format=2)
    for name in ("good", "empty", "beyond", "broken"):
        root.create_array(name, shape=(4,), dtype="i4", chunks=(2,))[...] = [1, 2, 3, 4]
    (tmp_path / "s.zarr/empty/0").write_bytes(b"")
    (tmp_path / "s.zarr/beyond/2").write_bytes(b"12345678")
    (tmp_path / "s.zarr/broken/.zarray").write_text("{")
    tree = mf.parse(tmp_path / "s.zarr", on_unsupported="skip")
    assert list(tree.arrays) == ["good"]
    assert {issue.path for issue in tree.issues} == {"empty", "beyond", "broken"}
    with pytest.raises(UnsupportedFeatureError, match="3 parts"):
        mf.parse(tmp_path / "s.zarr")


def test_what_the_model_does_not_have_is_refused(tmp_path):
    zarr.open_group(tmp_path / "s.zarr", mode="w").create_array("v", shape=(4,), dtype="i4")
    place = tmp_path / "s.zarr/v/zarr.json"
    document = json.loads(place.read_text())
    place.write_text(json.dumps({**document, "storage_transformers": [{"name": "x"}]}))
    with pytest.raises(UnsupportedFeatureError, match="storage transformers"):
        mf.parse(tmp_path / "s.zarr")
    place.write_text(json.dumps({**document, "chunk_key_encoding": {"name": "odd"}}))
    with pytest.raises(UnsupportedFeatureError, match="chunk key encoding 'odd'"):
        mf.parse(tmp_path / "s.zarr")


def test_what_is_no_store(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnknownFormatError):
        mf.parse(tmp_path / "empty")
    (tmp_path / "file").write_text("x")
    with pytest.raises(MalformedFileError, match="directory"):
        mf.parse(tmp_path / "file", format="zarr")
    with pytest.raises((SourceError, MalformedFileError)):
        mf.parse(tmp_path / "nowhere", format="zarr")
