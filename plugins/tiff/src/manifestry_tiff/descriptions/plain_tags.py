"""Tags that say something of an image beside its pixels, under the names and in the words of GDAL."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from manifestry.plugin import MalformedFileError, ParseContext

from manifestry_tiff.structure.beside import GdalItem
from manifestry_tiff.structure.image import Image
from manifestry_tiff.structure.tags import Tag

__all__ = ["orientation_attributes", "rpc_attributes", "rpc_of_items", "text_attributes"]

_TEXTS: Final = {
    Tag.DOCUMENT_NAME: "TIFFTAG_DOCUMENTNAME",
    Tag.IMAGE_DESCRIPTION: "TIFFTAG_IMAGEDESCRIPTION",
    Tag.SOFTWARE: "TIFFTAG_SOFTWARE",
    Tag.DATE_TIME: "TIFFTAG_DATETIME",
    Tag.ARTIST: "TIFFTAG_ARTIST",
    Tag.HOST_COMPUTER: "TIFFTAG_HOSTCOMPUTER",
    Tag.COPYRIGHT: "TIFFTAG_COPYRIGHT",
}
_NUMBERS: Final = {
    Tag.MIN_SAMPLE_VALUE: "TIFFTAG_MINSAMPLEVALUE",
    Tag.MAX_SAMPLE_VALUE: "TIFFTAG_MAXSAMPLEVALUE",
    Tag.X_RESOLUTION: "TIFFTAG_XRESOLUTION",
    Tag.Y_RESOLUTION: "TIFFTAG_YRESOLUTION",
}
_UNITS: Final = {1: "1 (unitless)", 2: "2 (pixels/inch)", 3: "3 (pixels/cm)"}
_MAX_TEXT: Final = 64 << 10
_ORIENTATIONS: Final = (
    "top_left", "top_right", "bottom_right", "bottom_left", "left_top", "right_top", "right_bottom", "left_bottom",
)  # fmt: skip
"""TIFF 6.0: what row 0 and column 0 of the stored image are of the one that is shown."""

_RPC_NUMBERS: Final = (
    "ERR_BIAS", "ERR_RAND", "LINE_OFF", "SAMP_OFF", "LAT_OFF", "LONG_OFF", "HEIGHT_OFF",
    "LINE_SCALE", "SAMP_SCALE", "LAT_SCALE", "LONG_SCALE", "HEIGHT_SCALE",
)  # fmt: skip
_RPC_LISTS: Final = ("LINE_NUM_COEFF", "LINE_DEN_COEFF", "SAMP_NUM_COEFF", "SAMP_DEN_COEFF")
_RPC_TERMS: Final = 20
_RPC_SIZE: Final = len(_RPC_NUMBERS) + _RPC_TERMS * len(_RPC_LISTS)
_RPC_ERRORS: Final = frozenset(_RPC_NUMBERS[:2])
"""Numbers that may be missing."""


def text_attributes(image: Image, path: str, context: ParseContext) -> dict[str, Any]:
    """Texts, resolution and sample range, each as text; those that are too long or broken are reported."""
    attributes = {}
    for tag, name in _TEXTS.items():
        entry = image.directory.entries.get(tag)
        if entry is None:
            continue
        if entry.nbytes > _MAX_TEXT:
            message = f"the text has {entry.nbytes} bytes: the limit is {_MAX_TEXT}"
            context.report(f"{path}@{name}", "attribute left out", message)
            continue
        text = image.directory.text(tag)
        if text:
            attributes[name] = text
    for tag, name in _NUMBERS.items():
        numbers = image.directory.numbers(tag)
        if numbers is not None:
            attributes[name] = f"{float(np.float32(numbers[0])):.8g}"
    if Tag.RESOLUTION_UNIT in image.directory:
        unit = image.directory.integer(Tag.RESOLUTION_UNIT, 0)
        attributes["TIFFTAG_RESOLUTIONUNIT"] = _UNITS.get(unit, str(unit))
    return attributes


def orientation_attributes(image: Image, path: str, context: ParseContext) -> dict[str, Any]:  # noqa: ARG001 one form
    """How the image is to be shown, where that is not as it is stored; rows and columns stay as they are stored."""
    value = image.directory.integer(Tag.ORIENTATION, 1)
    if not 1 <= value <= len(_ORIENTATIONS):
        raise MalformedFileError(f"{image.label}, tag 274 (ORIENTATION): {value}: must be 1 to {len(_ORIENTATIONS)}")
    return {} if value == 1 else {"orientation": _ORIENTATIONS[value - 1]}


def rpc_attributes(image: Image, path: str, context: ParseContext) -> dict[str, Any]:  # noqa: ARG001 one form
    """Rational polynomial coefficients, by the names of GDAL's domain RPC."""
    numbers = image.directory.numbers(Tag.RPC_COEFFICIENTS)
    if numbers is None:
        return {}
    if numbers.size != _RPC_SIZE or not np.isfinite(numbers).all():
        raise MalformedFileError(
            f"{image.label}, tag 50844 (RPC_COEFFICIENTS): {numbers.size} numbers: must be {_RPC_SIZE} finite ones"
        )
    values = numbers.astype("f8").tolist()
    rpc: dict[str, Any] = dict(zip(_RPC_NUMBERS, values, strict=False))
    for i, name in enumerate(_RPC_LISTS):
        start = len(_RPC_NUMBERS) + 20 * i
        rpc[name] = values[start : start + 20]
    return {"rpc": rpc}


def rpc_of_items(items: Iterable[GdalItem]) -> dict[str, Any]:
    """The same from items of the domain RPC, which files beside the TIFF have.

    Raises
    ------
    ValueError
        There are fewer numbers than there must be, or some are none.
    """
    texts = {item.name: item.value for item in items if item.domain == "RPC" and item.band is None}
    if not texts:
        return {}
    rpc: dict[str, Any] = {name: float(texts.get(name, "0" if name in _RPC_ERRORS else "")) for name in _RPC_NUMBERS}
    for name in _RPC_LISTS:
        rpc[name] = [float(number) for number in texts.get(name, "").split()]
        if len(rpc[name]) != _RPC_TERMS:
            raise ValueError(f"RPC {name}: {len(rpc[name])} numbers: must be {_RPC_TERMS}")
    return {"rpc": rpc}
