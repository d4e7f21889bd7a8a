"""What an image shows, as attributes: GDAL metadata, colours, text tags."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from manifestry.plugin import MalformedFileError, ParseContext

from manifestry_tiff.descriptions.gdal_domains import domain_attributes
from manifestry_tiff.descriptions.gdal_metadata import (
    band_attributes,
    inherit_items,
    parse_gdal_metadata,
    resampling_method,
)
from manifestry_tiff.descriptions.plain_tags import orientation_attributes, rpc_attributes, text_attributes
from manifestry_tiff.pixels.compression import JPEG_SCHEMES
from manifestry_tiff.structure.ifd import Directory
from manifestry_tiff.structure.image import Image
from manifestry_tiff.structure.tags import ExtraSample, Photometric, Tag

__all__ = ["describe", "level_resampling"]

_MAX_COLORS: Final = 256


def describe(image: Image, path: str, context: ParseContext) -> dict[str, Any]:
    """Attributes of the array of an image. Tags that are broken or too long are reported and left out."""
    attributes: dict[str, Any] = {}
    for part in (
        text_attributes,
        orientation_attributes,
        rpc_attributes,
        _color_attributes,
        _gdal_attributes,
        _domains,
    ):
        try:
            attributes |= part(image, path, context)
        except (MalformedFileError, ValueError) as error:
            context.report(path, "attribute left out", str(error))
    return attributes


def _color_attributes(image: Image, path: str, context: ParseContext) -> dict[str, Any]:
    photometric = image.photometric
    if photometric == Photometric.YCBCR and image.compression in JPEG_SCHEMES and not image.planar:
        photometric = Photometric.RGB
    attributes: dict[str, Any] = {}
    if photometric in Photometric:
        attributes["photometric"] = Photometric(photometric).name.lower()
    extra = image.directory.integers(Tag.EXTRA_SAMPLES)
    if extra:
        attributes["extra_samples"] = [ExtraSample(e).name.lower() if e in ExtraSample else str(e) for e in extra]
    colors = image.directory.numbers(Tag.COLOR_MAP)
    if colors is not None and photometric == Photometric.PALETTE:
        if colors.size % 3 or colors.size > 3 * _MAX_COLORS:
            context.report(
                f"{path}@color_map",
                "attribute left out",
                f"a colour map of {colors.size} values: must be 3 for each of {_MAX_COLORS} colours at most",
            )
        else:
            # All reds, then all greens, then all blues, from 0 to 65535: one row for each colour.
            attributes["color_map"] = colors.reshape(3, -1).T.astype("u2")
    return attributes


def _gdal_attributes(image: Image, path: str, context: ParseContext) -> dict[str, Any]:
    directory = image.directory
    texts = [one.text(Tag.GDAL_METADATA) for one in (directory, directory.full) if one is not None]
    items = [parse_gdal_metadata(text) if text else [] for text in texts]
    items = items if len(items) == 1 else [inherit_items(*items)]
    attributes = band_attributes(items[0], image.samples) if items[0] else {}
    if not np.isfinite([attributes.get("scales", 1.0), attributes.get("offsets", 1.0)]).all():
        message = f"scales {attributes['scales']}, offsets {attributes['offsets']}: must be finite"
        context.report(f"{path}@scales", "attribute left out", message)
        del attributes["scales"], attributes["offsets"]
    return attributes


def _domains(image: Image, path: str, context: ParseContext) -> dict[str, Any]:  # noqa: ARG001 one form
    text = image.directory.text(Tag.GDAL_METADATA)
    return domain_attributes(text, image.samples) if text else {}


def level_resampling(directory: Directory) -> str:
    """How a level of a pyramid was made, by GDAL's metadata; ``""`` where it is not known or cannot be read."""
    if directory.full is None:
        return ""
    try:
        return resampling_method(directory.text(Tag.GDAL_METADATA), directory.full.text(Tag.GDAL_METADATA))
    except (MalformedFileError, ValueError):  # reported as an attribute that is left out
        return ""
