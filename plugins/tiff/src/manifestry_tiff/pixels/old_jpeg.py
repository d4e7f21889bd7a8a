"""Old-style JPEG (compression 6, TIFF 6.0 section 22): the header of its streams, of which tags hold the parts.

There are three forms. The whole stream is in JPEGInterchangeFormat, or in the one strip or tile; its header is there and
entropy-coded bytes are in strips or tiles, each of them as between two restart markers; or the tables alone are in the
file, at the offsets that tags 519 to 521 say. Pixels are those of libtiff, and so of GDAL.
"""

from __future__ import annotations

import base64
import math
import struct
from typing import Final

from manifestry.plugin import UnsupportedFeatureError

from manifestry_tiff.pixels.libtiff import libtiff_codec
from manifestry_tiff.pixels.schemes import ImageScheme
from manifestry_tiff.structure.image import Image
from manifestry_tiff.structure.stream_headers import JpegHeader, interchange_stream, read_jpeg_header
from manifestry_tiff.structure.tags import Photometric, Tag

__all__ = ["old_jpeg"]

_BASELINE: Final = 1
_COMPONENTS: Final = 3
"""GDAL does not read grey images of this compression."""
_Q_TABLE, _HUFFMAN_TABLE, _RESTART, _SCAN = 0xDB, 0xC4, 0xDD, 0xDA
_FRAMES: Final = (0xC0, 0xC1)
_BLOCK: Final = 8
_Q_TABLE_BYTES, _CODE_LENGTHS = 64, 16
_ADVICE: Final = "convert the file with gdal_translate, and compare with what it shows"


def old_jpeg(image: Image) -> ImageScheme:
    """The scheme of an image in old-style JPEG.

    Raises
    ------
    UnsupportedFeatureError
        Its parts do not make streams that can be decoded one by one, or libtiff does not decode it.
    """
    process = image.directory.integer(Tag.JPEG_PROCESS, _BASELINE)
    if process != _BASELINE:
        raise _refused(image, f"of process {process}")
    colour = (Photometric.YCBCR, Photometric.RGB)
    known = image.photometric in colour or Tag.PHOTOMETRIC_INTERPRETATION not in image.directory
    if image.samples != _COMPONENTS or not known or image.planar or image.bits != _BLOCK:
        raise _refused(image, f"of {image.samples} components of {image.bits} bits, photometric {image.photometric}")
    header = _header(image)
    _check_frame(image, header)
    several = math.prod(image.grid) > 1
    complete = header.is_stream and not several
    text = "" if complete else base64.b64encode(_header_bytes(image, header, several=several)).decode()
    return ImageScheme(codec=libtiff_codec(image, Photometric.YCBCR, text), library="", lossless=())


def _refused(image: Image, what: str) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(f"old-style JPEG (compression 6) {what}", image.label, _ADVICE)


def _header(image: Image) -> JpegHeader:
    """The marker segments in front of the entropy-coded bytes, from wherever they are."""
    directory, several = image.directory, math.prod(image.grid) > 1
    stream = interchange_stream(directory)
    found = JpegHeader((), 0) if stream is None else read_jpeg_header(directory.file, *stream)
    if stream is not None and found.data and found.data < stream[1]:
        if several:
            raise _refused(image, "with all strips or tiles in one stream")
        if _first_place(image) not in (stream[0], found.data):
            raise _refused(image, "with a stream and a strip at different places")
        return found
    if _SCAN not in found.markers:
        own = _first_header(image)
        if several and set(_FRAMES) & set(own.markers):
            raise _refused(image, "with a stream for each strip or tile")
        # The stream is complete where all of its header is in front of the data.
        found = JpegHeader((*found.segments, *own.segments), own.data if not found.segments else 0)
    if not set(_FRAMES) & set(found.markers) and Tag.JPEG_Q_TABLES in directory:
        scan = tuple((marker, body) for marker, body in found.segments if marker == _SCAN)
        return _header_of_tables(image, scan)
    return found


def _first_header(image: Image) -> JpegHeader:
    """What the first strip or tile begins with."""
    file = image.directory.file
    return read_jpeg_header(file, _first_place(image), file.size)


def _first_place(image: Image) -> int:
    """Where the first strip or tile is, 0 where no tag says so."""
    places = image.directory.numbers(Tag.TILE_OFFSETS if image.tiled else Tag.STRIP_OFFSETS)
    return 0 if places is None or not places.size else int(places[0])


