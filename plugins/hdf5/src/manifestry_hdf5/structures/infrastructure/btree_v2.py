"""Version 2 B-tree (specification, section III.A.2), and those of chunks, with records of type 10 and 11."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from manifestry.plugin import MalformedFileError
from numpy.typing import NDArray

from manifestry_hdf5.structures.batched_reads import Blocks, IndexReader
from manifestry_hdf5.structures.checksum import check_blocks
from manifestry_hdf5.structures.fields import integers
from manifestry_hdf5.structures.file_metadata.superblock import Superblock
from manifestry_hdf5.structures.infrastructure.btree_v1 import BATCH, Leaves

__all__ = ["Header", "Level", "read_btree_v2", "read_btree_v2_records", "walk_btree_v2"]

_UNFILTERED: Final = 10
_FILTERED: Final = 11
_PREFIX: Final = 6  # signature, version, record type
_CHECKSUM: Final = 4
_MAX_NODE_BYTES: Final = 1 << 20
"""libhdf5's are of 512 and 2048 bytes."""
_MAX_DEPTH: Final = 64
"""Levels above the leaves: even two children in a node make more records than there can be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The header of a tree."""

    kind: int
    node_size: int
    record_size: int
    depth: int
    root: int
    root_records: int
    total: int


class Level[T](NamedTuple):
    """What was made of the records of all nodes on one level, in parts, and how many each node has."""

    parts: list[T]
    counts: NDArray[np.int64]


def read_btree_v2(
    superblock: Superblock, address: int, ndim: int, chunk_bytes: int, max_chunks: int
) -> IndexReader[list[Level[Leaves]]]:
    """The records of all nodes of the B-tree of chunks at an address, level by level; coordinates count chunks.

    Raises
    ------
    MalformedFileError
        A node is not a node or damaged, is listed twice, or there are more chunks than allowed.
    """
    o = superblock.offset_size
    sizes = {_UNFILTERED: (o + 8 * ndim,), _FILTERED: range(o + 8 * ndim + 5, 1 << 16)}

    def take(header: Header, records: NDArray[np.uint8]) -> Leaves:
        return _leaves(header, records, superblock, ndim, chunk_bytes)

    return (yield from walk_btree_v2(superblock, address, sizes, take, max_chunks))


