"""Pyramids of slide scanners, whose levels do not say that they are reduced: Aperio SVS, NDPI, Leica SCN, Philips.

What makes a directory a level is what tifffile goes by: tiles (SVS, Philips), the magnification (NDPI), an XML document that
lists the directories of every image (SCN).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from manifestry.plugin import MalformedFileError

from manifestry_tiff.descriptions.xml_text import parse_xml
from manifestry_tiff.structure.ifd import Directory
from manifestry_tiff.structure.pyramids import SlideLevel
from manifestry_tiff.structure.tags import Tag

__all__ = ["slide_levels"]

_APERIO: Final = "Aperio "
_PHILIPS: Final = "Philips DP"
_PHILIPS_OTHERS: Final = ("Macro", "Label")
_SCN: Final = "</scn>"
_REDUCED: Final = 1  # bit of NewSubfileType
_SPACING: Final = "DICOM_PIXEL_SPACING"


def slide_levels(directories: Sequence[Directory]) -> dict[int, SlideLevel]:
    """The levels below the full images of a slide by the numbers of their directories, none where the file is no slide."""
    if not directories:
        return {}
    if Tag.NDPI_FORMAT in directories[0]:
        return _levels_where(directories, _is_ndpi_level, 1)
    description = _first_text(directories, Tag.IMAGE_DESCRIPTION)
    if description.startswith(_APERIO):
        return _levels_where(directories, _is_svs_level, 2)  # the image behind the first is its thumbnail
    if description.rstrip().endswith(_SCN):
        return _scn_levels(description)
    if _first_text(directories, Tag.SOFTWARE).startswith(_PHILIPS):
        return _philips_levels(directories, description)
    return {}


def _levels_where(
    directories: Sequence[Directory], is_level: Callable[[Directory], bool], start: int
) -> dict[int, SlideLevel]:
    """The directories from a number on that are levels of the first; unknown where their tags cannot be read."""
    levels = {}
    for number, directory in enumerate(directories[start:], start):
        try:
            if is_level(directory):
                levels[number] = SlideLevel(0)
        except MalformedFileError:
            levels[number] = SlideLevel(None)
    return levels


def _is_svs_level(directory: Directory) -> bool:
    return Tag.TILE_WIDTH in directory and not directory.integer(Tag.NEW_SUBFILE_TYPE, 0) & _REDUCED


def _is_ndpi_level(directory: Directory) -> bool:
    """Whether it has a magnification: macro images have -1, maps -2."""
    magnification = directory.numbers(Tag.NDPI_SOURCE_LENS)
    return magnification is None or bool(magnification[0] > 0)


def _is_philips_level(directory: Directory) -> bool:
    return Tag.TILE_WIDTH in directory and not directory.text(Tag.IMAGE_DESCRIPTION).startswith(_PHILIPS_OTHERS)


def _scn_levels(description: str) -> dict[int, SlideLevel]:
    """By the elements ``dimension`` of each ``pixels``: directory ``ifd``, resolution ``r``, channel and plane."""
    levels: dict[int, SlideLevel] = {}
    dimensions: list[dict[str, int]] = []

    def start(element: str, attributes: Mapping[str, str]) -> None:
        if element == "pixels":
            dimensions.clear()
        elif element == "dimension":
            dimensions.append(
                {key: int(attributes.get(key, 0)) for key in ("r", "c", "z")} | {"ifd": int(attributes["ifd"])}
            )

    def end(element: str, _content: str) -> None:
        if element == "pixels":
            full = {(d["c"], d["z"]): d["ifd"] for d in dimensions if d["r"] == 0}
            levels.update(
                (d["ifd"], SlideLevel(full[d["c"], d["z"]])) for d in dimensions if d["r"] and (d["c"], d["z"]) in full
            )

    try:
        parse_xml(description, start, end)
    except (ValueError, KeyError):
        return {}
    return levels


def _philips_levels(directories: Sequence[Directory], description: str) -> dict[int, SlideLevel]:
    """Tiled directories; their pixel spacings say how much of them is no padding."""
    levels = _levels_where(directories, _is_philips_level, 1)
    spacings = _philips_spacings(description)
    if len(spacings) != len(levels) + 1 or any(level.full is None for level in levels.values()):
        return levels
    return {
        number: SlideLevel(0, _size_without_padding(directories[0], directories[number], spacings[0], spacing))
        for number, spacing in zip(levels, spacings[1:], strict=True)
    }


def _philips_spacings(description: str) -> list[tuple[float, ...]]:
    """Of rows and of columns, in mm, of every level; its representations have them, and so has the image as a whole."""
    spacings: list[tuple[float, ...]] = []
    objects: list[str] = []
    names: list[str] = []

    def start(element: str, attributes: Mapping[str, str]) -> None:
        if element == "DataObject":
            objects.append(attributes.get("ObjectType", ""))
        elif element == "Attribute":
            names.append(attributes.get("Name", ""))

    def end(element: str, content: str) -> None:
        if element == "DataObject":
            objects.pop()
        elif element == "Attribute" and names.pop() == _SPACING and objects[-1:] == ["PixelDataRepresentation"]:
            spacings.append(tuple(float(number) for number in content.replace('"', "").split()))

    try:
        parse_xml(description, start, end)
    except (ValueError, IndexError):
        return []
    return spacings if all(len(pair) == 2 and min(pair) > 0 for pair in spacings) else []


def _size_without_padding(
    full: Directory, level: Directory, full_spacing: tuple[float, ...], spacing: tuple[float, ...]
) -> tuple[int, int] | None:
    """Width and length of a level by the ratio of spacings; None where that does not lie in its last tiles."""
    size = []
    tags = ((Tag.IMAGE_WIDTH, Tag.TILE_WIDTH, 1), (Tag.IMAGE_LENGTH, Tag.TILE_LENGTH, 0))
    for extent, tile, axis in tags:
        try:
            padded = level.integer(extent, 0)
            pixels = full.integer(extent, 0) // max(1, round(spacing[axis] / full_spacing[axis]))
            if not padded - level.integer(tile, 0) < pixels <= padded:
                return None
        except MalformedFileError:
            return None
        size.append(pixels)
    return size[0], size[1]


def _first_text(directories: Sequence[Directory], tag: Tag) -> str:
    """The text of the first directory where it can be read."""
    for directory in directories:
        try:
            return directory.text(tag)
        except MalformedFileError:
            continue
    return ""
