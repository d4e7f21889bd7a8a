"""Compressions of TIFF that libtiff alone decodes: a tile or strip becomes a file of one strip, which it reads."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from manifestry_codecs.base import ArrayCodec, DecodeError, positive_integer

__all__ = ["Libtiff", "LogLuv"]

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _COUNTS, _SAMPLE_FORMAT = 273, 277, 278, 279, 339
_JPEG_PROCESS, _JPEG_STREAM, _JPEG_LENGTH = 512, 513, 514
_SUBSAMPLING: Final = 530
_CONFIGURED: Final = frozenset({_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _SAMPLE_FORMAT, 529, _SUBSAMPLING, 532})
"""Tags of the configuration; 529 and 532 are YCbCrCoefficients and ReferenceBlackWhite."""

_NONE, _OLD_JPEG, _NEXT, _THUNDERSCAN, _SGI_LOG, _SGI_LOG_24 = 1, 6, 32766, 32809, 34676, 34677
_YCBCR, _LOG_L, _LOG_LUV = 6, 32844, 32845
_SHORT, _LONG, _RATIONAL = 3, 4, 5

_START, _END = b"\xff\xd8", b"\xff\xd9"
_SCAN, _FRAMES, _ALONE = 0xDA, (0xC0, 0xC1), range(0xD0, 0xDA)
_NEEDED: Final = frozenset({*_FRAMES, 0xC4, 0xDB, 0xDD, _SCAN})
"""Marker segments that decoding needs: frame, Huffman tables, quantization tables, restart interval, scan."""

_AFTER: Final = b"\x55" * 64
"""Entropy-coded bytes that mean something, where a stream should have ended."""

_WHITE: Final = 3
"""What libtiff leaves in rows of NeXT that it has no bytes for."""


class Libtiff(ArrayCodec):
    """A tile or strip of a compression that libtiff decodes, with the pixels that it and GDAL give.

    Uncompressed YCbCr with subsampled chroma (TIFF 6.0, section 21), old-style JPEG (section 22), NeXT, ThunderScan and
    SGI LogL. YCbCr, in old-style JPEG or not, becomes RGB; packed bits become bytes.

    Parameters
    ----------
    rows, columns
        Of a tile or strip.
    tags
        By number as text, each a list of integers, or of pairs for fractions: 258, 259, 262 and 277 (BitsPerSample,
        Compression, PhotometricInterpretation, SamplesPerPixel), and where they are needed 339, 529, 530 and 532
        (SampleFormat, YCbCrCoefficients, YCbCrSubSampling, ReferenceBlackWhite).
    header
        For old-style JPEG, in Base64: what a JPEG stream has up to its first entropy-coded byte, with the size of a tile
        or strip; empty where the streams have it themselves.
    """

    codec_id = "manifestry.libtiff"

    def __init__(self, rows: int, columns: int, tags: Mapping[str, Sequence[Any]], header: str = "") -> None:
        self.rows = positive_integer("rows", rows)
        self.columns = positive_integer("columns", columns)
        self.tags = {str(tag): [_plain(value) for value in values] for tag, values in tags.items()}
        self.header = header
        self._tags: dict[int, list[Any]] = {int(tag): values for tag, values in self.tags.items()}
        if not {_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES} <= set(self._tags) <= _CONFIGURED:
            raise ValueError(f"tags {sorted(self._tags)}: must be 258, 259, 262 and 277, and of {sorted(_CONFIGURED)}")
        if not all(self._tags.values()):
            raise ValueError(f"tags {self.tags}: must have values")

    def get_config(self) -> dict[str, Any]:
        """The configuration as JSON."""
        return {name: value for name, value in super().get_config().items() if not name.startswith("_")}

    def decode_array(self, data: NDArray[np.uint8]) -> NDArray[Any]:
        """Pixels ``(rows, columns[, components])``.

        Raises
        ------
        DecodeError
            The bytes are damaged, or fewer or (uncompressed) more than a tile or strip has.
        """
        compression, stored = self._tags[_COMPRESSION][0], data.tobytes()
        if compression == _OLD_JPEG:
            return self._old_jpeg(stored)
        if compression == _NEXT:
            return self._next(stored)
        return self._ycbcr(stored) if self._tags[_PHOTOMETRIC] == [_YCBCR] else self._read(stored)

    def _read(
        self, data: bytes, rows: int = 0, header: bytes = b"", more: Mapping[int, list[int]] | None = None
    ) -> Any:
        """What libtiff reads in a file that has the bytes as its one strip."""
        tags = {_WIDTH: [self.columns], _LENGTH: [rows or self.rows], **self._tags, **(more or {})}
        try:
            return imagecodecs.tiff_decode(_file_of_one_strip(data, tags, header), asrgb=False)
        except (RuntimeError, ValueError, struct.error) as error:
            raise DecodeError(f"{self.codec_id}: {str(error) or 'libtiff cannot decode the chunk'}") from error

    def _ycbcr(self, data: bytes) -> NDArray[Any]:
        """Whole blocks: libtiff does not decode images that are smaller than one."""
        horizontal, vertical = self._tags.get(_SUBSAMPLING, [2, 2])[:2]
        down, across = -(-self.rows // vertical), -(-self.columns // horizontal)
        needed = down * across * (horizontal * vertical + 2)
        if len(data) != needed:
            raise DecodeError(f"{self.codec_id}: the chunk has {len(data)} bytes, {needed} are needed")
        pixels = self._read(data, down * vertical, more={_WIDTH: [across * horizontal]})
        return self._rgb(np.ascontiguousarray(pixels[: self.rows, : self.columns]))

    def _next(self, data: bytes) -> NDArray[Any]:
        """NeXT: rows that are missing are white for libtiff, so it is asked for one more, which is black."""
        pixels: NDArray[Any] = self._read(data)
        if (pixels[-1] == _WHITE).all():
            black = b"\0" + bytes(-(-self.columns // 4))
            try:
                one_more = self._read(data + black, self.rows + 1)
            except DecodeError:  # by bytes behind the last row, which are none of its own
                return pixels
            if (one_more[-1] == _WHITE).all():
                raise DecodeError(f"{self.codec_id}: the chunk has fewer than {self.rows} rows")
        return pixels

    def _old_jpeg(self, data: bytes) -> NDArray[Any]:
        """Old-style JPEG: what stands behind a stream changes what is decoded only if the stream breaks off."""
        own, start = _segments(data)
        if self.header:
            if {marker for marker, _ in own} - {_SCAN}:
                raise DecodeError(f"{self.codec_id}: the chunk has a header of its own")
            own, end = _segments(base64.b64decode(self.header))
        else:
            end = start
        frame = next((body for marker, body in own if marker in _FRAMES), b"")
        if not end or frame[5:9] != struct.pack(">HH", self.rows, self.columns):
            raise DecodeError(f"{self.codec_id}: no header of a baseline JPEG of {self.rows} x {self.columns} pixels")
        factors = frame[11] if len(frame) > 11 else 0
        header = _START + b"".join(body for marker, body in own if marker in _NEEDED)
        stream = data[start:].split(_END, 1)[0]
        stream += b"\0" if stream.endswith(b"\xff") else b""
        more = {_SUBSAMPLING: [factors >> 4, factors & 15], _JPEG_PROCESS: [1]}
        pixels = self._read(stream + _END, header=header, more=more)
        if not np.array_equal(pixels, self._read(stream + _AFTER, header=header, more=more)):
            raise DecodeError(f"{self.codec_id}: the chunk breaks off before its last pixel")
        return self._rgb(pixels)

    def _rgb(self, pixels: NDArray[Any]) -> NDArray[Any]:
        if pixels.shape != (self.rows, self.columns, 3):
            raise DecodeError(f"{self.codec_id}: libtiff decodes to the shape {pixels.shape}, not to RGB")
        return pixels


class LogLuv(ArrayCodec):
    """SGI LogLuv (compressions 34676 and 34677) in the 16 bits that libtiff and GDAL give: L, u' and v'.

    L is the logarithm of luminance, ``exp2((L + 0.5) / 256 - 64)``; u' and v' are in steps of 2**-15.

    Parameters
    ----------
    rows, columns
        Of a tile or strip.
    bits
        Of a stored pixel: 32, or 24 (compression 34677).
    """

    codec_id = "manifestry.logluv"

    def __init__(self, rows: int, columns: int, bits: int) -> None:
        self.rows = positive_integer("rows", rows)
        self.columns = positive_integer("columns", columns)
        self.bits = int(bits)
        if self.bits not in (24, 32):
            raise ValueError(f"LogLuv of {bits} bits: must be 24 or 32")

    def decode_array(self, data: NDArray[np.uint8]) -> NDArray[Any]:
        """L, u' and v' as int16, ``(rows, columns, 3)``.

        Raises
        ------
        DecodeError
            The bytes are not those of a tile or strip.
        """
        return self._decode_32(data) if self.bits == 32 else self._decode_24(data)

    def _decode_32(self, data: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Rows of four run-length encoded planes of bytes: for libtiff two rows of LogL, L and the chromaticities."""
        tags = {_BITS: [16], _COMPRESSION: [_SGI_LOG], _PHOTOMETRIC: [_LOG_L], _SAMPLES: [1], _SAMPLE_FORMAT: [2]}
        logl = Libtiff(2 * self.rows, self.columns, {str(tag): values for tag, values in tags.items()})
        try:
            words = logl.decode_array(data).reshape(self.rows, 2, self.columns)
        except DecodeError as error:
            raise DecodeError(f"{self.codec_id}: {str(error).partition(': ')[2]}") from error
        steps = ((np.arange(256) + 0.5) * (1.0 / 410.0) * 32768).astype("i2")
        chroma = words[:, 1].view("u2")
        return np.stack([words[:, 0], steps[chroma >> 8], steps[chroma & 255]], axis=-1)

    def _decode_24(self, data: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Pixels of three bytes: ten bits of L, fourteen bits that number the squares of the (u', v') plane."""
        needed = 3 * self.rows * self.columns
        if len(data) != needed:
            raise DecodeError(f"{self.codec_id}: the chunk has {len(data)} bytes, {needed} are needed")
        octets = data.reshape(self.rows, self.columns, 3).astype("u4")
        words = octets[..., 0] << 16 | octets[..., 1] << 8 | octets[..., 2]
        luminance = (words >> 12 & 0xFFD) + 13314  # with one bit of the chromaticity in it, as libtiff has it
        return np.dstack([luminance.astype("i2"), _chromaticities()[words & 0x3FFF]])


@cache
def _chromaticities() -> NDArray[np.int16]:
    """U' and v' of the 16,384 numbers of squares, ``(16384, 2)``.

    libtiff knows where the rows of squares begin. Its XYZ, which is rounded to float32, says so to six digits.
    """
    side, rows, size, lowest = 16384, 163, float(np.float32(0.0035)), float(np.float32(0.01694))
    codes = np.arange(side, dtype="u4") | 512 << 14
    octets = np.stack([codes >> 16, codes >> 8, codes], axis=-1).astype("u1").tobytes()
    tags = {_WIDTH: [128], _LENGTH: [128], _BITS: [16] * 3, _COMPRESSION: [_SGI_LOG_24], _PHOTOMETRIC: [_LOG_LUV]}
    xyz = imagecodecs.tiff_decode(_file_of_one_strip(octets, {**tags, _SAMPLES: [3], _SAMPLE_FORMAT: [2] * 3}))
    x, y, z = xyz.reshape(-1, 3).astype("f8").T
    v = 12 / (4 * z / y + 4 / 3 * x / y + 20)
    u = 4 / 9 * v * x / y
    row = np.rint((v - lowest) / size - 0.5).astype("i8")
    squares = np.flatnonzero(np.append(True, np.diff(row)))
    begins, used = squares[:rows], squares[rows]  # the numbers above have the chromaticity of white
    place = np.arange(used) - np.repeat(begins, np.diff(np.append(begins, used)))
    first = np.round(u[begins] - 0.5 * size, 6).astype("f4").astype("f8")
    u[:used] = np.repeat(first, np.diff(np.append(begins, used))) + (place + 0.5) * size
    v[:used] = lowest + (row[:used] + 0.5) * size
    return (np.stack([u, v], axis=-1) * 32768).astype("i2")


def _plain(value: Any) -> Any:
    """An entry of the configuration as JSON: an integer, or a fraction of two."""
    return [int(part) for part in value] if isinstance(value, list | tuple) else int(value)


def _segments(stream: bytes) -> tuple[list[tuple[int, bytes]], int]:
    """Marker segments at the beginning of a JPEG stream, and where entropy-coded bytes follow a scan header, else 0."""
    found: list[tuple[int, bytes]] = []
    at = 2 if stream.startswith(_START) else 0
    while at + 4 <= len(stream) and stream[at] == 0xFF and stream[at + 1] >= 0xC0 and stream[at + 1] not in _ALONE:
        length = 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        found.append((stream[at + 1], stream[at : at + length]))
        at += length
        if found[-1][0] == _SCAN:
            return found, at
    return found, 0


def _file_of_one_strip(data: bytes, tags: Mapping[int, list[Any]], header: bytes = b"") -> bytes:
    """A little-endian TIFF file that has the bytes as its one strip, and `header` as JPEGInterchangeFormat."""
    out = bytearray(struct.pack("<2sHI", b"II", 42, 0))
    entries = {tag: values for tag, values in tags.items() if values}
    entries |= {_OFFSETS: [len(out)], _COUNTS: [len(data)], _ROWS_PER_STRIP: entries[_LENGTH]}
    out += data
    if header:
        entries |= {_JPEG_STREAM: [len(out)], _JPEG_LENGTH: [len(header)]}
        out += header
    fields = bytearray(struct.pack("<H", len(entries)))
    for tag, values in sorted(entries.items()):
        kind, raw = _field(tag, values)
        if len(raw) > 4:
            out += b"\0" * (len(out) % 2)
            raw, at = struct.pack("<I", len(out)), raw
            out += at
        fields += struct.pack("<HHI4s", tag, kind, len(values), raw)
    out += b"\0" * (len(out) % 2)
    struct.pack_into("<I", out, 4, len(out))
    return bytes(out + fields + bytes(4))


def _field(tag: int, values: list[Any]) -> tuple[int, bytes]:
    """Type and bytes of the values of a tag."""
    if isinstance(values[0], list):
        return _RATIONAL, b"".join(struct.pack("<II", *pair) for pair in values)
    if tag in (_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _SAMPLE_FORMAT, _SUBSAMPLING, _JPEG_PROCESS):
        return _SHORT, struct.pack(f"<{len(values)}H", *values)
    return _LONG, struct.pack(f"<{len(values)}I", *values)
