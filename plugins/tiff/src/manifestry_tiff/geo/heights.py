"""Vertical systems of GeoKeys (GeoTIFF 1.1 sections 7.5.5 and 7.5.6), as GDAL takes them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import pyproj
from pyproj.crs import CompoundCRS, Datum  # type: ignore[attr-defined]  # as in `crs`
from pyproj.enums import PJType
from pyproj.exceptions import CRSError, ProjError

from manifestry_tiff.geo.geodetic import escape_quotes, registered_geodetic
from manifestry_tiff.geo.geokeys import USER_DEFINED, GeoKey, GeoKeys
from manifestry_tiff.geo.units import CrsError, registered_length

__all__ = ["VerticalKeys", "ellipsoidal_code", "read_vertical_keys", "stands_above", "with_heights"]

_WGS_84_DATUM, _WGS_84, _WGS_84_HEIGHTS = 6030, 4326, 4979


class VerticalKeys(NamedTuple):
    """Codes of a vertical system, its datum and its unit; 0 where there is none."""

    system: int
    datum: int
    unit: int

    @property
    def given(self) -> bool:
        """Whether any is."""
        return any(self)


def read_vertical_keys(keys: GeoKeys) -> VerticalKeys:
    """The vertical codes, those of GeoTIFF 1.0 by what they are in the registry; private ones count for nothing."""
    named = (GeoKey.VERTICAL, GeoKey.VERTICAL_DATUM, GeoKey.VERTICAL_UNITS)
    system, datum, unit = (keys.code(key) or 0 for key in named)
    if keys.minor == 0 and 5101 <= system <= 5112 and not datum:  # datums, by EPSG
        system, datum = system + 600, system
    if keys.minor == 0 and system == 5171:
        system, datum = 5773, 5171
    if 5001 <= system <= 5033 and not datum:  # heights above an ellipsoid: the datum is 6001 to 6033
        system, datum = 0, system + 1000
    return VerticalKeys(0, 0, 0) if max(system, datum, unit) > USER_DEFINED else VerticalKeys(system, datum, unit)


def ellipsoidal_code(vertical: VerticalKeys, geodetic: int | None) -> int | None:
    """The geographic system with heights that a vertical code makes of a geographic one, None where it makes none."""
    code = _WGS_84_HEIGHTS if (vertical.datum, geodetic) == (_WGS_84_DATUM, _WGS_84) else vertical.system
    flat = None if geodetic is None else registered_geodetic(geodetic)
    above = registered_geodetic(code)
    if flat is None or above is None or flat.type_name != "Geographic 2D CRS":
        return None
    return code if above.type_name == "Geographic 3D CRS" and above.datum == flat.datum else None


@lru_cache(maxsize=64)
def stands_above(vertical: VerticalKeys) -> bool:
    """Whether keys make a vertical system: from parts, or one that is registered."""
    if not 0 < vertical.system < USER_DEFINED:
        return vertical.given
    try:
        return bool(pyproj.CRS.from_epsg(vertical.system).is_vertical)
    except CRSError:
        return False


def with_heights(keys: GeoKeys, vertical: VerticalKeys, horizontal: pyproj.CRS) -> pyproj.CRS | None:
    """A horizontal system with the vertical one, None where the registry has none of that code."""
    if not stands_above(vertical):
        return None
    registered = 0 < vertical.system < USER_DEFINED
    above = pyproj.CRS.from_epsg(vertical.system) if registered else _own_system(keys, vertical)
    return CompoundCRS(f"{horizontal.name} + {above.name}", [horizontal, above])


def _own_system(keys: GeoKeys, vertical: VerticalKeys) -> pyproj.CRS:
    """A vertical system from a datum and a unit."""
    citation = keys.text(GeoKey.VERTICAL_CITATION)
    if citation.lower().startswith("vcs name = "):
        citation = citation[len("VCS Name = ") :].partition("|")[0]
    name, code = _datum_of_name(citation) if vertical.datum == USER_DEFINED else _datum_of_code(vertical.datum)
    authority = f',AUTHORITY["EPSG","{code}"]' if code else ""
    unit = registered_length(9001 if vertical.unit in (0, USER_DEFINED) else vertical.unit)
    return pyproj.CRS.from_wkt(
        f'VERT_CS["{escape_quotes(citation or "unknown")}",VERT_DATUM["{escape_quotes(name)}",2005{authority}],'
        f'UNIT["{unit.name}",{unit.size!r}],AXIS["Up",UP]]'
    )


def _datum_of_code(code: int) -> tuple[str, int]:
    if not code:
        return "unknown", 0
    try:
        datum: Any = Datum.from_epsg(code)
    except ProjError as error:
        raise CrsError(f"the vertical datum {code} is not known") from error
    return str(datum.name), code


@lru_cache(maxsize=16)
def _datum_of_name(system: str) -> tuple[str, int]:
    """The datum of the registered vertical system of a name."""
    if not system:
        return "unknown", 0
    found = pyproj.database.query_crs_info(auth_name="EPSG", pj_types=PJType.VERTICAL_CRS, allow_deprecated=True)
    for info in found:
        if info.name.lower() == system.lower():
            datum: Any = pyproj.CRS.from_epsg(int(info.code)).datum
            return str(datum.name), int(datum.to_json_dict().get("id", {}).get("code", 0))
    return "unknown", 0
