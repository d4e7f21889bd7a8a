"""What elements of reference types point to (specification, section VIII.C, and "Reference Encoding").

HDF5 knows two encodings. That of 1.12 says in each element of which kind it is; elements of the older kinds are an address,
or the identifier of a heap object. Null references are zeros in both.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from manifestry.plugin import MalformedFileError, UnsupportedFeatureError

from manifestry_hdf5.structures.data_objects.datatype import ReferenceKind
from manifestry_hdf5.structures.encodings.dataspace_selection import Selection, parse_selection
from manifestry_hdf5.structures.encodings.selected_elements import selection_rank
from manifestry_hdf5.structures.fields import Fields
from manifestry_hdf5.structures.file_metadata.superblock import Superblock
from manifestry_hdf5.structures.infrastructure.global_heap import GlobalHeap

__all__ = ["Pointer", "Region", "check_address_size", "is_cut", "parse_reference"]

_NUMBER_BYTES: Final = 4
"""Of the number of an object in a heap collection, and of the length of a heap object in an element."""

_MEMORY_ADDRESS_BYTES: Final = 8
"""Of an address in memory."""

_IN_OTHER_FILE: Final = 0x01
_ADDRESS_BYTES: Final = (2, 4, 8)


class Region(NamedTuple):
    """A part of a dataset; `rank` is None where no dimensions are told, which only regions of all or no elements lack."""

    rank: int | None
    selection: Selection


class Pointer(NamedTuple):
    """What a reference points to.

    Attributes
    ----------
    address
        Of the object header.
    region
        Of a reference to a part of a dataset.
    attribute
        The name of a reference to an attribute of the object.
    file
        The name of the file that the object is in, None for the file of the reference.
    """

    address: int
    region: Region | None = None
    attribute: bytes | None = None
    file: bytes | None = None


def parse_reference(element: bytes, kind: ReferenceKind, superblock: Superblock, heap: GlobalHeap) -> Pointer | None:
    """What an element points to, None for a null reference.

    Parameters
    ----------
    kind
        That of the datatype; in the encoding of HDF5 1.12 each element says its own.

    Raises
    ------
    MalformedFileError
        It has another size than such elements have, contradicts itself, or its heap object is not there.
    UnsupportedFeatureError
        Its encoding is not known.
    """
    match kind:
        case ReferenceKind.OBJECT:
            check_address_size(len(element), superblock)
            return _pointer(int.from_bytes(element[: superblock.offset_size], "little"), superblock)
        case ReferenceKind.REGION:
            check_address_size(len(element) - _NUMBER_BYTES, superblock)
            return _old_region(element, superblock, heap)
    expected = 2 + 2 * _NUMBER_BYTES + superblock.offset_size
    if len(element) < expected:
        raise MalformedFileError(f"reference: {len(element)} bytes where {expected} or more are expected")
    return _new_reference(element, superblock, heap)


def check_address_size(size: int, superblock: Superblock) -> None:
    """Check the bytes of an element for its address.

    They are as many as addresses of the file have, or in sequences of variable length as many as libhdf5 has in memory,
    of which it writes only the first.

    Raises
    ------
    MalformedFileError
        They are neither.
    """
    expected = superblock.offset_size
    if size not in (expected, max(expected, _MEMORY_ADDRESS_BYTES)):
        raise MalformedFileError(f"reference: {size} bytes where an address of {expected} is expected")


def is_cut(kind: ReferenceKind, size: int, superblock: Superblock) -> bool:
    """Whether several elements in a row, with nothing between, are not those that were written.

    libhdf5 (up to 2.0 at least) copies them as it has them in memory, where they are longer than in a file with short
    addresses, and cuts off what they take more than the elements of the file.
    """
    own = superblock.offset_size + (_NUMBER_BYTES if kind is ReferenceKind.REGION else 0)
    old = kind in (ReferenceKind.OBJECT, ReferenceKind.REGION)
    return old and size == own and superblock.offset_size < _MEMORY_ADDRESS_BYTES


def _pointer(address: int, superblock: Superblock) -> Pointer | None:
    return None if address in (0, superblock.undefined) else Pointer(address)


def _heap_object(identifier: bytes, superblock: Superblock, heap: GlobalHeap) -> bytes | None:
    address = int.from_bytes(identifier[: superblock.offset_size], "little")
    return None if address in (0, superblock.undefined) else heap.object(identifier)


def _old_region(element: bytes, superblock: Superblock, heap: GlobalHeap) -> Pointer | None:
    data = _heap_object(element, superblock, heap)
    if data is None:
        return None
    fields = Fields(data, "region reference")
    pointer = _pointer(fields.take(superblock.offset_size), superblock)
    return pointer and pointer._replace(region=_region(fields, None))


def _region(fields: Fields, rank: int | None) -> Region:
    selection = parse_selection(fields, rank)
    return Region(selection_rank(selection) if rank is None else rank, selection)


def _new_reference(element: bytes, superblock: Superblock, heap: GlobalHeap) -> Pointer | None:
    fields = Fields(element, "reference")
    number, flags = fields.take(1), fields.take(1)
    if not number:
        if any(element[2 + _NUMBER_BYTES :][: superblock.offset_size]):
            raise MalformedFileError("reference: of no kind, but not null")
        return None
    if number not in (ReferenceKind.NEW_OBJECT, ReferenceKind.NEW_REGION, ReferenceKind.ATTRIBUTE):
        raise UnsupportedFeatureError(f"reference of kind {number} in the encoding of HDF5 1.12")
    if flags & ~_IN_OTHER_FILE:
        raise UnsupportedFeatureError(f"reference with the flags {flags:#x}")
    if number != ReferenceKind.NEW_OBJECT or flags:
        size = fields.take(_NUMBER_BYTES)
        data = _heap_object(fields.octets(superblock.offset_size + _NUMBER_BYTES), superblock, heap)
        if data is None or len(data) < size:
            raise MalformedFileError(f"reference: no heap object of {size} bytes")
        fields = Fields(data[:size], "reference")
    width = fields.take(1)
    if width not in _ADDRESS_BYTES if flags else width != superblock.offset_size:  # another file has its own
        raise UnsupportedFeatureError(f"reference to an object by {width} bytes that are no address")
    address = fields.take(width)
    if address in (0, (1 << 8 * width) - 1):
        return None
    pointer = Pointer(address)
    if flags:
        pointer = pointer._replace(file=_text(fields))
    if number == ReferenceKind.ATTRIBUTE:
        return pointer._replace(attribute=_text(fields))
    if number == ReferenceKind.NEW_REGION:
        length, rank = fields.take(4), fields.take(4)
        part = Fields(fields.octets(length), "region of a reference")
        return pointer._replace(region=_region(part, rank))
    return pointer


def _text(fields: Fields) -> bytes:
    return fields.octets(fields.take(2))
