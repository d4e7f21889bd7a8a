"""GDAL_NODATA (tag 42113): what pixels without a value hold, as text."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["parse_nodata"]


def parse_nodata(text: str, dtype: np.dtype[Any]) -> np.generic | None:
    """The nodata value as an element of the array, None where it cannot be one (``-9999`` in uint8).

    Floating point is rounded to the type, as GDAL does when it compares.

    Raises
    ------
    ValueError
        The text is no number.
    """
    clean = text.strip().replace(",", ".")
    number: Any = int(clean) if clean.lstrip("+-").isdigit() else float(clean)
    scalar: Any
    match dtype.kind:
        case "b" | "i" | "u":
            if isinstance(number, float) and not number.is_integer():  # NaN and infinities are none either
                return None
            low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
            return dtype.type(int(number)) if low <= int(number) <= high else None
        case "f" | "c":
            with np.errstate(over="ignore"):
                scalar = dtype.type(number)
            return None if math.isfinite(number) and not np.isfinite(scalar) else scalar
    return None
