"""Series of pages with named axes, as OME-TIFF, ImageJ, MetaMorph STK, Zeiss LSM and tifffile itself define them.

tifffile knows these conventions; here they are only asked for, and only in files that say they follow one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from manifestry.plugin import MalformedFileError, ParseContext

from manifestry_tiff.descriptions.imagej import Axis, imagej_axes, is_imagej
from manifestry_tiff.descriptions.ome import OmeDocument, OmeImage, parse_ome
from manifestry_tiff.structure.file import TiffFile
from manifestry_tiff.structure.ifd import Directory
from manifestry_tiff.structure.levels import have_same_proportions
from manifestry_tiff.structure.tags import Tag
from manifestry_tiff.tifffile_guard import LIBRARY_ERRORS, quiet_library

__all__ = ["Series", "SeriesLevel", "follows_convention", "read_series"]

_NAMES: Final = {
    "T": "t", "Z": "z", "C": "c", "Y": "y", "X": "x", "S": "band", "I": "page", "Q": "page", "R": "tile", "A": "angle",
    "P": "phase", "M": "mosaic", "B": "block", "V": "event", "H": "lifetime", "E": "lambda", "G": "position",
}  # fmt: skip
"""Dimension names of tifffile's axis codes; others are taken in lower case."""


_ELSEWHERE: Final = "the OME-XML of this file has planes in other files; its own pages become images of their own"


@dataclass(frozen=True, slots=True)
class SeriesLevel:
    """One resolution of a series.

    Attributes
    ----------
    shape
        Of the dimensions in front of those of a page.
    dims
        Names of all dimensions; those of a page are in the order of its array, components first.
    dropped
        Names of axes of length one that pages do not have.
    offsets
        Of the directories of the pages, in C order; one only where the pages follow each other in the file.
    data_offset
        Where pages that follow each other begin, else None.
    """

    shape: tuple[int, ...]
    dims: tuple[str, ...]
    dropped: tuple[str, ...]
    offsets: tuple[int, ...]
    data_offset: int | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """A series and its resolutions, from fine to coarse.

    Attributes
    ----------
    ome
        What OME-XML says of it, None where none does.
    axes
        What ImageJ says of its dimensions, by name.
    """

    name: str
    levels: tuple[SeriesLevel, ...]
    ome: OmeImage | None = None
    axes: Mapping[str, Axis] = field(default_factory=dict)


def follows_convention(directory: Directory) -> bool:
    """Whether the first directory says that pages belong together by a convention that tifffile knows."""
    if Tag.UIC2 in directory or Tag.CZ_LSM_INFO in directory:
        return True
    entry = directory.entries.get(Tag.IMAGE_DESCRIPTION)
    if entry is None or not directory.file.holds(entry.offset, entry.offset + entry.nbytes):
        return False
    start = directory.file.read(entry.offset, min(entry.nbytes, 4096)).lstrip()
    return start.startswith((b"ImageJ=", b'{"shape":')) or b"<OME" in start


def read_series(directory: Directory, context: ParseContext) -> list[Series] | None:
    """The series of a file, None where tifffile finds no more than pages, or fails: then they are read as pages.

    Series that go on in other files are reported, and are not series here: their planes are not in this file.
    """
    try:
        document = _ome_document(directory)
        if document.spread:
            context.report("", "series over several files", _ELSEWHERE, "parse every file and combine them")
            return None
        all_series = _tifffile_series(directory.file)
        if all_series is not None and is_imagej(directory):
            return [replace(series, axes=imagej_axes(directory)) for series in all_series]
    except (*LIBRARY_ERRORS, MalformedFileError) as error:  # a forged or truncated description
        context.report("", "series left out", f"{error}; the pages are images of their own")
        return None
    if all_series is None or len(all_series) != len(document.images):
        return all_series
    return [replace(series, ome=image) for series, image in zip(all_series, document.images, strict=True)]


def _ome_document(directory: Directory) -> OmeDocument:
    text = directory.text(Tag.IMAGE_DESCRIPTION)
    return parse_ome(text) if "<OME" in text[:4096] else OmeDocument()


def _tifffile_series(file: TiffFile) -> list[Series] | None:
    import tifffile  # noqa: PLC0415 slow to import, and few files need it

    with quiet_library(), file.stream() as handle, tifffile.TiffFile(handle, name=file.source.name) as tif:
        pages = [page for series in tif.series for level in series.levels for page in level.pages]
        if not pages or any(page is None or page.parent is not tif for page in pages):
            return None
        pyramids: list[list[Any]] = []
        for series in tif.series:
            if pyramids and _is_reduced(series, pyramids[-1][0]):
                pyramids[-1] += series.levels
            else:
                pyramids.append(list(series.levels))
        return [Series(levels[0].name, tuple(_levels(levels))) for levels in pyramids]


def _is_reduced(series: Any, full: Any) -> bool:
    """Whether a series is one in front of it in fewer pixels; tifffile takes whole factors only, 9 columns in 5 are none."""
    if not series.keyframe.is_reduced or (series.axes, series.dtype) != (full.axes, full.dtype):
        return False
    pairs = dict(zip(full.axes, zip(full.shape, series.shape, strict=True), strict=True))
    (length, rows), (width, columns) = pairs.pop("Y", (1, 1)), pairs.pop("X", (1, 1))
    if any(one != other for one, other in pairs.values()) or (rows, columns) == (length, width):
        return False
    return have_same_proportions((int(width), int(length)), (int(columns), int(rows)))


def _levels(levels: list[Any]) -> Iterator[SeriesLevel]:
    for level in levels:
        page = level.keyframe
        if page.imagedepth > 1:
            raise ValueError("a page is a volume: it must have one plane")
        front, inner, dropped = _match_axes(level, page)
        axes = [*(axis for axis, _ in front), *(inner[axis] for axis in "SYX" if axis in inner)]
        shape = tuple(size for _, size in front)
        dims = tuple(_NAMES.get(axis, axis.lower()) for axis in axes)
        names = tuple(_NAMES.get(axis, axis.lower()) for axis in dropped)
        count = math.prod(shape)
        # Where tifffile knows one page of a sub-directory only, it gives those of the main chain for the others.
        offsets = tuple(int(p.offset) for p in level.pages)
        if len(offsets) == count and offsets[0] == page.offset:
            yield SeriesLevel(shape, dims, names, offsets)
        elif level.dataoffset is not None:
            yield SeriesLevel(shape, dims, names, (page.offset,), int(level.dataoffset))
        else:
            raise ValueError(f"{len(offsets)} pages: {count} are needed for the dimensions {shape}")


def _match_axes(level: Any, page: Any) -> tuple[list[tuple[str, int]], dict[str, str], list[str]]:
    """The axes of a series in front of those of its pages, with sizes; its names of the axes of a page; and what is dropped.

    A series may call the components of a page Z, or the rows C: sizes decide which of its axes are those of a page.

    Raises
    ------
    ValueError
        They do not fit.
    """
    front = [(axis, int(size)) for axis, size in zip(level.axes, level.shape, strict=True)]
    inner: dict[str, str] = {}
    dropped: list[str] = []
    for axis, size in zip(reversed(page.axes), reversed(page.shape), strict=True):
        while front and front[-1][1] == 1 != size:
            dropped.append(front.pop()[0])
        if not front or front[-1][1] != size:
            raise ValueError(
                f"axes {level.axes} of shape {level.shape}: must end with the shape of pages, {page.shape}"
            )
        inner[axis] = front.pop()[0]
    return front, inner, dropped
