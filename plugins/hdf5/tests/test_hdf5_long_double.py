"""Floats of more than 64 bits: float64 where it holds every value, else refused with the first that it does not hold."""

import h5py
import manifestry as mf
import numpy as np
import pytest
import xarray as xr
import zarr
from examples import examples
from h5py import h5t
from hdf5_types import float_of, write_raw
from hypothesis import given, settings, strategies as st

EXACT = [0.0, -0.0, 1.5, -(2.0**-1000), 5e-324, 1 / 3, np.finfo("f8").max, np.inf, -np.inf, np.nan]
QUADRUPLE = {"sign": 127, "exponent": (112, 15), "mantissa": (0, 112), "bias": 16383}


def read(path, name="d", **options):
    return zarr.open_group(mf.open_store(mf.parse(path, **options)), mode="r")[name][...]


def same(got, expected):
    assert got.dtype == expected.dtype
    assert np.array_equal(got, expected, equal_nan=True)
    assert np.array_equal(np.signbit(got.real), np.signbit(expected.real))


@pytest.mark.parametrize(
    "options", [{}, {"chunks": (4,), "compression": "gzip", "shuffle": True}, {"chunks": (3,), "maxshape": (None,)}]
)
def test_values_that_float64_holds_are_copied_and_reported(tmp_path, options):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("d", data=np.array(EXACT, "g"), fillvalue=np.longdouble(-0.5), **options)
        file.create_dataset("never", (4,), "g", fillvalue=np.longdouble(2.5), chunks=(2,))
        file.create_dataset("array", data=np.ones((2, 3), "g"))
        file.create_dataset("scalar", data=np.longdouble(7))
        file.create_dataset("complex", data=np.array([1 + 2j, complex(np.inf, -0.5)], "G"))
        file.create_dataset("records", data=np.array([(3, 0.25, 1j)], [("a", "i2"), ("b", "g"), ("c", "G")]))
    tree = mf.parse(path)
    root = zarr.open_group(mf.open_store(tree), mode="r")
    same(root["d"][...], np.array(EXACT))
    assert root["never"][...].tolist() == [2.5] * 4
    same(root["array"][...], np.ones((2, 3)))
    assert root["scalar"][()] == 7
    assert root["complex"][...].tolist() == [1 + 2j, complex(np.inf, -0.5)]
    assert root["records"][...].tolist() == [(3, 0.25, 1j)]
    reported = {issue.path for issue in tree.issues if issue.feature == "long double"}
    assert reported == {"d", "never", "array", "scalar", "records"} | {"complex"}


@pytest.mark.parametrize("compounds", ["structs", "groups"])
def test_long_doubles_in_other_elements_are_reported(tmp_path, compounds):
    """Whatever else there is in a record, wherever it is in it, and in sequences."""
    path = tmp_path / "f.h5"
    text, sequences = h5py.string_dtype(), h5py.vlen_dtype(np.dtype("g"))
    inner = np.dtype([("n", "i2"), ("b", "g", (2,))])
    with h5py.File(path, "w") as file:
        records = file.create_dataset("records", (2,), [("s", text), ("a", "g"), ("i", "i4")])
        records[0] = ("x", 0.5, 1)
        file.create_dataset("inner", (2,), [("s", text), ("in", inner), ("c", "G")])
        file["plain"] = np.zeros(2, [("flag", "i2"), ("in", inner)])
        file.create_dataset("sequences", (2,), sequences)[0] = np.array([0.25, 7], "g")
        file.create_dataset("one", (), sequences)[()] = np.array([0.25, 7], "g")
        file.create_dataset("without", (2,), [("s", text), ("a", "f8")])
        file.create_dataset("numbers", (2,), h5py.vlen_dtype(np.dtype("f8")))
    tree = mf.parse(path, compounds=compounds)
    reported = [issue.path for issue in tree.issues if issue.feature == "long double"]
    whole = ["inner", "records"] if compounds == "structs" else ["inner/c", "inner/in/b", "records/a"]
    assert sorted(reported) == sorted([*whole, "plain", "sequences", "one"])


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([1, 2, np.longdouble(1) / 3, np.longdouble(2) / 3], "the first of 2 is 0.3333333333333333"),
        ([1, np.longdouble(2) ** 1024], "the first of 1 is 1.797693134862315"),
        ([np.longdouble(2) ** -1075], "the first of 1 is 2.47"),
        ([1 + np.longdouble(2) ** -60], "the first of 1 is 1.0000000000000000009"),
    ],
)
def test_the_first_value_that_is_not_exact_is_named(tmp_path, values, shown):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file["d"] = np.array(values, "g")
        file["e"] = np.array([complex(1, 1)], "G")
        file["e"][0] = np.array([1], "G")[0] + 1j * np.array(values, "G")[-1]
        file["r"] = np.zeros(2, [("a", "i2"), ("b", "g")])
        file["r"][1] = (1, values[-1])
        file["good"] = np.arange(3)
    with pytest.raises(mf.UnsupportedFeatureError) as error:
        mf.parse(path, include=["d"])
    assert error.value.feature == "long double that float64 does not hold"
    assert error.value.hint.startswith(shown)
    tree = mf.parse(path, on_unsupported="skip")
    assert list(tree.arrays) == ["good"]
    assert {issue.path for issue in tree.issues if issue.severity == "refused"} == {"d", "e", "r"}


