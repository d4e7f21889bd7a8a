"""Coordinate reference systems by their codes and names, as a line says them: not by a page of WKT."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ["system_labels"]

_CODE_OF_WKT: Final = re.compile(r'(?:ID|AUTHORITY)\["([A-Za-z]+)",\s*"?([0-9A-Za-z]+)"?\]\]\s*$')
"""The identifier of the whole system: the last element of its text."""

_NAME_OF_WKT: Final = re.compile(r'^\s*[A-Z_0-9]+\["((?:[^"]|"")*)"')


def system_labels(holders: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Each coordinate reference system that attributes name, once: ``"EPSG:32633, WGS 84 / UTM zone 33N"``.

    Parameters
    ----------
    holders
        Attributes of groups and arrays in their JSON form. ``crs_wkt`` and ``grid_mapping_name`` (CF 1.11, 5.6),
        ``spatial_ref`` (GDAL), and ``proj:code``, ``proj:wkt2`` (GeoZarr) are looked at.
    """
    codes: dict[str, str] = {}
    others: dict[str, None] = {}
    for attributes in holders:
        code, name = _system(attributes)
        if code:
            codes[code] = codes.get(code) or name
        elif name:
            others[name] = None
    return (*(f"{code}, {name}" if name else code for code, name in codes.items()), *others)


def _system(attributes: Mapping[str, Any]) -> tuple[str, str]:
    """The code and the name of the system of one holder, each ``""`` where it is not said."""
    code = _text(attributes, "proj:code")
    wkt = next(filter(None, (_text(attributes, key) for key in ("crs_wkt", "spatial_ref", "proj:wkt2"))), "")
    if not wkt:
        return code, "" if code else _text(attributes, "grid_mapping_name")
    found = _CODE_OF_WKT.search(wkt)
    named = _NAME_OF_WKT.match(wkt)
    return code or (":".join(found.groups()) if found else ""), named[1].replace('""', '"') if named else ""


def _text(attributes: Mapping[str, Any], key: str) -> str:
    value = attributes.get(key)
    return value if isinstance(value, str) else ""
