"""GeoKeys (GeoTIFF 1.1, OGC 19-008r4, section 7.1.3): the directory of keys and their values."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from manifestry_tiff.structure.ifd import Directory
from manifestry_tiff.structure.tags import Tag

__all__ = ["USER_DEFINED", "GeoKey", "GeoKeys", "read_geo_keys"]

USER_DEFINED: Final = 32767
"""The value of a key that means: other keys say it."""


class GeoKey(IntEnum):
    """Keys that say what the coordinates are."""

    GT_MODEL_TYPE = 1024
    GT_RASTER_TYPE = 1025
    GT_CITATION = 1026
    GEODETIC_CRS = 2048
    GEODETIC_CITATION = 2049
    GEODETIC_DATUM = 2050
    PRIME_MERIDIAN = 2051
    GEOG_LINEAR_UNITS = 2052
    GEOG_ANGULAR_UNITS = 2054
    GEOG_ANGULAR_UNIT_SIZE = 2055
    ELLIPSOID = 2056
    ELLIPSOID_SEMI_MAJOR_AXIS = 2057
    ELLIPSOID_SEMI_MINOR_AXIS = 2058
    ELLIPSOID_INV_FLATTENING = 2059
    PRIME_MERIDIAN_LONGITUDE = 2061
    TO_WGS84 = 2062
    PROJECTED_CRS = 3072
    PROJECTED_CITATION = 3073
    PROJECTION = 3074
    PROJ_METHOD = 3075
    PROJ_LINEAR_UNITS = 3076
    PROJ_LINEAR_UNIT_SIZE = 3077
    PROJ_STD_PARALLEL_1 = 3078
    PROJ_STD_PARALLEL_2 = 3079
    PROJ_NAT_ORIGIN_LONG = 3080
    PROJ_NAT_ORIGIN_LAT = 3081
    PROJ_FALSE_EASTING = 3082
    PROJ_FALSE_NORTHING = 3083
    PROJ_FALSE_ORIGIN_LONG = 3084
    PROJ_FALSE_ORIGIN_LAT = 3085
    PROJ_FALSE_ORIGIN_EASTING = 3086
    PROJ_FALSE_ORIGIN_NORTHING = 3087
    PROJ_CENTER_LONG = 3088
    PROJ_CENTER_LAT = 3089
    PROJ_CENTER_EASTING = 3090
    PROJ_CENTER_NORTHING = 3091
    PROJ_SCALE_AT_NAT_ORIGIN = 3092
    PROJ_SCALE_AT_CENTER = 3093
    PROJ_AZIMUTH_ANGLE = 3094
    PROJ_STRAIGHT_VERT_POLE_LONG = 3095
    PROJ_RECTIFIED_GRID_ANGLE = 3096
    VERTICAL = 4096
    VERTICAL_CITATION = 4097
    VERTICAL_DATUM = 4098
    VERTICAL_UNITS = 4099
    COORDINATE_EPOCH = 5120


class GeoKeys:
    """The keys of an image.

    Parameters
    ----------
    values
        Code, numbers or text by number of the key. As for GDAL, a code is no number and a number no code.
    minor
        Minor revision of the keys: 0 for GeoTIFF 1.0, whose vertical codes are others.
    """

    def __init__(self, values: Mapping[int, int | tuple[float, ...] | str], minor: int = 1) -> None:
        self._values = dict(values)
        self.minor = minor

    def __bool__(self) -> bool:
        return bool(self._values)

    def has(self, *keys: GeoKey) -> bool:
        """Whether one of some keys holds a code."""
        return any(isinstance(self._values.get(key), int) for key in keys)

    def code(self, key: GeoKey) -> int | None:
        """A code, None where the key is absent or undefined (0)."""
        value = self._values.get(key)
        return value if isinstance(value, int) and value > 0 else None

    def registered_code(self, key: GeoKey) -> int | None:
        """A code that a registry defines, None where the key is absent, undefined or user-defined."""
        code = self.code(key)
        return None if code is None or code >= USER_DEFINED else code

    def numbers(self, key: GeoKey) -> tuple[float, ...]:
        """The numbers of a key, ``()`` where it is absent."""
        value = self._values.get(key)
        return value if isinstance(value, tuple) else ()

    def number(self, *keys: GeoKey) -> float | None:
        """The first number of the first of some keys that has one."""
        return next((numbers[0] for key in keys if (numbers := self.numbers(key))), None)

    def text(self, key: GeoKey) -> str:
        """Text without the separator at its end, ``""`` where the key is absent."""
        value = self._values.get(key)
        return value if isinstance(value, str) else ""


def read_geo_keys(directory: Directory) -> GeoKeys:
    """The keys of a directory; entries that point outside their tables are skipped, as other readers do.

    Raises
    ------
    MalformedFileError
        The key directory itself is broken.
    """
    words = directory.integers(Tag.GEO_KEY_DIRECTORY)
    if not words:
        return GeoKeys({})
    count = words[3] if len(words) >= 4 else 0
    if len(words) < 4 * (count + 1):
        raise directory.tag_error(Tag.GEO_KEY_DIRECTORY, f"{len(words)} values are too few for {count} keys")
    doubles = directory.numbers(Tag.GEO_DOUBLE_PARAMS)
    text = (directory.raw(Tag.GEO_ASCII_PARAMS) or b"").decode("utf-8", "replace")
    values: dict[int, int | tuple[float, ...] | str] = {}
    for i in range(4, 4 * (count + 1), 4):
        key, table, number, at = words[i : i + 4]
        if table == 0:
            values[key] = at
        elif table == Tag.GEO_KEY_DIRECTORY and number and at < len(words):
            values[key] = words[at]
        elif table == Tag.GEO_DOUBLE_PARAMS and doubles is not None and number and at < doubles.size:
            values[key] = tuple(float(value) for value in doubles[at : at + number])
        elif table == Tag.GEO_ASCII_PARAMS:
            values[key] = text[at : at + number].rstrip("|\0 ")
    return GeoKeys(values, words[2])
