"""What citations of GeoKeys call things, as Esri, ERDAS and GDAL write them and GDAL understands them."""

from __future__ import annotations

import re
from typing import Final

from manifestry_tiff.geo.geokeys import GeoKey, GeoKeys

__all__ = ["citation_names", "linear_unit_name", "metres_of_name", "projected_name"]

_NAMES: Final = (
    "PCS Name = ", "PRJ Name = ", "LUnits = ", "GCS Name = ", "Datum = ", "Ellipsoid = ", "Primem = ", "AUnits = ",
)  # fmt: skip
_IMAGINE: Final = re.compile("IMAGINE GeoTIFF Support", re.IGNORECASE)
_IMAGINE_NAMES: Final = {"Datum = ": "Datum", "Ellipsoid = ": "Ellipsoid", "Units = ": "LUnits"}
_IMAGINE_END: Final = re.compile(r"\n|NAD = |Datum = |Ellipsoid = |Units = ")
_METRES: Final = (
    ("meters", 1.0), ("centimeters", 0.01), ("cm", 0.01), ("millimeters", 0.001), ("mm", 0.001),
    ("kilometers", 1000.0), ("km", 1000.0), ("us_survey_feet", 0.3048006096012192),
    ("us_survey_foot", 0.3048006096012192), ("feet", 0.3048006096012192), ("foot", 0.3048006096012192),
    ("ft", 0.3048006096012192), ("international_feet", 0.3048), ("international_foot", 0.3048),
)  # fmt: skip
"""GDAL compares all letters but the last; its other units (miles of 1304 m) are not taken."""


def citation_names(text: str) -> dict[str, str]:
    """The names in a citation, ``GCS Name = a|Datum = b|Ellipsoid = c|Primem = d`` or ERDAS IMAGINE's lines."""
    if _IMAGINE.match(text):
        return _imagine_names(text)
    names: dict[str, str] = {}
    for part in text.split("|"):
        for name in _NAMES:
            if name in part:
                names.setdefault(name.removesuffix(" = "), part[len(name) :])
    return names


def _imagine_names(text: str) -> dict[str, str]:
    names = {}
    for mark, name in _IMAGINE_NAMES.items():
        _, found, rest = text.partition(mark)
        value = _IMAGINE_END.split(rest, maxsplit=1)[0].strip()
        if found and value:
            names[name] = value
    return names


def projected_name(keys: GeoKeys, *, general_only: bool) -> str:
    """What the citations call a projected system, ``""`` where they do not; beside a registered one only the general counts."""
    own, general = keys.text(GeoKey.PROJECTED_CITATION), keys.text(GeoKey.GT_CITATION)
    name = citation_names(general).get("PCS Name", "")
    if name or general_only:
        return name
    if own and not own.lower().startswith("lunits = "):
        named = citation_names(own).get("PCS Name") or own
        return general if general and "unnamed" in named else named
    return general


def linear_unit_name(keys: GeoKeys, *, general_only: bool) -> str:
    """The unit of length that citations name; beside a registered system only the general citation counts."""
    own = "" if general_only else keys.text(GeoKey.PROJECTED_CITATION)
    return citation_names(keys.text(GeoKey.GT_CITATION)).get("LUnits") or citation_names(own).get("LUnits", "")


def metres_of_name(name: str) -> float | None:
    """Metres of a unit by its name, None where it is not known."""
    start = name[:-1].lower()
    return next((metres for known, metres in _METRES if start and known.startswith(start)), None)
