"""Data types and fill values as Zarr v3 metadata.

A numpy dtype in native byte order is the one description of a data type in the model; where bytes are stored in
another order, the ``bytes`` codec says so. ``StringDType()`` stands for variable-length text and ``object`` for
variable-length bytes. Source: Zarr v3 core specification, "Data types" and "Fill value", and for the extension types
(strings, bytes, structs, times) the names that zarr-python 3.4 reads and writes. Fields of structs that are arrays
have a name of ours, ``manifestry.array``: readers find it in the package ``manifestry-codecs``.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from manifestry.errors import ManifestError
from manifestry.model.elements import as_element

__all__ = [
    "ARRAY_FIELD",
    "ARRAY_FIELD_PACKAGE",
    "default_fill",
    "dtype_from_zarr",
    "dtype_to_zarr",
    "fill_from_zarr",
    "fill_to_zarr",
    "has_array_fields",
    "has_byte_order",
    "is_variable_length",
]

ARRAY_FIELD = "manifestry.array"
"""Data type of a field that is an array: ``{"data_type": ..., "shape": [...]}``; its fill value is a flat list."""

ARRAY_FIELD_PACKAGE = "manifestry-codecs"
"""The distribution in which readers find it."""

_PLAIN = {
    np.dtype(code): name
    for name, code in {
        "bool": "?", "int8": "i1", "int16": "i2", "int32": "i4", "int64": "i8",
        "uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8",
        "float16": "f2", "float32": "f4", "float64": "f8", "complex64": "c8", "complex128": "c16",
    }.items()
}  # fmt: skip
_BY_NAME: dict[str, np.dtype[Any]] = {name: dtype for dtype, name in _PLAIN.items()}
_BY_NAME |= {"string": np.dtypes.StringDType(), "variable_length_bytes": np.dtype(object)}
_SIZED = {"S": "null_terminated_bytes", "U": "fixed_length_utf32", "V": "raw_bytes"}
_TIMES = {"M": "numpy.datetime64", "m": "numpy.timedelta64"}


def is_variable_length(dtype: np.dtype[Any]) -> bool:
    """Whether chunks of this type have no fixed number of bytes."""
    return dtype.kind in "TO"


def has_byte_order(dtype: np.dtype[Any]) -> bool:
    """Whether elements, or a field of theirs, are numbers or UTF-32 units of several bytes."""
    if dtype.fields is not None:
        return any(has_byte_order(dtype[name].base) for name in dtype.names or ())
    return dtype.kind == "U" or (dtype.kind in "iufcMm" and dtype.itemsize > 1)


def has_array_fields(dtype: np.dtype[Any]) -> bool:
    """Whether a field of a record, or of a record in it, is an array."""
    kinds = [dtype[name] for name in dtype.names or ()]
    return any(kind.subdtype is not None or has_array_fields(kind) for kind in kinds)


def dtype_to_zarr(dtype: np.dtype[Any]) -> Any:
    """The Zarr v3 ``data_type`` of a numpy dtype.

    Raises
    ------
    ManifestError
        Zarr has no such type (long double, fields with gaps between them, ...).
    """
    if dtype.kind == "T":
        return "string"
    if dtype.kind == "O":
        return "variable_length_bytes"
    native = dtype.newbyteorder("=")
    if native in _PLAIN:
        return _PLAIN[native]
    if dtype.fields is not None:
        return {"name": "struct", "configuration": {"fields": _fields_to_zarr(dtype)}}
    if dtype.kind in _TIMES:
        unit, count = np.datetime_data(dtype)
        return {"name": _TIMES[dtype.kind], "configuration": {"unit": unit, "scale_factor": count}}
    if dtype.kind in _SIZED and dtype.subdtype is None and dtype.itemsize:
        return {"name": _SIZED[dtype.kind], "configuration": {"length_bytes": dtype.itemsize}}
    raise ManifestError(f"Zarr has no data type for numpy's {dtype!r}")


def _fields_to_zarr(dtype: np.dtype[Any]) -> list[dict[str, Any]]:
    packed = 0
    fields = []
    for name in dtype.names or ():
        assert dtype.fields is not None
        kind, offset = dtype.fields[name][:2]
        if offset != packed:
            raise ManifestError(f"Zarr structs have no padding, and field {name!r} is at byte {offset}, not {packed}")
        packed += kind.itemsize
        fields.append({"name": name, "data_type": _field_to_zarr(kind)})
    if packed != dtype.itemsize:
        raise ManifestError(f"Zarr structs have no padding, and this one ends {dtype.itemsize - packed} bytes late")
    return fields


def _field_to_zarr(kind: np.dtype[Any]) -> Any:
    if kind.subdtype is None:
        return dtype_to_zarr(kind)
    return {"name": ARRAY_FIELD, "configuration": {"data_type": dtype_to_zarr(kind.base), "shape": list(kind.shape)}}


def dtype_from_zarr(data_type: Any) -> np.dtype[Any]:
    """The numpy dtype of a Zarr v3 ``data_type``.

    Raises
    ------
    ManifestError
        The name is not known here.
    """
    try:
        found = _from_name(data_type) if isinstance(data_type, str) else _from_object(data_type)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ManifestError(f"no Zarr data type: {_shortened(data_type)}: {_shortened(error)}") from error
    if found is None:
        raise ManifestError(f"unknown Zarr data type {_shortened(data_type)}")
    return found


def _shortened(value: Any) -> str:
    text = str(value) if isinstance(value, Exception) else repr(value)
    return text if len(text) < 200 else text[:200] + "…"


def _from_name(name: str) -> np.dtype[Any] | None:
    if name in _BY_NAME:
        return _BY_NAME[name]
    if name[:1] == "r" and name[1:].isdigit() and int(name[1:]) % 8 == 0:  # core specification: r8, r16, ...
        return np.dtype(f"V{int(name[1:]) // 8}")
    return None


def _from_object(data_type: Mapping[str, Any]) -> np.dtype[Any] | None:
    name, options = data_type["name"], data_type.get("configuration") or {}
    for kind, known in _SIZED.items():
        if name == known:
            length, width = _whole(options["length_bytes"]), 4 if kind == "U" else 1
            if length < width or length % width:
                raise ValueError(f"{length} bytes")
            return np.dtype(f"{kind}{length // width}")
    for kind, known in _TIMES.items():
        if name == known:
            count, unit = _whole(options.get("scale_factor", 1)), str(options["unit"])
            return np.dtype(f"{kind}8" if unit == "generic" else f"{kind}8[{count}{unit}]")
    if name in ("struct", "structured"):
        fields = [(f["name"], f["data_type"]) if isinstance(f, Mapping) else (f[0], f[1]) for f in options["fields"]]
        if not fields:
            raise ValueError("a struct without fields")
        return np.dtype([(str(field), _field_from_zarr(kind)) for field, kind in fields])
    return _from_name(str(name)) if not options else None


def _field_from_zarr(data_type: Any) -> np.dtype[Any]:
    if not isinstance(data_type, Mapping) or data_type["name"] != ARRAY_FIELD:
        return dtype_from_zarr(data_type)
    options = data_type["configuration"]
    return np.dtype((dtype_from_zarr(options["data_type"]), tuple(map(_whole, options["shape"]))))


def _whole(number: Any) -> int:
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{number!r} is not a whole number")
    return number


def default_fill(dtype: np.dtype[Any]) -> Any:
    """The value that Zarr takes where nobody chose one: zero, empty, or not-a-time."""
    if dtype.kind == "T":
        return ""
    if dtype.kind == "O":
        return b""
    if dtype.kind in "Mm":
        return np.array(np.iinfo("i8").min).view(dtype.newbyteorder("="))[()]  # NaT; its text needs a unit
    return np.zeros((), dtype)[()]


def fill_to_zarr(dtype: np.dtype[Any], value: Any) -> Any:
    """A fill value as Zarr v3 JSON (specification: "Fill value"); NaN with a payload keeps its bits as hex."""
    if dtype.kind == "T":
        return str(value)
    if dtype.kind == "O":
        return base64.b64encode(bytes(value)).decode()
    if dtype.subdtype is not None:
        return [fill_to_zarr(dtype.base, element) for element in np.asarray(value, dtype.base).reshape(-1)]
    if dtype.fields is not None:
        record = np.asarray(value, dtype)[()]
        return {name: fill_to_zarr(dtype[name], record[name]) for name in dtype.names or ()}
    scalar = np.asarray(value, dtype)[()]
    match dtype.kind:
        case "b":
            return bool(scalar)
        case "i" | "u":
            return int(scalar)
        case "f":
            return _float_to_zarr(scalar)
        case "c":
            return [_float_to_zarr(scalar.real), _float_to_zarr(scalar.imag)]
        case "M" | "m":
            return int(scalar.view("i8"))
        case "U":
            return str(scalar)
    return base64.b64encode(bytes(scalar) if dtype.kind == "S" else scalar.tobytes()).decode()


def _float_to_zarr(scalar: Any) -> float | str:
    number = float(scalar)
    if math.isfinite(number):
        return number
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    bits = scalar.dtype.newbyteorder("<").str.replace("f", "u").lstrip("<|=")
    unsigned = int(np.asarray(scalar).astype(scalar.dtype.newbyteorder("=")).view(bits))
    usual = int(np.asarray(np.nan, scalar.dtype.newbyteorder("=")).view(bits))
    return "NaN" if unsigned == usual else f"0x{unsigned:0{scalar.dtype.itemsize * 2}x}"


def fill_from_zarr(dtype: np.dtype[Any], value: Any) -> Any:
    """A fill value from Zarr v3 JSON, as a scalar of `dtype`.

    Raises
    ------
    ManifestError
        The value is no fill value of this type.
    """
    try:
        return _fill_from_zarr(dtype, value)
    except (TypeError, ValueError, KeyError, IndexError, ArithmeticError) as error:
        raise ManifestError(f"{value!r} is no fill value for {dtype}: {error}") from error


def _fill_from_zarr(dtype: np.dtype[Any], value: Any) -> Any:
    if dtype.kind == "T":
        return as_element(dtype, value)
    if dtype.kind == "O":
        return base64.b64decode(value, validate=True)
    if dtype.subdtype is not None:
        return np.array([_fill_from_zarr(dtype.base, item) for item in value], dtype.base).reshape(dtype.shape)
    if dtype.fields is not None:
        if isinstance(value, str):
            return np.frombuffer(base64.b64decode(value), dtype)[0]
        return np.array(tuple(_fill_from_zarr(dtype[n], value[n]) for n in dtype.names or ()), dtype)[()]
    match dtype.kind:
        case "f":
            return _float_from_zarr(dtype, value)
        case "c":
            part = np.dtype(f"f{dtype.itemsize // 2}")
            both = np.array([_float_from_zarr(part, value[0]), _float_from_zarr(part, value[1])], part)
            return both.view(dtype.newbyteorder("="))[0]
        case "S" | "V":
            return as_element(dtype, base64.b64decode(value, validate=True))
        case "M" | "m":
            if isinstance(value, str):
                return np.array(value, dtype)[()]
            return np.array(_whole(value), "i8").view(dtype)[()]
    return as_element(dtype, value)


def _float_from_zarr(dtype: np.dtype[Any], value: Any) -> Any:
    native = dtype.newbyteorder("=")
    if isinstance(value, str) and value[:2].lower() == "0x":
        return np.array(int(value, 16), f"u{native.itemsize}").view(native)[()]
    if isinstance(value, str) and value not in ("NaN", "Infinity", "-Infinity"):
        raise ValueError("no number")
    with np.errstate(over="raise"):
        return np.array(float(value), "f8").astype(native)[()]
