"""Geographic and geocentric systems of GeoKeys as WKT 1: unit, prime meridian, datum, ellipsoid (GeoTIFF 1.1 section 7.5).

A code of a whole system comes first, and each key of a part takes the place of what it has, as in libgeotiff.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Final, NamedTuple

import pyproj
from pyproj.crs import Datum, Ellipsoid, PrimeMeridian  # type: ignore[attr-defined]  # as in `crs`
from pyproj.crs.enums import DatumType
from pyproj.exceptions import CRSError, ProjError

from manifestry_tiff.geo.citations import citation_names
from manifestry_tiff.geo.geokeys import USER_DEFINED, GeoKey, GeoKeys
from manifestry_tiff.geo.units import DEGREE, CrsError, Unit, angular_unit

__all__ = ["Geodetic", "escape_quotes", "read_geodetic", "registered_geodetic"]

_ENSEMBLE: Final = " ensemble"
_GEODETIC: Final = ("Geographic 2D CRS", "Geographic 3D CRS", "Geocentric CRS", "Geodetic CRS")


class Geodetic(NamedTuple):
    """What a geodetic system is made of.

    Attributes
    ----------
    name, datum, ellipsoid
        Their names.
    semi_major, inverse_flattening
        Metres; 0 is a sphere.
    meridian, longitude
        Name of the prime meridian, and its degrees east of Greenwich.
    unit, keyed
        The unit of angles in coordinates, and degrees of one in keys.
    known, datum_code
        Whether the datum is registered, so that a shift in keys does not count, and its code where that is known.
    code
        Of the registered system that all this is, None where keys change it.
    """

    name: str
    datum: str
    ellipsoid: str
    semi_major: float
    inverse_flattening: float
    meridian: str
    longitude: float
    unit: Unit
    keyed: float
    known: bool
    datum_code: int | None = None
    code: int | None = None

    @property
    def wkt(self) -> str:
        """The geographic system as WKT 1."""
        if self.code is not None:
            wkt = str(pyproj.CRS.from_epsg(self.code).to_2d().to_wkt("WKT1_GDAL"))
            if wkt.startswith("GEOGCS"):
                return wkt
        return (
            f'GEOGCS["{escape_quotes(self.name)}",{self.frame},UNIT["{self.unit.name}",{math.radians(self.unit.size)!r}],'
            'AXIS["Latitude",NORTH],AXIS["Longitude",EAST]]'
        )

    @property
    def frame(self) -> str:
        """Datum and prime meridian as WKT 1."""
        longitude = self.longitude / self.unit.size
        authority = "" if self.datum_code is None else f',AUTHORITY["EPSG","{self.datum_code}"]'
        return (
            f'DATUM["{escape_quotes(self.datum)}",SPHEROID["{escape_quotes(self.ellipsoid)}",{self.semi_major!r},'
            f'{self.inverse_flattening!r}]{authority}],PRIMEM["{escape_quotes(self.meridian)}",{longitude!r}]'
        )


def read_geodetic(keys: GeoKeys, default: int | None = None) -> Geodetic:
    """The geodetic system of some keys, above that of the code `default`.

    Raises
    ------
    CrsError
        It has no size, or cannot be expressed.
    """
    code = (keys.code(GeoKey.GEODETIC_CRS) or 0) if keys.has(GeoKey.GEODETIC_CRS) else default
    registered = None if code is None else registered_geodetic(code)
    names = {} if registered is not None else citation_names(keys.text(GeoKey.GEODETIC_CITATION))
    keyed, unit = _units(keys, names, registered)
    datum, found, ellipsoid = _datum(keys, names, registered)
    shape, semi_major, inverse = _shape(keys, ellipsoid)
    meridian, longitude = _meridian(keys, names, registered, unit)
    name = names.get("GCS Name") or ("" if names else keys.text(GeoKey.GEODETIC_CITATION)) or datum
    made = Geodetic(
        name=name if registered is None else registered.name,
        datum=datum,
        ellipsoid=names.get("Ellipsoid") or shape,
        semi_major=semi_major,
        inverse_flattening=inverse,
        meridian=meridian,
        longitude=longitude,
        unit=unit,
        keyed=keyed,
        known=registered is not None or found is not None or _datum_by_name(datum, None) is not None,
        datum_code=None if found is None else found.to_json_dict().get("id", {}).get("code"),
    )
    if registered is None or not _is_whole(made, registered):
        return made
    return made._replace(code=code)


@lru_cache(maxsize=64)
def registered_geodetic(code: int) -> Any:
    """The geodetic system of a code, None where the registry has none."""
    if not 0 < code < USER_DEFINED:
        return None
    try:
        crs = pyproj.CRS.from_epsg(code)
    except CRSError:
        return None
    return crs if crs.type_name in _GEODETIC else None


def escape_quotes(text: str) -> str:
    """Text inside quotes of WKT."""
    return text.replace('"', '""')


def _is_whole(made: Geodetic, registered: Any) -> bool:
    """Whether keys left a registered system as it is."""
    ellipsoid, meridian = registered.ellipsoid, registered.prime_meridian
    same = (
        (made.semi_major, ellipsoid.semi_major_metre),
        (made.inverse_flattening, ellipsoid.inverse_flattening),
        (made.longitude, meridian.longitude * math.degrees(meridian.unit_conversion_factor)),
        (made.unit.size, math.degrees(registered.axis_info[0].unit_conversion_factor)),
    )
    names = made.datum == registered.datum.name.removesuffix(_ENSEMBLE)
    return names and all(math.isclose(one, other, rel_tol=1e-8, abs_tol=1e-12) for one, other in same)


def _has_unit(registered: Any, unit: Unit) -> bool:
    """Whether a unit is that of the angles of a registered system, or that one has no angles."""
    axis = registered.axis_info[0]
    return registered.is_geocentric or math.isclose(math.degrees(axis.unit_conversion_factor), unit.size, rel_tol=1e-9)


def _units(keys: GeoKeys, names: dict[str, str], registered: Any) -> tuple[float, Unit]:
    """Degrees of an angle in keys, and the unit of coordinates; they differ only where a citation names a unit."""
    code = keys.code(GeoKey.GEOG_ANGULAR_UNITS)
    size = keys.number(GeoKey.GEOG_ANGULAR_UNIT_SIZE)
    if code is None and registered is not None:
        axis = registered.axis_info[0]
        degrees = math.degrees(axis.unit_conversion_factor)
        unit = DEGREE if math.isclose(degrees, 1.0) else Unit(axis.unit_name, degrees)
    else:
        unit = DEGREE if code in (None, USER_DEFINED) else angular_unit(code)
        if registered is not None and not _has_unit(registered, unit):  # it depends on the edition of the registry
            raise CrsError(
                f"angles in {unit.name} beside {registered.name}: readers take them or those of the registry"
            )
    named = names.get("AUnits", "")
    if not named:
        if code == USER_DEFINED and size is not None and not math.isclose(math.degrees(size), 1.0, rel_tol=1e-9):
            raise CrsError(f"angles have a unit of {size} radians, for which readers take degrees (GeoKey 2055)")
        return unit.size, unit
    known = {"degree": DEGREE, "grad": Unit("grad", 0.9)}.get(named.lower())
    degrees = unit.size if size is None else math.degrees(size)
    return unit.size, known or Unit(named, degrees if 0 < degrees < math.inf else 1.0)


def _datum(keys: GeoKeys, names: dict[str, str], registered: Any) -> tuple[str, Any, Any]:
    """Name of the datum, the registered one, and its ellipsoid (None: keys have to say it)."""
    found = None if registered is None else registered.datum
    if keys.has(GeoKey.GEODETIC_DATUM):
        found = _registered_datum(keys.code(GeoKey.GEODETIC_DATUM) or 0)
    ellipsoid = None if found is None else found.ellipsoid or _ensemble_ellipsoid(found)
    if keys.has(GeoKey.ELLIPSOID):
        code = keys.code(GeoKey.ELLIPSOID) or 0
        ellipsoid = _registered_ellipsoid(code)
    named = names.get("Datum", "")
    if named:
        official = _datum_by_name(named, "EPSG") if "_" in named else None
        return (named if official is None else official.name), found or official, ellipsoid
    return ("unnamed" if found is None else found.name.removesuffix(_ENSEMBLE)), found, ellipsoid


@lru_cache(maxsize=64)
def _registered_datum(code: int) -> Any:
    """The datum of a code, None where it is user-defined or none of a map."""
    if not 0 < code < USER_DEFINED:
        return None
    try:
        datum: Any = Datum.from_epsg(code)
    except ProjError:
        return None
    return None if datum.ellipsoid is None and _ensemble_ellipsoid(datum) is None else datum


@lru_cache(maxsize=64)
def _registered_ellipsoid(code: int) -> Any:
    """The ellipsoid of a code, None where the registry has none."""
    if not 0 < code < USER_DEFINED:
        return None
    try:
        return Ellipsoid.from_epsg(code)
    except ProjError:
        return None


def _ensemble_ellipsoid(datum: Any) -> Any:
    """The ellipsoid of a datum ensemble (6326: WGS 84), which pyproj gives in its document only; None for a vertical one."""
    document = datum.to_json_dict().get("ellipsoid")
    return None if document is None else Ellipsoid.from_json_dict({"type": "Ellipsoid", **document})


@lru_cache(maxsize=64)
def _datum_by_name(name: str, authority: str | None) -> Any:
    """The datum that a registry has for a name or alias, None where it has none."""
    for spelling in dict.fromkeys((name, name.replace("_", " "))):
        try:
            datum: Any = Datum.from_name(spelling, auth_name=authority, datum_type=DatumType.GEODETIC_REFERENCE_FRAME)  # type: ignore[call-arg]
        except CRSError:
            continue
        return datum
    return None


def _shape(keys: GeoKeys, ellipsoid: Any) -> tuple[str, float, float]:
    """Name of the ellipsoid, semi-major axis in metres and inverse flattening (0: a sphere)."""
    major, minor = (keys.number(key) for key in (GeoKey.ELLIPSOID_SEMI_MAJOR_AXIS, GeoKey.ELLIPSOID_SEMI_MINOR_AXIS))
    inverse = keys.number(GeoKey.ELLIPSOID_INV_FLATTENING)
    if ellipsoid is not None and (major, minor, inverse) == (None, None, None):
        return ellipsoid.name, ellipsoid.semi_major_metre, ellipsoid.inverse_flattening
    name = "unnamed" if ellipsoid is None else ellipsoid.name
    if ellipsoid is not None:
        major = ellipsoid.semi_major_metre if major is None else major
        minor = ellipsoid.semi_minor_metre if minor is None else minor
    if major is None or not 0 < major < math.inf:
        raise CrsError("the ellipsoid is user-defined and has no semi-major axis (GeoKey 2057)")
    if inverse is not None:
        return name, major, inverse if math.isfinite(inverse) else 0.0
    if minor is None or not 0 < minor < math.inf:
        raise CrsError("the ellipsoid is user-defined and has neither flattening nor semi-minor axis")
    return name, major, 0.0 if minor == major else major / (major - minor)


def _meridian(keys: GeoKeys, names: dict[str, str], registered: Any, unit: Unit) -> tuple[str, float]:
    """Name and degrees of the prime meridian."""
    meridian: Any = None
    code = keys.code(GeoKey.PRIME_MERIDIAN) or 0
    if keys.has(GeoKey.PRIME_MERIDIAN):
        if 0 < code < USER_DEFINED:
            meridian = PrimeMeridian.from_epsg(code)
        if registered is not None and meridian != registered.prime_meridian:
            raise CrsError(f"{registered.name} with another prime meridian: readers disagree on its datum")
    elif registered is not None:
        meridian = registered.prime_meridian
    if meridian is not None:
        name, longitude = meridian.name, meridian.longitude * math.degrees(meridian.unit_conversion_factor)
    else:
        longitude = keys.number(GeoKey.PRIME_MERIDIAN_LONGITUDE) or 0.0
        name = "unnamed" if longitude else "Greenwich"
    if "Primem" in names:
        name, given = names["Primem"], keys.number(GeoKey.PRIME_MERIDIAN_LONGITUDE)
        longitude = longitude if given is None else given
    paris = name == "Paris" and math.isclose(unit.size, 0.9) and math.isclose(longitude, 2.33722917, abs_tol=1e-8)
    if longitude and unit.size != 1 and not paris:
        raise CrsError(f"a prime meridian {name!r} with angles in {unit.name}: readers disagree on its place")
    return name, longitude
