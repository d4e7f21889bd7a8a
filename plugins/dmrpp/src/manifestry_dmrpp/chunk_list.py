"""The chunks of one variable, collected as columns while the document is read."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Final

import numpy as np
from manifestry.errors import MalformedFileError
from numpy.typing import NDArray

__all__ = ["ChunkList"]

_BATCH: Final = 1 << 16
"""Positions are kept as text up to this number and then parsed together."""

_BRACKETS: Final = str.maketrans("", "", "[] \t\r\n")


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
        "_columns", "_parts", "_pending", "_rows", "chunk_sizes", "fault", "href_index", "hrefs", "is_block", "masks",
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
        self.masks = array("L")
        self._rows: dict[str, int] = {}
        self._pending: list[str] = []
        self._parts: list[NDArray[np.int64]] = []
        self._columns = -1

    def __len__(self) -> int:
        return len(self.offsets)

    def add(self, found: Mapping[str, str]) -> None:
        """Take the XML attributes of one ``chunk`` or ``block`` element.

        Raises
        ------
        MalformedFileError
            A number is missing or is none.
        """
        try:
            self.offsets.append(int(found["offset"]))
            self.sizes.append(int(found["nBytes"]))
        except (KeyError, ValueError, OverflowError) as error:
            raise MalformedFileError(f"a chunk without a byte range: {dict(found)}") from error
        position = found.get("chunkPositionInArray")
        if position is not None:
            self._pending.append(position)
            if len(self._pending) >= _BATCH:
                self._parse_positions()
        if len(found) > 3 or position is None:
            self._add_rare(found)
        elif self.hrefs:
            self.href_index.append(0)
        if self.masks and len(self.masks) < len(self.offsets):
            self.masks.append(0)

    def _add_rare(self, found: Mapping[str, str]) -> None:
        href = found.get("href")
        if href is not None and not self.hrefs:
            self.href_index = array("L", bytes(self.href_index.itemsize * (len(self.offsets) - 1)))
        if href is not None:
            row = self._rows.setdefault(href, len(self.hrefs))
            if row == len(self.hrefs):
                self.hrefs.append(href)
            self.href_index.append(row + 1)
        elif self.hrefs:
            self.href_index.append(0)
        mask = found.get("fm")
        if mask is not None:
            if not mask.strip().isdecimal() or int(mask) >= 1 << 32:
                raise MalformedFileError(f"a filter mask of {mask!r}")
            if not self.masks:
                self.masks = array("L", bytes(self.masks.itemsize * (len(self.offsets) - 1)))
            self.masks.append(int(mask))

    def _parse_positions(self) -> None:
        if not self._pending:
            return
        columns = self._pending[0].count(",") + 1
        text = ",".join(self._pending).translate(_BRACKETS)
        regular = all(p.count(",") == columns - 1 for p in self._pending) and self._columns in (-1, columns)
        if not regular or not text.replace(",", "").isdecimal() or not text.isascii():
            raise MalformedFileError("a chunk position that is no list of element coordinates")
        if ",," in text or text[0] == "," or text[-1] == ",":
            raise MalformedFileError("a chunk position with a coordinate missing")
        self._columns = columns
        self._parts.append(np.fromstring(text, np.int64, sep=",").reshape(-1, columns))
        self._pending.clear()

    def positions(self) -> NDArray[np.int64] | None:
        """Element coordinates of each chunk, shape ``(n, k)``; None where the chunks have none.

        Raises
        ------
        MalformedFileError
            They are no such lists, or some chunks have none.
        """
        self._parse_positions()
        if not self._parts:
            return None
        found = np.concatenate(self._parts) if len(self._parts) > 1 else self._parts[0]
        self._parts = [found]
        if len(found) != len(self):
            raise MalformedFileError(f"{len(self)} chunks, and {len(found)} of them have a position")
        return found
