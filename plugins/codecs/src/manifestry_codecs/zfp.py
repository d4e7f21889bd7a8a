"""ZFP as HDF5 filter 32013 keeps it: the header of the streams is in the client data, apart from the chunks.

H5Z-ZFP writes a version word (bits 16-31 the ZFP library, 12-15 its codec since H5Z-ZFP 1.1, 0-11 the filter), and then
the header as 32-bit words in the byte order of the machine: 32 bits of magic, 52 of type and shape, and 12 of mode, or
64 where the parameters are not one of the usual sets (the ``ZFP_HEADER_*`` and ``ZFP_MODE_*`` constants of ``zfp.h``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from manifestry_codecs.base import ClientDataCodec, DecodeError

__all__ = ["Zfp", "ZfpHeader", "read_zfp_header"]

_CODEC: Final = 5
_MAGIC: Final = b"zfp" + bytes([_CODEC])
_MAGIC_BITS, _META_BITS, _SHORT_BITS, _LONG_BITS = 32, 52, 12, 64
_LONG: Final = (1 << _SHORT_BITS) - 1
"""The short mode that says that a long one begins here."""

_PRECISIONS, _REVERSIBLE = 2048, 2048 + 128
"""Short modes: below the first are rates, up to the second precisions, beyond it accuracies."""

_MAX_BITS, _MAX_PRECISION = 16658, 64
_MAX_WORDS: Final = 6
_TYPES: Final = (("i4", 0), ("i8", 0), ("f4", 8), ("f8", 11))
"""Types in the order of their numbers, with the bits of an exponent."""


class ZfpHeader(NamedTuple):
    """What the header says.

    Attributes
    ----------
    dtype, shape
        The decoded elements; the last dimension runs fastest.
    least_bits, most_bits
        Bits that a block of four elements along each dimension takes in a stream.
    stream
        Header to put in front of a chunk: 12 bytes, so that the chunk begins where a byte does. It has type and shape
        if `complete`; else magic and long mode only.
    complete
        See `stream`.
    """

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    least_bits: int
    most_bits: int
    stream: bytes
    complete: bool

    @property
    def blocks(self) -> int:
        """Number of blocks in a chunk."""
        return math.prod(-(-length // 4) for length in self.shape)


def read_zfp_header(client_data: Sequence[int]) -> ZfpHeader:
    """The header in the client data of filter 32013.

    Raises
    ------
    DecodeError
        The words are not a header that H5Z-ZFP decodes, or they end before the header does.
    """
    words = np.array(client_data[1:], "<u4")
    header = words.tobytes()
    if header[:4] != _MAGIC:
        header = words.byteswap().tobytes()  # written on a big-endian machine
    if header[:4] != _MAGIC or client_data[0] >> 12 & 0xF > _CODEC:
        raise DecodeError(f"the client data has no header of codec {_CODEC} of ZFP")
    bits, size = int.from_bytes(header, "little") >> _MAGIC_BITS, len(header) * 8
    meta, mode = bits & (1 << _META_BITS) - 1, bits >> _META_BITS
    is_long = mode & _LONG == _LONG
    if size < _MAGIC_BITS + _META_BITS + (_LONG_BITS if is_long else _SHORT_BITS):
        raise DecodeError("the header of ZFP in the client data breaks off")
    if is_long and len(words) > _MAX_WORDS:
        raise DecodeError(f"{len(words)} words are more than a header of ZFP has")
    code, exponent_bits = _TYPES[meta & 3]
    shape, dtype = _shape(meta >> 2), np.dtype(code)
    if is_long:
        mode &= (1 << _LONG_BITS) - 1
        stream = _MAGIC + mode.to_bytes(8, "little")
        minbits, maxbits, precision, reversible = _long_mode(mode >> _SHORT_BITS)
    else:
        stream = header[:12]
        minbits, maxbits, precision, reversible = _short_mode(mode & _LONG)
    needed = exponent_bits + (8 if reversible else 1)  # what precedes the values of a block
    if minbits > maxbits or maxbits < needed or precision > _MAX_PRECISION:
        raise DecodeError(
            f"the header of ZFP has blocks of {minbits} to {maxbits} bits with {precision} bit planes: must be"
            f" {needed} bits at least, and {_MAX_PRECISION} bit planes at most"
        )
    most = max(minbits, min(maxbits, _whole_block(dtype, len(shape), exponent_bits)))
    return ZfpHeader(dtype=dtype, shape=shape, least_bits=minbits, most_bits=most, stream=stream, complete=not is_long)


def _shape(meta: int) -> tuple[int, ...]:
    """Lengths as numpy orders them, from the metadata without the type: 48 bits for all of them."""
    ndim, width = (meta & 3) + 1, 48 // ((meta & 3) + 1)
    return tuple((meta >> 2 + i * width & (1 << width) - 1) + 1 for i in reversed(range(ndim)))


def _short_mode(mode: int) -> tuple[int, int, int, bool]:
    """Fewest and most bits of a block, its bit planes, and whether it is reversible."""
    if mode < _PRECISIONS:
        return mode + 1, mode + 1, _MAX_PRECISION, False
    return 1, _MAX_BITS, mode - _PRECISIONS + 1 if mode < _REVERSIBLE else _MAX_PRECISION, mode == _REVERSIBLE


def _long_mode(mode: int) -> tuple[int, int, int, bool]:
    """The same; a smallest exponent (the highest 15 bits) below that of any number means reversible."""
    reversible = (mode >> 37) - 16495 < -1074
    return (mode & 0x7FFF) + 1, (mode >> 15 & 0x7FFF) + 1, (mode >> 30 & 0x7F) + 1, reversible


def _whole_block(dtype: np.dtype[np.generic], ndim: int, exponent_bits: int) -> int:
    """Bits of a block with all bit planes of its values and all tests of them; what else it can have takes 32 at most."""
    values, planes = 1 << 2 * ndim, int(dtype.itemsize) * 8
    return 32 + exponent_bits + values * (planes + 1) + planes


class Zfp(ClientDataCodec):
    """HDF5 filter 32013: a ZFP stream whose header the file keeps in the client data.

    Parameters
    ----------
    client_data
        A version word, then the words of the ZFP header that goes in front of each chunk.
    order
        Byte order of the decoded elements: ``"little"`` or ``"big"``.
    """

    codec_id = "manifestry.zfp"

    def __init__(self, client_data: Sequence[int], order: str = "little") -> None:
        super().__init__(client_data)
        if order not in ("little", "big"):
            raise ValueError(f"order is {order!r}: must be 'little' or 'big'")
        self.order = order

    def decoded_size(self) -> int:
        """Bytes of a decoded chunk."""
        header = read_zfp_header(self.client_data)
        return int(math.prod(header.shape) * header.dtype.itemsize)

    def decode_bytes(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The elements of the stream as bytes in `order`.

        Raises
        ------
        DecodeError
            The client data is not a header of ZFP, or the stream ends before the last block.
        """
        header = read_zfp_header(self.client_data)
        least, most = (-(-header.blocks * bits // 8) for bits in (header.least_bits, header.most_bits))
        elements = self._elements(header, data, max(0, most - len(data)), 0) if least <= len(data) else None
        # ZFP reads on after the end. What it makes of a whole stream does not depend on what follows it.
        if elements is None or (
            least < most and self._elements(header, data, most, 0xFF).tobytes() != elements.tobytes()
        ):
            raise DecodeError(f"{self.codec_id}: a chunk of {len(data)} bytes ends before its last block")
        stored = elements.dtype.newbyteorder(">" if self.order == "big" else "<")
        return elements.astype(stored, copy=False).reshape(-1).view("u1")

    def _elements(self, header: ZfpHeader, data: NDArray[np.uint8], more: int, octet: int) -> NDArray[Any]:
        """The elements of a stream that is followed by `more` times the same byte, and by a word that may be read."""
        stream = np.zeros(len(header.stream) + len(data) + more + 16, "u1")
        stream[: len(header.stream)] = np.frombuffer(header.stream, "u1")
        stream[len(header.stream) :][: len(data)] = data
        if octet:
            stream[len(header.stream) + len(data) :] = octet
        shape, dtype = (None, None) if header.complete else (header.shape, header.dtype)
        elements: NDArray[Any] = np.ascontiguousarray(imagecodecs.zfp_decode(stream, shape=shape, dtype=dtype))
        if elements.shape != header.shape or elements.dtype != header.dtype:
            raise DecodeError(
                f"{self.codec_id}: a chunk decodes to {elements.dtype} {elements.shape}, expected"
                f" {header.dtype} {header.shape}"
            )
        return elements
