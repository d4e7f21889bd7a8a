"""Items of GDAL_METADATA (tag 42112) that are in a domain of their own: ``IMAGERY``, ``GEOLOCATION`` and others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import unescape

from manifestry_tiff.descriptions.xml_text import parse_xml

__all__ = ["domain_attributes"]


def domain_attributes(text: str, bands: int) -> dict[str, Any]:
    """Attributes ``gdal:DOMAIN:NAME``, for items of bands a list over the bands.

    Raises
    ------
    ValueError
        The text is not XML, or declares entities.
    """
    attributes: dict[str, Any] = {}
    open_item: list[Mapping[str, str]] = []

    def start(element: str, given: Mapping[str, str]) -> None:
        if element == "Item":
            open_item.append(given)

    def end(element: str, content: str) -> None:
        if element != "Item" or not open_item:
            return
        item = open_item.pop()
        if not item.get("domain") or not item.get("name"):
            return
        name, sample = f"gdal:{item['domain']}:{item['name']}", item.get("sample", "")
        value = unescape(content, {"&quot;": '"', "&apos;": "'"})  # GDAL escapes values twice
        if not sample.isdigit() or bands == 1:
            attributes[name] = value
        elif int(sample) < bands:
            if not isinstance(attributes.get(name), list):
                attributes[name] = [""] * bands
            attributes[name][int(sample)] = value

    parse_xml(text, start, end)
    return attributes
