"""The chunks of one variable, collected as columns while the document is read."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final

import numpy as np
from manifestry.plugin import MalformedFileError
from numpy.typing import NDArray

__all__ = ["ChunkList"]

_USUAL: Final = ("offset", "nBytes", "chunkPositionInArray")
"""The XML attributes that most chunks have, and no others."""


class ChunkList:
    """What a ``chunks`` element says, and its ``chunk`` and ``block`` elements.

    Parameters
    ----------
    properties
        XML attributes of the element by local name.

    Attributes
    ----------
    properties
        ``compressionType``, ``deflateLevel``, ``fillValue``, ``byteOrder``, ``structOffset``, ``LBChunk``.
    chunk_sizes
        Text of the last ``chunkDimensionSizes`` element, or None.
    offsets, sizes
        Byte ranges in the order of the document.
    is_block
        Whether the elements are linked blocks of HDF4.
    hrefs, href_index
        Distinct hrefs, and for each chunk its row plus one; 0 where the chunk has none. Empty when no chunk has one.
    masks
        Filter masks, empty when no chunk has one.
    fault
        What is wrong with the first chunk that could not be taken, or ``""``.
    """

    __slots__ = (
        "_columns", "_parts", "_rows", "_waiting", "chunk_sizes", "fault", "href_index", "hrefs", "is_block", "masks",
        "offsets", "properties", "sizes",
    )  # fmt: skip

    def __init__(self, properties: Mapping[str, str]) -> None:
        self.properties = dict(properties)
        self.chunk_sizes: str | None = None
        self.offsets = array("Q")
        self.sizes = array("Q")
        self.is_block = False
        self.fault = ""
        self.hrefs: list[str] = []
        self.href_index = array("L")
        self.masks = array("Q")
        self._rows: dict[str, int] = {}
        self._waiting: list[list[str]] = []
        self._parts: list[NDArray[np.int64]] = []
        self._columns = -1

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def waiting(self) -> list[list[str]]:
        """Names and values of the XML attributes, alternating, of chunks that `flush` has not seen; to be added to."""
        return self._waiting

    def flush(self) -> None:
        """Take the chunks that are waiting into the columns: most of them all at once."""
        rows = self._waiting
        if not rows or self.fault:
            rows.clear()
            return
        try:
            if not self._take_usual(rows):
                for row in rows:
                    self._take_any({name.rpartition(":")[2]: value for name, value in _pairs(row)})
        except MalformedFileError as error:
            self.fault = str(error)
        rows.clear()

    def _take_usual(self, rows: list[list[str]]) -> bool:
        """Take chunks that have the usual XML attributes in one order; False when some have not."""
        names = rows[0][0::2]
        if sorted(names) != sorted(_USUAL) or self.hrefs or self.masks:
            return False
        flat = list(chain.from_iterable(rows))
        if flat[0::2] != names * len(rows):
            return False
        offsets, sizes, positions = (flat[2 * names.index(name) + 1 :: 6] for name in _USUAL)
        self.offsets.extend(_parse_numbers(offsets))
        self.sizes.extend(_parse_numbers(sizes))
        self._take_positions(positions)
        return True

    def _take_any(self, values: Mapping[str, str]) -> None:
        """Take one chunk with whatever XML attributes it has, by their local names."""
        if "offset" not in values or "nBytes" not in values:
            raise MalformedFileError(f"a chunk with {dict(values)}: must have offset and nBytes")
        before = len(self)
        self.offsets.extend(_parse_numbers([values["offset"]]))
        self.sizes.extend(_parse_numbers([values["nBytes"]]))
        if "chunkPositionInArray" in values:
            self._take_positions([values["chunkPositionInArray"]])
        href, mask = values.get("href"), values.get("fm")
        if href is not None and not self.hrefs:
            self.href_index = array("L", [0]) * before
        if href is not None:
            row = self._rows.setdefault(href, len(self.hrefs))
            if row == len(self.hrefs):
                self.hrefs.append(href)
        if self.hrefs:
            self.href_index.append(0 if href is None else self._rows[href] + 1)
        if mask is not None and not self.masks:
            self.masks = array("Q", [0]) * before
        if mask is not None or self.masks:
            self.masks.extend(_parse_numbers([mask or "0"]))

    def _take_positions(self, texts: Sequence[str]) -> None:
        """Lists like ``[0,12]``, all of one length: their shape is compared as a whole before numbers are read."""
        columns = texts[0].count(",") + 1
        try:
            joined = "".join(texts).encode("ascii").translate(None, b" ")
        except UnicodeEncodeError:
            joined = b""
        shape = b"[" + b"," * (columns - 1) + b"]"
        gaps = (b"[,", b",,", b",]", b"[]")
        regular = joined.translate(None, b"0123456789") == shape * len(texts) and not any(gap in joined for gap in gaps)
        if not regular or self._columns not in (-1, columns):
            raise MalformedFileError(
                f"chunk positions such as {texts[0]!r}: must be lists of coordinates, all of one length"
            )
        self._columns = columns
        numbers = np.fromstring(joined[1:-1].replace(b"][", b",").decode(), np.int64, sep=",")
        self._parts.append(numbers.reshape(-1, columns))

    def shape(self, array_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Elements of a chunk along each dimension, as declared; without a declaration the whole array is one chunk.

        Raises
        ------
        MalformedFileError
            What is declared is not a chunk shape for an array of this shape.
        """
        if self.chunk_sizes is None:
            return tuple(max(1, n) for n in array_shape)
        texts = self.chunk_sizes.split()
        if not all(t.isascii() and t.isdecimal() and 0 < int(t) < 1 << 63 for t in texts):
            raise MalformedFileError(
                f"chunkDimensionSizes {self.chunk_sizes.strip()!r}: must be positive integers below 2**63"
            )
        if len(texts) != len(array_shape):
            raise MalformedFileError(
                f"chunkDimensionSizes {self.chunk_sizes.strip()!r}: must have one for each dimension of the"
                f" shape {array_shape}"
            )
        return tuple(map(int, texts))

    def positions(self) -> NDArray[np.int64] | None:
        """Element coordinates of each chunk, shape ``(n, k)``; None where the chunks have none.

        Raises
        ------
        MalformedFileError
            Some chunks have none.
        """
        if not self._parts:
            return None
        positions = np.concatenate(self._parts) if len(self._parts) > 1 else self._parts[0]
        self._parts = [positions]
        if len(positions) != len(self):
            raise MalformedFileError(f"{len(positions)} of {len(self)} chunks have a position: all must have one")
        return positions


def _pairs(row: Sequence[str]) -> zip[tuple[str, str]]:
    return zip(row[0::2], row[1::2], strict=True)


def _parse_numbers(texts: Sequence[str]) -> array[int]:
    joined = "".join(texts)
    if not joined.isascii() or not joined.isdecimal():
        raise MalformedFileError(f"offset, nBytes or fm of a chunk is {joined[:40]!r}: must be an integer")
    try:
        return array("Q", map(int, texts))
    except (ValueError, OverflowError) as error:
        raise MalformedFileError(f"offset, nBytes or fm of a chunk is not an integer below 2**64: {error}") from error
