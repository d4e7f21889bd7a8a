"""GeoKeys to coordinate reference systems (GeoTIFF 1.1 section 7.3, EPSG registry).

Registered codes go to pyproj as they are. User-defined systems are put together as WKT 1, whose names of projections and
parameters are those that GeoTIFF was written with (``geotiff.maptools.org/proj_list``), and pyproj reads that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final

import pyproj
from pyproj.crs import (  # type: ignore[attr-defined]  # public by pyproj's documentation, not by its annotations
    CompoundCRS,
    CoordinateOperation,
    Datum,
    Ellipsoid,
    ProjectedCRS,
)
from pyproj.exceptions import ProjError

from manifestry_tiff.geokeys import GeoKey, GeoKeys
from manifestry_tiff.projections import PROJECTIONS

__all__ = ["CoordinateSystem", "CrsError", "read_crs"]

_PROJECTED, _GEOGRAPHIC, _GEOCENTRIC = 1, 2, 3
_UNITS: Final = {9001: 1.0, 9002: 0.3048, 9003: 1200 / 3937, 9036: 1000.0, 9030: 1852.0}
_ANGLES: Final = {9101: 180 / math.pi, 9102: 1.0, 9103: 1 / 60, 9104: 1 / 3600, 9105: 0.9, 9106: 0.9}
_ESRI: Final = "ESRI PE String = "


class CrsError(ValueError):
    """The keys describe no system that pyproj knows."""


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

    @cached_property
    def grid_mapping(self) -> dict[str, Any]:
        """CF attributes of a grid mapping, and the name under which GDAL looks for WKT."""
        found = dict(self.crs.to_cf())
        return {**found, "spatial_ref": found.get("crs_wkt") or self.crs.to_wkt()}

    @cached_property
    def axes(self) -> dict[str, dict[str, Any]]:
        """CF attributes of coordinates along ``"X"`` and ``"Y"``."""
        found: dict[str, dict[str, Any]] = {"X": {"axis": "X"}, "Y": {"axis": "Y"}}
        if self.crs.is_projected or self.crs.is_geographic:
            found |= {axis["axis"]: dict(axis) for axis in self.crs.cs_to_cf() if axis.get("axis") in found}
        return found


def read_crs(keys: GeoKeys) -> CoordinateSystem | None:
    """The system of some keys, None where they name none.

    Raises
    ------
    CrsError
        They name one that cannot be made.
    """
    try:
        horizontal = _horizontal(keys)
        vertical = keys.registered(GeoKey.VERTICAL)
        if horizontal is None or vertical is None:
            return horizontal
        if horizontal.crs.is_geographic and len(horizontal.crs.axis_info) == 3:
            return horizontal
        above = pyproj.CRS.from_epsg(vertical)
        if not above.is_vertical:  # ellipsoidal heights stand here with the code of a geographic system
            same = horizontal.crs.is_geographic and above.to_2d().equals(horizontal.crs, ignore_axis_order=True)
            return _registered(vertical) if same else horizontal
        name = f"{horizontal.crs.name} + {above.name}"
        return CoordinateSystem(CompoundCRS(name, [horizontal.crs, above]))
    except ProjError as error:
        raise CrsError(str(error)) from error


def _horizontal(keys: GeoKeys) -> CoordinateSystem | None:
    model = keys.code(GeoKey.GT_MODEL_TYPE)
    projected = keys.registered(GeoKey.PROJECTED_CRS)
    geodetic = keys.registered(GeoKey.GEODETIC_CRS)
    if model == _PROJECTED or (model is None and keys.code(GeoKey.PROJECTED_CRS) is not None):
        if projected is not None:
            return _with_units(keys, projected)
        return _user_defined(keys)
    if model in (_GEOGRAPHIC, _GEOCENTRIC, None):
        if geodetic is not None:
            return _registered(geodetic)
        if model == _GEOGRAPHIC:
            return CoordinateSystem(pyproj.CRS.from_wkt(_geographic_wkt(keys)))
    for key in (GeoKey.PROJECTED_CITATION, GeoKey.GT_CITATION):
        if keys.text(key).startswith(_ESRI):
            return CoordinateSystem(pyproj.CRS.from_wkt(keys.text(key).removeprefix(_ESRI)))
    return None


@lru_cache(maxsize=64)
def _registered(code: int) -> CoordinateSystem:
    """A system of the registry; files of an archive share one, and each look into the registry takes milliseconds."""
    return CoordinateSystem(pyproj.CRS.from_epsg(code), f"EPSG:{code}")


def _with_units(keys: GeoKeys, code: int) -> CoordinateSystem:
    """A registered system; keys may say that the coordinates are in other units than the registry has."""
    registered = _registered(code)
    crs = registered.crs
    given = _linear_unit(keys)
    if given is None or all(math.isclose(axis.unit_conversion_factor, given, rel_tol=1e-9) for axis in crs.axis_info):
        return registered
    document = crs.to_json_dict()
    unit = {"type": "LinearUnit", "name": _unit_name(given), "conversion_factor": given}
    for axis in document["coordinate_system"]["axis"]:
        axis["unit"] = "metre" if given == 1 else unit
    document.pop("id", None)
    document["name"] += f" ({_unit_name(given)})"
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


def _user_defined(keys: GeoKeys) -> CoordinateSystem:
    """A projected system from its parts."""
    for key in (GeoKey.PROJECTED_CITATION, GeoKey.GT_CITATION):
        if keys.text(key).startswith(_ESRI):
            return CoordinateSystem(pyproj.CRS.from_wkt(keys.text(key).removeprefix(_ESRI)))
    base = _geographic_wkt(keys)
    conversion = keys.registered(GeoKey.PROJECTION)
    if conversion is not None:
        return _registered_conversion(keys, base, conversion)
    method = keys.code(GeoKey.PROJ_METHOD)
    projection = PROJECTIONS.get(method or 0)
    if projection is None:
        raise CrsError(f"projection method {method} (GeoKey {int(GeoKey.PROJ_METHOD)}) has no WKT name")
    name = keys.text(GeoKey.PROJECTED_CITATION) or keys.text(GeoKey.GT_CITATION) or "unnamed"
    metres = _linear_unit(keys) or 1.0
    unit = _angular_unit(keys)
    title, parameters = projection.of(keys, unit)
    texts = "".join(f',PARAMETER["{parameter}",{value!r}]' for parameter, value in parameters)
    wkt = (
        f'PROJCS["{_quoted(name)}",{base},PROJECTION["{title}"]{texts},'
        f'UNIT["{_unit_name(metres)}",{metres!r}],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
    )
    return CoordinateSystem(pyproj.CRS.from_wkt(wkt))


def _registered_conversion(keys: GeoKeys, base: str, code: int) -> CoordinateSystem:
    """A conversion of the registry (16033: UTM zone 33N) on a geographic system."""
    conversion = CoordinateOperation.from_epsg(code)
    geographic = pyproj.CRS.from_wkt(base)
    name = keys.text(GeoKey.PROJECTED_CITATION) or f"{geographic.name} / {conversion.name}"
    return CoordinateSystem(ProjectedCRS(conversion, name, geodetic_crs=geographic))


def _angular_unit(keys: GeoKeys) -> float:
    """Degrees of the unit of angles."""
    code = keys.code(GeoKey.GEOG_ANGULAR_UNITS)
    if code is None or code in _ANGLES:
        return _ANGLES[code or 9102]
    size = keys.number(GeoKey.GEOG_ANGULAR_UNIT_SIZE)
    return 1.0 if size is None else math.degrees(size)


def _geographic_wkt(keys: GeoKeys) -> str:
    """The geographic system as WKT 1: registered, or from datum and ellipsoid."""
    code = keys.registered(GeoKey.GEODETIC_CRS)
    if code is not None:
        wkt = pyproj.CRS.from_epsg(code).to_wkt("WKT1_GDAL")
        if wkt.startswith("GEOGCS"):
            return str(wkt)
    name = keys.text(GeoKey.GEODETIC_CITATION) or "unnamed"
    meridian = keys.number(GeoKey.PRIME_MERIDIAN_LONGITUDE) or 0.0
    meridian_name = "unnamed" if meridian else "Greenwich"
    return (
        f'GEOGCS["{_quoted(name)}",{_datum_wkt(keys)},PRIMEM["{meridian_name}",{meridian!r}],'
        f'UNIT["degree",0.0174532925199433],AXIS["Longitude",EAST],AXIS["Latitude",NORTH]]'
    )


def _datum_wkt(keys: GeoKeys) -> str:
    code = keys.registered(GeoKey.GEODETIC_DATUM)
    datum: Any = None if code is None else Datum.from_epsg(code)
    ellipsoid: Any = datum.ellipsoid if datum is not None else None
    shape_code = keys.registered(GeoKey.ELLIPSOID)
    if ellipsoid is None and shape_code is not None:
        ellipsoid = Ellipsoid.from_epsg(shape_code)
    if ellipsoid is not None:
        major, flattening, shape = ellipsoid.semi_major_metre, ellipsoid.inverse_flattening, ellipsoid.name
    else:
        major, flattening = _axes(keys)
        shape = "unnamed"
    title = "unnamed" if datum is None else datum.name
    return f'DATUM["{_quoted(title)}",SPHEROID["{_quoted(shape)}",{major!r},{flattening!r}]]'


def _axes(keys: GeoKeys) -> tuple[float, float]:
    """Semi-major axis in metres and inverse flattening (0: a sphere)."""
    major = keys.number(GeoKey.ELLIPSOID_SEMI_MAJOR_AXIS)
    if major is None or major <= 0:
        raise CrsError("the ellipsoid is user-defined and has no semi-major axis (GeoKey 2057)")
    inverse = keys.number(GeoKey.ELLIPSOID_INV_FLATTENING)
    if inverse is not None:
        return major, inverse
    minor = keys.number(GeoKey.ELLIPSOID_SEMI_MINOR_AXIS)
    if minor is None:
        raise CrsError("the ellipsoid is user-defined and has neither flattening nor semi-minor axis")
    return major, 0.0 if minor == major else major / (major - minor)


def _quoted(text: str) -> str:
    """Text inside quotes of WKT."""
    return text.replace('"', '""')
