"""Where the data of each variable lies: fixed-size variables, and the records that interleave.

::

    data      = non_recs recs
    non_recs  = each fixed-size variable, contiguous from its begin
    recs      = numrecs times a slice of every record variable, each padded to four bytes

With exactly one record variable there is no padding between records. Source: NetCDF Classic Format Specification,
"data", and "Note on padding". Sizes are computed, never taken from ``vsize``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from manifestry.plugin import MalformedFileError

from manifestry_netcdf3.header import Header, Variable

__all__ = ["Extent", "Layout"]


@dataclass(frozen=True, slots=True)
class Extent:
    """The bytes of one variable.

    Attributes
    ----------
    shape
        Elements along each dimension; the number of records first, for a record variable.
    begin
        Byte offset of the first element.
    slice_bytes
        Bytes of one contiguous piece: a record of a record variable, all of a fixed-size one.
    record_bytes
        Bytes from one piece to the next; None for a fixed-size variable.
    """

    shape: tuple[int, ...]
    begin: int
    slice_bytes: int
    record_bytes: int | None

    @property
    def is_contiguous(self) -> bool:
        """Whether all elements follow each other without a gap."""
        return self.record_bytes is None or self.record_bytes == self.slice_bytes

    @property
    def end(self) -> int:
        """Byte offset after the last element."""
        if self.record_bytes is None:
            return self.begin + self.slice_bytes
        return self.begin + (self.shape[0] - 1) * self.record_bytes + self.slice_bytes if self.shape[0] else self.begin


class Layout:
    """The extents of all variables of a file.

    Parameters
    ----------
    header
        The parsed header.
    file_size
        Bytes of the file; decides the number of records in STREAMING files.

    Attributes
    ----------
    record_bytes
        Bytes from one record to the next.
    numrecs
        Number of records.

    Raises
    ------
    MalformedFileError
        More than one dimension has length 0, or two variables claim the same bytes.
    """

    def __init__(self, header: Header, file_size: int) -> None:
        self._header = header
        unlimited = [i for i, dimension in enumerate(header.dimensions) if dimension.length == 0]
        if len(unlimited) > 1:
            names = ", ".join(header.dimensions[i].name for i in unlimited)
            raise MalformedFileError(f"the record dimensions {names}: there must be one at most")
        self._record_dimension = unlimited[0] if unlimited else None
        self._pieces = [self._piece(variable) for variable in header.variables]
        sizes = [piece.size for piece in self._pieces if piece.is_record]
        self.record_bytes = sizes[0] if len(sizes) == 1 else sum(_padded_size(size) for size in sizes)
        if header.numrecs is not None:
            self.numrecs = header.numrecs
        elif self.record_bytes:
            start = min(v.begin for v, piece in zip(header.variables, self._pieces, strict=True) if piece.is_record)
            self.numrecs = max(0, file_size - start) // self.record_bytes
        else:
            self.numrecs = 0
        self._check_overlaps()

    def extent(self, index: int) -> Extent:
        """The bytes of the variable at `index` in the header.

        Raises
        ------
        MalformedFileError
            The record dimension is not the first one, or the data begins inside the header.
        """
        variable, piece = self._header.variables[index], self._pieces[index]
        if self._record_dimension in variable.dimids[1:]:
            raise MalformedFileError(
                f"variable {variable.name!r} has the record dimension in another place: must be the first"
            )
        if variable.begin < self._header.length:
            raise MalformedFileError(
                f"variable {variable.name!r} begins at byte {variable.begin}: must not begin inside the header"
                f" of {self._header.length} bytes"
            )
        if piece.is_record:
            return Extent((self.numrecs, *piece.shape), variable.begin, piece.size, self.record_bytes)
        return Extent(piece.shape, variable.begin, piece.size, None)

    def _check_overlaps(self) -> None:
        """Every byte belongs to one variable at most, as netCDF-C demands too."""
        spans: dict[bool, list[tuple[int, int, str]]] = {False: [], True: []}
        for variable, piece in zip(self._header.variables, self._pieces, strict=True):
            if piece.size:
                spans[piece.is_record].append((variable.begin, variable.begin + piece.size, variable.name))
        fixed, records = sorted(spans[False]), sorted(spans[True])
        if records and self.numrecs:
            start, end = records[0][0], max(stop for _, stop, _ in records)
            if end - start > self.record_bytes:
                raise MalformedFileError(
                    f"the first record goes from byte {start} to {end}: must not be longer than"
                    f" {self.record_bytes} bytes"
                )
            fixed = sorted([*fixed, (start, start + self.numrecs * self.record_bytes, "(the records)")])
            _check_disjoint(records)
        _check_disjoint(fixed)

    def _piece(self, variable: Variable) -> _Piece:
        ids = variable.dimids
        is_record = self._record_dimension is not None and ids[:1] == (self._record_dimension,)
        dimensions = self._header.dimensions
        shape = tuple([dimensions[i].length for i in (ids[1:] if is_record else ids)])
        return _Piece(shape, math.prod(shape) * variable.type.stored.itemsize, is_record)


class _Piece(NamedTuple):
    """What of a variable is contiguous: a record without the record dimension, or all of it; the size in bytes."""

    shape: tuple[int, ...]
    size: int
    is_record: bool


def _padded_size(size: int) -> int:
    return size + -size % 4


def _check_disjoint(spans: list[tuple[int, int, str]]) -> None:
    """Spans in ascending order: each begins where the one before has ended, or later."""
    for (_, end, one), (begin, _, other) in pairwise(spans):
        if begin < end:
            raise MalformedFileError(
                f"the bytes {begin} to {end} belong to both {one!r} and {other!r}: variables must not overlap"
            )
