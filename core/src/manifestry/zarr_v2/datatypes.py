"""Data types and fill values as Zarr v2 ``.zarray`` documents have them.

Source: Zarr storage specification version 2, "Data type encoding" and "Fill value encoding".
"""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np

from manifestry.errors import ManifestError
from manifestry.model.datatypes import default_fill, dtype_to_zarr, has_array_fields
from manifestry.model.elements import as_element

__all__ = ["dtype_from_v2", "dtype_to_v2", "fill_from_v2", "fill_to_v2", "same_fill", "stored_dtype"]


def dtype_to_v2(dtype: np.dtype[Any], byteorder: str) -> Any:
    """The ``dtype`` of a ``.zarray``.

    Parameters
    ----------
    byteorder
        ``"<"`` or ``">"``: how elements are stored.

    Raises
    ------
    ManifestError
        Zarr has no such type, or zarr-python does not read it in Zarr v2: fields that are arrays.
    """
    dtype_to_zarr(dtype)  # refuses what Zarr cannot name
    if has_array_fields(dtype):
        raise ManifestError("readers of Zarr v2 know no fields that are arrays; Zarr v3 has them")
    if dtype.kind in "TO":
        return "|O"
    stored = dtype.newbyteorder(byteorder)  # type: ignore[arg-type]
    if dtype.fields is None:
        return stored.str
    return [[name, dtype_to_v2(stored[name], byteorder)] for name in dtype.names or ()]


def dtype_from_v2(text: Any, object_codec: str = "") -> tuple[np.dtype[Any], str]:
    """The numpy dtype in native byte order and the stored byte order of a ``.zarray``'s ``dtype``.

    Parameters
    ----------
    object_codec
        Id of the filter that makes bytes of objects, for ``"|O"``.

    Returns
    -------
    dtype, byteorder
        `byteorder` is ``"<"`` or ``">"``; types without one have ``"<"``.

    Raises
    ------
    ManifestError
        There is no such type, or the fields of a record differ in byte order.
    """
    if text == "|O":
        known: dict[str, np.dtype[Any]] = {"vlen-utf8": np.dtypes.StringDType(), "vlen-bytes": np.dtype(object)}
        if object_codec not in known:
            raise ManifestError(f"objects encoded by {object_codec or 'no codec'} are not understood")
        return known[object_codec], "<"
    stored = stored_dtype(text)
    orders = {order for order in _byteorders(stored) if order != "|"}
    if len(orders) > 1:
        raise ManifestError(f"fields of different byte orders in {text!r}")
    native = stored.newbyteorder("=")
    dtype_to_zarr(native)
    return native, orders.pop() if orders else "<"


def stored_dtype(text: Any) -> np.dtype[Any]:
    """The numpy dtype, in stored byte order, of a ``dtype`` that is not ``"|O"``.

    Raises
    ------
    ManifestError
        There is no such type.
    """
    try:
        if isinstance(text, list):
            found = np.dtype([(name, stored_dtype(kind)) for name, kind in text])
            named = [name for name, _ in text] == list(found.names or ())  # numpy gives names to fields without one
        else:
            found = np.dtype(text if isinstance(text, str) else [text])  # numpy has a type for None, not for [None]
            named = found.fields is None
    except (TypeError, ValueError, SyntaxError) as error:
        raise ManifestError(f"unknown Zarr v2 data type {text!r}: {error}") from error
    if not named or found.hasobject or not found.itemsize:
        raise ManifestError(f"unknown Zarr v2 data type {text!r}")
    return found


def _byteorders(dtype: np.dtype[Any]) -> list[str]:
    if dtype.fields is None:
        return [dtype.str[0]]
    return [order for name in dtype.names or () for order in _byteorders(dtype[name])]


def fill_to_v2(dtype: np.dtype[Any], value: Any) -> Any:
    """A fill value as Zarr v2 JSON. NaN has one spelling: see `same_fill`."""
    if dtype.kind == "T":
        return str(value)
    if dtype.kind == "O":
        return base64.b64encode(bytes(value)).decode()
    scalar = np.asarray(value, dtype)[()]
    match dtype.kind:
        case "b":
            return bool(scalar)
        case "i" | "u":
            return int(scalar)
        case "f":
            return _float_to_v2(float(scalar))
        case "c":
            return [_float_to_v2(float(scalar.real)), _float_to_v2(float(scalar.imag))]
        case "M" | "m":
            return int(scalar.view("i8"))
        case "U":
            return str(scalar)
        case "S":
            return base64.b64encode(bytes(scalar)).decode()
    return base64.b64encode(np.asarray(value, dtype).tobytes()).decode()


def _float_to_v2(number: float) -> float | str:
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def fill_from_v2(dtype: np.dtype[Any], value: Any) -> Any:
    """A fill value from Zarr v2 JSON, as a scalar of `dtype`; null is the default of the type, as zarr-python reads it.

    Raises
    ------
    ManifestError
        The value is no fill value of this type.
    """
    if value is None:
        return default_fill(dtype)
    try:
        return _fill_from_v2(dtype, value)
    except (TypeError, ValueError, ArithmeticError, IndexError) as error:
        raise ManifestError(f"{value!r} is no fill value for {dtype}: {error}") from error


def _fill_from_v2(dtype: np.dtype[Any], value: Any) -> Any:
    if dtype.kind in "TOU" and value == 0:  # what zarr-python 2 wrote where nobody chose a fill value
        return default_fill(dtype)
    match dtype.kind:
        case "O":
            return base64.b64decode(value, validate=True)
        case "f":
            return _float_from_v2(dtype, value)
        case "c":
            part = np.dtype(f"f{dtype.itemsize // 2}")
            parts = value if isinstance(value, list) else (value, 0.0)
            real, imaginary = (_float_from_v2(part, number) for number in parts)
            return np.array([real, imaginary], part).view(dtype)[0]
        case "S" | "V":
            return _bytes_from_v2(dtype, value)
        case "M" | "m":
            return np.array(value if isinstance(value, int) else str(value)).astype(dtype)[()]
        case "i" | "u" if isinstance(value, str):
            return as_element(dtype, int(value))
    return as_element(dtype, value)


def _float_from_v2(dtype: np.dtype[Any], value: Any) -> Any:
    with np.errstate(over="raise"):
        return np.array(float(value), "f8").astype(dtype)[()]


def _bytes_from_v2(dtype: np.dtype[Any], value: Any) -> Any:
    """Bytes and records are base64; zarr-python 2 wrote 0 and the empty text for "all zero"."""
    if value in (0, ""):
        return default_fill(dtype)
    data = base64.b64decode(value, validate=True)
    if len(data) > dtype.itemsize:
        raise ValueError(f"{len(data)} bytes")
    return np.frombuffer(data.ljust(dtype.itemsize, b"\0"), dtype)[0]


def same_fill(dtype: np.dtype[Any], mine: Any, other: Any) -> bool:
    """Whether two fill values are the same elements bit for bit, NaN with its payload."""
    if dtype.kind in "TO":
        return bool(mine == other)
    return np.asarray(mine, dtype).tobytes() == np.asarray(other, dtype).tobytes()
