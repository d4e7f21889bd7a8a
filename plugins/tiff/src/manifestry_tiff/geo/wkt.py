"""Coordinate reference systems as text: well-known text (OGC 18-010r11, or WKT 1 as GDAL has it), a code, or PROJ's terms."""

from __future__ import annotations

import re

import pyproj
from pyproj.exceptions import CRSError as ProjError

from manifestry_tiff.geo.crs import CrsError
from manifestry_tiff.geo.system import CoordinateSystem

__all__ = ["system_of_text"]

_CODE = re.compile(r"(EPSG|ESRI|IAU_2015|OGC):\w+", re.IGNORECASE)


def system_of_text(text: str, axis_mapping: tuple[int, ...] = ()) -> CoordinateSystem | None:
    """The system that a text states, None where it is empty.

    Parameters
    ----------
    axis_mapping
        Which axes of the system columns and rows run along, counted from 1; ``()``: east and north, in this order.

    Raises
    ------
    CrsError
        The text is no system, or columns do not run along its axis to the east.
    """
    if not text.strip():
        return None
    try:  # no other form: PROJ would also look for files and addresses
        if _CODE.fullmatch(text.strip()):
            crs = pyproj.CRS.from_user_input(text.strip())
        elif text.lstrip().startswith("+"):
            crs = pyproj.CRS.from_proj4(text)
        else:
            crs = pyproj.CRS.from_wkt(text)
    except ProjError as error:
        raise CrsError(f"{text[:60]!r} is no coordinate reference system") from error
    if axis_mapping and axis_mapping[:2] != _usual_mapping(crs):
        raise CrsError(f"columns and rows run along its axes {axis_mapping[:2]}: must be east and north")
    code = crs.to_epsg(min_confidence=100)
    registered = code is not None and pyproj.CRS.from_epsg(code).equals(crs, ignore_axis_order=True)
    return CoordinateSystem(crs, f"EPSG:{code}" if registered else "")


def _usual_mapping(crs: pyproj.CRS) -> tuple[int, ...]:
    """The axes of a system that go east and north; the first two where they are others."""
    directions = [axis.direction for axis in crs.axis_info[:2]]
    return (2, 1) if directions == ["north", "east"] else (1, 2)
