"""Pixels as tifffile decodes them: the oracle of `verify`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import tifffile
from manifestry.plugin import MalformedFileError, Source, UnsupportedFeatureError, VirtualArray, VirtualGroup
from numpy.typing import NDArray

from manifestry_tiff.pixels.libtiff import LIBTIFF_CODECS
from manifestry_tiff.tifffile_guard import library_errors, quiet_library

__all__ = ["TiffReader"]


class TiffReader:
    """Arrays of a file, tile by tile or strip by strip through tifffile.

    Parameters
    ----------
    source
        The file.
    tree
        What the parser made of it.
    pages
        Offsets of the directories behind every array of pixels, in C order of its leading dimensions.
    elsewhere
        The files of arrays that are not in this one.

    Raises
    ------
    MalformedFileError
        tifffile does not open the file.
    """

    def __init__(
        self,
        source: Source,
        tree: VirtualGroup,
        pages: Mapping[str, tuple[int, ...]],
        elsewhere: Mapping[str, Source] | None = None,
    ) -> None:
        self._tree = tree
        self._offsets = pages
        self._source = source
        self._elsewhere = elsewhere or {}
        self._pages: dict[tuple[str, int], Any] = {}
        self._open: dict[str, tuple[BinaryIO, Any]] = {}
        self._tif(source)

    def _tif(self, source: Source) -> Any:
        """The file as tifffile has it."""
        if source.url not in self._open:
            handle = source.open()
            with quiet_library(), library_errors(source.url):
                self._open[source.url] = handle, tifffile.TiffFile(handle, name=source.name)
        return self._open[source.url][1]

    def read(self, path: str, selection: tuple[slice, ...]) -> NDArray[Any]:
        """The elements of a region.

        Raises
        ------
        MalformedFileError
            tifffile cannot decode it.
        UnsupportedFeatureError
            tifffile has no decoder for the compression.
        """
        array = self._tree[path]
        assert isinstance(array, VirtualArray)
        if any(codec.name in LIBTIFF_CODECS for codec in array.metadata.codecs):
            raise UnsupportedFeatureError("pixels that libtiff decodes", path, "verify against the parse instead")
        if path not in self._offsets:  # coordinates and grid mapping are made from tags: tifffile has no such arrays
            return np.frombuffer(array.manifest.inline, array.dtype).reshape(array.shape)[selection]
        box = [range(*s.indices(n)) for s, n in zip(selection, array.shape, strict=True)]
        offsets = self._offsets[path]
        source = self._elsewhere.get(path, self._source)
        with quiet_library(), library_errors(path):
            components = self._page(source, offsets[0]).samplesperpixel
        leading = array.metadata.ndim - (2 if components == 1 else 3)
        numbers = np.arange(len(offsets)).reshape(array.shape[:leading])
        elements = np.empty([len(r) for r in box], array.dtype)
        with quiet_library(), library_errors(path):
            for at in itertools.product(*(enumerate(r) for r in box[:leading])):
                page = self._page(source, offsets[int(numbers[tuple(i for _, i in at)])])
                elements[tuple(i for i, _ in at)] = _read_page(page, box[leading:], array)
        return elements

    def _page(self, source: Source, offset: int) -> Any:
        key = source.url, offset
        if key not in self._pages:
            tif = self._tif(source)
            tif.filehandle.seek(offset)
            self._pages[key] = tifffile.TiffPage(tif, 0)
        return self._pages[key]

    def close(self) -> None:
        """Close the files."""
        for handle, tif in self._open.values():
            tif.close()
            handle.close()


@dataclass(frozen=True, slots=True)
class _Segment:
    """A decoded tile or strip: pixels ``(rows, columns, components)`` and where they begin."""

    pixels: NDArray[Any]
    band: int
    row: int
    column: int


def _read_page(page: Any, box: list[range], array: VirtualArray) -> NDArray[Any]:
    """A region of a page; what is not stored is the fill value."""
    bands = box[0] if len(box) == 3 else range(1)
    rows, columns = box[-2:]
    whole = np.full((len(bands), len(rows), len(columns)), array.metadata.fill_value, array.dtype)
    if not whole.size:
        return whole.reshape([len(r) for r in box])
    for segment in _segments(page, rows, columns):
        height, width, components = segment.pixels.shape
        own_rows = [i for i, r in enumerate(rows) if segment.row <= r < segment.row + height]
        own_columns = [i for i, c in enumerate(columns) if segment.column <= c < segment.column + width]
        own_bands = [i for i, b in enumerate(bands) if segment.band <= b < segment.band + components]
        picked = segment.pixels[
            np.ix_(
                [rows[i] - segment.row for i in own_rows],
                [columns[i] - segment.column for i in own_columns],
                [bands[i] - segment.band for i in own_bands],
            )
        ]
        whole[np.ix_(own_bands, own_rows, own_columns)] = np.moveaxis(picked, -1, 0)
    return whole.reshape([len(r) for r in box])


def _segments(page: Any, rows: range, columns: range) -> Iterator[_Segment]:
    """The stored tiles or strips that touch some rows and columns."""
    height = page.tilelength if page.is_tiled else page.rowsperstrip
    width = page.tilewidth if page.is_tiled else page.imagewidth
    across, down = -(-page.imagewidth // width), -(-page.imagelength // height)
    for number, (offset, count) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=False)):
        row, column = number // across % down * height, number % across * width
        if not offset or not count or row > max(rows) or row + height <= min(rows):
            continue
        if column > max(columns) or column + width <= min(columns):
            continue
        page.parent.filehandle.seek(offset)
        data = page.parent.filehandle.read(count)
        if len(data) < count:
            raise MalformedFileError(f"segment {number} at offset {offset} ends after {len(data)} of {count} bytes")
        pixels, where, _ = page.decode(data, number, jpegtables=page.jpegtables, jpegheader=page.jpegheader)
        if pixels is not None:
            yield _Segment(pixels.reshape(pixels.shape[-3:]), where[0], where[2], where[3])
