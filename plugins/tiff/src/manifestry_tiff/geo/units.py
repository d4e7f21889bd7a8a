"""Units of lengths and angles of GeoKeys, by code, size or the name in a citation (GeoTIFF 1.1 sections 7.4.5, 7.4.6)."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final, NamedTuple

import pyproj

from manifestry_tiff.geo.citations import citation_names, linear_unit_name, metres_of_name
from manifestry_tiff.geo.geokeys import USER_DEFINED, GeoKey, GeoKeys

__all__ = ["CrsError", "Unit", "angular_unit", "keyed_length", "projected_unit", "registered_length"]


class CrsError(ValueError):
    """The keys describe no system that can be expressed exactly."""


class Unit(NamedTuple):
    """A unit.

    Attributes
    ----------
    name
        As WKT has it.
    size
        In metres or degrees.
    """

    name: str
    size: float


METRE: Final = Unit("metre", 1.0)
DEGREE: Final = Unit("degree", 1.0)
_LENGTHS: Final = {9001: METRE, 9002: Unit("foot", 0.3048), 9003: Unit("US survey foot", 12 / 39.37)}
_ANGLES: Final = {
    9101: Unit("radian", 180 / math.pi), 9102: DEGREE, 9103: Unit("arc-minute", 1 / 60),
    9104: Unit("arc-second", 1 / 3600), 9105: Unit("grad", 0.9), 9106: Unit("gon", 0.9),
    9107: DEGREE, 9108: DEGREE, 9109: Unit("microradian", 180e-6 / math.pi), 9110: DEGREE, 9122: DEGREE,
}  # fmt: skip


@lru_cache(maxsize=1)
def _registry() -> dict[str, Unit]:
    units = pyproj.database.get_units_map(auth_name="EPSG", allow_deprecated=True)
    kinds = {"linear": 1.0, "angular": math.degrees(1)}
    return {u.code: Unit(u.name, u.conv_factor * kinds[u.category]) for u in units.values() if u.category in kinds}


def registered_length(code: int) -> Unit:
    """The unit of length of a code.

    Raises
    ------
    CrsError
        The registry has none.
    """
    unit = _LENGTHS.get(code) or _registry().get(str(code))
    if unit is None:
        raise CrsError(f"the unit of length {code} is not known")
    return unit


def keyed_length(keys: GeoKeys, registered: Unit | None) -> Unit:
    """The unit of the lengths in keys; `registered` where a registered system has one."""
    code: int | None = keys.code(GeoKey.PROJ_LINEAR_UNITS)
    if code is None and registered is None:
        code = keys.code(GeoKey.GEOG_LINEAR_UNITS)
    if code is None and registered is not None:
        return registered
    if code is not None and code != USER_DEFINED:
        return registered_length(code)
    size = keys.number(GeoKey.PROJ_LINEAR_UNIT_SIZE)
    if size is None:
        return METRE
    if not 0 < size < math.inf:
        raise CrsError(f"the unit of length has {size} m (GeoKey {int(GeoKey.PROJ_LINEAR_UNIT_SIZE)})")
    return METRE if size == 1 else Unit(f"{size!r} metre", size)


def projected_unit(keys: GeoKeys, registered: Unit | None) -> Unit:
    """The unit of projected coordinates: by name in a citation, else as `keyed_length`."""
    name = linear_unit_name(keys, general_only=registered is not None)
    if not name:
        unit = keyed_length(keys, registered)
        if registered is None and unit.size != 1 and "PCS Name" in citation_names(keys.text(GeoKey.PROJECTED_CITATION)):
            raise CrsError(f"keys say {unit.name} and a citation names a system: readers take metres")
        return unit
    size = metres_of_name(name) or keys.number(GeoKey.PROJ_LINEAR_UNIT_SIZE)
    if not size:
        raise CrsError(f"the unit of length {name!r} of a citation is not known")
    return METRE if size == 1 else Unit(name, size)


def angular_unit(code: int) -> Unit:
    """The unit of angles of a code.

    Raises
    ------
    CrsError
        The registry has none.
    """
    unit = _ANGLES.get(code) or _registry().get(str(code))
    if unit is None:
        raise CrsError(f"the unit of angles {code} is not known")
    return unit
