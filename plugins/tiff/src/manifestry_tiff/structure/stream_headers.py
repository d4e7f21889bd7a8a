"""What compressed streams say about themselves in their headers, before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from manifestry_tiff.structure.file import TiffFile
from manifestry_tiff.structure.ifd import Directory
from manifestry_tiff.structure.image import Image
from manifestry_tiff.structure.tags import Tag

__all__ = ["JpegHeader", "declared_size", "interchange_stream", "is_subsampled", "read_jpeg_header"]

_JPEG: Final = b"\xff\xd8"
_START_OF_FRAME: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN: Final = 0xDA
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_CODESTREAM: Final = b"\xff\x4f\xff\x51"
_BOXES: Final = b"\0\0\0\x0cjP  "
_LOOK_BYTES: Final = 4096
_HEADER_BYTES: Final = 1 << 16
"""More than the headers of JPEG streams have without thumbnails in them."""

_ALONE: Final = frozenset(range(0xD0, 0xDA)) | {0x00, 0x01, 0xFF}
"""Second bytes of markers that no segment follows, and of what is no marker."""


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """Marker segments at the beginning of a JPEG stream (ITU-T T.81, section B.1.1.4).

    Attributes
    ----------
    segments
        Markers, each with its whole segment.
    data
        Where in the file the entropy-coded bytes behind them begin; 0: there is no scan header, or it is elsewhere.
    """

    segments: tuple[tuple[int, bytes], ...]
    data: int

    @property
    def markers(self) -> frozenset[int]:
        """The markers that are there."""
        return frozenset(marker for marker, _ in self.segments)

    @property
    def is_stream(self) -> bool:
        """Whether this is the header of a complete stream, at whose beginning it stands."""
        return bool(self.data and self.markers & _START_OF_FRAME)


def read_jpeg_header(file: TiffFile, start: int, stop: int) -> JpegHeader:
    """What a place in a file has of the header of a JPEG stream; nothing where there is no marker."""
    data = file.read(start, min(_HEADER_BYTES, stop - start)) if 0 < start < stop <= file.size else b""
    segments = []
    at = 2 if data.startswith(_JPEG) else 0
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] not in _ALONE:
        end = at + 2 + _number(data[at + 2 : at + 4])
        if end > len(data):
            break
        segments.append((data[at + 1], data[at:end]))
        at = end
        if segments[-1][0] == _START_OF_SCAN:
            return JpegHeader(tuple(segments), start + at)
    return JpegHeader(tuple(segments), 0)


def interchange_stream(directory: Directory) -> tuple[int, int] | None:
    """First byte and end of what old-style JPEG has in JPEGInterchangeFormat; without a length it reaches to the end."""
    size = directory.file.size
    start = directory.integer(Tag.JPEG_INTERCHANGE_FORMAT, 0)
    length = directory.integer(Tag.JPEG_INTERCHANGE_FORMAT_LENGTH, 0)
    if not 0 < start < size:
        return None
    return start, start + length if 0 < length <= size - start else size


def is_subsampled(image: Image) -> bool:
    """Whether the first JPEG stream that an image has stores some components at a lower resolution than others.

    Such a stream is YCbCr, whatever the tags say: RGB has no component that could be coarser.
    """
    directory = image.directory
    offsets = directory.numbers(Tag.TILE_OFFSETS if image.tiled else Tag.STRIP_OFFSETS)
    if offsets is None or not np.issubdtype(offsets.dtype, np.integer) or not offsets.any():
        return False
    first = int(offsets[offsets != 0][0])
    stream = directory.file.read(first, _LOOK_BYTES) if 0 < first < directory.file.size else b""
    frame = _frame_header(stream)
    # Of every component a number, horizontal and vertical factor in one byte, and its table.
    return len(set(frame[6 + 1 : 6 + 3 * frame[5] : 3])) > 1 if frame else False


def declared_size(stream: bytes) -> tuple[int, int] | None:
    """Rows and columns of a JPEG, JPEG 2000 or PNG stream; None where its header does not say."""
    head = stream[:_LOOK_BYTES]
    if head.startswith(_JPEG):
        frame = _frame_header(stream)
        return (_number(frame[1:3]), _number(frame[3:5])) if frame else None
    if head.startswith(_PNG):  # the IHDR chunk is the first
        return _number(head[20:24]), _number(head[16:20])
    if head.startswith((_CODESTREAM, _BOXES)) and _CODESTREAM in head:
        size = head[head.index(_CODESTREAM) + 8 :]  # of the reference grid, and where the image begins on it
        right, lower, left, upper = (_number(size[i : i + 4]) for i in range(0, 16, 4))
        return lower - upper, right - left
    return None


def _frame_header(stream: bytes) -> bytes:
    """Of a JPEG stream from the sample precision on (ITU-T T.81, section B.2.2), empty where there is none."""
    at = 2
    while at + 10 <= len(stream) and stream[at] == 0xFF and stream[at + 1] != _START_OF_SCAN:
        if stream[at + 1] in _START_OF_FRAME:
            return stream[at + 4 : at + 10 + 3 * stream[at + 9]]
        at += 2 + _number(stream[at + 2 : at + 4])
    return b""


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")
