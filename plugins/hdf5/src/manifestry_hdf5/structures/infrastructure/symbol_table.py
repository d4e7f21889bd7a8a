"""Symbol table: the links of a group of the old kind.

The message (specification, section IV.A.2.r) says where the version 1 B-tree of the group is (III.A.1, node type 0),
whose leaves lead to symbol table nodes (III.B) with the entries (III.C), and the local heap that has the names.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from manifestry.plugin import MalformedFileError
from numpy.typing import NDArray

from manifestry_hdf5.structures.batched_reads import Blocks, IndexReader, in_step
from manifestry_hdf5.structures.data_objects.link_message import Link, LinkKind
from manifestry_hdf5.structures.fields import integers
from manifestry_hdf5.structures.file_metadata.superblock import Superblock
from manifestry_hdf5.structures.infrastructure.local_heap import LocalHeap, read_local_heap

__all__ = ["SYMBOL_TABLE_MESSAGE", "read_symbol_table"]

SYMBOL_TABLE_MESSAGE: Final = 0x11
_HEAD: Final = 8
"""Bytes before the entries of a symbol table node, and before the siblings of a B-tree node."""
_SIGNATURE_BITS: Final = (1 << 40) - 1
_USUAL_CHILDREN, _USUAL_ENTRIES = 32, 8
"""What nodes have room for where nobody changed it; those with more are read again."""
_SOFT: Final = 2


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
    return _links(entries, names, superblock)


def _links(entries: NDArray[np.uint8], heap: LocalHeap, superblock: Superblock) -> list[Link]:
    links, form = [], _entry(superblock.length_size, superblock.offset_size)
    for start, address, kind, target in np.frombuffer(entries.tobytes(), form).tolist():
        if kind == _SOFT:  # its address is undefined
            links.append(Link(heap.text(start), LinkKind.SOFT, target=heap.text(target)))
        elif kind < _SOFT:
            links.append(Link(heap.text(start), LinkKind.HARD, address))
        else:
            raise MalformedFileError(f"symbol table entry: cache type {kind} does not exist")
    return links


@cache
def _entry(n: int, o: int) -> np.dtype[np.void]:
    """The parts that matter of an entry, for lengths of `n` and addresses of `o` bytes, of which the first 8 are looked at.

    The place of a name is as long as a length, whatever the specification says.
    """
    return np.dtype(
        {
            "names": ["name", "address", "kind", "target"],
            "formats": [f"<u{min(n, 8)}", f"<u{min(o, 8)}", "<u4", "<u4"],
            "offsets": [0, n, n + o, n + o + 8],
            "itemsize": n + o + 24,
        }
    )


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
    leaf = _Form("symbol table node", b"SNOD\1", _HEAD, n + o + 24, _USUAL_ENTRIES)
    nodes = np.array([superblock.place(address, tree.name, _HEAD)], "i8")
    level = None
    while level != 0:
        children, levels = yield from _read_nodes(superblock, nodes, tree)
        level = levels[0] if level is None else level - 1
        if levels != [level] * len(levels):
            raise MalformedFileError(f"{tree.name} at {address:#x}: a node is not on the expected level")
        if not len(children):
            return np.empty((0, leaf.step), "u1")
        nodes = _positions(children[:, :o], superblock, f"{tree.name} at {address:#x}")
    return (yield from _read_nodes(superblock, nodes, leaf))[0]


def _positions(octets: NDArray[np.uint8], superblock: Superblock, tree: str) -> NDArray[np.int64]:
    """Absolute positions of nodes from their addresses."""
    addresses: list[int] = integers(octets).tolist()
    if max(addresses) > superblock.size - superblock.base:
        raise MalformedFileError(f"{tree}: a child lies beyond the end of the file")
    if len(set(addresses)) != len(addresses):
        raise MalformedFileError(f"{tree}: a node is listed twice")
    return np.array([superblock.base + address for address in addresses], "i8")


def _read_nodes(
    superblock: Superblock, nodes: NDArray[np.int64], form: _Form
) -> IndexReader[tuple[NDArray[np.uint8], list[int]]]:
    """The records of some nodes one after the other, ``(n, bytes of a record)``, and the level of each node."""
    room, signature = form.usual, int.from_bytes(form.signature, "little")
    if len(nodes) * (form.before + 2 * form.step) > superblock.size:  # they have room for two records at least
        raise MalformedFileError(f"{form.name}: {len(nodes)} nodes are larger than the file")
    while True:
        [data] = yield [Blocks(nodes, form.before + room * form.step)]
        heads: list[int] = np.frombuffer(data[:, :_HEAD].tobytes(), "<u8").tolist()
        for place, head in enumerate(heads):
            if head & _SIGNATURE_BITS != signature:
                raise MalformedFileError(f"{form.name} at byte {int(nodes[place])}: not one")
        counts = [head >> 48 for head in heads]
        used = max(counts)
        if used <= room:
            break
        if len(nodes) * used * form.step > superblock.size:  # all have room for as many
            raise MalformedFileError(f"{form.name}: {len(nodes)} nodes of {used} records are larger than the file")
        room = used
    records = data[:, form.before :].reshape(len(data), -1, form.step)
    levels = [head >> 40 & 0xFF for head in heads]
    if len(data) == 1:
        return records[0, :used], levels
    return records[np.arange(room) < np.array(counts)[:, None]], levels
