"""Version 2 B-tree of chunks, records of type 10 and 11 (specification, section III.A.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from manifestry.errors import MalformedFileError
from numpy.typing import NDArray

from manifestry_hdf5.structures.blocks import Blocks, IndexReader
from manifestry_hdf5.structures.btree_v1 import BATCH, Leaves
from manifestry_hdf5.structures.checksum import check_blocks
from manifestry_hdf5.structures.entries import integers
from manifestry_hdf5.structures.superblock import Superblock

__all__ = ["read_btree_v2"]

_FILTERED: Final = 11
_PREFIX: Final = 6  # signature, version, record type
_CHECKSUM: Final = 4


@dataclass(frozen=True, slots=True)
class _Header:
    """The header of a tree."""

    kind: int
    node_size: int
    record_size: int
    depth: int
    root: int
    root_records: int


def read_btree_v2(
    superblock: Superblock, address: int, ndim: int, chunk_bytes: int, most_chunks: int
) -> IndexReader[list[Leaves]]:
    """The records of all nodes of the B-tree at an address; coordinates count chunks.

    Raises
    ------
    MalformedFileError
        A node is no node or damaged, is there twice, or there are more chunks than allowed.
    """
    o = superblock.offset_size
    start = superblock.base + address
    length = 16 + o + 2 + superblock.length_size + _CHECKSUM
    [data] = yield [Blocks(np.array([start], "i8"), length)]
    header = _read_header(data, superblock, start, ndim)
    found: list[Leaves] = []
    if header.root == superblock.undefined:
        return found
    widths = _pointer_widths(header, superblock)
    nodes = np.array([superblock.base + header.root], "i8")
    counts = np.array([header.root_records], "i8")
    for depth in range(header.depth, -1, -1):
        children = []
        for first in range(0, len(nodes), BATCH):
            batch, used = nodes[first : first + BATCH], counts[first : first + BATCH]
            [data] = yield [Blocks(batch, header.node_size)]
            _check_nodes(data, batch, used, depth, header, widths)
            found.append(_records(data, used, header, superblock, ndim, chunk_bytes))
            if depth:
                children.append(_children(data, used, header, superblock, widths[depth]))
        if depth:
            pointers = np.concatenate(children)
            nodes, counts = superblock.base + pointers[:, 0], pointers[:, 1]
            if len(nodes) > most_chunks or len(np.unique(nodes)) != len(nodes) or int(nodes.min(initial=0)) < 0:
                raise MalformedFileError(
                    f"version 2 B-tree at {address:#x}: a node is there twice, or there are too many"
                )
    return found


def _read_header(data: NDArray[np.uint8], superblock: Superblock, start: int, ndim: int) -> _Header:
    octets = data[0].tobytes()
    if octets[:5] != b"BTHD\0" or octets[5] not in (10, _FILTERED):
        raise MalformedFileError(f"version 2 B-tree header at byte {start}: no tree of chunks")
    check_blocks(data, len(octets) - _CHECKSUM, np.array([start]), "version 2 B-tree header")
    o = superblock.offset_size

    def number(at: int, size: int) -> int:
        return int.from_bytes(octets[at : at + size], "little")

    header = _Header(octets[5], number(6, 4), number(10, 2), number(12, 2), number(16, o), number(16 + o, 2))
    least = o + 8 * ndim + (5 if header.kind == _FILTERED else 0)
    if header.record_size < least or header.node_size < _PREFIX + _CHECKSUM + header.record_size:
        raise MalformedFileError(f"version 2 B-tree header at byte {start}: records of {header.record_size} bytes")
    return header


def _pointer_widths(header: _Header, superblock: Superblock) -> list[tuple[int, int]]:
    """For each depth, the bytes of a child's record count and of a whole child pointer.

    Counts take as many bytes as the largest possible one needs; pointers of depth 2 and more also hold a total.
    """
    room = header.node_size - _PREFIX - _CHECKSUM
    most = room // header.record_size
    count = total_width = _octets(most)
    total = most
    widths = [(count, 0)]
    for depth in range(1, header.depth + 1):
        pointer = superblock.offset_size + count + (total_width if depth > 1 else 0)
        widths.append((count, pointer))
        most = (room - pointer) // (header.record_size + pointer)
        if most < 1:
            raise MalformedFileError("version 2 B-tree header: nodes too small for their pointers")
        total = (most + 1) * total + most
        total_width = _octets(total)
    return widths


def _octets(value: int) -> int:
    return (value.bit_length() + 7) // 8


def _check_nodes(
    data: NDArray[np.uint8],
    positions: NDArray[np.int64],
    used: NDArray[np.int64],
    depth: int,
    header: _Header,
    widths: list[tuple[int, int]],
) -> None:
    wanted = np.frombuffer((b"BTIN" if depth else b"BTLF") + bytes([0, header.kind]), "u1")
    good = (data[:, :_PREFIX] == wanted).all(axis=1)
    ends = _PREFIX + used * header.record_size + ((used + 1) * widths[depth][1] if depth else 0)
    good &= ends + _CHECKSUM <= header.node_size
    if not good.all():
        at = int(positions[int(np.argmin(good))])
        raise MalformedFileError(f"version 2 B-tree node at byte {at}: no node of this tree on its level")
    for end in np.unique(ends).tolist():
        rows = np.flatnonzero(ends == end)
        check_blocks(data[rows, : end + _CHECKSUM], end, positions[rows], "version 2 B-tree node")


def _records(
    data: NDArray[np.uint8],
    used: NDArray[np.int64],
    header: _Header,
    superblock: Superblock,
    ndim: int,
    chunk_bytes: int,
) -> Leaves:
    size, most = header.record_size, int(used.max(initial=0))
    table = data[:, _PREFIX : _PREFIX + most * size].reshape(len(data), most, size)
    records = table[np.arange(most) < used[:, None]]
    o, tail = superblock.offset_size, size - 8 * ndim
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
    header: _Header,
    superblock: Superblock,
    width: tuple[int, int],
) -> NDArray[np.int64]:
    """Address and number of records of every child, shape ``(n, 2)``; internal nodes are few."""
    count, pointer = width
    o = superblock.offset_size
    parts = []
    for node, n in zip(data, used.tolist(), strict=True):
        start = _PREFIX + n * header.record_size
        pointers = node[start : start + (n + 1) * pointer].reshape(n + 1, pointer)
        parts.append(np.stack([integers(pointers[:, :o]), integers(pointers[:, o : o + count])], axis=1))
    return np.concatenate(parts).astype("i8")
