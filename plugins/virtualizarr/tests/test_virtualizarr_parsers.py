"""VirtualiZarr's parsers as sources of ours, and our parsers in VirtualiZarr's functions."""

import json
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("virtualizarr")

import h5py
import manifestry as mf
import netCDF4
import numpy as np
import tifffile
import virtualizarr
import xarray as xr
import zarr
from manifestry.formats.detection import matches
from manifestry.formats.loading import installed_formats
from manifestry.plugin import Source, documents_of
from manifestry.testing.conformance import ParserCase, ParserTests
from manifestry_virtualizarr import ManifestryParser, from_dataset, from_manifest_group
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore, MemoryStore
from virtualizarr.manifests import ManifestGroup, ManifestStore
from virtualizarr.parsers import HDFParser, NetCDF3Parser

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*chunk shape larger than their array:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def write_day(path, day, kind="NETCDF4", **attributes):
    with netCDF4.Dataset(path, "w", format=kind) as file:
        file.createDimension("time", None)
        file.createDimension("x", 6)
        time = file.createVariable("time", "i4", ("time",))
        time.units = "days since 2000-01-01"
        packed = {"zlib": True, "chunksizes": (1, 3)} if kind == "NETCDF4" else {}
        values = file.createVariable("t", "i2", ("time", "x"), fill_value=-1, **packed)
        values.setncatts({"scale_factor": 0.5, "coordinates": "lat", **attributes})
        values.set_auto_maskandscale(False)
        values[0] = np.arange(6) + 10 * day
        time[:] = [day]
        file.createVariable("lat", "f4", ("x",))[:] = np.arange(6)
        file.createVariable("crs", "i4", ())[...] = 0
        file.title = "daily"
        if kind == "NETCDF4":
            file.createGroup("inner").createVariable("q", "f8", ("x",), zlib=True)[:] = np.arange(6)
    return path


@pytest.fixture
def file(tmp_path):
    return write_day(tmp_path / "a day.nc", 3)


@pytest.fixture
def registry():
    return ObjectStoreRegistry({"file://": LocalStore()})


class TestVirtualizarrParser(ParserTests):
    """The core's conformance kit, on HDFParser."""

    format = "virtualizarr"

    def make_cases(self, directory):
        path = write_day(directory / "a.nc", 3)
        values = {
            "t": np.arange(30, 36, dtype="i2").reshape(1, 6),
            "lat": np.arange(6, dtype="f4"),
            "inner/q": np.arange(6.0),
        }
        yield ParserCase(path, values, {"parser": "HDFParser"})

    def make_pointers(self, directory, url):
        return ()  # HDFParser follows no links

    def test_detection(self, cases):
        """The bridge is asked for, and claims nothing: the plugin of the format does."""
        names = [entry.descriptor.name for entry in matches(Source(cases[0].path), installed_formats())]
        assert names == ["hdf5"]

    @pytest.mark.skip("a parser of VirtualiZarr that crashes is a PluginError")
    def test_damaged_copies_raise_only_errors_of_ours(self):
        """VirtualiZarr promises nothing for damaged files."""


@pytest.mark.parametrize(("kind", "parser", "ours"), [
    ("NETCDF4", "virtualizarr:HDFParser", "hdf5"),
    ("NETCDF3_CLASSIC", "manifestry-virtualizarr:virtualizarr:NetCDF3Parser", "netcdf3"),
])  # fmt: skip
def test_says_what_our_own_parser_says(tmp_path, kind, parser, ours):
    path = write_day(tmp_path / "a.nc", 3, kind)
    theirs, tree = mf.parse(path, format=parser), mf.parse(path, format=ours, exclude=["time"])
    for name, array in tree.walk_arrays():
        assert theirs[name].manifest == array.manifest, name
        if kind == "NETCDF4" or name == "t":  # where all is stored, it does not matter what is not
            assert documents_of(theirs[name].metadata) == documents_of(array.metadata), name
    assert theirs.files == tree.files  # size and time of the source too
    (origin,) = theirs.provenance
    assert (origin.parser, origin.options) == ("virtualizarr", {"parser": parser.rpartition(":")[2]})


