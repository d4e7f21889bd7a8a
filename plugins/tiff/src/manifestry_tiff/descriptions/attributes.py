"""What an image shows, as attributes: GDAL metadata, colours, text tags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from manifestry.plugin import MalformedFileError, ParseContext

from manifestry_tiff.descriptions.colors import color_attributes
from manifestry_tiff.descriptions.gdal_metadata import (
    band_attributes,
    domain_attributes,
    gdal_items,
    inherit_items,
    resampling_method,
)
from manifestry_tiff.descriptions.plain_tags import (
    orientation_attributes,
    rpc_attributes,
    rpc_of_items,
    text_attributes,
)
from manifestry_tiff.structure.beside import GdalItem
from manifestry_tiff.structure.ifd import Directory
from manifestry_tiff.structure.image import Image

__all__ = ["describe", "level_resampling", "mask_attributes"]


def describe(image: Image, path: str, context: ParseContext) -> dict[str, Any]:
    """Attributes of the array of an image. Tags that are broken or too long are reported and left out."""
    attributes: dict[str, Any] = {}
    for part in (text_attributes, orientation_attributes, rpc_attributes, _colors, _gdal_attributes, _rpc):
        try:
            attributes |= part(image, path, context)
        except (MalformedFileError, ValueError) as error:
            context.report(path, "attribute left out", str(error))
    return attributes


def _items(directory: Directory) -> Sequence[GdalItem]:
    """GDAL's items of an image, and for a level of a pyramid those that it has from the full image."""
    items = gdal_items(directory)
    return items if directory.full is None else inherit_items(items, gdal_items(directory.full))


def _colors(image: Image, path: str, context: ParseContext) -> dict[str, Any]:
    try:
        items = _items(image.directory)
    except (MalformedFileError, ValueError):  # reported as attributes that are left out
        items = ()
    return color_attributes(image, items, path, context)


def _gdal_attributes(image: Image, path: str, context: ParseContext) -> dict[str, Any]:
    attributes = band_attributes(_items(image.directory), image.samples)
    attributes |= domain_attributes(gdal_items(image.directory), image.samples)
    beside = (image.directory.full or image.directory).beside
    if beside is not None and beside.categories:
        names = [list(beside.categories.get(band, ())) for band in range(image.samples)]
        attributes["category_names"] = names[0] if image.samples == 1 else names
    if not np.isfinite([attributes.get("scales", 1.0), attributes.get("offsets", 1.0)]).all():
        message = f"scales {attributes['scales']}, offsets {attributes['offsets']}: must be finite"
        context.report(f"{path}@scales", "attribute left out", message)
        del attributes["scales"], attributes["offsets"]
    return attributes


def _rpc(image: Image, path: str, context: ParseContext) -> dict[str, Any]:  # noqa: ARG001 one form
    return rpc_of_items(gdal_items(image.directory))


def mask_attributes(mask: Image) -> dict[str, Any]:
    """CF flags of a mask: what its values mean, from 0 to 1, or to 255 as GDAL has it."""
    return {"flag_values": [0, int(mask.bits > 1) * 254 + 1], "flag_meanings": "masked valid"}


def level_resampling(directory: Directory) -> str:
    """How a level of a pyramid was made, by GDAL's metadata; ``""`` where it is not known or cannot be read."""
    if directory.full is None:
        return ""
    try:
        return resampling_method(gdal_items(directory), gdal_items(directory.full))
    except (MalformedFileError, ValueError):  # reported as an attribute that is left out
        return ""
