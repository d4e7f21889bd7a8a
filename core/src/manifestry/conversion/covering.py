"""Whether an output refers to all that a source has, or only to a part of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from manifestry.model.manifest import INLINE, ChunkManifest
from manifestry.model.tree import VirtualArray, VirtualGroup

__all__ = ["References", "virtual_chunks"]


@dataclass(frozen=True, slots=True)
class _ByFile:
    """Byte ranges of one array, those of each file together: of `rows`, `starts` are the first positions."""

    files: dict[str, int]
    rows: NDArray[np.int64]
    offsets: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, array: VirtualArray) -> _ByFile:
        manifest = array.manifest
        there = np.flatnonzero(virtual_chunks(manifest))
        columns = (manifest.file_index, manifest.offsets, manifest.lengths)
        rows, offsets, lengths = (
            np.broadcast_to(column, (manifest.size,))[there].astype(np.int64) for column in columns
        )
        order = np.lexsort((offsets, rows))
        files = {url: row for row, url in enumerate(manifest.files.urls)}
        return cls(files, rows[order], offsets[order], (offsets + lengths)[order])

    def ranges(self, url: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Begins and ends of the ranges in a file, in the order of their begins."""
        row = self.files.get(url, -1)
        part = slice(*np.searchsorted(self.rows, [row, row + 1]))
        return self.offsets[part], self.ends[part]


class References:
    """The bytes that the arrays of a tree along a dimension refer to.

    Parameters
    ----------
    dim
        Name of the dimension.
    """

    def __init__(self, tree: VirtualGroup, dim: str | None) -> None:
        self._arrays = {path: _ByFile.of(array) for path, array in tree.walk_arrays() if dim in (array.dims or ())}

    def hold(self, other: References, url: str, *, here: str) -> bool:
        """Whether all bytes that another tree refers to in a file are among these.

        Arrays of which nothing is here, because they were dropped or copied, do not count; one has to be here.

        Parameters
        ----------
        url, here
            URL of the file in the other tree, and in this one.
        """
        found = False
        for path, wanted in other._arrays.items():
            begins, ends = wanted.ranges(url)
            known = self._arrays[path].ranges(here) if path in self._arrays else (begins[:0], ends[:0])
            if begins.size and known[0].size:
                found = True
                if not _covers(begins, ends, *known):
                    return False
        return found


def _covers(
    begins: NDArray[np.int64], ends: NDArray[np.int64], there: NDArray[np.int64], until: NDArray[np.int64]
) -> bool:
    """Whether each range lies within the union of others, which are in the order of their begins."""
    reach = np.maximum.accumulate(until)
    first = np.concatenate([[True], there[1:] > reach[:-1]])  # where a piece of the union begins
    starts = there[first]
    stops = reach[np.append(np.flatnonzero(first)[1:] - 1, reach.size - 1)]
    piece = np.searchsorted(starts, begins, side="right") - 1
    return bool(np.all((piece >= 0) & (ends <= stops[piece])))


def virtual_chunks(manifest: ChunkManifest) -> NDArray[np.bool_]:
    """Which chunks are references to files."""
    in_files: NDArray[np.bool_] = np.broadcast_to(manifest.file_index, (manifest.size,)) != INLINE
    return manifest.stored & in_files
