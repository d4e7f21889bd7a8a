"""Documents of HDF5 files: the same tree as from the file itself, and the values that h5py reads."""

from __future__ import annotations

import h5py
import manifestry as mf
import netCDF4
import numpy as np
import pytest

FILTERS = {
    "none": {},
    "deflate": {"compression": "gzip", "compression_opts": 5},
    "shuffle": {"shuffle": True, "compression": "gzip"},
    "fletcher32": {"shuffle": True, "compression": "gzip", "fletcher32": True},
    "only fletcher32": {"fletcher32": True},
}
TYPES = ["i1", "u1", "<i2", ">i2", "<u2", "<i4", ">u4", "<i8", "<u8", "<f4", ">f4", "<f8", ">f8"]


def numbers(shape, dtype, seed=0):
    return np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)


@pytest.mark.parametrize("filters", FILTERS)
def test_types_and_filters(tmp_path, describe, values, filters):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        for dtype in TYPES:
            name = dtype.replace("<", "l").replace(">", "b")
            file.create_dataset(name, data=numbers((10, 7), dtype), chunks=(4, 3), **FILTERS[filters])
            if filters == "none":
                file.create_dataset(f"scalar_{name}", data=numbers((), dtype))
                file.create_dataset(f"contiguous_{name}", data=numbers((3, 5), dtype))
    tree = mf.parse(describe(path))
    got = values(tree)
    with h5py.File(path) as file:
        assert got.keys() == set(file)
        for name, data in got.items():
            assert data.dtype == file[name].dtype.newbyteorder("=")
            np.testing.assert_array_equal(data, file[name][()])
    assert tree == mf.parse(path, format="hdf5")


def test_groups_dimensions_attributes_and_missing_chunks(tmp_path, describe, values):
    path = tmp_path / "file.nc"
    with netCDF4.Dataset(path, "w") as nc:
        nc.title = "root"
        nc.createDimension("time", None)
        nc.createDimension("x", 20)
        t = nc.createVariable("time", "f8", ("time",), fill_value=-1.0)
        t.units = "days since 2000-01-01"
        t[0:3] = [1, 2, 3]
        v = nc.createVariable("v", "f4", ("time", "x"), zlib=True, chunksizes=(2, 8), fill_value=-1.2676506e30)
        v.valid_range = np.array([0, 5], "i2")
        v.factor = np.float32(0.1)
        v[0, 0:8] = np.arange(8)
        v[2, 17] = 7
        g = nc.createGroup("g/h")
        g.note = "deep"
        g.createVariable("w", "i2", ("x",), fill_value=-7)[3] = 1
    tree = mf.parse(describe(path))
    assert tree == mf.parse(path, format="hdf5")
    assert tree["g/h/w"].dims == ("x",)
    assert tree["v"].metadata.fill_value == np.float32(-1.2676506e30)
    assert tree["v"].attributes["factor"] == np.float32(0.1)
    got = values(tree)
    with h5py.File(path) as file:
        for name in ("v", "time", "g/h/w"):
            np.testing.assert_array_equal(got[name], file[name][()])


def test_skipped_filters(tmp_path, describe, values):
    """A filter mask that all chunks share shortens the pipeline; one that some have makes those chunks inline."""
    path = tmp_path / "masked.h5"
    data = numbers((4, 100), "<i4")
    with h5py.File(path, "w") as file:
        for name, masks in {"all": (3, 3, 3, 3), "some": (0, 1, 2, 3)}.items():
            item = file.create_dataset(name, (4, 100), "<i4", chunks=(1, 100), shuffle=True, compression="gzip")
            for row, mask in enumerate(masks):
                raw = data[row].tobytes()
                if not mask & 1:
                    raw = data[row].view("u1").reshape(100, 4).T.tobytes()
                if not mask & 2:
                    import zlib

                    raw = zlib.compress(raw, 4)
                item.id.write_direct_chunk((row, 0), raw, mask)
    tree = mf.parse(describe(path))
    got = values(tree)
    np.testing.assert_array_equal(got["all"], data)
    np.testing.assert_array_equal(got["some"], data)
    assert [codec.name for codec in tree["all"].metadata.codecs] == ["bytes"]
    assert tree["some"].manifest.inlined.tolist() == [False, True, True, True]
    with pytest.raises(mf.UnsupportedFeatureError, match="more bytes to copy"):
        mf.parse(describe(path), limits=mf.Limits(max_inline_bytes=100))


@pytest.mark.parametrize("suffix", [".dmrpp", ".dap.dmrpp", ".dmrpp.xml", ".dap.dmrpp.xml"])
def test_sidecars_are_found_beside_data_files(tmp_path, describe, suffix):
    path = tmp_path / "granule.h5"
    with h5py.File(path, "w") as file:
        file["a"] = np.arange(5)
    with pytest.raises(mf.SourceError, match="none beside it"):
        mf.parse(path, format="dmrpp")
    document = describe(path, suffix)
    tree = mf.parse(path, format="dmrpp")
    assert tree == mf.parse(document)
    assert tree["a"].manifest.files.urls == (f"file://{path}",)
    assert tree["a"].manifest.files.sizes.tolist() == [path.stat().st_size]


def test_selection_and_groups(tmp_path, describe):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file["a"] = np.arange(5)
        file["g/b"] = np.arange(5)
        file["g/h/c"] = np.arange(6)
    document = describe(path)
    assert [p for p, _ in mf.parse(document, include=["b", "c"]).walk_arrays()] == ["g/b", "g/h/c"]
    tree = mf.parse(document, group="g")
    assert [p for p, _ in tree.walk_arrays()] == ["b", "h/c"]
    with pytest.raises(mf.OptionError, match="no group 'x'"):
        mf.parse(document, group="x")
    split = mf.parse(document, chunk_bytes=16)["g/h/c"]
    assert (split.metadata.chunk_shape, split.manifest.stored_count) == ((2,), 3)


def test_reading_from_an_object_store(tmp_path, describe, values):
    from obstore.store import MemoryStore

    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file["a"] = np.arange(5)
    memory = MemoryStore()
    memory.put("d/file.h5", path.read_bytes())
    memory.put("d/file.h5.dmrpp", describe(path).read_bytes())
    stores = {"memory://m": memory}
    tree = mf.parse("memory://m/d/file.h5.dmrpp", stores=stores)
    assert tree["a"].manifest.files.sizes.tolist() == [path.stat().st_size]
    import zarr

    root = zarr.open_group(tree.store(stores=stores), mode="r")
    assert root["a"][...].tolist() == [0, 1, 2, 3, 4]


def test_the_hdf5_parser_prefers_sidecars_on_request(tmp_path, describe):
    path = tmp_path / "granule.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", data=np.arange(100), chunks=(10,), compression="gzip")
        file["g/b"] = np.arange(5)
    plain = mf.parse(path)
    without = mf.parse(path, prefer_sidecar=True)
    assert [issue.feature for issue in without.issues] == ["DMR++ sidecar that is not used"]
    assert without == plain
    document = describe(path)
    tree = mf.parse(path, prefer_sidecar=True)
    assert tree == plain
    assert tree.provenance[0].parser == "dmrpp"
    assert list(mf.parse(path, prefer_sidecar=True, group="g").arrays) == ["b"]
    document.write_text(document.read_text().replace('"deflate"', '"szip"').replace("'deflate'", "'szip'"))
    refused = mf.parse(path, prefer_sidecar=True)
    assert refused == plain
    assert [issue.feature for issue in refused.issues] == ["DMR++ sidecar that is not used"]
    document.write_text("<Dataset dmrpp")
    assert mf.parse(path, prefer_sidecar=True) == plain
