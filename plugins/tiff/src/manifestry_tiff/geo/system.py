"""A coordinate reference system, and what it is as CF attributes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyproj

__all__ = ["CoordinateSystem"]


@dataclass(frozen=True)
class CoordinateSystem:
    """A coordinate reference system.

    Attributes
    ----------
    crs
        As pyproj has it.
    code
        ``"EPSG:32633"`` where one code says everything, else ``""``.
    left_out
        Why heights that keys speak of are not in it, ``""`` where they are or where there are none.
    unit_left_out
        Their unit then.
    """

    crs: pyproj.CRS
    code: str = ""
    left_out: str = ""
    unit_left_out: str = ""

    @property
    def height_unit(self) -> str:
        """The unit of a vertical system beside that of the map, ``""`` where there is none or it has no name."""
        if not self.crs.is_compound:
            return self.unit_left_out
        name = self.crs.sub_crs_list[-1].axis_info[0].unit_name
        return "" if name == "unknown" else name

    @cached_property
    def grid_mapping(self) -> dict[str, Any]:
        """CF attributes of a grid mapping, and the name under which GDAL looks for WKT."""
        wkt = self.crs.to_wkt()
        if self._is_more_than_cf:
            return {"crs_wkt": wkt, "spatial_ref": wkt}
        try:
            return {**self.crs.to_cf(), "spatial_ref": wkt}
        except KeyError:  # pyproj misses parameters that WKT may leave out; the text alone says as much
            return {"crs_wkt": wkt, "spatial_ref": wkt}

    @property
    def _is_more_than_cf(self) -> bool:
        """Whether it is an oblique Mercator whose grid is not turned by its azimuth, for which CF has no parameter."""
        operation = self.crs.coordinate_operation
        values = (
            {} if operation is None else {p.name: float(p.value) * p.unit_conversion_factor for p in operation.params}
        )
        turned = values.get("Angle from Rectified to Skew Grid")
        return turned is not None and not math.isclose(turned, next(v for n, v in values.items() if "Azimuth" in n))

    @cached_property
    def axes(self) -> dict[str, dict[str, Any]]:
        """CF attributes of coordinates along ``"X"`` and ``"Y"``."""
        axes: dict[str, dict[str, Any]] = {"X": {"axis": "X"}, "Y": {"axis": "Y"}}
        if self.crs.is_projected or self.crs.is_geographic:
            axes |= {axis["axis"]: dict(axis) for axis in self.crs.cs_to_cf() if axis.get("axis") in axes}
        return axes