def read_btree_v2_records(
    superblock: Superblock, address: int, number: int, size: int
) -> IndexReader[NDArray[np.uint8]]:
    """All records of the B-tree at an address, whose records are of a type and have `size` bytes: ``(n, size)``.

    Raises
    ------
    MalformedFileError
        As `walk_btree_v2`.
    """

    def take(_: Header, records: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return records

    levels = yield from walk_btree_v2(superblock, address, {number: (size,)}, take, superblock.size)
    return np.concatenate([np.empty((0, size), "u1"), *(part for level in levels for part in level.parts)])


def walk_btree_v2[T](
    superblock: Superblock,
    address: int,
    record_sizes: Mapping[int, Container[int]],
    take: Callable[[Header, NDArray[np.uint8]], T],
    max_nodes: int,
) -> IndexReader[list[Level[T]]]:
    """All nodes of the B-tree at an address, from the root down.

    Parameters
    ----------
    record_sizes
        By the types that the tree may have, the bytes that a record may take.
    take
        Makes something of the records of some nodes, ``(n, record size)``.

    Raises
    ------
    MalformedFileError
        A node is not a node or damaged, is listed twice, does not have as many records as its parent says, or there are
        too many.
    """
    start = superblock.place(address, "version 2 B-tree")
    length = 16 + superblock.offset_size + 2 + superblock.length_size + _CHECKSUM
    [data] = yield [Blocks(np.array([start], "i8"), length)]
    header = _read_header(data, superblock, start, record_sizes)
    tree, levels = _RecordCounts(f"version 2 B-tree at {address:#x}"), []
    if header.root == superblock.undefined:
        tree.check(header.total if not header.root_records else -1)
        return []
    widths = _pointer_widths(header, superblock)
    nodes = np.array([superblock.place(header.root, "version 2 B-tree node", header.node_size)], "i8")
    counts = np.array([header.root_records], "i8")
    for depth in range(header.depth, -1, -1):
        children, parts = [], []
        for first in range(0, len(nodes), BATCH):
            batch, used = nodes[first : first + BATCH], counts[first : first + BATCH]
            [data] = yield [Blocks(batch, header.node_size)]
            _check_nodes(data, batch, used, header, widths[depth][1])
            parts.append(take(header, _records(data, used, header.record_size)))
            if depth:
                children.append(_children(data, used, header, superblock.offset_size, widths[depth]))
        levels.append(Level(parts, counts))
        pointers = np.concatenate(children) if depth else np.empty((0, 3), "i8")
        tree.add(counts, pointers[:, 2])
        if depth:
            nodes, counts = superblock.base + pointers[:, 0], pointers[:, 1]
            if (
                len(nodes) > min(max_nodes, superblock.size // header.node_size)
                or len(np.unique(nodes)) != len(nodes)
                or int(nodes.min(initial=0)) < 0
            ):
                raise MalformedFileError(f"{tree.name}: a node is listed twice, or there are too many nodes")
    tree.check(header.total)
    return levels


class _RecordCounts:
    """The numbers of records in a tree, and what is said of them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._levels: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []

    def add(self, counts: NDArray[np.int64], totals: NDArray[np.int64]) -> None:
        """The records in each node of a level, and those that are said to be in and below each child; -1 for unsaid."""
        self._levels.append((counts, totals))

    def check(self, total: int) -> None:
        """Compare what is said of all records with what there is.

        Raises
        ------
        MalformedFileError
            It differs.
        """
        below = np.zeros(0, "i8")
        for counts, totals in reversed(self._levels):
            right, sums = True, counts
            if len(below):
                right = bool(((totals == below) | (totals < 0)).all())
                sums = counts + np.add.reduceat(below, np.cumsum(counts + 1) - (counts + 1))
            if not right:
                raise MalformedFileError(f"{self.name}: it does not have as many records as it says")
            below = sums
        if int(below.sum()) != total:
            raise MalformedFileError(f"{self.name}: it does not have as many records as it says")


def _read_header(
    data: NDArray[np.uint8], superblock: Superblock, start: int, record_sizes: Mapping[int, Container[int]]
) -> Header:
    octets = data[0].tobytes()
    if octets[:5] != b"BTHD\0" or octets[5] not in record_sizes:
        raise MalformedFileError(f"version 2 B-tree header at byte {start}: not a tree of the expected kind")
    check_blocks(data, len(octets) - _CHECKSUM, np.array([start]), "version 2 B-tree header")
    o = superblock.offset_size

    def number(at: int, size: int) -> int:
        return int.from_bytes(octets[at : at + size], "little")

    header = Header(
        kind=octets[5],
        node_size=number(6, 4),
        record_size=number(10, 2),
        depth=number(12, 2),
        root=number(16, o),
        root_records=number(16 + o, 2),
        total=number(18 + o, superblock.length_size),
    )
    if header.record_size not in record_sizes[header.kind] or not (
        _PREFIX + _CHECKSUM + header.record_size <= header.node_size <= _MAX_NODE_BYTES
    ):
        raise MalformedFileError(
            f"version 2 B-tree header at byte {start}: records of {header.record_size} bytes do not fit its "
            f"type or its nodes of {header.node_size} bytes"
        )
    if header.depth > _MAX_DEPTH or not 0 < octets[15] < octets[14] <= 100 or header.total >> 62:
        raise MalformedFileError(f"version 2 B-tree header at byte {start}: impossible parameters")
    return header


def _pointer_widths(header: Header, superblock: Superblock) -> list[tuple[int, int]]:
    """For each depth, the bytes of a child's record count and of a whole child pointer.

    Counts take as many bytes as the largest possible one needs; pointers of depth 2 and more also hold a total.
    """
    room = header.node_size - _PREFIX - _CHECKSUM
    entries = room // header.record_size  # at most, in a node
    count = total_width = _octets(entries)
    total = entries
    widths = [(count, 0)]
    for depth in range(1, header.depth + 1):
        pointer = superblock.offset_size + count + (total_width if depth > 1 else 0)
        widths.append((count, pointer))
        entries = (room - pointer) // (header.record_size + pointer)
        if entries < 1:
            raise MalformedFileError("version 2 B-tree header: its nodes are too small for their pointers")
        total = (entries + 1) * total + entries
        total_width = _octets(total)
    return widths


def _octets(value: int) -> int:
    return (value.bit_length() + 7) // 8


def _check_nodes(
    data: NDArray[np.uint8],
    positions: NDArray[np.int64],
    used: NDArray[np.int64],
    header: Header,
    pointer: int,
) -> None:
    """Check the beginnings and checksums of nodes; child pointers take `pointer` bytes each, those of leaves none."""
    expected = np.frombuffer((b"BTIN" if pointer else b"BTLF") + bytes([0, header.kind]), "u1")
    good = (data[:, :_PREFIX] == expected).all(axis=1)
    ends = _PREFIX + used * header.record_size + (used + 1) * pointer
    good &= ends + _CHECKSUM <= header.node_size
    if not good.all():
        at = int(positions[int(np.argmin(good))])
        raise MalformedFileError(f"version 2 B-tree node at byte {at}: not a node of this tree of the expected level")
    for end in set(ends.tolist()):
        rows = np.flatnonzero(ends == end)
        check_blocks(data[rows, : end + _CHECKSUM], end, positions[rows], "version 2 B-tree node")


def _records(data: NDArray[np.uint8], used: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
    """The records of some nodes, one after the other."""
    longest = int(used.max(initial=0))
    if len(data) == 1:
        return data[0, _PREFIX : _PREFIX + longest * size].reshape(longest, size)
    table = data[:, _PREFIX : _PREFIX + longest * size].reshape(len(data), longest, size)
    return table[np.arange(longest) < used[:, None]]


def _leaves(header: Header, records: NDArray[np.uint8], superblock: Superblock, ndim: int, chunk_bytes: int) -> Leaves:
    o, tail = superblock.offset_size, header.record_size - 8 * ndim
    addresses = integers(records[:, :o])
    coordinates = np.ascontiguousarray(records[:, tail:]).view("<u8")
    if header.kind == _FILTERED:
        return Leaves(
            coordinates,
            addresses,
            integers(records[:, o : tail - 4]),
            integers(records[:, tail - 4 : tail]).astype("u4"),
        )
    return Leaves(coordinates, addresses, np.full(len(records), chunk_bytes, "u8"), np.zeros(len(records), "u4"))


def _children(
    data: NDArray[np.uint8],
    used: NDArray[np.int64],
    header: Header,
    offset_size: int,
    widths: tuple[int, int],
) -> NDArray[np.int64]:
    """Address and number of records of every child, and the number of those in and below it, ``(n, 3)``.

    That is -1 for leaves, of which it is not said. Internal nodes are few.
    """
    o, (count, pointer) = offset_size, widths
    parts = []
    for node, n in zip(data, used.tolist(), strict=True):
        start = _PREFIX + n * header.record_size
        pointers = node[start : start + (n + 1) * pointer].reshape(n + 1, pointer)
        total = integers(pointers[:, o + count :]).astype("i8") if pointer > o + count else np.full(n + 1, -1)
        numbers = [integers(pointers[:, :o]).astype("i8"), integers(pointers[:, o : o + count]).astype("i8"), total]
        parts.append(np.stack(numbers, axis=1))
    return np.concatenate(parts)
