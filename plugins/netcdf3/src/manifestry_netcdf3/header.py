"""The header, parsed by the grammar of the specification.

::

    header   = magic numrecs dim_list gatt_list var_list
    dim_list = ABSENT | NC_DIMENSION nelems [dim ...]     dim  = name dim_length
    att_list = ABSENT | NC_ATTRIBUTE nelems [attr ...]    attr = name nc_type nelems [values ...]
    var_list = ABSENT | NC_VARIABLE  nelems [var ...]     var  = name nelems [dimid ...] att_list nc_type vsize begin

Everything is big-endian and padded to four bytes. Counts and lengths take four bytes (CDF-5: eight), offsets four
(CDF-2 and CDF-5: eight). ``vsize`` is redundant, wrong for large variables, and never used.

Source: NetCDF Classic Format Specification, "The format in detail".
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from manifestry import Limits
from manifestry.plugin import MalformedFileError, Source, UnsupportedFeatureError

from manifestry_netcdf3.external_types import EXTERNAL_TYPES, NC_CHAR, ExternalType

__all__ = ["Dimension", "Header", "Variable", "read_header"]

_VERSIONS: Final = (1, 2, 5)
_NC_DIMENSION, _NC_VARIABLE, _NC_ATTRIBUTE = 0x0A, 0x0B, 0x0C
_GROWTH: Final = 4
"""A header longer than what was read makes the next request this many times as large."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """A dimension; `length` 0 marks the record dimension."""

    name: str
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A variable as the header declares it.

    Attributes
    ----------
    name
        Name, without trailing NUL bytes.
    dimids
        Indexes into the list of dimensions.
    attributes
        Typed attributes.
    type
        External type.
    begin
        Byte offset of the data in the file (of the first record of a record variable).
    """

    name: str
    dimids: tuple[int, ...]
    attributes: Mapping[str, Any]
    type: ExternalType
    begin: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The header of a file.

    Attributes
    ----------
    version
        1, 2 or 5.
    numrecs
        Number of records, or None for STREAMING: what the length of the file says.
    dimensions, attributes, variables
        The three lists.
    length
        Bytes of the header.
    """

    version: int
    numrecs: int | None
    dimensions: tuple[Dimension, ...]
    attributes: Mapping[str, Any]
    variables: tuple[Variable, ...]
    length: int


def read_header(source: Source, limits: Limits) -> Header:
    """Read and parse the header of a file, in one or a few requests.

    Raises
    ------
    MalformedFileError
        The header violates the grammar, claims more than the file can hold, or is cut off.
    UnsupportedFeatureError
        The header is larger, or declares more variables, than `limits` allow.
    """
    return _HeaderReader(source, limits).header()


class _HeaderReader:
    """A cursor over the header that fetches more of the file when it gets to the end of what it has.

    Headers have tens of thousands of small items: what is read most, `_name` and `_attribute`, reads ahead in place.
    Everything begins at a multiple of four bytes.
    """

    def __init__(self, source: Source, limits: Limits) -> None:
        self._source = source
        self._limits = limits
        self._data = source.head()
        self._at = 0
        self._set_widths(4, 4)

    def _set_widths(self, count: int, offset: int) -> None:
        self._count_bytes, self._offset_bytes = count, offset
        letter = {4: "I", 8: "Q"}[count]
        self._read_count = struct.Struct(f">{letter}").unpack_from
        self._read_type_and_count = struct.Struct(f">I{letter}").unpack_from

    def header(self) -> Header:
        """``header = magic numrecs dim_list gatt_list var_list``."""
        magic = self._padded_bytes(4)
        version = magic[3]
        if magic[:3] != b"CDF" or version not in _VERSIONS:
            raise MalformedFileError(
                f"{self._source.url}: not a netCDF classic file: it begins with {magic.hex(' ')}, expected 43 44 46 and"
                " version 1, 2 or 5"
            )
        self._set_widths(8 if version == 5 else 4, 4 if version == 1 else 8)
        numrecs = self._count()
        streaming = numrecs == (1 << 8 * self._count_bytes) - 1
        dimensions = tuple(self._dimension() for _ in range(self._list(_NC_DIMENSION, 2 * self._count_bytes)))
        attributes = self._attributes()
        variables = tuple(self._variable(len(dimensions)) for _ in range(self._variable_count()))
        return Header(
            version=version,
            numrecs=None if streaming else numrecs,
            dimensions=dimensions,
            attributes=attributes,
            variables=variables,
            length=self._at,
        )

    def _dimension(self) -> Dimension:
        return Dimension(self._name(), self._count())

    def _attributes(self) -> dict[str, Any]:
        count = self._list(_NC_ATTRIBUTE, 2 * self._count_bytes + 4)
        attribute = self._attribute
        return dict([attribute() for _ in range(count)])

    def _attribute(self) -> tuple[str, Any]:
        name = self._name()
        start = self._at + 4 + self._count_bytes
        if start > len(self._data):
            self._fetch(start)
        code, count = self._read_type_and_count(self._data, self._at)
        external = EXTERNAL_TYPES.get(code) or self._type(code, name)
        end = start + count * external.stored.itemsize
        if end > len(self._data):
            self._fetch(end)
        data = self._data[start:end]
        self._at = end + 3 & -4
        if code == NC_CHAR:
            return name, _text(data.rstrip(b"\0"))
        values = np.frombuffer(data, external.stored).astype(external.native)
        return name, values[0] if values.size == 1 else values

    def _variable_count(self) -> int:
        count = self._list(_NC_VARIABLE, 4 * self._count_bytes + 8 + self._offset_bytes)
        if count > self._limits.max_arrays:
            raise UnsupportedFeatureError(
                f"{count} variables", self._source.url, f"the limit is {self._limits.max_arrays} (limits.max_arrays)"
            )
        return count

    def _variable(self, dimensions: int) -> Variable:
        name = self._name()
        rank = self._count()
        self._check_fits(rank, self._count_bytes, f"the dimension ids of variable {name!r}")
        dimids = tuple([self._count() for _ in range(rank)])
        if dimids and max(dimids) >= dimensions:
            raise self._error(
                f"variable {name!r} has the dimension ids {dimids}: must be less than {dimensions}, the number of"
                " dimensions"
            )
        attributes = self._attributes()
        external = self._type(self._number(4), name)
        self._count()  # vsize: redundant, and wrong where it does not fit
        begin = self._number(self._offset_bytes)
        return Variable(name=name, dimids=dimids, attributes=attributes, type=external, begin=begin)

    def _list(self, tag: int, item_bytes: int) -> int:
        """The number of items of a list, whose every item takes at least `item_bytes` in the header."""
        at = self._at
        stored, count = self._number(4), self._count()
        if stored != tag and (stored, count) != (0, 0):
            raise self._error(
                f"the list at byte {at} has the tag {stored:#x} and {count} items: the tag must be {tag:#x}"
            )
        self._check_fits(count, item_bytes, f"the list at byte {at}")
        return count

    def _check_fits(self, count: int, item_bytes: int, what: str) -> None:
        if count * item_bytes > self._source.size - self._at:
            raise self._error(f"{what}: {count} items are more than the rest of the file can hold")

    def _type(self, code: int, name: str) -> ExternalType:
        if code not in EXTERNAL_TYPES:
            raise self._error(f"{name!r} has the unknown nc_type {code}")
        return EXTERNAL_TYPES[code]

    def _name(self) -> str:
        """``name = nelems namestring``; netCDF-C ends it at the first NUL."""
        start = self._at + self._count_bytes
        if start > len(self._data):
            self._fetch(start)
        end = start + self._read_count(self._data, self._at)[0]
        if end > len(self._data):
            self._fetch(end)
        data = self._data[start:end]
        self._at = end + 3 & -4
        return _text(data.partition(b"\0")[0] if b"\0" in data else data)

    def _count(self) -> int:
        end = self._at + self._count_bytes
        if end > len(self._data):
            self._fetch(end)
        number: int = self._read_count(self._data, self._at)[0]
        self._at = end
        return number

    def _number(self, size: int) -> int:
        end = self._at + size
        if end > len(self._data):
            self._fetch(end)
        number = int.from_bytes(self._data[self._at : end], "big")
        self._at = end
        return number

    def _padded_bytes(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            self._fetch(end)
        data = self._data[self._at : end]
        self._at = end + 3 & -4
        return data

    def _fetch(self, end: int) -> None:
        have, size = len(self._data), self._source.size
        if end > size:
            raise self._error(f"the header is cut off: it goes on to byte {end} at least, the file has {size}")
        if end > self._limits.max_metadata_bytes:
            limit = self._limits.max_metadata_bytes
            raise UnsupportedFeatureError(
                f"a header of more than {limit} bytes", self._source.url, "raise limits.max_metadata_bytes"
            )
        self._data += self._source.range(have, min(size, max(end, _GROWTH * have)))

    def _error(self, message: str) -> MalformedFileError:
        return MalformedFileError(f"{self._source.url}: {message}")


def _text(data: bytes) -> str:
    """Names and text attributes: UTF-8, in old files Latin-1."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
