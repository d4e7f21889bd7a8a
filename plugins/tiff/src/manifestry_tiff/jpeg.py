"""What the frame header of a JPEG stream says (ITU-T T.81, annex B)."""

from __future__ import annotations

from typing import Final

from manifestry_tiff.image import Image
from manifestry_tiff.tags import Tag

__all__ = ["is_subsampled"]

_START_OF_FRAME: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN: Final = 0xDA
_LOOK_BYTES: Final = 4096


def is_subsampled(image: Image) -> bool:
    """Whether the first stream that an image has stores some components at a lower resolution than others.

    Such a stream is YCbCr, whatever the tags say: RGB has no component that could be coarser.
    """
    directory = image.directory
    offsets = directory.numbers(Tag.TILE_OFFSETS if image.tiled else Tag.STRIP_OFFSETS)
    if offsets is None or offsets.dtype.kind not in "iu" or not offsets.any():
        return False
    first = int(offsets[offsets != 0][0])
    factors = _sampling_factors(directory.file.read(first, _LOOK_BYTES)) if 0 < first < directory.file.size else []
    return len(set(factors)) > 1


def _sampling_factors(stream: bytes) -> list[int]:
    """Of every component, horizontal in the upper and vertical in the lower half of a byte; none without a frame."""
    at = 2
    while at + 10 <= len(stream) and stream[at] == 0xFF and stream[at + 1] != _START_OF_SCAN:
        if stream[at + 1] in _START_OF_FRAME:
            components = stream[at + 10 : at + 10 + 3 * stream[at + 9]]
            return list(components[1::3])
        at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    return []
