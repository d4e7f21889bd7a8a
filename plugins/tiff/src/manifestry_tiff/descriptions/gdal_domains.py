"""Items of GDAL_METADATA (tag 42112) that are in a domain of their own: ``IMAGERY``, ``GEOLOCATION`` and others."""

from __future__ import annotations

from typing import Any

from manifestry_tiff.descriptions.gdal_metadata import parse_items

__all__ = ["domain_attributes"]


def domain_attributes(text: str, bands: int) -> dict[str, Any]:
    """Attributes ``gdal:DOMAIN:NAME``, for items of bands a list over the bands.

    Raises
    ------
    ValueError
        The text is not XML, or declares entities.
    """
    attributes: dict[str, Any] = {}
    for item in parse_items(text, bool):
        if not item.name:
            continue
        name = f"gdal:{item.domain}:{item.name}"
        if item.band is None or bands == 1:
            attributes[name] = item.value
        elif item.band < bands:
            if not isinstance(attributes.get(name), list):
                attributes[name] = [""] * bands
            attributes[name][item.band] = item.value
    return attributes
