"""Version 1 B-tree of raw data chunks (specification, section III.A.1, node type 1)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from manifestry.plugin import MalformedFileError
from numpy.typing import NDArray

from manifestry_hdf5.structures.batched_reads import Blocks, IndexReader
from manifestry_hdf5.structures.fields import integers
from manifestry_hdf5.structures.file_metadata.superblock import Superblock
from manifestry_hdf5.structures.infrastructure.key_order import check_ascending, ends, precedes

__all__ = ["Leaves", "read_btree_v1", "read_only_leaves"]

_USUAL_RANK: Final = 32
"""``Indexed Storage Internal Node K`` where nobody changed it; nodes that hold more are read again."""
_SIGNATURE: Final = int.from_bytes(b"TREE\x01", "little")
BATCH: Final = 2048
"""Nodes that are in memory at once."""


class Leaves(NamedTuple):
    """Chunks as the leaves list them: element coordinates ``(n, ndim)``, address, stored bytes, filter mask."""

    coordinates: NDArray[np.uint64]
    addresses: NDArray[np.uint64]
    sizes: NDArray[np.uint64]
    masks: NDArray[np.uint32]


def read_btree_v1(superblock: Superblock, address: int, ndim: int, max_chunks: int) -> IndexReader[list[Leaves]]:
    """The leaves of the B-tree at an address, level by level.

    Raises
    ------
    MalformedFileError
        A node is not a node, is on the wrong level, is listed twice or has chunks where a search does not come, or there
        are more chunks than allowed.
    """
    node = _Node(superblock, ndim)
    positions = np.array([superblock.base + address], "i8")
    [data] = yield [Blocks(positions, node.length)]
    only = node.only_leaf(data[0], f"version 1 B-tree at {address:#x}")
    if only is not None:
        return [only]
    level = None
    above: list[_Keys] = []
    while True:
        children, leaves, keys = [], [], []
        for start in range(0, len(positions), BATCH):
            batch = positions[start : start + BATCH]
            if level is not None:
                [data] = yield [Blocks(batch, node.length)]
            while (entries := node.check(data, batch, level)) > node.rank * 2:
                node.grow(entries)
                [data] = yield [Blocks(batch, node.length)]
            level = int(data[0, 5])
            records = node.records(data)
            keys.append(node.keys(data, records, leaf=not level))
            if level:
                children.append(integers(records["child"]).astype("i8"))
            else:
                leaves.append(_leaves(records, ndim))
        above.append(_Keys(*map(np.concatenate, zip(*keys, strict=True))))
        if not level:
            _check_keys(above, f"version 1 B-tree at {address:#x}")
            return leaves
        positions = superblock.base + np.concatenate(children)
        if len(positions) > max_chunks or len(np.unique(positions)) != len(positions):
            raise MalformedFileError(
                f"version 1 B-tree at {address:#x}: a node is listed twice, or there are too many nodes"
            )
        if int(positions.min()) < 0:
            raise MalformedFileError(f"version 1 B-tree at {address:#x}: a child has an impossible address")
        level -= 1


def read_only_leaves(
    superblock: Superblock, addresses: Sequence[int], ndim: int
) -> IndexReader[tuple[Leaves, NDArray[np.int64], NDArray[np.bool_]]]:
    """The chunks of many B-trees that are one leaf of the usual size each, as most are.

    Returns
    -------
    leaves
        The chunks of those trees one after the other.
    counts, good
        The number of chunks of each tree, and whether it is such a tree; of others there is none.
    """
    node = _Node(superblock, ndim)
    [data] = yield [Blocks(superblock.base + np.array(addresses, "i8"), node.length)]
    counts, good, records = node.only_leaves(data)
    inside = records["at"][:, ndim] != 0
    if inside.any():
        trees = np.repeat(np.arange(len(counts)), counts)
        good[trees[inside]] = False
        records, counts = records[good[trees]], np.where(good, counts, 0)
    return _leaves(records, ndim), counts, good


class _Keys(NamedTuple):
    """The keys of the nodes of one level, ``(n, ndim + 1)``, and the number of entries in each node.

    Of the leaves only the first and the last entry of a node are here.
    """

    left: NDArray[np.uint64]
    right: NDArray[np.uint64]
    counts: NDArray[np.int64]


def _check_keys(levels: list[_Keys], tree: str) -> None:
    """Make sure that every chunk lies between the keys on both sides of each node above it.

    A search goes on where a key is not after, and the next one before, what is looked for.
    """
    leaf = levels[-1]
    if not leaf.counts.all():
        if len(leaf.counts) > 1:
            raise MalformedFileError(f"{tree}: a leaf has no chunks")
        return
    firsts, lasts = leaf.left[0::2], leaf.left[1::2]
    check_ascending(lasts, leaf.right, tree)
    for level in reversed(levels[:-1]):
        if precedes(firsts, level.left).any():
            raise MalformedFileError(f"{tree}: a key comes after what it leads to")
        check_ascending(lasts, level.right, tree)
        firsts, lasts = ends(firsts, level.counts)[0], ends(lasts, level.counts)[1]


@cache
def _forms(offset_size: int, ndim: int) -> tuple[np.dtype[np.void], np.dtype[np.void]]:
    """An entry with the key before it, and the key behind the last one."""
    key: list[Any] = [("size", "<u4"), ("mask", "<u4"), ("at", "<u8", (ndim + 1,))]
    return np.dtype([*key, ("child", "u1", (offset_size,))]), np.dtype(key)


class _Node:
    """The form of the nodes of one tree: a header, then keys and children in turn."""

    def __init__(self, superblock: Superblock, ndim: int) -> None:
        self._record, self._last = _forms(superblock.offset_size, ndim)
        self._header = 8 + 2 * superblock.offset_size
        self.rank = _USUAL_RANK

    @property
    def length(self) -> int:
        """Bytes of a node."""
        return self._header + 2 * self.rank * self._record.itemsize + self._last.itemsize

    def grow(self, entries: int) -> None:
        """Take nodes of more entries."""
        self.rank = -(-entries // 2)

    def check(self, data: NDArray[np.uint8], positions: NDArray[np.int64], level: int | None) -> int:
        """Make sure that blocks are nodes of the right level; returns the largest number of entries in one."""
        heads = self._heads(data)
        expected = _SIGNATURE | (int(data[0, 5]) if level is None else level) << 40
        good = heads & np.uint64((1 << 48) - 1) == expected
        if not good.all():
            at = int(positions[int(np.argmin(good))])
            raise MalformedFileError(
                f"version 1 B-tree node at byte {at}: not a node of raw data chunks of the expected level"
            )
        return int((heads >> np.uint64(48)).max())

    def _heads(self, data: NDArray[np.uint8]) -> NDArray[np.uint64]:
        """The first eight bytes of each node: signature, type, level, and the number of entries that are used."""
        return np.ascontiguousarray(data[:, :8]).view("<u8")[:, 0]

    def records(self, data: NDArray[np.uint8]) -> NDArray[np.void]:
        """The entries that are used, of all nodes one after the other."""
        table = np.ascontiguousarray(data[:, self._header : -self._last.itemsize]).view(self._record)
        used = self._heads(data) >> np.uint64(48)
        if len(used) == 1:
            only: NDArray[np.void] = table[0, : int(used[0])]
            return only
        return table[np.arange(2 * self.rank) < used[:, None]]

    def only_leaf(self, block: NDArray[np.uint8], tree: str) -> Leaves | None:
        """The chunks of a tree that is one leaf of the usual size, as most are; None where it is not."""
        head = int.from_bytes(block[:8].tobytes(), "little")
        count = head >> 48
        if head & (1 << 48) - 1 != _SIGNATURE or count > 2 * self.rank:
            return None
        records = np.frombuffer(block, self._record, count, self._header)
        final = np.frombuffer(block, self._last, 1, self._header + records.nbytes)["at"][0]
        if count and not records["at"][-1].tolist() < final.tolist():
            raise MalformedFileError(f"{tree}: its keys do not ascend")
        return _leaves(records, records["at"].shape[1] - 1)

    def only_leaves(self, data: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.void]]:
        """Of blocks: the entries of each, whether it is a tree of one leaf whose keys end in order, and all entries of those."""
        heads = self._heads(data)
        counts = (heads >> np.uint64(48)).astype("i8")
        good = (heads & np.uint64((1 << 48) - 1) == np.uint64(_SIGNATURE)) & (counts <= 2 * self.rank)
        counts[~good] = 0
        table = np.ascontiguousarray(data[:, self._header : -self._last.itemsize]).view(self._record)
        row = np.arange(len(data))
        ordered = precedes(table["at"][row, counts - 1], self._final(data, counts)) | (counts == 0)
        good, counts = good & ordered, np.where(ordered, counts, 0)
        return counts, good, table[np.arange(2 * self.rank) < counts[:, None]]

    def _final(self, data: NDArray[np.uint8], counts: NDArray[np.int64]) -> NDArray[np.uint64]:
        """The key behind the last entry of each node."""
        at = self._header + counts * self._record.itemsize
        octets = data[np.arange(len(data))[:, None], at[:, None] + np.arange(self._last.itemsize)]
        final: NDArray[np.uint64] = np.ascontiguousarray(octets).view(self._last)["at"][:, 0]
        return final

    def keys(self, data: NDArray[np.uint8], records: NDArray[np.void], *, leaf: bool) -> _Keys:
        """The keys of nodes on both sides of their entries; of leaves the first, the last, and what ends the last."""
        counts = (self._heads(data) >> np.uint64(48)).astype("i8")
        final = self._final(data, counts)
        left = records["at"]
        if not leaf and not counts.all():
            raise MalformedFileError("version 1 B-tree: a node above the leaves has no children")
        if not leaf:
            right = np.empty_like(left)
            right[:-1] = left[1:]
            right[np.cumsum(counts) - 1] = final
            return _Keys(np.ascontiguousarray(left), right, counts)
        if not counts.all():
            return _Keys(np.empty((0, left.shape[1]), "u8"), final, counts)
        both = np.stack(ends(left, counts), axis=1).reshape(-1, left.shape[1])
        return _Keys(both, final, counts)


def _leaves(records: NDArray[np.void], ndim: int) -> Leaves:
    if records["at"][:, ndim].any():
        raise MalformedFileError("version 1 B-tree: a chunk begins inside an element")
    return Leaves(
        np.ascontiguousarray(records["at"][:, :ndim]),
        integers(records["child"]),
        records["size"].astype("u8"),
        records["mask"].astype("u4"),
    )
