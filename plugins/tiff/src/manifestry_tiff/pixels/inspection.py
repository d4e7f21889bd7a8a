"""Looking into tiles and strips where it costs little: what the tags do not say.

The last strip is read where it has fewer rows than the others. Beyond that, streams that were fetched already with the
header, those of small local files, and a few of large local ones are decoded once, within limits; so corrupt data,
superfluous bytes and short tiles of small files are found while parsing. Nothing remote is fetched for this.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from manifestry.plugin import MalformedFileError, ManifestError
from numpy.typing import NDArray

from manifestry_tiff.pixels.decoding import (
    SLACK,
    StreamError,
    append_rows,
    decode_pixels,
    decode_rows,
    pad_pixels,
    pad_rows,
    repeat_last_row,
)
from manifestry_tiff.pixels.pipeline import Pipeline
from manifestry_tiff.pixels.schemes import ImageScheme
from manifestry_tiff.structure.image import Image
from manifestry_tiff.structure.segments import Segments

__all__ = ["Findings", "inspect_segments"]

_LARGE_CHUNK: Final = 16 << 20
"""Chunks of more bytes are not decoded for a look."""

_SAMPLES: Final = 4
"""Segments of a large local image that are decoded for a look, from the first to the last."""


@dataclass(slots=True)
class Findings:
    """What a look into segments has shown.

    Attributes
    ----------
    replaced
        Bytes of whole chunks for segments that hold less than one, by number of the segment.
    superfluous
        Whether streams hold more than the bytes of a tile or strip.
    endless
        Whether a stream of Deflate holds so much more that readers must not decompress it all.
    """

    replaced: dict[int, bytes] = field(default_factory=dict)
    superfluous: bool = False
    endless: bool = False


def inspect_segments(image: Image, pipeline: Pipeline, segments: Segments, limit: int, *, pad: bool = True) -> Findings:
    """Decode last strips that are short, and segments at hand.

    Parameters
    ----------
    limit
        Bytes that copies may take.
    pad
        Whether short last strips are to be made whole.

    Raises
    ------
    MalformedFileError
        A stream is corrupt, or holds fewer rows than it must; names the segment.
    UnsupportedFeatureError
        A short strip cannot be made whole.
    ManifestError
        The copies would take more than `limit` bytes.
    """
    findings = Findings()
    scheme = pipeline.scheme
    sized = isinstance(scheme, ImageScheme) and scheme.sized and not scheme.needs_rows
    short = _short_strips(image, segments) if pad and not sized else np.empty(0, "i8")
    whole = image.stored_bytes(image.segment_length)
    if whole * short.size > limit or int(segments.lengths[short].sum()) > limit:
        raise ManifestError(
            f"{image.label}: the last strip has {image.short_rows} of {image.segment_length} rows and would be copied as"
            f" {whole * short.size} bytes, more than limits.max_inline_bytes ({limit}); parse with rectilinear=True"
        )
    chosen = (
        short
        if whole > _LARGE_CHUNK or pipeline.scheme is None
        else np.union1d(short, _segments_at_hand(image, segments))
    )
    if not pad and image.short_rows:
        chosen = np.setdiff1d(chosen, _short_strips(image, segments))
    starts, counts = segments.offsets[chosen].tolist(), segments.lengths[chosen].tolist()
    streams = image.directory.file.read_many([(a, a + n) for a, n in zip(starts, counts, strict=True)])
    examine = _look_at_pixels if isinstance(pipeline.scheme, ImageScheme) else _look_at_rows
    for number, data in zip(chosen.tolist(), streams, strict=True):
        try:
            examine(image, pipeline, number, data, findings)
        except StreamError as error:
            kind = "tile" if image.tiled else "strip"
            raise MalformedFileError(
                f"{image.label}, {kind} {number} at offset {int(segments.offsets[number])}: {error}"
            ) from error
    return findings


def _short_strips(image: Image, segments: Segments) -> NDArray[np.int64]:
    """Numbers of the last strips of all planes that are stored, when they are short."""
    if not image.short_rows:
        return np.empty(0, "i8")
    last: NDArray[np.int64] = np.arange(image.grid[0] - 1, segments.offsets.size, image.grid[0])
    stored: NDArray[np.bool_] = segments.lengths[last] != 0
    return last[stored]


def _segments_at_hand(image: Image, segments: Segments) -> NDArray[np.int64]:
    """Numbers of the stored segments whose bytes cost nothing or little."""
    file = image.directory.file
    whole = image.stored_bytes(image.segment_length)
    stored = np.flatnonzero(segments.lengths)
    if file.affords(int(segments.lengths.sum()), whole * stored.size):
        return stored
    at_hand = stored[segments.offsets[stored] + segments.lengths[stored] <= file.head_bytes]
    at_hand = at_hand[: file.reserve_decoding(whole, at_hand.size)]
    some = np.unique(stored[np.linspace(0, stored.size - 1, _SAMPLES).astype("i8")])
    affordable = file.affords(int(segments.lengths[some].sum()), whole * some.size)
    return np.union1d(at_hand, some) if affordable else at_hand


def _rows_inside(image: Image, number: int) -> int:
    """Rows of a segment that lie inside the image."""
    down, across = image.grid
    first = number // across % down * image.segment_length
    return min(image.segment_length, image.length - first)


def _look_at_rows(image: Image, pipeline: Pipeline, number: int, data: bytes, findings: Findings) -> None:
    rows = decode_rows(image, pipeline, data)
    inside = _rows_inside(image, number)
    whole, needed = image.stored_bytes(image.segment_length), image.stored_bytes(inside)
    if len(rows) < needed:
        raise StreamError(f"it decodes to {len(rows)} bytes, {needed} are needed")
    if len(rows) > whole or (len(rows) > needed and len(rows) % image.stored_bytes(1)):
        findings.superfluous = True
    if len(rows) == whole + SLACK:
        findings.endless = True
    if len(rows) < whole:
        findings.replaced[number] = pad_rows(image, pipeline, rows[:needed])


def _look_at_pixels(image: Image, pipeline: Pipeline, number: int, data: bytes, findings: Findings) -> None:
    needed = _rows_inside(image, number)
    if isinstance(pipeline.scheme, ImageScheme) and pipeline.scheme.needs_rows and needed < image.segment_length:
        findings.replaced[number] = repeat_last_row(image, pipeline, data, needed)
        return
    if isinstance(pipeline.scheme, ImageScheme) and pipeline.scheme.empty_row and needed < image.segment_length:
        findings.replaced[number] = append_rows(image, pipeline, data, needed)
        return
    pixels = decode_pixels(image, pipeline, data)
    rows, columns = pixels.shape[:2]
    if rows < needed or columns != image.segment_width:
        raise StreamError(f"it decodes to {rows} x {columns} pixels, {needed} x {image.segment_width} are needed")
    if rows < image.segment_length:
        findings.replaced[number] = pad_pixels(image, pipeline, pixels[:needed])
    elif rows > image.segment_length:
        raise StreamError(f"it decodes to {rows} rows, the tags declare {image.segment_length}")