def test_written_and_read_back(file, tmp_path):
    target = tmp_path / "out.icechunk"
    mf.convert([file], target, format="virtualizarr:HDFParser", exclude=["inner"])
    with xr.open_dataset(file, engine="netcdf4") as expected:
        found = xr.open_dataset(mf.parse(target), engine="manifestry").load()
        xr.testing.assert_identical(found, expected.load())


def test_what_is_asked_for(file):
    def parse(**options):
        return mf.parse(file, format="virtualizarr:HDFParser", **options)

    assert list(parse(group="inner").arrays) == ["q"]
    assert list(parse(arguments={"group": "inner"}).arrays) == ["q"]
    assert [path for path, _ in parse(include=["lat", "q"]).walk_arrays()] == ["lat", "inner/q"]
    with pytest.raises(mf.OptionError, match="there is no group 'other' in file:"):
        parse(group="other")
    with pytest.raises(mf.OptionError, match="arguments of HDFParser: got an unexpected keyword argument 'gruop'"):
        parse(arguments={"gruop": "inner"})
    with pytest.raises(mf.OptionError, match="the format 'virtualizarr:HDFParser' names the parser already"):
        parse(parser="NetCDF3Parser")


@pytest.mark.parametrize(("name", "message"), [
    ("virtualizarr", r"'no parser' is not in virtualizarr.parsers \(there are: DMRPPParser, .*HDFParser"),
    ("virtualizarr:HDF5Parser", "'HDF5Parser' is not in virtualizarr.parsers"),
    ("virtualizarr:no_such_package.Parser", "cannot be imported: No module named 'no_such_package'"),
    ("virtualizarr:virtualizarr.parsers.None_", "cannot be imported: .*has no attribute 'None_'"),
])  # fmt: skip
def test_parsers_that_are_none(file, name, message):
    with pytest.raises(mf.OptionError, match=message):
        mf.parse(file, format=name)


def test_parsers_of_other_packages(file, monkeypatch):
    class Given:
        def __init__(self, result):
            self.result = result

        def __call__(self, url, registry):
            if self.result == "unsupported":
                raise NotImplementedError("a codec of the moon")
            return 5 if self.result == "nonsense" else HDFParser()(url=url, registry=registry)

    monkeypatch.setitem(sys.modules, "parser_of_this_test", SimpleNamespace(Given=Given))

    def parse(result):
        return mf.parse(file, format="virtualizarr:parser_of_this_test.Given", arguments={"result": result})

    assert parse("tree") == mf.parse(file, format="virtualizarr:HDFParser")
    with pytest.raises(mf.UnsupportedFeatureError, match="a codec of the moon"):
        parse("unsupported")
    with pytest.raises(mf.PluginError, match="returned int"):
        parse("nonsense")


