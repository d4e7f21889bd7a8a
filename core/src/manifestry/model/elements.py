"""Single elements of an array: fill values as scalars of its data type, converted exactly or refused."""

from __future__ import annotations

from typing import Any

import numpy as np

from manifestry.errors import ManifestError

__all__ = ["as_element", "same_bits"]

_NUMBERS = "biufc"


def as_element(dtype: np.dtype[Any], value: Any) -> Any:
    """A value as a scalar of `dtype` in native byte order (``str`` and ``bytes`` for the variable-length types).

    Only floats and complex numbers may lose precision on the way; a number that is out of range, fractional where
    integers are wanted, or not a number at all is no element.

    Raises
    ------
    ManifestError
        The value cannot be an element of such an array.
    """
    if type(value) is dtype.type and dtype.kind in _NUMBERS:
        return value
    try:
        return _convert(dtype, value)
    except (TypeError, ValueError, OverflowError, FloatingPointError) as error:
        raise ManifestError(f"{value!r} cannot be an element of an array of {dtype}: {error}") from error


def _convert(dtype: np.dtype[Any], value: Any) -> Any:
    if dtype.kind in "TO":
        if dtype.kind == "T" and isinstance(value, str):
            return str(value)
        if dtype.kind == "O" and isinstance(value, bytes):
            return bytes(value)
        raise TypeError(f"a {type(value).__name__}")
    given = np.asarray(value) if dtype.fields is None else np.asarray(value, dtype)
    if given.shape:
        raise ValueError(f"{given.size} values")
    if dtype.fields is not None:
        if not isinstance(value, tuple | np.void | np.ndarray):
            raise TypeError("a record has a value for each field")
        return given[()]
    return _convert_scalar(dtype, given)


def _convert_scalar(dtype: np.dtype[Any], given: np.ndarray[Any, Any]) -> Any:
    allowed = {"M": "Mi", "m": "mi", "V": "VS"}.get(dtype.kind, _NUMBERS if dtype.kind in _NUMBERS else dtype.kind)
    if given.dtype.kind not in allowed:
        raise TypeError(f"a value of {given.dtype}")
    if dtype.kind == "V":
        raw = given.tobytes()
        if len(raw) != dtype.itemsize:
            raise ValueError(f"{len(raw)} bytes")
        return np.frombuffer(raw, dtype)[0]
    with np.errstate(over="raise", invalid="raise"):
        element = given.astype(dtype, casting="unsafe" if given.dtype.kind != "c" else "same_kind")
    if dtype.kind not in "fc" and not _same(element, given):
        raise ValueError("it would change")
    return element[()]


def _same(element: np.ndarray[Any, Any], given: np.ndarray[Any, Any]) -> bool:
    """Whether converting changed nothing."""
    if element.dtype.kind not in "Mm":
        return bool(element == given)
    if given.dtype.kind == "i":
        return int(element.view("i8")) == int(given)
    return bool(element == given) or bool(np.isnat(element) and np.isnat(given))


def same_bits(mine: Any, other: Any) -> bool:
    """Whether two elements are one to the bit: 0.0 is not -0.0, a NaN is the NaN of the same payload."""
    if isinstance(mine, np.generic) and isinstance(other, np.generic):
        return mine.dtype == other.dtype and mine.tobytes() == other.tobytes()
    return type(mine) is type(other) and bool(mine == other)