def _header_of_tables(image: Image, scan: tuple[tuple[int, bytes], ...]) -> JpegHeader:
    """Tables at the offsets that tags say, with a frame made of the tags, and a scan too where none is in the file."""
    segments = [
        *((_Q_TABLE, bytes([i]) + table) for i, table in enumerate(_tables(image, Tag.JPEG_Q_TABLES))),
        *((_HUFFMAN_TABLE, bytes([i]) + table) for i, table in enumerate(_tables(image, Tag.JPEG_DC_TABLES))),
        *((_HUFFMAN_TABLE, bytes([16 + i]) + table) for i, table in enumerate(_tables(image, Tag.JPEG_AC_TABLES))),
    ]
    across, down = image.subsampling
    factors = [across << 4 | down, 17, 17]
    components = b"".join(bytes([i + 1, factor, i]) for i, factor in enumerate(factors))
    selectors = b"".join(bytes([i + 1, i * 17]) for i in range(image.samples))
    size = (image.segment_length, image.segment_width)
    frame = struct.pack(">BHHB", _BLOCK, *size, image.samples) + components
    segments += [(_FRAMES[0], frame), (_SCAN, bytes([image.samples]) + selectors + bytes([0, 63, 0]))]
    made = [(marker, struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body) for marker, body in segments]
    return JpegHeader((*made[:-1], *(scan or made[-1:])), 0)


def _tables(image: Image, tag: Tag) -> list[bytes]:
    """The table of every component. A Huffman table says by its first 16 bytes how many codes follow."""
    file, places = image.directory.file, image.directory.integers(tag)
    if len(places) != image.samples:
        raise image.directory.tag_error(tag, f"{len(places)} offsets: must be {image.samples}")
    tables = []
    for place in places:
        size = _Q_TABLE_BYTES if tag == Tag.JPEG_Q_TABLES else _CODE_LENGTHS
        table = file.read(place, size) if 0 < place < file.size else b""
        if tag != Tag.JPEG_Q_TABLES:
            size += sum(table)
            table = file.read(place, size) if table else b""
        if len(table) < size:
            raise image.directory.tag_error(tag, f"{place}: a table of {size} bytes must lie inside the file")
        tables.append(table)
    return tables


def _check_frame(image: Image, header: JpegHeader) -> None:
    """Whether libtiff decodes streams with this header, each by itself."""
    frame = next((body[4:] for marker, body in header.segments if marker in _FRAMES), b"")
    if _SCAN not in header.markers or len(frame) < 6 + 3 * image.samples:
        raise _refused(image, "without the header of a baseline JPEG")
    rows, columns, components = struct.unpack_from(">HHB", frame, 1)
    factors = [frame[7 + 3 * i] for i in range(components)] if components == image.samples else []
    across, down = (factors[0] >> 4, factors[0] & 15) if factors else (0, 0)
    if across not in (1, 2, 4) or down not in (1, 2, 4) or any(factor != 17 for factor in factors[1:]):
        raise _refused(image, f"of {components} components with other resolutions than libtiff decodes")
    width, length = _BLOCK * across, _BLOCK * down
    lengthwise, crosswise = image.grid
    several = lengthwise * crosswise > 1
    uneven = (lengthwise > 1 and image.segment_length % length) or (crosswise > 1 and image.segment_width % width)
    # The last strip has the blocks that its rows need, no others can be put behind them.
    last = image.short_rows or image.segment_length
    if uneven or -(-last // length) != -(-image.segment_length // length):
        raise _refused(
            image, f"in strips of {image.segment_length} rows, the last of {last}, with blocks of {length} rows"
        )
    sizes = [(image.segment_length, image.segment_width)] + [(image.length, image.width)] * (
        not header.is_stream or several
    )
    if (rows, columns) not in sizes:
        raise _refused(image, f"of {rows} x {columns} pixels in an image of {image.length} x {image.width}")
    interval = image.directory.integer(Tag.JPEG_RESTART_INTERVAL, 0)
    if several and interval not in (
        0,
        image.segment_length // length * -(-image.segment_width // width),
    ):
        raise _refused(image, f"with restart markers after {interval} blocks, within strips or tiles")


def _header_bytes(image: Image, header: JpegHeader, *, several: bool) -> bytes:
    """The header of a stream of the size of a tile or strip."""
    size = struct.pack(">HH", image.segment_length, image.segment_width)
    kept: list[bytes] = []
    for marker, body in header.segments:
        if marker in _FRAMES:
            kept.append(body[:5] + size + body[9:])
        elif marker in (_Q_TABLE, _HUFFMAN_TABLE, _SCAN) or (marker == _RESTART and not several):
            kept.append(body)
    interval = image.directory.integer(Tag.JPEG_RESTART_INTERVAL, 0)
    if interval and not several and _RESTART not in header.markers:
        kept.insert(0, struct.pack(">BBHH", 0xFF, _RESTART, 4, interval))
    return b"\xff\xd8" + b"".join(kept)