def test_what_contradicts_itself_goes_no_further(tmp_path):
    """Of a chunked dataset without a chunk, VirtualiZarr 2.8 makes a manifest as large as the array."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("good", data=np.arange(4), chunks=(2,))
        file.create_dataset("empty", (8,), "f4", chunks=(4,))
    with pytest.raises(mf.ManifestError, match=r"empty: the chunk grid is \(8,\), expected \(2,\)"):
        mf.parse(tmp_path / "a.h5", format="virtualizarr:HDFParser")
    tree = mf.parse(tmp_path / "a.h5", format="virtualizarr:HDFParser", on_unsupported="skip")
    assert list(tree.arrays) == ["good"]
    assert [issue.path for issue in tree.issues] == ["empty"]


def test_sources_that_are_not_there(tmp_path):
    with pytest.raises(mf.SourceError, match="does not exist"):
        mf.parse(tmp_path / "none.nc", format="virtualizarr:HDFParser")


def test_stores_of_the_caller(file):
    memory = MemoryStore()
    memory.put("deep/a day.nc", file.read_bytes())
    stores = {"memory://m": memory}
    tree = mf.parse("memory://m/deep/a day.nc", format="virtualizarr:HDFParser", stores=stores)
    assert tree.files.urls == ("memory://m/deep/a day.nc",)
    assert tree.files[0].etag
    read = zarr.open_group(mf.open_store(tree, stores=stores), mode="r")
    np.testing.assert_array_equal(read["t"][0], np.arange(30, 36))


def test_directories(tmp_path):
    pytest.importorskip("arro3.core", reason="VirtualiZarr's ZarrParser lists stores with it")
    root = zarr.open_group(tmp_path / "a.zarr", mode="w")
    root.create_array("v", data=np.arange(6), chunks=(4,), dimension_names=("x",))
    tree = mf.parse(tmp_path / "a.zarr", format="virtualizarr:ZarrParser")
    assert [file.size for file in tree.files] == [(tmp_path / "a.zarr/v/c" / i).stat().st_size for i in "01"]
    np.testing.assert_array_equal(zarr.open_group(mf.open_store(tree), mode="r")["v"][...], np.arange(6))


@pytest.mark.parametrize("kind", ["NETCDF4", "NETCDF3_CLASSIC"])
def test_our_parsers_in_virtualizarr(tmp_path, registry, kind):
    path = write_day(tmp_path / "a.nc", 3, kind)
    parser = pickle.loads(pickle.dumps(ManifestryParser()))
    vds = virtualizarr.open_virtual_dataset(f"file://{path}", registry, parser=parser)
    theirs = HDFParser() if kind == "NETCDF4" else NetCDF3Parser()
    expected = virtualizarr.open_virtual_dataset(f"file://{path}", registry, parser=theirs)
    assert set(vds.variables) == set(expected.variables)
    assert set(vds.coords) == set(expected.coords)
    for name in ("t", "lat", "crs"):
        assert vds[name].attrs == expected[name].attrs
        assert vds[name].data.manifest == expected[name].data.manifest
        if kind == "NETCDF4" or name == "t":  # as above
            assert vds[name].data.metadata == expected[name].data.metadata
    everything = virtualizarr.open_virtual_dataset(
        f"file://{path}", registry, parser=ManifestryParser("netcdf3" if "3" in kind else "hdf5"),
        loadable_variables=list(vds.variables),
    )  # fmt: skip
    with xr.open_dataset(path) as truth:
        xr.testing.assert_identical(everything.load().drop_encoding(), truth.load())


def test_options_and_groups_of_our_parsers(file, registry, tmp_path):
    parser = ManifestryParser("hdf5", include=["lat", "q"])
    tree = virtualizarr.open_virtual_datatree(f"file://{file}", registry, parser=parser)
    assert set(tree["inner"].data_vars) == {"q"}
    inner = ManifestryParser(group="inner")(f"file://{file}", registry)
    assert list(inner.to_virtual_dataset().variables) == ["q"]
    with h5py.File(tmp_path / "plain.h5", "w") as plain:
        plain["v"] = np.arange(4)
    vds = virtualizarr.open_virtual_dataset(f"file://{tmp_path}/plain.h5", registry, parser=ManifestryParser())
    assert vds.v.dims == ("phony_dim_0",)
    tifffile.imwrite(tmp_path / "a.tif", np.arange(12, dtype="u1").reshape(3, 4))
    unnamed = mf.parse(tmp_path / "a.tif")
    unnamed = unnamed.map_arrays(lambda _, array: mf.VirtualArray(array.metadata.with_(dims=None), array.manifest))
    mf.write(unnamed, tmp_path / "unnamed.json", format="kerchunk-json")
    vds = virtualizarr.open_virtual_dataset(f"file://{tmp_path}/unnamed.json", registry, parser=ManifestryParser())
    assert vds["0"].dims == ("unnamed_0_0", "unnamed_0_1")
    assert from_dataset(vds)["0"].dims is None


def test_combined_by_virtualizarr_and_written_by_us(tmp_path, registry):
    days = [write_day(tmp_path / f"{day}.nc", day) for day in range(3)]
    vds = virtualizarr.open_virtual_mfdataset(
        [f"file://{day}" for day in days], registry, parser=ManifestryParser("hdf5", exclude=["inner"]),
        combine="nested", concat_dim="time", coords="minimal", data_vars="minimal", compat="override",
    )  # fmt: skip
    tree = from_dataset(vds)
    ours = mf.concat([mf.parse(day, exclude=["inner"]) for day in days], "time")
    assert documents_of(tree["t"].metadata) == documents_of(ours["t"].metadata)
    assert tree["t"].manifest.to_dict().keys() == ours["t"].manifest.to_dict().keys()
    assert tree["time"].manifest.inlined.all()
    mf.write(tree, tmp_path / "out.icechunk")
    with xr.open_mfdataset(days, combine="nested", concat_dim="time", data_vars="minimal", coords="minimal",
                           compat="override", engine="netcdf4") as truth:  # fmt: skip
        found = xr.open_dataset(mf.parse(tmp_path / "out.icechunk"), engine="manifestry")
        xr.testing.assert_equal(found.load(), truth.load())


def test_written_by_virtualizarr(file, registry, tmp_path):
    vds = virtualizarr.open_virtual_dataset(f"file://{file}", registry, parser=ManifestryParser(exclude=["inner"]))
    vds.vz.to_kerchunk(str(tmp_path / "out.json"), format="json", zarr_format=3)
    refs = json.loads((tmp_path / "out.json").read_text())["refs"]
    assert refs["t/c/0/1"] == [str(file), *refs["t/c/0/1"][1:]]
    tree = mf.parse(tmp_path / "out.json")
    np.testing.assert_array_equal(zarr.open_group(mf.open_store(tree), mode="r")["t"][0], np.arange(30, 36))


def test_chosen_coordinates_stay_coordinates(file, registry):
    vds = virtualizarr.open_virtual_dataset(f"file://{file}", registry, parser=HDFParser()).set_coords("crs")
    assert from_dataset(vds).attributes == {"title": "daily", "coordinates": "crs"}


def test_groups_are_taken_whole(file):
    store = ManifestryParser()(f"file://{file}", ObjectStoreRegistry({"file://": LocalStore()}))
    assert isinstance(store, ManifestStore)
    group = ManifestGroup(groups={"below": ManifestGroup(attributes={"a": 1})}, attributes={"b": 2})
    tree = from_manifest_group(group)
    assert (tree.attributes, tree.groups["below"].attributes) == ({"b": 2}, {"a": 1})


def test_nothing_is_imported_before_it_is_used():
    code = (
        "import sys, manifestry_virtualizarr as bridge\n"
        "from manifestry.formats.loading import installed_formats\n"
        "entry, options = installed_formats().select('virtualizarr:HDFParser')\n"
        "assert options == {'parser': 'HDFParser'}\n"
        "assert not {'virtualizarr', 'xarray', 'zarr'} & sys.modules.keys()\n"
        "assert bridge.ManifestryParser.__name__ == 'ManifestryParser'\n"
        "assert 'virtualizarr' in sys.modules\n"
        "print(sorted(bridge.__all__) == bridge.__all__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("True", "")


def test_the_page_of_the_docs(tmp_path):
    root = Path(__file__).parents[3]
    shutil.copytree(root / "samples", tmp_path / "samples")
    page = (root / "docs" / "how-to" / "virtualizarr.md").read_text()
    blocks = re.findall(r"^```python no-run[^\n]*\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("True\n<xarray.Dataset>")
