"""Chunk grids and manifests of images, and what is done about a last strip with fewer rows than the others.

Zarr's chunks have one shape. A short last strip is therefore (a) cut away, where uncompressed strips follow each other
and can be divided again; (b) otherwise copied: decoded, padded and compressed again, losslessly (`inspection`); or (c)
described by a rectilinear grid, where the caller asks for one.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from manifestry.plugin import INLINE, ChunkManifest, RectilinearGrid, RegularGrid

from manifestry_tiff.pixels.inspection import inspect_segments
from manifestry_tiff.pixels.pipeline import Pipeline
from manifestry_tiff.structure.image import Image
from manifestry_tiff.structure.segments import Segments

__all__ = ["lay_out"]

_CHUNK_BYTES: Final = 1 << 20
"""Size that chunks of divided uncompressed strips have where the caller asks for no other."""

_LARGE_STRIP: Final = 64 << 20
"""Uncompressed strips from this size on are divided even if they need not be."""


def lay_out(
    image: Image,
    pipeline: Pipeline,
    segments: Segments,
    *,
    rectilinear: bool = False,
    chunk_bytes: int | None = None,
    max_inline_bytes: int = 64 << 20,
) -> tuple[RegularGrid | RectilinearGrid, ChunkManifest, Pipeline]:
    """The chunk grid of an image, where its chunks are, and the pipeline that fits their bytes.

    Raises
    ------
    MalformedFileError
        A strip does not hold the rows that it must.
    UnsupportedFeatureError, ManifestError
        A short strip cannot be made whole, or not within `max_inline_bytes`.
    """
    plain_rows = pipeline.scheme is None and not pipeline.reversed_bits and not image.in_blocks
    if plain_rows and _are_contiguous(image, segments):
        wanted = chunk_bytes or (_CHUNK_BYTES if image.short_rows or _strip_bytes(image) > _LARGE_STRIP else None)
        if wanted is not None:
            return *_divide_again(image, segments, wanted), pipeline
    as_it_is = rectilinear and bool(image.short_rows) and not pipeline.fixed_rows
    findings = inspect_segments(image, pipeline, segments, max_inline_bytes, pad=not as_it_is)
    manifest = _manifest(image, segments, findings.replaced)
    if findings.endless:
        pipeline = pipeline.with_bound(_strip_bytes(image))
    elif findings.superfluous:
        pipeline = pipeline.with_trim(_strip_bytes(image))
    if as_it_is:
        return _rectilinear_grid(image), manifest, pipeline
    return _regular_grid(image, image.segment_length), manifest, pipeline


def _strip_bytes(image: Image) -> int:
    return image.stored_bytes(image.segment_length)


def _regular_grid(image: Image, rows: int) -> RegularGrid:
    first = () if image.samples == 1 else (image.segment_samples,)
    return RegularGrid((*first, rows, image.segment_width))


def _rectilinear_grid(image: Image) -> RectilinearGrid:
    first = () if image.samples == 1 else ((image.segment_samples,) * (image.samples // image.segment_samples),)
    rows = (image.segment_length,) * (image.grid[0] - 1) + (image.short_rows,)
    return RectilinearGrid((*first, rows, (image.width,)))


def _grid_shape(image: Image, strips: int) -> tuple[int, ...]:
    first = () if image.samples == 1 else (image.samples if image.planar else 1,)
    return (*first, strips, image.grid[1])


def _manifest(image: Image, segments: Segments, replaced: dict[int, bytes]) -> ChunkManifest:
    files = [image.directory.file.source.file]
    shape = _grid_shape(image, image.grid[0])
    if not replaced:
        constant = segments.lengths.strides == (0,)
        lengths = segments.lengths[0] if constant else segments.lengths
        return ChunkManifest.from_columns(shape, files, 0, segments.offsets, lengths)
    index = np.zeros(segments.offsets.size, "u4")
    offsets, lengths = np.array(segments.offsets), np.array(segments.lengths)
    inline = bytearray()
    for number, data in replaced.items():
        index[number], offsets[number], lengths[number] = INLINE, len(inline), len(data)
        inline += data
    return ChunkManifest.from_columns(shape, files, index, offsets, lengths, inline=bytes(inline))


def _are_contiguous(image: Image, segments: Segments) -> bool:
    """Whether the strips of every plane follow each other without gaps, all of them stored."""
    if image.tiled or not bool(segments.lengths.all()):
        return False
    starts, counts = (column.reshape(-1, image.grid[0]) for column in (segments.offsets, segments.lengths))
    return bool((starts[:, :-1] + counts[:, :-1] == starts[:, 1:]).all())


def _divide_again(
    image: Image, segments: Segments, chunk_bytes: int
) -> tuple[RegularGrid | RectilinearGrid, ChunkManifest]:
    """Uncompressed rows one after the other: as many to a chunk as divide the image and come closest to the wanted size."""
    wanted = max(1, chunk_bytes // image.row_bytes)
    rows = max(n for n in _divisors(image.length) if n <= wanted)
    strips = image.length // rows
    first = segments.offsets.reshape(-1, image.grid[0])[:, :1]
    offsets = first + np.arange(strips, dtype="u8") * np.uint64(rows * image.row_bytes)
    files = [image.directory.file.source.file]
    manifest = ChunkManifest.from_columns(_grid_shape(image, strips), files, 0, offsets.ravel(), rows * image.row_bytes)
    return _regular_grid(image, rows), manifest


def _divisors(number: int) -> set[int]:
    small = [n for n in range(1, math.isqrt(number) + 1) if number % n == 0]
    return {*small, *(number // n for n in small)}
