"""GeoKeys to coordinate reference systems (GeoTIFF 1.1 section 7.3, EPSG registry).

Registered codes go to pyproj as they are. User-defined systems are put together as WKT 1, whose names of projections and
parameters are those that GeoTIFF was written with (``geotiff.maptools.org/proj_list``), and pyproj reads that.
"""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

import pyproj
from pyproj.crs import (  # type: ignore[attr-defined]  # public by pyproj's documentation, not by its annotations
    CompoundCRS,
    CoordinateOperation,
    ProjectedCRS,
)
from pyproj.exceptions import ProjError

from manifestry_tiff.geo.geodetic import CrsError, angular_unit, escape_quotes, geographic_wkt
from manifestry_tiff.geo.geokeys import USER_DEFINED, GeoKey, GeoKeys
from manifestry_tiff.geo.projections import axis_directions, projection_of

__all__ = ["CoordinateSystem", "CrsError", "read_crs"]

_PROJECTED, _GEOGRAPHIC = 1, 2  # models
_UNITS: Final = {9001: 1.0, 9002: 0.3048, 9003: 1200 / 3937, 9036: 1000.0, 9030: 1852.0}
_CITATIONS: Final = (GeoKey.PROJECTED_CITATION, GeoKey.GT_CITATION)
_ESRI: Final = "ESRI PE String = "


@dataclass(frozen=True)
class CoordinateSystem:
    """A coordinate reference system.

    Attributes
    ----------
    crs
        As pyproj has it.
    code
        ``"EPSG:32633"`` where one code says everything, else ``""``.
    """

    crs: pyproj.CRS
    code: str = ""

    @property
    def has_heights(self) -> bool:
        """Whether it has an axis for heights beside those of a map, or is geocentric."""
        return len(self.crs.axis_info) > 2

    @cached_property
    def grid_mapping(self) -> dict[str, Any]:
        """CF attributes of a grid mapping, and the name under which GDAL looks for WKT."""
        wkt = self.crs.to_wkt()
        try:
            return {**self.crs.to_cf(), "spatial_ref": wkt}
        except KeyError:  # pyproj misses parameters that WKT may leave out; the text alone says as much
            return {"crs_wkt": wkt, "spatial_ref": wkt}

    @cached_property
    def axes(self) -> dict[str, dict[str, Any]]:
        """CF attributes of coordinates along ``"X"`` and ``"Y"``."""
        axes: dict[str, dict[str, Any]] = {"X": {"axis": "X"}, "Y": {"axis": "Y"}}
        if self.crs.is_projected or self.crs.is_geographic:
            axes |= {axis["axis"]: dict(axis) for axis in self.crs.cs_to_cf() if axis.get("axis") in axes}
        return axes


def read_crs(keys: GeoKeys) -> CoordinateSystem | None:
    """The system of some keys, None where they name none.

    Raises
    ------
    CrsError
        They name one that cannot be made.
    """
    try:
        horizontal = _horizontal_system(keys)
        return horizontal if horizontal is None else _with_heights(keys, horizontal)
    except ProjError as error:
        raise CrsError(textwrap.shorten(str(error), 200)) from error  # it may have the whole system in it


def _with_heights(keys: GeoKeys, horizontal: CoordinateSystem) -> CoordinateSystem:
    """A system with the vertical one of the keys, where that is registered and not in it already."""
    code = keys.registered_code(GeoKey.VERTICAL)
    if code is None or horizontal.has_heights:
        return horizontal
    try:
        above = pyproj.CRS.from_epsg(code)
    except ProjError:  # 5001 to 5033 of GeoTIFF 1.0 are heights above an ellipsoid, and none of EPSG
        return horizontal
    if not above.is_vertical:  # ellipsoidal heights have the code of a geographic system here
        same = horizontal.crs.is_geographic and above.to_2d().equals(horizontal.crs, ignore_axis_order=True)
        return _system_of_code(code) if same else horizontal
    return CoordinateSystem(CompoundCRS(f"{horizontal.crs.name} + {above.name}", [horizontal.crs, above]))


def _horizontal_system(keys: GeoKeys) -> CoordinateSystem | None:
    model = keys.code(GeoKey.GT_MODEL_TYPE)
    projected = keys.registered_code(GeoKey.PROJECTED_CRS)
    geodetic = keys.registered_code(GeoKey.GEODETIC_CRS)
    if projected is not None and model in (_PROJECTED, USER_DEFINED, None):
        return _adapt_system(keys, projected)
    if model == _PROJECTED or (model is None and keys.code(GeoKey.PROJECTED_CRS) is not None):
        return _esri_system(keys) or _user_defined_system(keys)
    if geodetic is not None and model != USER_DEFINED:
        return _system_of_code(geodetic)
    if model == _GEOGRAPHIC:
        return CoordinateSystem(pyproj.CRS.from_wkt(geographic_wkt(keys)))
    return _esri_system(keys)


def _esri_system(keys: GeoKeys) -> CoordinateSystem | None:
    """The system that Esri's software writes as WKT into a citation."""
    for key in _CITATIONS:
        if keys.text(key).startswith(_ESRI):
            return CoordinateSystem(pyproj.CRS.from_wkt(keys.text(key).removeprefix(_ESRI)))
    return None


