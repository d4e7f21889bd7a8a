"""Series of pages as arrays with an axis for each of their dimensions."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from manifestry.plugin import UnsupportedFeatureError, VirtualArray, VirtualGroup

from manifestry_tiff.descriptions.ome import ngff_attributes
from manifestry_tiff.descriptions.series import Series, SeriesLevel
from manifestry_tiff.layout import DATA, Layout
from manifestry_tiff.pixels.arrays import image_array, plane_array
from manifestry_tiff.pixels.coordinates import even_coordinate
from manifestry_tiff.pixels.stacking import can_stack, stack_pages
from manifestry_tiff.structure.file import TiffFile
from manifestry_tiff.structure.ifd import Directory, Header, read_directory
from manifestry_tiff.structure.image import Image, read_image

__all__ = ["series_group"]


def series_group(
    series: Sequence[Series], file: TiffFile, header: Header, layout: Layout, *, known: Iterable[Directory] = ()
) -> VirtualGroup:
    """All series of a file, laid out like images.

    Parameters
    ----------
    known
        Directories that have been read already.
    """
    reader = _SeriesReader(file, header, layout)
    reader.know(known)
    if len(series) == 1:
        return reader.group(series[0], "0", "")
    groups = {str(i): reader.group(one, DATA, f"{i}/") for i, one in enumerate(series)}
    return VirtualGroup({}, groups={name: group for name, group in groups.items() if group.arrays or group.groups})


class _SeriesReader:
    def __init__(self, file: TiffFile, header: Header, layout: Layout) -> None:
        self._file = file
        self._header = header
        self._layout = layout
        self._directories: dict[int, Directory] = {}

    def know(self, directories: Iterable[Directory]) -> None:
        """Take directories that have been read already."""
        for directory in directories:
            directory.prefetch()
            self._directories[directory.offset] = directory

    def group(self, series: Series, name: str, prefix: str) -> VirtualGroup:
        """One series: an array of that name, or a pyramid of arrays."""
        if len(series.levels) == 1:
            arrays, _ = self._level(series.levels[0], series.levels[0], name, prefix)
            attributes = _ngff_of(series, [name], [arrays])
            return VirtualGroup(self._add_coordinates(arrays, series, prefix), groups={}, attributes=attributes)
        read = [self._level(level, series.levels[0], DATA, f"{prefix}{i}/") for i, level in enumerate(series.levels)]
        levels = [arrays for arrays, _ in read]
        pyramid = self._layout.join_levels(levels, [size for _, size in read], [None] * len(levels), [""] * len(levels))
        ngff = _ngff_of(series, [f"{i}/{DATA}" for i in range(len(levels))], levels)
        return VirtualGroup(pyramid.arrays, groups=pyramid.groups, attributes=ngff) if ngff else pyramid

    def _add_coordinates(self, arrays: dict[str, VirtualArray], series: Series, prefix: str) -> dict[str, VirtualArray]:
        """The array of a series and the coordinates of the dimensions that it gives a measure for."""
        layout = self._layout
        limit = layout.context.limits.max_inline_bytes // 8
        coordinates = {
            dim: even_coordinate(dim, size, *series.axes[dim])
            for array in (arrays.values() if layout.options.coordinates else ())
            for dim, size in zip(array.dims or (), array.shape, strict=True)
            if dim is not None and dim in series.axes and size <= limit and layout.wants(f"{prefix}{dim}")
        }
        return arrays | coordinates

    def _level(
        self, level: SeriesLevel, full: SeriesLevel, name: str, prefix: str
    ) -> tuple[dict[str, VirtualArray], tuple[int, int]]:
        """The array of one resolution and the width and length of its pages; none if it is not wanted or is refused."""
        path = prefix + name
        if self._layout.wants(path):
            with self._layout.context.isolate(path):
                images = [self._image(offset) for offset in level.offsets]
                if level is not full:
                    directories = [self._directory(offset) for offset in full.offsets]
                    images = [
                        replace(image, directory=image.directory.as_level_of(directory))
                        for image, directory in zip(images, itertools.cycle(directories), strict=False)
                    ]
                if level.dropped:
                    message = f"{', '.join(level.dropped)}: pages have no such axis"
                    self._layout.context.report(path, "axes of length one left out", message)
                array = self._layout.describe_array(self._pages(level, images, path), images[0], path, None)
                if level.data_offset is None:
                    self._layout.pages[path] = level.offsets
                return {name: array}, (images[0].width, images[0].length)
        return {}, (0, 0)

    def _image(self, offset: int) -> Image:
        return read_image(self._directory(offset))

    def _directory(self, offset: int) -> Directory:
        if offset not in self._directories:
            directory = read_directory(self._file, self._header, offset, "page")
            directory.prefetch()
            self._directories[offset] = directory
        return self._directories[offset]

    def _pages(self, level: SeriesLevel, images: list[Image], path: str) -> VirtualArray:
        options, context = self._layout.options, self._layout.context
        if level.data_offset is not None:
            plane = images[0].length * images[0].row_bytes * (images[0].samples if images[0].planar else 1)
            count = int(np.prod(level.shape, dtype="u8"))
            pages = [plane_array(images[0], level.data_offset + i * plane, path, context) for i in range(count)]
        else:
            pages = [image_array(image, path, options, context) for image in images]
        if not can_stack(pages):
            raise UnsupportedFeatureError(
                "pages of a series that are stored in different ways", path, "read the pages with ifd=N"
            )
        array = stack_pages(pages, level.shape, level.dims[: len(level.shape)]) if level.shape else pages[0]
        return replace(array, metadata=array.metadata.with_(dims=_number_repeated(level.dims)))


def _ngff_of(series: Series, paths: Sequence[str], levels: Sequence[dict[str, VirtualArray]]) -> dict[str, Any]:
    """NGFF attributes of a series that OME-XML describes, whose arrays are at some paths below its group."""
    if series.ome is None or not levels[0]:
        return {}
    described = [
        (path, array.shape, tuple(dim or "" for dim in array.dims or ()))
        for path, arrays in zip(paths, levels, strict=True)
        for array in arrays.values()
    ]
    return ngff_attributes(series.ome, described)


def _number_repeated(dims: tuple[str, ...]) -> tuple[str, ...]:
    """Dimension names of which each is there once: repeated ones get a number."""
    seen: dict[str, int] = {}
    names = []
    for dim in dims:
        seen[dim] = seen.get(dim, -1) + 1
        names.append(f"{dim}_{seen[dim]}" if seen[dim] else dim)
    return tuple(names)
