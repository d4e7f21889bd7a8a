"""GDAL's persistent auxiliary metadata: the elements of ``PAMDataset`` (``.aux.xml``)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

from manifestry_tiff.descriptions.xml_text import parse_xml
from manifestry_tiff.structure.beside import Beside, GdalItem

__all__ = ["parse_pam"]

_ROOT: Final = "PAMDataset"
_BAND: Final = "PAMRasterBand"
_ROLES: Final = {
    "Description": "description",
    "UnitType": "unittype",
    "Offset": "offset",
    "Scale": "scale",
    "ColorInterp": "colorinterp",
}
"""Elements of a band that say what items of GDAL_METADATA with a role say."""

_READ: Final = frozenset(
    {*_ROLES, "SRS", "GeoTransform", "Metadata", "NoDataValue", "CategoryNames", "ColorTable", _BAND}
)
_DEPTH: Final = 3
"""Elements that one which says something is inside of, at most."""

_POINT: Final = "AREA_OR_POINT"


def parse_pam(text: str) -> tuple[Beside, list[str]]:
    """What a document says, and the names of its elements that say something else.

    Raises
    ------
    ValueError
        The text is not such a document, declares entities, or has numbers that are none.
    """
    reader = _Reader()
    parse_xml(text, reader.start, reader.end)
    return reader.beside, sorted(reader.unread)


def _exact_number(content: str, attributes: Mapping[str, str]) -> str:
    """A number as text; GDAL writes the bytes of one whose decimal form is rounded, and then these count.

    Raises
    ------
    ValueError
        They are not the bytes of a number.
    """
    octets = attributes.get("le_hex_equiv")
    if octets is None:
        return content
    try:
        (number,) = struct.unpack("<d", bytes.fromhex(octets))
    except struct.error as error:
        raise ValueError(f"le_hex_equiv {octets!r}: must be 16 hexadecimal digits") from error
    return repr(number)


class _Reader:
    """Takes elements as they come; only those at their place in a document count."""

    def __init__(self) -> None:
        self.items: list[GdalItem] = []
        self.found: dict[str, Any] = {}
        self.unread: set[str] = set()
        self._open: list[tuple[str, Mapping[str, str]]] = []
        self._colors: list[tuple[int, ...]] = []
        self._categories: dict[int, list[str]] = {}

    @property
    def beside(self) -> Beside:
        """What the document says."""
        categories = {band: tuple(names) for band, names in self._categories.items()}
        return Beside(items=tuple(self.items), colors=tuple(self._colors), categories=categories, **self.found)

    def start(self, element: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        if not self._open and element != _ROOT:
            raise ValueError(f"the document is {element}: must be {_ROOT}")
        if len(self._open) == 1 or (len(self._open) == 2 and self._open[1][0] == _BAND):
            if element not in _READ:
                self.unread.add(element)
            elif element == "ColorTable" and self._open[-1][1].get("band") != "1":
                self.unread.add(f"ColorTable of band {self._open[-1][1].get('band')}")
            elif attributes.get("format"):
                self.unread.add(f"{element} {attributes.get('domain', '')} ({attributes['format']})")
        self._open.append((element, attributes))

    def end(self, element: str, content: str) -> None:
        """An element ends, with its text."""
        _, attributes = self._open.pop()
        if not 1 <= len(self._open) <= _DEPTH:
            return
        names = [name for name, _ in self._open[1:]]
        band = None
        if names[:1] == [_BAND]:
            number = int(self._open[1][1].get("band", ""))
            if number < 1:
                raise ValueError(f"a band has the number {number}: must be 1 at least")
            band, names = number - 1, names[1:]
        if not names:
            self._property(element, attributes, content, band)
        elif names == ["Metadata"] and element == "MDI":
            self._metadata(attributes.get("key", ""), content, band, self._open[-1][1])
        elif names == ["CategoryNames"] and element == "Category" and band is not None:
            self._categories.setdefault(band, []).append(content)
        elif names == ["ColorTable"] and element == "Entry" and band == 0:
            color = tuple(int(attributes.get(f"c{i}", "255" if i == 4 else "0")) for i in range(1, 5))
            if not all(0 <= value <= 255 for value in color):
                raise ValueError(f"the colour {color}: must be of numbers from 0 to 255")
            self._colors.append(color)

    def _property(self, element: str, attributes: Mapping[str, str], content: str, band: int | None) -> None:
        if band is not None:
            if element == "NoDataValue":
                self.found.setdefault("nodata", {})[band] = _exact_number(content, attributes)
            elif element in _ROLES:
                self.items.append(GdalItem(element, content, band, _ROLES[element]))
        elif element == "SRS":
            mapping = attributes.get("dataAxisToSRSAxisMapping", "")
            self.found["system"] = content
            self.found["axis_mapping"] = tuple(int(axis) for axis in mapping.split(",") if axis.strip())
            if "coordinateEpoch" in attributes:
                self.found["epoch"] = float(attributes["coordinateEpoch"])
        elif element == "GeoTransform":
            numbers = [float(number) for number in content.split(",")]
            if len(numbers) == 6:  # GDAL passes over others
                c, a, b, f, d, e = numbers
                self.found["transform"] = (a, b, c, d, e, f)

    def _metadata(self, key: str, value: str, band: int | None, metadata: Mapping[str, str]) -> None:
        domain = metadata.get("domain", "")
        if metadata.get("format") or not key:
            return
        if key == _POINT and band is None and not domain:
            self.found["area_or_point"] = value
        else:
            self.items.append(GdalItem(key, value, band, "", domain))
