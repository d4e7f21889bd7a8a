"""World files: six lines, the transform from pixel centres (ESRI's convention, as GDAL reads it)."""

from __future__ import annotations

import math

__all__ = ["parse_world_file"]


def parse_world_file(text: str) -> tuple[float, ...]:
    """The transform ``(a, b, c, d, e, f)`` of pixel corners.

    Raises
    ------
    ValueError
        The text is not six numbers, or they are no transform.
    """
    lines = text.split()
    if len(lines) < 6:
        raise ValueError(f"{len(lines)} numbers: must be 6")
    a, d, b, e, x, y = (float(line.replace(",", ".")) for line in lines[:6])
    if not all(map(math.isfinite, (a, b, d, e, x, y))) or a * e == b * d:
        raise ValueError(f"{lines[:6]} are no transform")
    return a, b, x - (a + b) / 2, d, e, y - (d + e) / 2
