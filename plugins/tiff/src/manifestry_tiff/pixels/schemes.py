"""How a compression scheme becomes a codec: schemes of bytes and schemes of pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from manifestry.plugin import Codec

__all__ = ["ByteScheme", "ImageScheme"]


@dataclass(frozen=True, slots=True)
class ByteScheme:
    """A scheme that compresses bytes.

    Attributes
    ----------
    codec
        The codec by the name that zarr, or imagecodecs-zarr, registers.
    library
        Stem of the functions ``<stem>_encode`` and ``<stem>_decode`` of imagecodecs.
    """

    codec: Codec
    library: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageScheme:
    """A scheme that compresses pixels.

    Attributes
    ----------
    codec, library
        As for `ByteScheme`; without a library the codec itself decodes and encodes.
    decode
        Arguments of the decoding function.
    lossless
        Arguments of the encoding function that lose nothing; several are tried until one comes back the same.
    sized
        Whether the decoding function takes the rows and columns, and fills missing rows itself (CCITT).
    needs_rows
        Whether it fails on streams with missing rows all the same (two-dimensional T.4).
    empty_row
        Bytes that stand for a row when they are put behind a stream; of schemes whose codec is told the rows of a chunk.
    """

    codec: Codec
    library: str
    decode: Mapping[str, Any] = field(default_factory=dict)
    lossless: tuple[Mapping[str, Any], ...] = ({},)
    sized: bool = False
    needs_rows: bool = False
    empty_row: bytes = b""
