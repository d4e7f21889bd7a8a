"""Geographic systems of GeoKeys as WKT 1: angular unit, prime meridian, datum and ellipsoid (GeoTIFF 1.1 section 7.3)."""

from __future__ import annotations

import math
from typing import Any, Final

import pyproj
from pyproj.crs import Datum, Ellipsoid, PrimeMeridian  # type: ignore[attr-defined]  # as in `crs`

from manifestry_tiff.geo.geokeys import GeoKey, GeoKeys

__all__ = ["CrsError", "angular_unit", "escape_quotes", "geographic_wkt"]

_ANGLES: Final = {9101: 180 / math.pi, 9102: 1.0, 9103: 1 / 60, 9104: 1 / 3600, 9105: 0.9, 9106: 0.9}


class CrsError(ValueError):
    """The keys describe no system that pyproj knows."""


def geographic_wkt(keys: GeoKeys) -> str:
    """The geographic system as WKT 1: registered, or from datum and ellipsoid."""
    code = keys.registered_code(GeoKey.GEODETIC_CRS)
    if code is not None:
        wkt = pyproj.CRS.from_epsg(code).to_wkt("WKT1_GDAL")
        if wkt.startswith("GEOGCS"):
            return str(wkt)
    name = keys.names(GeoKey.GEODETIC_CITATION).get("GCS Name") or keys.text(GeoKey.GEODETIC_CITATION) or "unnamed"
    degrees = angular_unit(keys) or 1.0
    unit = {1.0: "degree", 0.9: "grad"}.get(degrees, f"{degrees!r} degree")
    return (
        f'GEOGCS["{escape_quotes(name)}",{_datum_wkt(keys)},{_meridian_wkt(keys, degrees)},'
        f'UNIT["{unit}",{math.radians(degrees)!r}],AXIS["Latitude",NORTH],AXIS["Longitude",EAST]]'
    )


def angular_unit(keys: GeoKeys) -> float | None:
    """Degrees of the unit of angles, None where the keys leave it to the registry."""
    code = keys.code(GeoKey.GEOG_ANGULAR_UNITS)
    if code in _ANGLES:
        return _ANGLES[code]
    size = None if code is None else keys.number(GeoKey.GEOG_ANGULAR_UNIT_SIZE)
    return None if size is None else math.degrees(size)


def escape_quotes(text: str) -> str:
    """Text inside quotes of WKT."""
    return text.replace('"', '""')


def _meridian_wkt(keys: GeoKeys, unit: float) -> str:
    """The prime meridian, its longitude in units of `unit` degrees."""
    code = keys.registered_code(GeoKey.PRIME_MERIDIAN)
    if code is not None:
        meridian: Any = PrimeMeridian.from_epsg(code)
        longitude = meridian.longitude * math.degrees(meridian.unit_conversion_factor) / unit
        return f'PRIMEM["{escape_quotes(meridian.name)}",{longitude!r}]'
    longitude = keys.number(GeoKey.PRIME_MERIDIAN_LONGITUDE) or 0.0
    name = keys.names(GeoKey.GEODETIC_CITATION).get("Primem", "unnamed") if longitude else "Greenwich"
    return f'PRIMEM["{escape_quotes(name)}",{longitude!r}]'


def _datum_wkt(keys: GeoKeys) -> str:
    names = keys.names(GeoKey.GEODETIC_CITATION)
    code = keys.registered_code(GeoKey.GEODETIC_DATUM)
    datum: Any = None if code is None else Datum.from_epsg(code)
    ellipsoid: Any = None if datum is None else datum.ellipsoid or _ensemble_ellipsoid(datum)
    shape_code = keys.registered_code(GeoKey.ELLIPSOID)
    if ellipsoid is None and shape_code is not None:
        ellipsoid = Ellipsoid.from_epsg(shape_code)
    if ellipsoid is not None:
        major, flattening, shape = ellipsoid.semi_major_metre, ellipsoid.inverse_flattening, ellipsoid.name
    else:
        major, flattening = _axes(keys)
        shape = names.get("Ellipsoid", "unnamed")
    title = names.get("Datum", "unnamed") if datum is None else datum.name
    return f'DATUM["{escape_quotes(title)}",SPHEROID["{escape_quotes(shape)}",{major!r},{flattening!r}]]'


def _ensemble_ellipsoid(datum: Any) -> Any:
    """The ellipsoid of a datum ensemble (6326: WGS 84), which pyproj gives in its document only; None for a vertical one."""
    document = datum.to_json_dict().get("ellipsoid")
    return None if document is None else Ellipsoid.from_json_dict({"type": "Ellipsoid", **document})


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
