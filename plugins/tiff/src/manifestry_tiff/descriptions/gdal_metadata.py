"""GDAL_METADATA (tag 42112): XML with items of the file and of its bands."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final
from xml.sax.saxutils import unescape

from manifestry_tiff.descriptions.xml_text import parse_xml
from manifestry_tiff.structure.beside import GdalItem
from manifestry_tiff.structure.ifd import Directory
from manifestry_tiff.structure.tags import Tag

__all__ = ["band_attributes", "domain_attributes", "gdal_items", "inherit_items", "resampling_method"]

_INHERITED: Final = frozenset({"scale", "offset", "unittype", "description", "colorinterp"})
"""Roles of items that hold for all levels of a pyramid; GDAL writes them into the directory of the full image only."""

_RESERVED: Final = frozenset(
    [
        "_FillValue",
        "missing_value",
        "scale_factor",
        "add_offset",
        "units",
        "calendar",
        "dtype",
        "coordinates",
        "grid_mapping",
        "bounds",
        "_Unsigned",
        "zarr_conventions",
        "AREA_OR_POINT",
        "long_name",
    ]
)
"""Names that mean something to readers, and must not be taken from free text."""


def gdal_items(directory: Directory) -> tuple[GdalItem, ...]:
    """The items of a directory, of all domains; what a file beside it says counts before them.

    Raises
    ------
    MalformedFileError
        The tag cannot be read.
    ValueError
        The text is not XML, or declares entities.
    """
    own = directory.parsed(Tag.GDAL_METADATA, _parse_items)
    if directory.beside is None:
        return own
    said = {item.key for item in directory.beside.items}
    return (*(item for item in own if item.key not in said), *directory.beside.items)


def _parse_items(text: str) -> tuple[GdalItem, ...]:
    if not text:
        return ()
    items: list[GdalItem] = []
    open_item: list[Mapping[str, str]] = []

    def start(element: str, attributes: Mapping[str, str]) -> None:
        if element == "Item":
            open_item.append(attributes)

    def end(element: str, content: str) -> None:
        if element == "Item" and open_item:
            item = open_item.pop()
            sample = item.get("sample", "")
            band = int(sample) if sample.isdecimal() else None
            # GDAL escapes values twice.
            value = unescape(content, {"&quot;": '"', "&apos;": "'"})
            items.append(GdalItem(item.get("name", ""), value, band, item.get("role", ""), item.get("domain", "")))

    parse_xml(text, start, end)
    return tuple(items)


def band_attributes(items: Iterable[GdalItem], bands: int) -> dict[str, Any]:
    """Attributes of an array of `bands` bands, from items of the default domain.

    What all bands share is one value (``scale_factor``, ``add_offset``, ``units``, ``long_name``); what differs is a list
    over the bands (``scales``, ``offsets``, ``units``, ``long_name``), which is how rioxarray names and reads them.
    """
    attributes: dict[str, Any] = {}
    items = [item for item in items if not item.domain]
    for item in items:
        if item.name and item.band is None and not item.role:
            attributes[_safe_name(item.name)] = item.value
    plain = dict.fromkeys(item.name for item in items if item.band is not None and not item.role and item.name)
    for name in plain:
        values = _band_values(items, bands, "", str, name=name)
        attributes[_safe_name(name)] = values[0] if bands == 1 else values
    _add_values(attributes, "units", _band_values(items, bands, "", str, role="unittype"), "")
    _add_values(attributes, "long_name", _band_values(items, bands, "", str, role="description"), "")
    scales = _band_values(items, bands, 1.0, float, role="scale")
    offsets = _band_values(items, bands, 0.0, float, role="offset")
    if all(_are_same(one[0], other) for one in (scales, offsets) for other in one):
        if (scales[0], offsets[0]) != (1.0, 0.0):
            attributes |= {"scale_factor": scales[0], "add_offset": offsets[0]}
    else:
        attributes |= {"scales": scales, "offsets": offsets}
    return attributes


def domain_attributes(items: Iterable[GdalItem], bands: int) -> dict[str, Any]:
    """Attributes ``gdal:DOMAIN:NAME`` of the items in domains of their own, for items of bands a list over the bands."""
    attributes: dict[str, Any] = {}
    for item in items:
        if not item.name or not item.domain:
            continue
        name = f"gdal:{item.domain}:{item.name}"
        if item.band is None or bands == 1:
            attributes[name] = item.value
        elif item.band < bands:
            if not isinstance(attributes.get(name), list):
                attributes[name] = [""] * bands
            attributes[name][item.band] = item.value
    return attributes


def inherit_items(own: Sequence[GdalItem], full: Sequence[GdalItem]) -> list[GdalItem]:
    """The items of a level of a pyramid, and what it lacks of the scales, offsets, units and names of the full image."""
    known = {(item.band, item.role) for item in own}
    return [*own, *(item for item in full if item.role in _INHERITED and (item.band, item.role) not in known)]


def resampling_method(own: Iterable[GdalItem], full: Iterable[GdalItem]) -> str:
    """How a level of a pyramid was made, ``""`` where it is not known.

    Parameters
    ----------
    own, full
        Items of the level, where gdaladdo says it for each band, and of the full image, where the COG driver says it for
        all levels.
    """
    methods = {item.value for item in own if item.name == "RESAMPLING" and not item.role and not item.domain}
    if not methods:
        methods = {
            item.value for item in full if item.name == "OVERVIEW_RESAMPLING" and item.domain in ("", "IMAGE_STRUCTURE")
        }
    return methods.pop().lower() if len(methods) == 1 else ""


def _band_values(
    items: list[GdalItem],
    bands: int,
    default: Any,
    convert: Callable[[str], Any],
    *,
    role: str = "",
    name: str | None = None,
) -> list[Any]:
    """The values of the items of a role (and a name), one for each band."""
    values = [default] * bands
    for item in items:
        if item.band is not None and item.band < bands and item.role == role and name in (None, item.name):
            try:
                values[item.band] = convert(item.value)
            except ValueError:  # a scale that is not a number scales nothing
                continue
    return values


def _add_values(attributes: dict[str, Any], name: str, values: list[Any], nothing: Any) -> None:
    if any(value != nothing for value in values):
        attributes[name] = values[0] if len(set(values)) == 1 else values


def _are_same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _safe_name(name: str) -> str:
    """A name that readers give no meaning to."""
    return f"gdal_{name}" if name in _RESERVED else name
