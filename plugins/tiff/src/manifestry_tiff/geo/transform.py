"""From pixels to coordinates: ModelTransformation, ModelTiepoint and ModelPixelScale (GeoTIFF 1.1 section 7.1.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifestry_tiff.geo.geokeys import GeoKey, GeoKeys
from manifestry_tiff.structure.ifd import Directory
from manifestry_tiff.structure.tags import Tag

__all__ = ["Affine", "read_transform"]

_RASTER_PIXEL_IS_POINT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """``x = a * column + b * row + c`` and ``y = d * column + e * row + f`` of the corner of a pixel."""

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float

    @property
    def axis_aligned(self) -> bool:
        """Whether x depends on the column alone and y on the row alone."""
        return self.b == 0 and self.d == 0

    @property
    def coefficients(self) -> list[float]:
        """``[a, b, c, d, e, f]``."""
        return [self.a, self.b, self.c, self.d, self.e, self.f]

    def scale(self, across: float, down: float) -> Affine:
        """The transform of the same area in pixels that are `across` times as wide and `down` times as high."""
        return replace(self, a=self.a * across, b=self.b * down, d=self.d * across, e=self.e * down)

    def shift(self, pixels: float) -> Affine:
        """The transform of the points that lie a number of pixels down and to the right of the points of this one."""
        return replace(self, c=self.c + (self.a + self.b) * pixels, f=self.f + (self.d + self.e) * pixels)

    def bounds(self, width: int, length: int) -> list[float]:
        """``[xmin, ymin, xmax, ymax]`` of an image."""
        corners = [(0, 0), (width, 0), (0, length), (width, length)]
        x = [self.a * i + self.b * j + self.c for i, j in corners]
        y = [self.d * i + self.e * j + self.f for i, j in corners]
        return [min(x), min(y), max(x), max(y)]

    def centres(self, width: int, length: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Coordinates of pixel centres along x and y, of an axis-aligned transform."""
        columns, rows = np.arange(width, dtype="f8"), np.arange(length, dtype="f8")
        return (columns + 0.5) * self.a + self.c, (rows + 0.5) * self.e + self.f


def read_transform(directory: Directory, keys: GeoKeys) -> Affine | None:
    """The transform of an image, None where it has none or only ground control points.

    Tags hold the position of pixel centres where the raster type is PixelIsPoint; it is moved to the corner. Where there
    are, against the specification, a scale and a matrix, the scale counts, as for GDAL.
    """
    affine = _from_tiepoint(
        directory.numbers(Tag.MODEL_TIEPOINT), directory.numbers(Tag.MODEL_PIXEL_SCALE)
    ) or _from_matrix(directory.numbers(Tag.MODEL_TRANSFORMATION))
    if affine is None or not all(map(math.isfinite, affine.coefficients)) or affine.a * affine.e == affine.b * affine.d:
        return None
    if keys.code(GeoKey.GT_RASTER_TYPE) == _RASTER_PIXEL_IS_POINT:
        return affine.shift(-0.5)
    return affine


def _from_matrix(m: NDArray[Any] | None) -> Affine | None:
    if m is None or m.size < 16:
        return None
    a, b, c, d, e, f = (float(m[i]) for i in (0, 1, 3, 4, 5, 7))
    return Affine(a=a, b=b, c=c, d=d, e=e, f=f)


def _from_tiepoint(tie: NDArray[Any] | None, scale: NDArray[Any] | None) -> Affine | None:
    if tie is None or scale is None or tie.size < 6 or scale.size < 2 or not scale[:2].all():
        return None
    column, row, _, x, y, _ = (float(v) for v in tie[:6])
    across, down = float(scale[0]), float(scale[1])
    # A negative scale means what a positive one means: rows run from north to south.
    return Affine(a=across, b=0.0, c=x - column * across, d=0.0, e=-abs(down), f=y + row * abs(down))