def test_more_than_may_be_copied_is_refused(tmp_path):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file["d"] = np.zeros(1000, "g")
    with pytest.raises(mf.UnsupportedFeatureError, match="long double"):
        mf.parse(path, limits=mf.Limits(max_inline_bytes=7999))
    assert not read(path, limits=mf.Limits(max_inline_bytes=16000)).any()


@settings(max_examples=examples(30), deadline=None)
@given(st.lists(st.floats(width=64), min_size=1, max_size=20), st.booleans())
def test_quadruple_precision(tmp_path_factory, numbers, big):
    path = tmp_path_factory.mktemp("quadruple") / "f.h5"
    tid = float_of(16, **QUADRUPLE, order=h5t.ORDER_BE if big else h5t.ORDER_LE)
    words = []
    for number in numbers:
        mantissa, exponent = np.frexp(abs(number))
        sign = int(np.signbit(number)) << 127
        if not np.isfinite(number):
            words.append(sign | 0x7FFF << 112 | int(np.isnan(number)) << 100)
        else:
            words.append(sign | (int(exponent) + 16382 << 112 | int(mantissa * 2**53) - (1 << 52) << 60) * bool(number))
    octets = np.frombuffer(b"".join(w.to_bytes(16, "big" if big else "little") for w in words), "u1").reshape(-1, 16)
    with h5py.File(path, "w") as file:
        write_raw(file, tid, octets)
        name = next(iter(file))
    same(read(path, name), np.array(numbers))


@pytest.mark.parametrize(
    ("last", "shown"), [(1 << 52, "the first of 1 is 1.000000000000000000"), (1, "the first is 0x1000")]
)
def test_quadruple_digits_that_float64_lacks_are_named(tmp_path, last, shown):
    path = tmp_path / "f.h5"
    one = 16383 << 112
    octets = np.frombuffer(b"".join(word.to_bytes(16, "little") for word in (one, one | last)), "u1").reshape(-1, 16)
    with h5py.File(path, "w") as file:
        write_raw(file, float_of(16, **QUADRUPLE), octets)
    with pytest.raises(mf.UnsupportedFeatureError) as error:
        mf.parse(path)
    assert error.value.hint.startswith(shown), error.value.hint


def test_bfloat16_is_float32(tmp_path):
    path = tmp_path / "f.h5"
    words = np.arange(0, 1 << 16, 7, dtype="<u2")
    tid = float_of(2, sign=15, exponent=(7, 8), mantissa=(0, 7), bias=127)
    with h5py.File(path, "w") as file:
        write_raw(file, tid, words.view("u1").reshape(-1, 2))
        name = next(iter(file))
    got, expected = read(path, name), (words.astype("<u4") << 16).view("<f4")
    same(got[~np.isnan(got)], expected[~np.isnan(expected)])
    assert np.array_equal(np.isnan(got), np.isnan(expected))


def test_attributes_of_long_double(tmp_path):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        d = file.create_dataset("d", data=np.array([0.5, 1], "g"))
        d.attrs["_FillValue"] = np.longdouble(0.5)
        d.attrs["exact"] = np.array([0.25, -3], "g")
        d.attrs["inexact"] = np.longdouble(1) / 3
    tree = mf.parse(path)
    attributes = dict(zarr.open_group(mf.open_store(tree), mode="r")["d"].attrs)
    assert attributes["exact"] == [0.25, -3]
    assert "inexact" not in attributes
    opened = xr.open_dataset(path, engine="manifestry")
    assert np.array_equal(opened["d"].values, [np.nan, 1], equal_nan=True)


def test_types_without_elements(tmp_path):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("d", (0,), "g", maxshape=(None,), chunks=(4,))
    assert read(path).shape == (0,)
