"""Fill values. BES prints six digits of them, so what a document says may not be what the file has."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import numpy as np
from manifestry.plugin import default_fill

__all__ = ["fill_value"]

_DIGITS: Final = 6
"""What C++ prints of a float: this many digits for HDF5, this many decimals for HDF4."""
_NETCDF_FILL: Final = 9.969209968386869e36
"""The default fill value of netCDF for floats: the one that documents say most often, and never in full."""


def fill_value(text: str | None, dtype: np.dtype[Any], attributes: Mapping[str, Any]) -> tuple[Any, bool]:
    """The fill value of an array, and whether it is known for sure.

    Parameters
    ----------
    text
        ``fillValue`` of the document, or None: older documents do not have it, whatever the file has.
    attributes
        Attributes of the variable: ``_FillValue`` has the digits that the text lacks.

    Returns
    -------
    tuple
        The scalar, and whether it may be relied on: chunks that are not stored read as this value.
    """
    if text is None or text.startswith("unsupported-"):
        return default_fill(dtype), False
    try:
        return _from_text(text, dtype, attributes)
    except (ValueError, OverflowError):
        return default_fill(dtype), False


def _from_text(text: str, dtype: np.dtype[Any], attributes: Mapping[str, Any]) -> tuple[Any, bool]:
    scalar = dtype.type
    if issubclass(scalar, np.floating):
        return _float(text, dtype, attributes)
    if issubclass(scalar, np.integer):
        return _integer(text, dtype)
    if issubclass(scalar, np.bool_):
        return np.bool_(int(text)), True
    if issubclass(scalar, np.bytes_):
        data = text.encode("utf-8")
        return np.array(data, dtype)[()], len(data) <= dtype.itemsize
    if issubclass(scalar, np.complexfloating):
        part = np.dtype(f"f{dtype.itemsize // 2}")
        record, sure = _record(text, np.dtype([("r", part), ("i", part)]))
        return np.frombuffer(record.tobytes(), dtype)[0], sure
    if isinstance(dtype, np.dtypes.StringDType):
        return text, True
    if dtype.names is not None:
        return _record(text, dtype)
    return default_fill(dtype), not text.strip("0 ")


def _integer(text: str, dtype: np.dtype[Any]) -> tuple[Any, bool]:
    """Bytes may be printed with or without a sign: the bits count."""
    number = int(text) if text.strip() else 0
    info = np.iinfo(dtype)
    if not info.min <= number <= info.max:
        wrapped = number & ((1 << info.bits) - 1)
        signed = wrapped - (1 << info.bits) if wrapped > info.max else wrapped
        return dtype.type(signed), -(1 << (info.bits - 1)) <= number < 1 << info.bits
    return dtype.type(number), True


def _float(text: str, dtype: np.dtype[Any], attributes: Mapping[str, Any]) -> tuple[Any, bool]:
    """The number that prints as the text and that an attribute or a convention has in full; else the text itself."""
    printed = float(text)
    info = np.finfo(dtype)
    usual = (
        attributes.get("_FillValue"),
        attributes.get("missing_value"),
        dtype.type(_NETCDF_FILL),
        info.max,
        info.min,
    )
    for candidate in usual:
        if isinstance(candidate, np.number) and text.strip() in _print_number(float(candidate)):
            with np.errstate(all="ignore"):
                number = dtype.type(candidate)
            if number == candidate:
                return number, True
    with np.errstate(over="ignore"):
        number = dtype.type(printed)
    mantissa = text.strip().lower().partition("e")[0].lstrip("+-")
    decimals = len(mantissa.partition(".")[2].rstrip("0"))
    if len(mantissa.replace(".", "").lstrip("0")) > _DIGITS:  # HDF4: six decimals, however many digits before them
        return number, decimals < _DIGITS or np.spacing(np.abs(number)) > 10.0**-_DIGITS
    return number, not math.isfinite(printed) or len(mantissa.replace(".", "").strip("0")) < _DIGITS


@lru_cache(maxsize=256)
def _print_number(number: float) -> tuple[str, ...]:
    """A number as C++ prints it: by ``ostream``, as for HDF5, and by ``to_string``, as for HDF4."""
    if not math.isfinite(number):
        return (str(number), f"-{number}")
    short = f"{number:g}"
    return (short, short.replace("e+", "e"), f"{number:.{_DIGITS}f}")


def _record(text: str, dtype: np.dtype[Any]) -> tuple[Any, bool]:
    """One number for each number of a record, member after member; or a single 0 for all of them."""
    texts = text.split()
    dtypes = list(islice(_number_types(dtype), len(texts) + 1))
    record = np.zeros((), dtype)
    if texts == ["0"] or len(texts) != len(dtypes):
        return record[()], texts == ["0"]
    numbers = [_from_text(item, own, {}) for item, own in zip(texts, dtypes, strict=True)]
    data = b"".join(np.asarray(number, own).tobytes() for (number, _), own in zip(numbers, dtypes, strict=True))
    return np.frombuffer(data, dtype)[0], all(sure for _, sure in numbers)


def _number_types(dtype: np.dtype[Any]) -> Iterator[np.dtype[Any]]:
    """The types of the numbers of a packed record, one after the other."""
    if dtype.names is not None:
        for name in dtype.names:
            yield from _number_types(dtype[name])
    elif dtype.subdtype is not None:
        for _ in range(math.prod(dtype.shape)):
            yield from _number_types(dtype.base)
    else:
        yield dtype