@lru_cache(maxsize=64)
def _system_of_code(code: int) -> CoordinateSystem:
    """A system of the registry; files of an archive share one, and each look into the registry takes milliseconds."""
    return CoordinateSystem(pyproj.CRS.from_epsg(code), f"EPSG:{code}")


def _adapt_system(keys: GeoKeys, code: int) -> CoordinateSystem:
    """A registered projected system; keys may put it on another geographic system, or its coordinates in other units."""
    registered = _system_of_code(code)
    if registered.crs.type_name != "Projected CRS":  # some files have the code of a compound system here
        return registered
    geodetic = keys.registered_code(GeoKey.GEODETIC_CRS)
    own = _base_code(code)
    if own is None or geodetic is None or geodetic == own:
        return _with_units(keys, registered)
    base = pyproj.CRS.from_epsg(geodetic)
    if not base.is_geographic or len(base.axis_info) != 2:
        return _with_units(keys, registered)
    document = registered.crs.to_json_dict()
    document.pop("id")
    document["base_crs"] = base.to_json_dict()
    return _with_units(keys, CoordinateSystem(pyproj.CRS.from_json_dict(document)))


@lru_cache(maxsize=64)
def _base_code(code: int) -> int | None:
    """The code of the geographic system below a registered projected one."""
    base = _system_of_code(code).crs.to_json_dict().get("base_crs", {})
    base_code = base.get("id", {}).get("code")
    return base_code if isinstance(base_code, int) else None


def _with_units(keys: GeoKeys, system: CoordinateSystem) -> CoordinateSystem:
    """A projected system with coordinates in the unit of the keys, where they name one."""
    crs = system.crs
    metres = _linear_unit(keys)
    if metres is None or all(math.isclose(axis.unit_conversion_factor, metres, rel_tol=1e-9) for axis in crs.axis_info):
        return system
    document = crs.to_json_dict()
    unit = {"type": "LinearUnit", "name": _unit_name(metres), "conversion_factor": metres}
    for axis in document["coordinate_system"]["axis"]:
        axis["unit"] = "metre" if metres == 1 else unit
    document.pop("id", None)
    document["name"] += f" ({_unit_name(metres)})"
    return CoordinateSystem(pyproj.CRS.from_json_dict(document))


def _linear_unit(keys: GeoKeys) -> float | None:
    """Metres of the unit of projected coordinates, None where the keys leave it to the registry."""
    code = keys.code(GeoKey.PROJ_LINEAR_UNITS)
    if code is None:
        return None
    if code in _UNITS:
        return _UNITS[code]
    size = keys.number(GeoKey.PROJ_LINEAR_UNIT_SIZE)
    if size is not None:
        return size
    registered = pyproj.database.get_units_map(auth_name="EPSG", category="linear")
    return next((unit.conv_factor for unit in registered.values() if unit.code == str(code)), None)


def _unit_name(metres: float) -> str:
    names = {1.0: "metre", 0.3048: "foot", 1200 / 3937: "US survey foot", 1000.0: "kilometre", 1852.0: "nautical mile"}
    return names.get(metres, f"{metres!r} metre")


def _user_defined_system(keys: GeoKeys) -> CoordinateSystem:
    """A projected system from its parts."""
    base = geographic_wkt(keys)
    conversion = keys.registered_code(GeoKey.PROJECTION)
    if conversion is not None:
        return _registered_conversion(keys, base, conversion)
    method = keys.code(GeoKey.PROJ_METHOD)
    projection = projection_of(method or 0, keys)
    if projection is None:
        raise CrsError(f"projection method {method} (GeoKey {int(GeoKey.PROJ_METHOD)}) has no name in WKT 1")
    name = _projected_name(keys) or "unnamed"
    metres = _linear_unit(keys) or 1.0
    title, parameters = projection.wkt_parameters(keys, _angle_scale(keys, base))
    east, north = axis_directions(title, dict(parameters))
    texts = "".join(f',PARAMETER["{parameter}",{value!r}]' for parameter, value in parameters)
    wkt = (
        f'PROJCS["{escape_quotes(name)}",{base},PROJECTION["{title}"]{texts},'
        f'UNIT["{_unit_name(metres)}",{metres!r}],AXIS["Easting",{east}],AXIS["Northing",{north}]]'
    )
    return CoordinateSystem(pyproj.CRS.from_wkt(wkt))


def _registered_conversion(keys: GeoKeys, base: str, code: int) -> CoordinateSystem:
    """A conversion of the registry (16033: UTM zone 33N) on a geographic system."""
    conversion = CoordinateOperation.from_epsg(code)
    geographic = pyproj.CRS.from_wkt(base)
    name = _projected_name(keys) or f"{geographic.name} / {conversion.name}"
    return _with_units(keys, CoordinateSystem(ProjectedCRS(conversion, name, geodetic_crs=geographic)))


def _projected_name(keys: GeoKeys) -> str:
    """What the citations call a projected system, ``""`` where they do not."""
    return next((name for key in _CITATIONS if (name := keys.names(key).get("PCS Name") or keys.text(key))), "")


def _angle_scale(keys: GeoKeys, base: str) -> float:
    """From the angles of the keys to those of WKT 1, which are in the unit of its geographic system."""
    degrees = angular_unit(keys)
    unit = math.degrees(pyproj.CRS.from_wkt(base).axis_info[0].unit_conversion_factor)
    return 1.0 if degrees is None or math.isclose(degrees, unit) else degrees / unit
