"""Where the tiles or strips of an image are: offsets and byte counts as columns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from manifestry.errors import ManifestError
from numpy.typing import NDArray

from manifestry_tiff.image import Image
from manifestry_tiff.tags import Compression, Tag

__all__ = ["Segments", "read_segments"]

_ALL = np.iinfo("u8").max


@dataclass(frozen=True, slots=True)
class Segments:
    """Tiles or strips in the order of the file: plane by plane, row by row.

    Attributes
    ----------
    offsets, lengths
        In bytes, uint64; length 0: sparse, not stored.
    """

    offsets: NDArray[np.uint64]
    lengths: NDArray[np.uint64]


def read_segments(image: Image, max_chunks: int) -> Segments:
    """Offsets and byte counts of all tiles or strips, straight from the file to numpy.

    Raises
    ------
    MalformedFileError
        There are too few, they are no integers, or bytes that they point at are outside the file.
    ManifestError
        There are more than `max_chunks`.
    """
    directory = image.directory
    expected = math.prod(image.grid) * (image.samples if image.planar else 1)
    if expected > max_chunks:
        raise ManifestError(f"{image.label}: {expected} tiles or strips, more than the limit of {max_chunks}")
    offsets_tag = _first_present(image, Tag.TILE_OFFSETS, Tag.STRIP_OFFSETS)
    offsets = _column(image, offsets_tag, expected)
    counts_tag = _first_present(image, Tag.TILE_BYTE_COUNTS, Tag.STRIP_BYTE_COUNTS)
    if image.compression == Compression.NONE:
        given = _column(image, counts_tag, expected) if counts_tag in directory else np.full(expected, _ALL, "u8")
        lengths = _uncompressed_lengths(image, expected, given)
    elif counts_tag in directory and not _counts_missing(image, counts_tag):
        lengths = _column(image, counts_tag, expected)
    else:
        lengths = _estimated_lengths(image, offsets)
    lengths = (
        np.where((offsets == 0) | (lengths == 0), np.uint64(0), lengths) if _any_sparse(offsets, lengths) else lengths
    )
    _check_inside(image, offsets_tag, offsets, lengths)
    return Segments(offsets, lengths)


def _first_present(image: Image, tile_tag: Tag, strip_tag: Tag) -> Tag:
    """Tiles of some writers stand under the tags of strips, and the other way round."""
    first, second = (tile_tag, strip_tag) if image.tiled else (strip_tag, tile_tag)
    return second if second in image.directory and first not in image.directory else first


def _column(image: Image, tag: Tag, expected: int) -> NDArray[np.uint64]:
    values = image.directory.numbers(tag)
    if values is None:
        raise image.directory.malformed(tag, "missing")
    if values.dtype.kind not in "iu":
        raise image.directory.malformed(tag, f"values of type {values.dtype}, not integers")
    if values.size < expected:
        raise image.directory.malformed(tag, f"{values.size} values where {expected} are needed")
    column: NDArray[Any] = values[:expected]
    if column.dtype.kind == "i" and int(column.min()) < 0:
        raise image.directory.malformed(tag, int(column.min()))
    return column.astype("u8", copy=False)


def _counts_missing(image: Image, tag: Tag) -> bool:
    """Some writers of strips leave zeros for byte counts; of a sparse file the offsets are zero too."""
    counts = image.directory.numbers(tag)
    return not image.tiled and counts is not None and not bool(counts.any())


def _any_sparse(offsets: NDArray[np.uint64], lengths: NDArray[np.uint64]) -> bool:
    return not (bool(offsets.all()) and bool(lengths.all()))


def _uncompressed_lengths(image: Image, expected: int, given: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """What the geometry says: byte counts of uncompressed data are often wrong and never needed.

    A count of zero still means sparse, and one that is too small that pixels are missing.
    """
    lengths = np.full(expected, image.segment_length * image.row_bytes, "u8")
    if image.short_rows:
        lengths[image.grid[0] - 1 :: image.grid[0]] = image.short_rows * image.row_bytes
    short = (given < lengths) & (given != 0)
    if bool(short.any()):
        at = int(np.argmax(short))
        kind = "tile" if image.tiled else "strip"
        raise image.directory.malformed(
            Tag.TILE_BYTE_COUNTS if image.tiled else Tag.STRIP_BYTE_COUNTS,
            f"uncompressed {kind} {at} of {int(given[at])} bytes where {int(lengths[at])} are needed",
        )
    return np.where(given == 0, np.uint64(0), lengths)


def _estimated_lengths(image: Image, offsets: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Missing byte counts: each segment reaches to the next, the directory or the end of the file."""
    marks = np.unique(np.append(offsets, np.array([image.directory.offset, image.directory.file.size], "u8")))
    following = np.searchsorted(marks, offsets, side="right")
    lengths: NDArray[np.uint64] = marks[np.minimum(following, marks.size - 1)] - np.minimum(offsets, marks[-1])
    return lengths


def _check_inside(image: Image, tag: Tag, offsets: NDArray[np.uint64], lengths: NDArray[np.uint64]) -> None:
    size = np.uint64(image.directory.file.size)
    beyond = (lengths != 0) & ((offsets > size) | (lengths > size - np.minimum(offsets, size)))
    if bool(beyond.any()):
        at = int(np.argmax(beyond))
        raise image.directory.malformed(
            tag, f"segment {at} has {int(lengths[at])} bytes at offset {int(offsets[at])}, file of {int(size)} bytes"
        )
