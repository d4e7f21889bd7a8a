"""What xarray masks and unpacks in a file it masks and unpacks in every output, or the report says what it does not."""

import h5py
import manifestry as mf
import netCDF4
import numpy as np
import pytest
import xarray as xr

from tests.support.printed_lines import read_printed

OUTPUTS = {"a.icechunk": {}, "a.json": {}, "three.json": {"zarr_format": 3}, "a.parq": {}}

I2 = np.array([0, 1, 3, 5, -1, -2], "i2")
U1 = np.array([0, 1, 3, 5, 255, 254], "u1")
F4 = np.array([0, 1, 3, 5, np.nan, 1e20], "f4")
CHARACTERS = np.array([*list("ab X"), "", "N"], "S1")
TEXTS = np.array(["abc", "N/A", "", "b", "c", "d"], object)

VARIABLES = {
    "one": (I2, {"_FillValue": np.int16(3)}),
    "several": (I2, {"_FillValue": np.array([3, 5], "i2")}),
    "several_and_more": (I2, {"_FillValue": np.array([3, 0], "i2"), "missing_value": np.array([5, 1], "i2")}),
    "several_floats": (F4, {"_FillValue": np.array([3, 1e20], "f4")}),
    "several_packed": (I2, {"_FillValue": np.array([3, 5], "i2"), "scale_factor": 0.5}),
    "wide": (I2, {"_FillValue": np.float64(3)}),
    "too_wide": (I2, {"_FillValue": np.int32(70000)}),
    "fraction": (I2, {"_FillValue": np.float64(3.5)}),
    "wide_on_floats": (F4, {"_FillValue": np.float64(1e20)}),
    "missing_wide_on_floats": (F4, {"missing_value": np.float64(1e20)}),
    "text": (I2, {"_FillValue": "3"}),
    "not_a_number": (I2, {"missing_value": np.float64(np.nan)}),
    "partly_not_a_number": (F4, {"missing_value": np.array([np.nan, 3], "f4")}),
    "scale_of_one": (I2, {"_FillValue": np.int16(3), "scale_factor": np.array([0.5])}),
    "unsigned": (I2, {"_Unsigned": "true", "_FillValue": np.int16(-1)}),
    "unsigned_by_unsigned": (I2, {"_Unsigned": "true", "_FillValue": np.uint16(65535)}),
    "unsigned_wide": (I2, {"_Unsigned": "true", "_FillValue": np.int64(65534)}),
    "unsigned_missing": (I2, {"_Unsigned": "true", "missing_value": np.uint16(65535)}),
    "signed": (U1, {"_Unsigned": "false", "_FillValue": np.uint8(255)}),
    "signed_by_signed": (U1, {"_Unsigned": "false", "_FillValue": np.int8(-1)}),
    "signed_packed": (U1, {"_Unsigned": "false", "_FillValue": np.uint8(254), "scale_factor": 0.5}),
    "signed_already": (I2, {"_Unsigned": "false", "_FillValue": np.uint16(65535)}),
    "character": (CHARACTERS, {"_FillValue": np.bytes_(b" ")}),
    "nul": (CHARACTERS, {"_FillValue": np.bytes_(b"\0")}),
    "texts": (TEXTS, {"_FillValue": "N/A"}),
    "empty_texts": (TEXTS, {"_FillValue": ""}),
    "several_texts": (TEXTS, {"_FillValue": ["N/A", "b"]}),
    "missing_text": (TEXTS, {"missing_value": "N/A"}),
    "single": (I2, {"_FillValue": np.int16(3), "scale_factor": np.float32(0.1), "add_offset": np.float32(7.3)}),
    "single_float": (F4, {"scale_factor": np.float32(0.1)}),
    "short": (I2, {"scale_factor": np.int16(10)}),
    "single_of_long": (I2.astype("i4"), {"scale_factor": np.float32(0.1), "add_offset": np.float32(7.3)}),
}


def hdf5(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.arange(6)).make_scale("x")
        for name, (data, attributes) in VARIABLES.items():
            text = h5py.string_dtype() if data.dtype == object else None
            file.create_dataset(name, data=data, dtype=text).dims[0].attach_scale(file["x"])
            for key, value in attributes.items():
                file[name].attrs[key] = value
    return path


def netcdf3(path):
    """Only what netCDF-C takes: a ``_FillValue`` of the type of its variable."""
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_DATA") as file:
        file.createDimension("x", 6)
        for name, (data, attributes) in VARIABLES.items():
            fill = np.asarray(attributes.get("_FillValue", data.dtype.type() if data.dtype != object else ""))
            if data.dtype != object and fill.dtype == data.dtype and fill.ndim == 0:
                given = fill[()] if "_FillValue" in attributes else None
                variable = file.createVariable(name, data.dtype, ("x",), fill_value=given)
                variable.set_auto_maskandscale(False)
                variable.setncatts({key: value for key, value in attributes.items() if key != "_FillValue"})
                variable[:] = data
    return path


