"""World files: six lines, the transform from pixel centres (ESRI's convention, as GDAL reads it)."""

from __future__ import annotations

import math
import re
from typing import Final

__all__ = ["parse_world_file"]

_NUMBER: Final = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?")


def parse_world_file(text: str) -> tuple[float, ...]:
    """The transform ``(a, b, c, d, e, f)`` of pixel corners.

    Raises
    ------
    ValueError
        The text is not six lines with a number each, or they are no transform.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()][:6]
    if len(lines) < 6 or not all(_NUMBER.fullmatch(line) for line in lines):
        raise ValueError(f"{lines}: must be six lines, of one number each")
    a, d, b, e, x, y = (float(line.replace(",", ".")) for line in lines)
    if not all(map(math.isfinite, (a, b, d, e, x, y))) or a * e == b * d:
        raise ValueError(f"{lines} are no transform")
    return a, b, x - (a + b) / 2, d, e, y - (d + e) / 2
