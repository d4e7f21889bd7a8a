"""What the components of a pixel are: colours, alpha, indices into a colour map."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from manifestry.plugin import ParseContext

from manifestry_tiff.structure.beside import GdalItem
from manifestry_tiff.structure.image import Image
from manifestry_tiff.structure.tags import ExtraSample, Photometric, Tag

__all__ = ["color_attributes"]

_MAX_COLORS: Final = 256
_OPAQUE: Final = 65535

_COLORS: Final = {
    Photometric.MIN_IS_WHITE: ("gray",),
    Photometric.MIN_IS_BLACK: ("gray",),
    Photometric.RGB: ("red", "green", "blue"),
    Photometric.PALETTE: ("palette",),
    Photometric.SEPARATED: ("cyan", "magenta", "yellow", "black"),
    Photometric.YCBCR: ("Y", "Cb", "Cr"),
    Photometric.CIELAB: ("undefined",) * 3,
}
_ALPHA: Final = (ExtraSample.ASSOCIATED_ALPHA, ExtraSample.UNASSOCIATED_ALPHA)
_UNDEFINED: Final = "undefined"
_PLAIN: Final = frozenset({"gray", "palette", _UNDEFINED})
"""What `photometric` says well enough."""

_NAMES: Final = {"ycbcr_y": "Y", "ycbcr_cb": "Cb", "ycbcr_cr": "Cr", "otherir": "other_ir"}
"""GDAL's names, for those that are not the same in lower case as rasterio has them."""

_KNOWN: Final = frozenset(
    [
        *(color for colors in _COLORS.values() for color in colors),
        *("alpha", "hue", "saturation", "lightness", "pan", "coastal", "rededge", "nir", "swir", "mwir", "lwir", "tir"),
        *("other_ir", "sar_ka", "sar_k", "sar_ku", "sar_x", "sar_c", "sar_s", "sar_l", "sar_p"),
    ]
)


def color_attributes(image: Image, items: Iterable[GdalItem], path: str, context: ParseContext) -> dict[str, Any]:
    """What components mean, and the colours of indices. All levels of a pyramid have what the full image says.

    Parameters
    ----------
    items
        Of GDAL's metadata, which may say it otherwise than the tags.
    """
    directory = image.directory.full or image.directory
    photometric = _decoded_photometric(image)
    attributes: dict[str, Any] = {}
    if photometric in Photometric:
        attributes["photometric"] = Photometric(photometric).name.lower()
    extra = directory.integers(Tag.EXTRA_SAMPLES)
    if extra:
        attributes["extra_samples"] = [ExtraSample(e).name.lower() if e in ExtraSample else str(e) for e in extra]
    stated = {item.band: item.value for item in items if item.role == "colorinterp" and item.band is not None}
    colors = () if directory.beside is None else directory.beside.colors
    if colors:
        stated[0] = "palette"
    names = _interpretation(photometric, extra, image.samples)
    for band, value in stated.items():
        if band < image.samples:
            lower = value.lower()
            name = _NAMES.get(lower, lower)
            names[band] = name if name in _KNOWN else _UNDEFINED
    if stated or not _PLAIN.issuperset(names):
        attributes["color_interpretation"] = names[0] if image.samples == 1 else names
    return attributes | (_color_rows(colors) if colors else _color_map(image, photometric, path, context))


def _decoded_photometric(image: Image) -> int:
    """The colour space of decoded pixels: JPEG codecs and libtiff give RGB."""
    if image.decodes_to_rgb:
        return Photometric.RGB
    return image.photometric


def _interpretation(photometric: int, extra: tuple[int, ...], samples: int) -> list[str]:
    """The names of all components, as GDAL gives them.

    Components beyond those of the colour space are the extra ones; where there are more extra ones than that, they are the
    last components of a pixel.
    """
    known = Photometric(photometric) if photometric in Photometric else None
    beside = max(samples - len(extra), 0)
    colors = _COLORS.get(known, (_UNDEFINED,) * beside) if known is not None else (_UNDEFINED,) * beside
    names = list(colors[:samples])
    start = min(len(colors), beside)
    for band in range(len(names), samples):
        at = band - start
        names.append("alpha" if at < len(extra) and extra[at] in _ALPHA else _UNDEFINED)
    return names


def _color_rows(colors: tuple[tuple[int, ...], ...]) -> dict[str, Any]:
    """Colours of a file beside the TIFF, as those of its tag: from 0 to 65535, with alpha where not all are opaque."""
    rows = np.array(colors, "u2") * np.uint16(257)
    return {"color_map": rows[:, :3] if (rows[:, 3] == _OPAQUE).all() else rows}


def _color_map(image: Image, photometric: int, path: str, context: ParseContext) -> dict[str, Any]:
    colors = image.directory.numbers(Tag.COLOR_MAP)
    if colors is None or photometric != Photometric.PALETTE:
        return {}
    if colors.size % 3 or colors.size > 3 * _MAX_COLORS:
        context.report(
            f"{path}@color_map",
            "attribute left out",
            f"a colour map of {colors.size} values: must be 3 for each of {_MAX_COLORS} colours at most",
        )
        return {}
    # All reds, then all greens, then all blues, from 0 to 65535: one row for each colour.
    return {"color_map": colors.reshape(3, -1).T.astype("u2")}
