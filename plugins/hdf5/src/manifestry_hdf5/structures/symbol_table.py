"""Symbol table: the links of a group of the old kind.

The message (specification, section IV.A.2.r) says where the version 1 B-tree of the group is (III.A.1, node type 0),
whose leaves lead to symbol table nodes (III.B) with the entries (III.C), and the local heap that has the names.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from manifestry.plugin import MalformedFileError
from numpy.typing import NDArray

from manifestry_hdf5.structures.array_elements import integers
from manifestry_hdf5.structures.batched_reads import Blocks, IndexReader, in_step
from manifestry_hdf5.structures.link_message import Link, LinkKind
from manifestry_hdf5.structures.local_heap import LocalHeap, read_local_heap
from manifestry_hdf5.structures.superblock import Superblock

__all__ = ["SYMBOL_TABLE_MESSAGE", "read_symbol_table"]

SYMBOL_TABLE_MESSAGE: Final = 0x11
_HEAD: Final = 8
"""Bytes before the entries of a symbol table node, and before the siblings of a B-tree node."""
_USUAL_CHILDREN, _USUAL_ENTRIES = 32, 8
"""What nodes have room for where nobody changed it; those with more are read again."""
_SOFT: Final = 2
_MAX_LEVEL: Final = 64


def read_symbol_table(message: bytes, superblock: Superblock) -> IndexReader[list[Link]]:
    """The links of a group whose symbol table message is given, in the order of their names.

    Raises
    ------
    MalformedFileError
        A structure is not what it should be or not inside the file, or a node is listed twice.
    """
    o = superblock.offset_size
    if len(message) < 2 * o:
        raise MalformedFileError("symbol table message: too short")
    tree, heap = (int.from_bytes(message[at : at + o], "little") for at in (0, o))
    readers: list[IndexReader[Any]] = [read_local_heap(superblock, heap), _read_entries(superblock, tree)]
    names, entries = yield from in_step(readers)
    return _links(entries, names, o)


def _links(entries: NDArray[np.uint8], heap: LocalHeap, o: int) -> list[Link]:
    kinds, targets = (integers(entries[:, at : at + 4]) for at in (2 * o, 2 * o + 8))
    headers = entries[:, o : 2 * o] * (kinds != _SOFT)[:, None]  # that of a soft link is undefined
    starts, addresses = integers(entries[:, :o]).tolist(), integers(headers).tolist()
    links = []
    for start, address, kind, target in zip(starts, addresses, kinds.tolist(), targets.tolist(), strict=True):
        if kind > _SOFT:
            raise MalformedFileError(f"symbol table entry: cache type {kind} does not exist")
        if kind == _SOFT:
            links.append(Link(heap.text(start), LinkKind.SOFT, target=heap.text(target)))
        else:
            links.append(Link(heap.text(start), LinkKind.HARD, address))
    return links


class _Form(NamedTuple):
    """A kind of node: how it begins, and how its records follow each other; bytes 6 and 7 say how many there are."""

    name: str
    signature: bytes
    before: int
    step: int
    usual: int


def _read_entries(superblock: Superblock, address: int) -> IndexReader[NDArray[np.uint8]]:
    """The entries of all symbol table nodes below the B-tree node at an address, ``(n, bytes of an entry)``."""
    o, n = superblock.offset_size, superblock.length_size
    # A key precedes each child; what comes before the first child takes in the first key.
    tree = _Form("version 1 B-tree of a group", b"TREE\0", _HEAD + 2 * o + n, o + n, _USUAL_CHILDREN)
    leaf = _Form("symbol table node", b"SNOD\1", _HEAD, 2 * o + 24, _USUAL_ENTRIES)
    nodes = np.array([superblock.place(address, tree.name, _HEAD)], "i8")
    level = _MAX_LEVEL + 1
    while level:
        data, counts = yield from _read_nodes(superblock, nodes, tree)
        above, level = level, int(data[0, 5])
        if level > _MAX_LEVEL or (above <= _MAX_LEVEL and level != above - 1) or (data[:, 5] != level).any():
            raise MalformedFileError(f"{tree.name} at {address:#x}: a node is not on the expected level")
        nodes = _children(_used(data, counts, tree)[:, :o], superblock, f"{tree.name} at {address:#x}")
        if not len(nodes):
            return np.empty((0, leaf.step), "u1")
    data, counts = yield from _read_nodes(superblock, nodes, leaf)
    return _used(data, counts, leaf)


def _children(octets: NDArray[np.uint8], superblock: Superblock, tree: str) -> NDArray[np.int64]:
    """Absolute positions of nodes from their addresses."""
    addresses = integers(octets)
    if len(addresses) and int(addresses.max()) > superblock.size - superblock.base:
        raise MalformedFileError(f"{tree}: a child lies beyond the end of the file")
    if len(addresses) > 1 and len(np.unique(addresses)) != len(addresses):
        raise MalformedFileError(f"{tree}: a node is listed twice")
    return superblock.base + addresses.astype("i8")


def _read_nodes(
    superblock: Superblock, nodes: NDArray[np.int64], form: _Form
) -> IndexReader[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """The bytes of some nodes, as long as the fullest of them, and the number of records in each."""
    room = form.usual
    while True:
        [data] = yield [Blocks(nodes, form.before + room * form.step)]
        good = (data[:, : len(form.signature)] == np.frombuffer(form.signature, "u1")).all(axis=1)
        if not good.all():
            raise MalformedFileError(f"{form.name} at byte {int(nodes[int(np.argmin(good))])}: not one")
        counts = data[:, 6].astype("i8") | data[:, 7].astype("i8") << 8
        used = int(counts.max())
        if used <= room:
            return data, counts
        if len(nodes) * used * form.step > superblock.size:  # all have room for as many
            raise MalformedFileError(f"{form.name}: {len(nodes)} nodes of {used} records are larger than the file")
        room = used


def _used(data: NDArray[np.uint8], counts: NDArray[np.int64], form: _Form) -> NDArray[np.uint8]:
    """The records of some nodes one after the other, ``(n, bytes of a record)``."""
    records = data[:, form.before :].reshape(len(data), -1, form.step)
    if len(data) == 1:
        return records[0, : int(counts[0])]
    return records[np.arange(records.shape[1]) < counts[:, None]]
