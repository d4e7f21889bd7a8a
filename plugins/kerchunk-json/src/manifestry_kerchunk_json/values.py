"""References of one array as columns: ``[url]``, ``[url, offset, length]``, or the bytes themselves."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from manifestry import Limits
from manifestry.plugin import (
    INLINE,
    ArrayNode,
    LocationTable,
    MalformedFileError,
    ReferenceColumns,
    StoreRegistry,
    translated,
)
from numpy.typing import NDArray

from manifestry_kerchunk_json.reference import ABSENT, reference_of
from manifestry_kerchunk_json.sorting import OTHER, ArrayChunks, References
from manifestry_kerchunk_json.templates import Templates

__all__ = ["Reading"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the references of all arrays are read with.

    Attributes
    ----------
    references
        Those of the document.
    locations
        The file table that is made.
    stores
        For the sizes of files that are referred to as a whole.
    templates
        Values of the expressions in locations.
    target
        Location of references that have none.
    """

    references: References
    locations: LocationTable
    stores: StoreRegistry
    templates: Templates
    target: str
    limits: Limits

    def columns(self, node: ArrayNode, chunks: ArrayChunks) -> ReferenceColumns:
        """The columns of an array.

        Raises
        ------
        MalformedFileError
            A key or a reference is not as the specification says.
        SourceError
            A location is not allowed, or a file that is referred to as a whole is not there.
        """
        rows, where, grid = chunks.rows, node.path, node.metadata.grid_shape
        if not rows.size:
            none = np.empty(0, "u8")
            return ReferenceColumns(
                grid_shape=grid, positions=np.empty(0, "i8"), file_index=none.astype("u4"), offsets=none, lengths=none
            )
        positions = node.positions(chunks.keys, rows.size)
        all_which, all_starts, all_counts = self.references.columns()
        which, starts, counts = all_which[rows], all_starts[rows], all_counts[rows]
        odd = np.flatnonzero(which == OTHER)
        data = [_inline(self.references.others[row], where) for row in rows[odd].tolist()]
        sizes = np.fromiter(map(len, data), "i8", len(data))
        if int(sizes.sum()) > self.limits.max_metadata_bytes:
            raise MalformedFileError(
                f"{where}: has {int(sizes.sum())} bytes inline, more than the limit of {self.limits.max_metadata_bytes}"
            )
        if not sizes.all():
            raise MalformedFileError(f"{where}: an inline chunk has no bytes")
        starts[odd], counts[odd] = np.cumsum(sizes) - sizes, sizes
        self._resolve(which, starts, counts, where)
        return ReferenceColumns(
            grid_shape=grid,
            positions=positions,
            file_index=which,
            offsets=starts.astype("u8"),
            lengths=counts.astype("u8"),
            inline=b"".join(data),
        )

    def _resolve(
        self, which: NDArray[np.uint32], starts: NDArray[np.int64], counts: NDArray[np.int64], where: str
    ) -> None:
        """Rows of the file table instead of those of locations, and the ranges of whole files, in place."""
        used, inverse = np.unique(which, return_inverse=True)
        texts = list(self.references.locations)
        files = [int(INLINE) if row == OTHER else self._row(texts[row], where) for row in used.tolist()]
        which[:] = np.array(files, "u4")[inverse]
        whole = (starts == ABSENT) & (counts == ABSENT)
        wrong = ((starts < 0) | (counts <= 0)) & ~whole
        if bool(wrong.any()):
            at = int(np.argmax(wrong))
            raise MalformedFileError(
                f"{where}: a reference has the offset {starts[at]} and the length {counts[at]}; "
                "offsets must not be negative, and lengths must be positive"
            )
        if bool(whole.any()):
            needed, back = np.unique(which[whole], return_inverse=True)
            sizes = self.locations.sizes(needed.tolist(), self.stores)
            starts[whole], counts[whole] = 0, np.array(sizes, "i8")[back]

    def _row(self, text: str | None, where: str) -> int:
        if text and self.templates:
            text = self.templates.location(text)
        return self.locations.rows([_location(text, self.target, where)])[0]


def _location(text: Any, target: str, where: str) -> str:
    if text is None and target:
        return target
    if not isinstance(text, str) or not text:
        raise MalformedFileError(
            f"{where}: a reference has {text!r} in place of a URL; give the option target for those without one"
        )
    return text


def _inline(value: Any, where: str) -> bytes:
    """The bytes of a chunk that is in the document itself: base64, plain text, or JSON."""
    if isinstance(value, bytes | bytearray | memoryview):
        value = bytes(value)
        return _base64(value[7:], where) if value.startswith(b"base64:") else value
    if isinstance(value, str):
        with translated(UnicodeEncodeError, MalformedFileError, f"{where}: an inline chunk is not Unicode text"):
            data = value.encode("utf-8")
        return _base64(data[7:], where) if value.startswith("base64:") else data
    if isinstance(value, dict):
        return json.dumps(value).encode()
    if isinstance(value, list | tuple):
        reference_of(value, where)  # says what is wrong with it
    raise MalformedFileError(f"{where}: {type(value).__name__} is not a reference")


def _base64(text: bytes, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise MalformedFileError(f"{where}: an inline chunk is not valid base64: {error}") from error
