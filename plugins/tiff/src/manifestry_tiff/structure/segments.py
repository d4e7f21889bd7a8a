"""Where the tiles or strips of an image are: offsets and byte counts as columns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from manifestry.plugin import ManifestError
from numpy.typing import NDArray

from manifestry_tiff.structure.image import Image
from manifestry_tiff.structure.stream_headers import interchange_stream, read_jpeg_header
from manifestry_tiff.structure.tags import Compression, FieldType, Tag

__all__ = ["Segments", "read_segments"]


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
        There are too few, they are not integers, or bytes that they point at are outside the file.
    ManifestError
        There are more than `max_chunks`.
    """
    expected = math.prod(image.grid) * (image.samples if image.planar else 1)
    if expected > max_chunks:
        raise ManifestError(f"{image.label}: {expected} tiles or strips are more than limits.max_chunks ({max_chunks})")
    whole = _interchange_segment(image) if expected == 1 and image.compression == Compression.OLD_JPEG else None
    if whole is not None:
        return whole
    offsets_tag = _choose_tag(image, Tag.TILE_OFFSETS, Tag.STRIP_OFFSETS)
    offsets = _column(image, offsets_tag, expected).astype("u8", copy=False)
    lengths = _lengths(image, expected, offsets)
    if not (bool(offsets.all()) and bool(lengths.all())):
        lengths = np.where(offsets == 0, np.uint64(0), lengths)
    _check_inside(image, offsets_tag, offsets, lengths)
    return Segments(offsets, lengths)


def _interchange_segment(image: Image) -> Segments | None:
    """The stream of an image of one strip or tile in old-style JPEG, where JPEGInterchangeFormat holds it as a whole."""
    stream = interchange_stream(image.directory)
    header = None if stream is None else read_jpeg_header(image.directory.file, *stream)
    if stream is None or header is None or not header.data or header.data == stream[1]:
        return None
    return Segments(np.array([stream[0]], "u8"), np.array([stream[1] - stream[0]], "u8"))


def _lengths(image: Image, expected: int, offsets: NDArray[np.uint64]) -> NDArray[np.uint64]:
    tag = _choose_tag(image, Tag.TILE_BYTE_COUNTS, Tag.STRIP_BYTE_COUNTS)
    declared = _column(image, tag, expected) if tag in image.directory else None
    if declared is not None and not image.tiled and not bool(declared.any()):
        declared = None  # some writers of strips leave zeros; of a sparse file the offsets are zero too
    if image.compression == Compression.NONE:
        return _uncompressed_lengths(image, tag, expected, declared)
    if declared is None:
        return _estimated_lengths(image, offsets)
    return declared.astype("u8", copy=False)


def _choose_tag(image: Image, tile_tag: Tag, strip_tag: Tag) -> Tag:
    """The tag that is there: some writers list tiles under the tags of strips, and the other way round."""
    first, second = (tile_tag, strip_tag) if image.tiled else (strip_tag, tile_tag)
    return second if second in image.directory and first not in image.directory else first


def _column(image: Image, tag: Tag, expected: int) -> NDArray[Any]:
    values = image.directory.numbers(tag)
    if values is None:
        raise image.directory.tag_error(tag, "the tag is missing")
    if not np.issubdtype(values.dtype, np.integer) or image.directory.entries[tag].type == FieldType.ASCII:
        raise image.directory.tag_error(tag, f"values of type {values.dtype}: must be integers")
    if values.size < expected:
        raise image.directory.tag_error(tag, f"{values.size} values are too few: {expected} are needed")
    column: NDArray[Any] = values[:expected]
    if np.issubdtype(column.dtype, np.signedinteger) and int(column.min()) < 0:
        raise image.directory.tag_error(tag, f"{int(column.min())}: must not be negative")
    return column


def _uncompressed_lengths(image: Image, tag: Tag, expected: int, declared: NDArray[Any] | None) -> NDArray[np.uint64]:
    """What the geometry says: byte counts of uncompressed data are often too large, and never needed.

    A count of zero still means sparse. One that is too small is ignored where a strip is the whole image, as other readers
    do (the strip may be one of several that RowsPerStrip does not mention); otherwise pixels are missing.
    """
    lengths = np.broadcast_to(np.uint64(image.stored_bytes(image.segment_length)), (expected,))
    if image.short_rows:
        lengths = np.array(lengths)
        lengths[image.grid[0] - 1 :: image.grid[0]] = image.stored_bytes(image.short_rows)
    if declared is None:
        return lengths
    short = declared < lengths
    if not bool(short.any()):
        return lengths
    wrong = short & (declared != 0)
    if bool(wrong.any()) and (image.tiled or expected > 1):
        at = int(np.argmax(wrong))
        kind = "tile" if image.tiled else "strip"
        raise image.directory.tag_error(
            tag, f"uncompressed {kind} {at} has {int(declared[at])} bytes: {int(lengths[at])} are needed"
        )
    return np.where(declared == 0, np.uint64(0), lengths)


def _estimated_lengths(image: Image, offsets: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Missing byte counts: each segment reaches to the next, the directory or the end of the file."""
    marks = np.unique(np.append(offsets, np.array([image.directory.offset, image.directory.file.size], "u8")))
    following = np.searchsorted(marks, offsets, side="right")
    lengths: NDArray[np.uint64] = marks[np.minimum(following, marks.size - 1)] - np.minimum(offsets, marks[-1])
    return lengths


def _check_inside(image: Image, tag: Tag, offsets: NDArray[np.uint64], lengths: NDArray[np.uint64]) -> None:
    size = np.uint64(image.directory.file.size)
    last = offsets.max()
    if last <= size and lengths.max() <= size - last:
        return
    beyond = (lengths != 0) & ((offsets > size) | (lengths > size - np.minimum(offsets, size)))
    if bool(beyond.any()):
        at = int(np.argmax(beyond))
        raise image.directory.tag_error(
            tag,
            f"segment {at} of {int(lengths[at])} bytes at offset {int(offsets[at])} reaches beyond the file of"
            f" {int(size)} bytes",
        )
