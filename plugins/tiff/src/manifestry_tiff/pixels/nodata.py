"""GDAL_NODATA (tag 42113): what pixels without a value hold, as text."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["nearest_value", "parse_nodata"]


def parse_nodata(text: str, dtype: np.dtype[Any]) -> np.generic | None:
    """The nodata value as an element of the array, None where it cannot be one (``-9999`` in uint8).

    Floating point is rounded to the type, as GDAL does when it compares.

    Raises
    ------
    ValueError
        The text is not a number.
    """
    number = _parse_number(text)
    if np.issubdtype(dtype, np.inexact):
        scalar: np.generic = _round_to(number, dtype)
        return None if math.isfinite(number) and not np.isfinite(scalar) else scalar
    if isinstance(number, float) and not number.is_integer():  # nor are NaN and infinities integers
        return None
    low, high = _limits(dtype)
    return dtype.type(int(number)) if low <= int(number) <= high else None


def nearest_value(text: str, dtype: np.dtype[Any]) -> np.generic:
    """What GDAL fills sparse tiles with: nodata, or the element nearest to it; 0 where it is not a number."""
    try:
        number = _parse_number(text)
    except ValueError:
        number = 0
    value: np.generic
    if np.issubdtype(dtype, np.inexact):
        value = _round_to(number, dtype)
    else:
        low, high = _limits(dtype)
        bounded = 0 if math.isnan(number) else min(max(number, low), high)
        value = dtype.type(bounded if isinstance(bounded, int) else math.floor(bounded + 0.5))
    return value


def _parse_number(text: str) -> int | float:
    clean = text.strip().replace(",", ".")
    return int(clean) if clean.lstrip("+-").isdigit() else float(clean)


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    return (0, 1) if np.issubdtype(dtype, np.bool_) else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))


def _round_to(number: float, dtype: np.dtype[Any]) -> Any:
    with np.errstate(over="ignore"):
        return dtype.type(number)
