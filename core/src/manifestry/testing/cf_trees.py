"""Sample trees of what the CF conventions lay over plain numbers: readers unpack, mask and decode by attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from manifestry.model.codecs import Codec, serializer
from manifestry.testing.building import TreeBuilder

__all__ = ["CF_SAMPLES"]

type _Json = dict[str, dict[str, Any]]

_LITTLE = serializer(np.dtype("f8"))
_BIG = serializer(np.dtype("f8"), "big")


def _packed(b: TreeBuilder) -> _Json:
    """Integers that stand for numbers, as archives have them: compressed, big-endian and plain, two ways to be missing."""
    deflate = (_LITTLE, Codec("numcodecs.shuffle", {"elementsize": 2}), Codec("numcodecs.zlib", {"level": 1}))
    own = {"scale_factor": np.float64(0.01), "add_offset": np.float64(273.15), "units": "K"}
    missing = {"_FillValue": np.int16(-32767), "missing_value": np.int16(-32767)}
    values = np.array([[-32767, 0, 1500], [32767, -1, -32768]], "i2")
    b.array("compressed", values, (1, 2), codecs=deflate, dims=("y", "x"), attributes={**own, **missing})
    b.array("big", values, codecs=(_BIG,), dims=("y", "x"), attributes=own)
    b.array(
        "unstored", values, (1, 3), fill=np.int16(-32767), missing=[(0, 0)], dims=("y", "x"), attributes=own | missing
    )
    json = {"scale_factor": 0.01, "add_offset": 273.15, "units": "K"}
    return {"compressed": json | {"missing_value": -32767}, "big": json, "unstored": json | {"missing_value": -32767}}


def _calendar(b: TreeBuilder) -> _Json:
    """Times as numbers since a date, in two calendars, with bounds."""
    noleap = {"units": "days since 1850-01-01", "calendar": "noleap"}
    hours = {"units": "hours since 2000-01-01 00:00:0.0", "calendar": "proleptic_gregorian"}
    b.array("time", np.arange(5.0) * 365 + 15.5, (2,), dims=("time",), attributes={**noleap, "bounds": "time_bounds"})
    edges = np.arange(10.0).reshape(5, 2) * 365
    b.array("time_bounds", edges, (2, 2), dims=("time", "edge"), attributes=noleap)
    b.array("issued", np.array([0, 24, 2**20], "i8"), dims=("n",), attributes=hours)
    return {"time": {**noleap, "bounds": "time_bounds"}, "time_bounds": noleap, "issued": hours}


def _characters(b: TreeBuilder) -> None:
    """Texts as netCDF has them, a character in each element; NUL and other bytes among them."""
    letters = np.frombuffer(b"Oslo\0\0Lima\0\0\xc9vora\0", "S1").reshape(3, 6)
    b.array("names", letters, (2, 6), dims=("station", "length"))
    b.array("code", np.array([b"a", b"b", b""], "S1"), dims=("letter",))


def _flags(b: TreeBuilder) -> _Json:
    """Numbers that stand for meanings, and bits that do; attributes that are arrays of the type of their array."""
    own = {"flag_values": np.array([0, 1, 255], "u1"), "flag_meanings": "clear cloudy unknown"}
    masks = {"flag_masks": np.array([1, 2, 2**31], "u4"), "valid_range": np.array([0, 2**32 - 1], "u4")}
    b.array("cloud", np.array([0, 1, 255, 1], "u1"), (3,), dims=("n",), attributes=own)
    b.array("bits", np.array([0, 3, 2**31, 2**32 - 1], "u4"), (2,), dims=("n",), attributes=masks)
    return {
        "cloud": {"flag_values": [0, 1, 255], "flag_meanings": "clear cloudy unknown"},
        "bits": {"flag_masks": [1, 2, 2**31], "valid_range": [0, 2**32 - 1]},
    }


def _grid_mapping(b: TreeBuilder) -> _Json:
    """Data that name their map projection and coordinates, in both dimensions and in none."""
    crs = {"grid_mapping_name": "latitude_longitude", "semi_major_axis": np.float64(6378137.0)}
    own = {"grid_mapping": "crs", "coordinates": "lat lon"}
    b.array("crs", np.array(0, "i4"), dims=(), attributes=crs)
    b.array(
        "lat", np.linspace(-90, 90, 12).reshape(3, 4), (2, 4), dims=("y", "x"), attributes={"units": "degrees_north"}
    )
    b.array("lon", np.linspace(0, 359, 12, dtype="f4").reshape(3, 4), dims=("y", "x"))
    b.array("height", np.arange(12, dtype="f4").reshape(3, 4), (2, 2), dims=("y", "x"), attributes=own)
    return {"crs": {**crs, "semi_major_axis": 6378137.0}, "height": own, "lat": {"units": "degrees_north"}}


def _unsigned(b: TreeBuilder) -> _Json:
    """``_Unsigned``: signed bytes that are meant without their sign, and a missing value past the middle."""
    own = {"_Unsigned": "true", "_FillValue": np.int8(-1), "scale_factor": np.float32(0.5)}
    b.array("bytes", np.array([0, 127, -128, -2, -1], "i1"), (2,), dims=("n",), attributes=own)
    return {"bytes": {"_Unsigned": "true", "scale_factor": 0.5}}


CF_SAMPLES: Final[Mapping[str, Callable[[TreeBuilder], _Json | None]]] = {
    "packed": _packed,
    "calendar": _calendar,
    "characters": _characters,
    "flags": _flags,
    "grid-mapping": _grid_mapping,
    "unsigned": _unsigned,
}
