"""Data layout message: where the elements of a dataset are, versions 1 to 5 (specification, section IV.A.2.i)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from manifestry.plugin import MalformedFileError, UnsupportedFeatureError

from manifestry_hdf5.structures.fields import Fields
from manifestry_hdf5.structures.file_metadata.superblock import Superblock

__all__ = [
    "LAYOUT_MESSAGE",
    "ChunkIndex",
    "ChunkLayout",
    "CompactLayout",
    "ContiguousLayout",
    "Layout",
    "LayoutClass",
    "VirtualLayout",
    "parse_layout",
]

LAYOUT_MESSAGE: Final = 0x08
_EDGES_UNFILTERED: Final = 0x01
_SINGLE_FILTERED: Final = 0x02


class LayoutClass(IntEnum):
    """Where the elements of a dataset are."""

    COMPACT = 0
    CONTIGUOUS = 1
    CHUNKED = 2
    VIRTUAL = 3


class ChunkIndex(IntEnum):
    """How the chunks of a dataset are found."""

    BTREE_V1 = 0
    SINGLE = 1
    IMPLICIT = 2
    FIXED_ARRAY = 3
    EXTENSIBLE_ARRAY = 4
    BTREE_V2 = 5


_PARAMETERS: Final = {ChunkIndex.FIXED_ARRAY: 1, ChunkIndex.EXTENSIBLE_ARRAY: 5, ChunkIndex.BTREE_V2: 6}
"""Bytes of creation parameters before the address of the index; the index repeats those that matter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkLayout:
    """Where the chunk index of a dataset is.

    Attributes
    ----------
    index
        Its type.
    address
        Where it begins (of the chunk itself for `SINGLE`, of the first for `IMPLICIT`); None when nothing is stored.
    chunk_shape
        Elements along each dimension of a chunk.
    element_size
        Bytes of an element before filters.
    edges_unfiltered
        Whether the chunks that reach over the upper edges were stored without filters.
    single_size, single_mask
        Stored bytes and filter mask of a filtered single chunk.
    """

    index: ChunkIndex
    address: int | None
    chunk_shape: tuple[int, ...]
    element_size: int
    edges_unfiltered: bool = False
    single_size: int | None = None
    single_mask: int = 0

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk before filters."""
        size = self.element_size
        for n in self.chunk_shape:
            size *= n
        return size


@dataclass(frozen=True, slots=True)
class CompactLayout:
    """Elements in the message itself."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ContiguousLayout:
    """Elements in one run of bytes: its address, None where nothing is stored, and its length, None where none is said."""

    address: int | None
    size: int | None


@dataclass(frozen=True, slots=True)
class VirtualLayout:
    """Elements of other datasets: the global heap ID of the mappings, None where there are none."""

    mappings: bytes | None


type Layout = CompactLayout | ContiguousLayout | ChunkLayout | VirtualLayout
"""Where the elements of a dataset are."""


def parse_layout(message: bytes, superblock: Superblock) -> Layout:
    """What a data layout message says, versions 1 to 5.

    Raises
    ------
    MalformedFileError
        It is too short, or contradicts itself.
    UnsupportedFeatureError
        Its version or its index is not known.
    """
    fields = Fields(message, "data layout message")
    version = fields.take(1)
    if version in (1, 2):
        return _version_1(fields, superblock)
    if version not in (3, 4, 5):
        raise UnsupportedFeatureError(f"data layout message of version {version}")
    layout = fields.take(1)
    if layout == LayoutClass.COMPACT:
        return CompactLayout(fields.octets(fields.take(2)))
    if layout == LayoutClass.CONTIGUOUS:
        return ContiguousLayout(_address(fields, superblock), fields.take(superblock.length_size))
    if layout == LayoutClass.VIRTUAL and version >= 4:
        identifier = fields.octets(superblock.offset_size + 4)
        undefined = identifier.startswith(b"\xff" * superblock.offset_size)
        return VirtualLayout(None if undefined else identifier)
    if layout != LayoutClass.CHUNKED:
        raise MalformedFileError(f"data layout message: class {layout} of version {version} does not exist")
    if version >= 4:
        return _version_4(fields, superblock)
    ndim = fields.take(1)
    return _chunks_by_btree(fields, ndim, _address(fields, superblock))


def _version_1(fields: Fields, superblock: Superblock) -> Layout:
    """Versions 1 and 2, which repeat the dimensions of the dataspace where there are no chunks."""
    ndim, layout = fields.take(1), fields.take(1)
    fields.skip(5)
    if layout == LayoutClass.COMPACT:
        fields.skip(4 * ndim)
        return CompactLayout(fields.octets(fields.take(4)))
    address = _address(fields, superblock)
    if layout == LayoutClass.CONTIGUOUS:
        return ContiguousLayout(address, None)
    if layout != LayoutClass.CHUNKED:
        raise MalformedFileError(f"data layout message: class {layout} of version 1 or 2 does not exist")
    return _chunks_by_btree(fields, ndim, address)


def _chunks_by_btree(fields: Fields, ndim: int, address: int | None) -> ChunkLayout:
    chunk_shape, element_size = _dimensions(struct.unpack(f"<{ndim}I", fields.octets(4 * ndim)))
    return ChunkLayout(index=ChunkIndex.BTREE_V1, address=address, chunk_shape=chunk_shape, element_size=element_size)


def _version_4(fields: Fields, superblock: Superblock) -> ChunkLayout:
    flags, ndim, width = fields.take(1), fields.take(1), fields.take(1)
    dims = [fields.take(width) for _ in range(ndim)]
    number = fields.take(1)
    if number not in (1, 2, 3, 4, 5):
        raise UnsupportedFeatureError(f"chunk index of type {number}")
    index = ChunkIndex(number)
    size, mask = None, 0
    if index is ChunkIndex.SINGLE and flags & _SINGLE_FILTERED:
        size, mask = fields.take(superblock.length_size), fields.take(4)
    fields.skip(_PARAMETERS.get(index, 0))
    address = _address(fields, superblock)
    chunk_shape, element_size = _dimensions(dims)
    return ChunkLayout(
        index=index,
        address=address,
        chunk_shape=chunk_shape,
        element_size=element_size,
        edges_unfiltered=bool(flags & _EDGES_UNFILTERED),
        single_size=size,
        single_mask=mask,
    )


def _address(fields: Fields, superblock: Superblock) -> int | None:
    address = fields.take(superblock.offset_size)
    if address == superblock.undefined:
        return None
    if address >> 63:
        raise MalformedFileError(f"data layout message: data at {address:#x}, which no file reaches")
    return address


def _dimensions(dims: Sequence[int]) -> tuple[tuple[int, ...], int]:
    """The shape of a chunk and the bytes of an element, which the message lists last."""
    if len(dims) < 2 or not all(dims):
        raise MalformedFileError(
            f"data layout message: chunk dimensions {list(dims)} where two or more above 0 are expected"
        )
    return tuple(dims[:-1]), dims[-1]
