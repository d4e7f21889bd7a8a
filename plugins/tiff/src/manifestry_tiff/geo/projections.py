"""Projection methods of GeoTIFF (GeoKey 3075) by their WKT 1 names, and the keys of their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from manifestry_tiff.geo.geokeys import GeoKey, GeoKeys
from manifestry_tiff.geo.units import CrsError

__all__ = ["Projection", "axis_directions", "projection_of"]

_LAT = (GeoKey.PROJ_NAT_ORIGIN_LAT, GeoKey.PROJ_FALSE_ORIGIN_LAT, GeoKey.PROJ_CENTER_LAT)
_LONG = (GeoKey.PROJ_NAT_ORIGIN_LONG, GeoKey.PROJ_FALSE_ORIGIN_LONG, GeoKey.PROJ_CENTER_LONG)
_POLE_LONG = (GeoKey.PROJ_STRAIGHT_VERT_POLE_LONG, *_LONG)
_ORIGIN_SCALE = (GeoKey.PROJ_SCALE_AT_NAT_ORIGIN,)
_SCALE = (GeoKey.PROJ_SCALE_AT_NAT_ORIGIN, GeoKey.PROJ_SCALE_AT_CENTER)
_PARALLEL_1 = (GeoKey.PROJ_STD_PARALLEL_1,)
_PARALLEL_2 = (GeoKey.PROJ_STD_PARALLEL_2,)
_AZIMUTH = (GeoKey.PROJ_AZIMUTH_ANGLE,)
_GRID_ANGLE = (GeoKey.PROJ_RECTIFIED_GRID_ANGLE,)
_EASTING = (GeoKey.PROJ_FALSE_EASTING, GeoKey.PROJ_CENTER_EASTING, GeoKey.PROJ_FALSE_ORIGIN_EASTING)
_NORTHING = (GeoKey.PROJ_FALSE_NORTHING, GeoKey.PROJ_CENTER_NORTHING, GeoKey.PROJ_FALSE_ORIGIN_NORTHING)

type _Parameters = tuple[tuple[str, tuple[GeoKey, ...]], ...]

_FALSE: Final[_Parameters] = (("false_easting", _EASTING), ("false_northing", _NORTHING))
_DEFAULTS: Final = {"scale_factor": 1.0, "rectified_grid_angle": 90.0}
_LENGTHS: Final = frozenset({"false_easting", "false_northing"})


@dataclass(frozen=True, slots=True)
class Projection:
    """A projection method.

    Attributes
    ----------
    name
        In WKT 1.
    parameters
        Their names in WKT 1 and the keys that may hold them; linear false origins are added.
    """

    name: str
    parameters: _Parameters

    def wkt_parameters(self, keys: GeoKeys, angle: float, unit: float, length: float) -> list[tuple[str, float]]:
        """The values of the parameters.

        Parameters
        ----------
        angle, unit
            Degrees of an angle in keys and of one in WKT; azimuths are in degrees in keys, as for GDAL.
        length
            The unit of lengths in keys in those of coordinates.
        """
        values = []
        for parameter, candidates in (*self.parameters, *_FALSE):
            value = keys.number(*candidates)
            if value is None:
                value = _DEFAULTS.get(parameter, 0.0)
            if parameter in _LENGTHS:
                value *= length
            elif parameter == "azimuth":
                value /= unit
            elif parameter != "scale_factor":
                value = value if angle == unit else value * angle / unit
            values.append((parameter, value))
        return values


def _origin(name: str, scale: tuple[GeoKey, ...] = ()) -> Projection:
    """A method with a natural origin, and a scale there where keys may hold one."""
    parameters: _Parameters = (("latitude_of_origin", _LAT), ("central_meridian", _LONG))
    return Projection(name, (*parameters, ("scale_factor", scale)) if scale else parameters)


def _center(name: str) -> Projection:
    """A method with a centre."""
    return Projection(name, (("latitude_of_center", _LAT), ("longitude_of_center", _LONG)))


_PARALLELS: Final[_Parameters] = (("standard_parallel_1", _PARALLEL_1), ("standard_parallel_2", _PARALLEL_2))
_OBLIQUE: Final[_Parameters] = (
    ("latitude_of_center", _LAT),
    ("longitude_of_center", _LONG),
    ("azimuth", _AZIMUTH),
    ("rectified_grid_angle", _GRID_ANGLE),
    ("scale_factor", _SCALE),
)

_MERCATOR: Final = 7
_LAMBERT_2SP: Final = 8
_PROJECTIONS: Final[dict[int, Projection]] = {
    1: _origin("Transverse_Mercator", _SCALE),
    3: Projection("Hotine_Oblique_Mercator", _OBLIQUE),
    4: Projection("Laborde_Oblique_Mercator", tuple(p for p in _OBLIQUE if p[0] != "rectified_grid_angle")),
    7: _origin("Mercator_1SP", _ORIGIN_SCALE),
    8: Projection(
        "Lambert_Conformal_Conic_2SP",
        (*_PARALLELS, ("latitude_of_origin", _LAT), ("central_meridian", _LONG)),
    ),
    9: _origin("Lambert_Conformal_Conic_1SP", _SCALE),
    10: _center("Lambert_Azimuthal_Equal_Area"),
    11: Projection(
        "Albers_Conic_Equal_Area", (*_PARALLELS, ("latitude_of_center", _LAT), ("longitude_of_center", _LONG))
    ),
    12: _center("Azimuthal_Equidistant"),
    13: Projection("Equidistant_Conic", (*_PARALLELS, ("latitude_of_center", _LAT), ("longitude_of_center", _LONG))),
    14: _origin("Stereographic", _ORIGIN_SCALE),
    15: Projection(
        "Polar_Stereographic",
        (("latitude_of_origin", _LAT), ("central_meridian", _POLE_LONG), ("scale_factor", _SCALE)),
    ),
    16: _origin("Oblique_Stereographic", _SCALE),
    17: Projection(
        "Equirectangular",
        (("latitude_of_origin", _LAT), ("central_meridian", _LONG), ("standard_parallel_1", _PARALLEL_1)),
    ),
    18: _origin("Cassini_Soldner"),
    19: _origin("Gnomonic"),
    20: Projection("Miller_Cylindrical", (("longitude_of_center", _LONG),)),
    21: _origin("Orthographic"),
    22: _origin("Polyconic"),
    23: Projection("Robinson", (("longitude_of_center", _LONG),)),
    24: Projection("Sinusoidal", (("longitude_of_center", _LONG),)),
    25: Projection("VanDerGrinten", (("central_meridian", _LONG),)),
    26: _origin("New_Zealand_Map_Grid"),
    27: _origin("Transverse_Mercator_South_Orientated", _SCALE),
    28: Projection("Cylindrical_Equal_Area", (("standard_parallel_1", _PARALLEL_1), ("central_meridian", _LONG))),
    9815: Projection("Hotine_Oblique_Mercator_Azimuth_Center", _OBLIQUE),
}
_MERCATOR_2SP: Final = Projection(
    "Mercator_2SP", (("standard_parallel_1", _PARALLEL_1), ("latitude_of_origin", _LAT), ("central_meridian", _LONG))
)


def projection_of(method: int, keys: GeoKeys) -> Projection | None:
    """The projection of a method; Mercator has two forms that the keys of its parameters tell apart.

    Raises
    ------
    CrsError
        A parameter is missing that readers disagree on.
    """
    if method == _MERCATOR and keys.number(*_PARALLEL_1) is not None:
        return _MERCATOR_2SP
    if method == _LAMBERT_2SP and keys.number(*_PARALLEL_2) is None:  # others take the first for 0 then
        raise CrsError("Lambert's conformal conic with two parallels has one (GeoKey 3079 is missing)")
    return _PROJECTIONS.get(method)


def axis_directions(name: str, parameters: Mapping[str, float]) -> tuple[str, str]:
    """Where easting and northing grow, as EPSG has it: away from a pole, or to where a method is orientated."""
    if name == "Polar_Stereographic":
        return ("NORTH", "NORTH") if parameters["latitude_of_origin"] < 0 else ("SOUTH", "SOUTH")
    return ("WEST", "SOUTH") if name == "Transverse_Mercator_South_Orientated" else ("EAST", "NORTH")