MAKERS = {"hdf5": (hdf5, ("netcdf4", "h5netcdf")), "netcdf3": (netcdf3, ("netcdf4",))}
UNPACKED = {"single", "single_float", "short"}
NO_FORM = {"character", "nul"}
"""Zarr v3 has no form for these that xarray reads."""


@pytest.fixture(params=MAKERS)
def source(request, tmp_path):
    maker, engines = MAKERS[request.param]
    path = maker(tmp_path / "a.nc")
    truths = []
    for engine in engines:
        with xr.open_dataset(path, engine=engine) as opened:
            truths.append({str(name): variable.values for name, variable in opened.variables.items()})
    return path, truths


def alike(found, truths):
    """Whether values are those of any reader of the file; texts have a type of their own in Zarr v3."""
    types = {found.dtype.newbyteorder("="), np.dtype(object)} if found.dtype.kind == "T" else {found.dtype}
    return any(t.dtype.newbyteorder("=") in types and repr(found.tolist()) == repr(t.tolist()) for t in truths)


pytestmark = pytest.mark.filterwarnings("ignore::xarray.SerializationWarning")


def test_outputs(source, tmp_path):
    path, truths = source
    tree = mf.parse(path)
    reports = {name: mf.write(tree, tmp_path / name, **options) for name, options in OUTPUTS.items()}
    opened = read_printed({name: report.reader for name, report in reports.items()}, tmp_path)
    for output, (kind, found) in opened.items():
        assert kind == "ds", (output, found)
        unlike = {name for name, (_, values) in found.items() if not alike(values, [t[name] for t in truths])}
        issues = reports[output].issues
        listed = {
            issue.path.partition("@")[0]
            for issue in issues
            if "left out" in issue.feature or issue.feature == "unpacked to another type"
        }
        in_v3 = output in ("a.icechunk", "three.json")
        assert unlike == (UNPACKED | (NO_FORM if in_v3 else set())) & found.keys()
        assert listed == unlike | ({"not_a_number"} & found.keys())


def test_our_own_views(source):
    path, truths = source
    with xr.open_dataset(path, engine="manifestry") as opened:
        found = {str(name): variable.values for name, variable in opened.variables.items()}
    assert {n for n, values in found.items() if not alike(values, [t[n] for t in truths])} == set()
    loaded = mf.to_xarray(mf.parse(path), load=sorted(found))
    assert {str(n) for n, v in loaded.variables.items() if not alike(v.values, [t[n] for t in truths])} == set()


def test_the_store_says_what_it_lacks(source, caplog):
    path, truths = source
    with xr.open_zarr(mf.open_store(mf.parse(path)), consolidated=False) as opened:
        found = {str(name): variable.values for name, variable in opened.variables.items()}
    unlike = {name for name, values in found.items() if not alike(values, [t[name] for t in truths])}
    assert unlike == (UNPACKED | NO_FORM) & found.keys()
    assert all(any(record.getMessage().startswith(name) for record in caplog.records) for name in unlike)


@pytest.mark.parametrize("name", ["_FillValue", "missing_value"])
def test_what_xarray_cannot_compare_marks_nothing(tmp_path, name):
    """Records and opaque elements: with such an attribute xarray would open nothing of the file."""
    record = np.array([(1, 2.5), (3, 4.5), (0, 0)], [("a", "i2"), ("b", "f4")])
    opaque = np.array([b"\1\2\3", b"\4\5\6", b"\0\0\0"], "V3")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=np.arange(3)).make_scale("x")
        for member, data in (("record", record), ("opaque", opaque)):
            file.create_dataset(member, data=data).dims[0].attach_scale(file["x"])
            file[member].attrs[name] = data[1]
    tree = mf.parse(tmp_path / "a.h5")
    reports = {output: mf.write(tree, tmp_path / output, **options) for output, options in OUTPUTS.items()}
    for report in reports.values():
        left_out = {issue.path for issue in report.issues if issue.feature == f"{name} left out"}
        assert {f"record@{name}", f"opaque@{name}"} <= left_out
    opened = read_printed({output: report.reader for output, report in reports.items()}, tmp_path)
    with xr.open_dataset(tmp_path / "a.h5", engine="manifestry") as ours:
        opened["ours"] = "ds", {str(key): (variable.dims, variable.values) for key, variable in ours.variables.items()}
    for kind, found in opened.values():
        assert kind == "ds", found
        assert found["record"][1].tolist() == record.tolist()
        assert found["opaque"][1].tolist() == opaque.tolist()
