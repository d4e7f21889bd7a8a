"""Which region of which source a chunk of the output corresponds to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifestry.model.manifest import ChunkManifest, ChunkReference
from manifestry.model.metadata import ArrayMetadata, RegularGrid
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.verification.origins import Origin, Origins

__all__ = ["Correspondence", "Counterpart", "Part", "chunk_region"]

type Coordinates = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A region of an array of a source."""

    origin: Origin
    path: str
    region: tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class Counterpart:
    """What a chunk of the output corresponds to in the sources.

    Attributes
    ----------
    parts
        One region, or several that follow each other along `axis`.
    copied
        Whether the chunk is a copy, and so may be encoded differently.
    misplaced
        How the position of the chunk contradicts that of the other chunks of its source, or ``""``.
    """

    parts: tuple[Part, ...]
    axis: int = 0
    copied: bool = False
    misplaced: str = ""


def chunk_region(metadata: ArrayMetadata, at: Coordinates) -> tuple[slice, ...]:
    """The elements of one chunk, cut at the edges of the array."""
    if isinstance(metadata.chunk_grid, RegularGrid):
        lows = [i * n for i, n in zip(at, metadata.chunk_grid.chunk_shape, strict=True)]
        highs = [low + n for low, n in zip(lows, metadata.chunk_grid.chunk_shape, strict=True)]
    else:
        ends = [[0, *accumulate(edges)] for edges in metadata.chunk_grid.edges]
        lows = [end[i] for end, i in zip(ends, at, strict=True)]
        highs = [end[i + 1] for end, i in zip(ends, at, strict=True)]
    return tuple(slice(low, min(high, n)) for low, high, n in zip(lows, highs, metadata.shape, strict=True))


class Correspondence:
    """The chunks of one array of the output, in the sources.

    A chunk that refers to a source is found by its reference; all chunks from one source must have moved by the same
    number of chunks. One that refers to none (inline, or not stored) is found by the shapes of the arrays of its name.

    Parameters
    ----------
    path, array
        An array of the output.
    origins
        The sources.
    limit
        Chunks that refer to no source are placed only where there are at most this many sources: all are parsed for it.
    """

    def __init__(self, path: str, array: VirtualArray, origins: Origins, limit: int | None) -> None:
        self._path = path
        self._limit = limit
        self._array = array
        self._origins = origins
        self._shifts: dict[tuple[str, str], NDArray[np.int64] | None] = {}

    def counterpart(self, at: Coordinates) -> Counterpart | None:
        """Where the values of a chunk come from; None when it cannot be said."""
        reference = self._array.manifest[at]
        if reference is not None and reference.file is not None:
            found = self._by_reference(at, reference)
            if found is not None:
                return found
        return self._by_shape(at)

    def _by_reference(self, at: Coordinates, reference: ChunkReference) -> Counterpart | None:
        assert reference.file is not None
        origin = self._origins.of_file(reference.file.url)
        if origin is None:
            return None
        for path, array in _candidates(origin.tree, self._path):
            flat = _positions(array.manifest, reference)
            if not flat.size:
                continue
            spots = [_coordinates(int(i), array.manifest.grid_shape) for i in flat]
            shift = self._shift(path, array, reference.file.url)
            fitting = [s for s in spots if shift is None or (np.subtract(at, s) == shift).all()]
            spot = (fitting or spots)[0]
            misplaced = "" if fitting else f"chunk {_chunk_name(spot)} of {path} in {origin.url} lies at another place"
            return Counterpart((Part(origin, path, chunk_region(array.metadata, spot)),), misplaced=misplaced)
        return None

    def _shift(self, path: str, array: VirtualArray, url: str) -> NDArray[np.int64] | None:
        """By how many chunks the chunks of one file have moved along each dimension; None: each may have moved by itself."""
        if len(array.shape) != len(self._array.shape):
            return None
        if (path, url) not in self._shifts:
            self._shifts[path, url] = _moved(self._array.manifest, array.manifest, url)
        return self._shifts[path, url]

    def _by_shape(self, at: Coordinates) -> Counterpart | None:
        if self._pieces is None:
            return None
        region = chunk_region(self._array.metadata, at)
        axis, pieces = self._pieces
        if axis is None:
            return Counterpart((Part(pieces[0][0], self._path, region),), copied=True)
        parts = []
        for origin, start, stop in pieces:
            low, high = max(region[axis].start, start), min(region[axis].stop, stop)
            if low < high:
                cut = slice(low - start, high - start)
                parts.append(Part(origin, self._path, (*region[:axis], cut, *region[axis + 1 :])))
        return Counterpart(tuple(parts), axis, copied=True)

    @cached_property
    def _pieces(self) -> tuple[int | None, list[tuple[Origin, int, int]]] | None:
        """How the arrays of this name in all sources make up the array: one of them, or end to end along a dimension.

        The dimension (None for one of them), and for each source where its elements begin and end along it.
        """
        if self._limit is not None and len(self._origins) > self._limit:
            return None
        shapes = [(origin, _shape_at(origin.tree, self._path)) for origin in self._origins.parsed]
        held = [(origin, shape) for origin, shape in shapes if shape is not None]
        whole = self._array.shape
        if not held or any(len(shape) != len(whole) for _, shape in held):
            return None
        axes = [axis for axis, n in enumerate(whole) if any(shape[axis] != n for _, shape in held)]
        if not axes:
            return None, [(held[0][0], 0, 0)]
        if len(axes) > 1 or sum(shape[axes[0]] for _, shape in held) != whole[axes[0]]:
            return None
        ends = list(accumulate(shape[axes[0]] for _, shape in held))
        return axes[0], [(o, end - s[axes[0]], end) for (o, s), end in zip(held, ends, strict=True)]


def _candidates(tree: VirtualGroup, path: str) -> list[tuple[str, VirtualArray]]:
    """Arrays that may be the origin of the one at `path`: that of its name first."""
    arrays = dict(tree.walk_arrays())
    first = [(path, arrays.pop(path))] if path in arrays else []
    return [*first, *arrays.items()]


def _shape_at(tree: VirtualGroup, path: str) -> Coordinates | None:
    try:
        node = tree[path]
    except KeyError:
        return None
    return node.shape if isinstance(node, VirtualArray) else None


def _of_file(manifest: ChunkManifest, url: str) -> NDArray[np.bool_]:
    """Which chunks are stored in the file of a URL, shape ``(size,)``."""
    if url not in manifest.files.urls:
        return np.zeros(manifest.size, bool)
    row = manifest.files.urls.index(url)  # never that of inline chunks
    found: NDArray[np.bool_] = np.logical_and(manifest.columns()[0] == row, manifest.stored)
    return found


def _positions(manifest: ChunkManifest, reference: ChunkReference) -> NDArray[np.int64]:
    """The chunks that a manifest has at the byte range of a reference, in C order."""
    assert reference.file is not None
    _, offsets, lengths = manifest.columns()
    same = (offsets == reference.offset) & (lengths == reference.length)
    return np.flatnonzero(same & _of_file(manifest, reference.file.url)) if same.any() else np.empty(0, "i8")


def _moved(here: ChunkManifest, there: ChunkManifest, url: str) -> NDArray[np.int64] | None:
    """By how many chunks the chunks of one file have moved along each dimension, from the first of them.

    None where only a part of the source is here, in its order: others may lie between.
    """
    mine, theirs = (np.flatnonzero(_of_file(manifest, url)) for manifest in (here, there))
    if not mine.size or not theirs.size:
        return None
    if not here.grid_shape:
        return np.empty(0, "i8")
    there_in = there.columns()[1][theirs]
    kept = np.isin(there_in, here.columns()[1][mine])
    if not kept.all():
        theirs, there_in = theirs[kept], there_in[kept]
        if theirs.size == mine.size and _in_order(here, mine, there, theirs):
            return None
    both = ((here, mine), (there, theirs))
    first, other = (
        np.array([axis.min() for axis in np.unravel_index(flat, manifest.grid_shape)], "i8") for manifest, flat in both
    )
    return np.asarray(first - other)


def _in_order(here: ChunkManifest, mine: NDArray[np.int64], there: ChunkManifest, theirs: NDArray[np.int64]) -> bool:
    """Whether chunks with the same bytes have one order along each dimension here and there."""
    mine, theirs = (
        flat[np.argsort(manifest.columns()[1][flat], kind="stable")]
        for manifest, flat in ((here, mine), (there, theirs))
    )
    for a, b in zip(np.unravel_index(mine, here.grid_shape), np.unravel_index(theirs, there.grid_shape), strict=True):
        order = np.lexsort((a, b))
        up, along = np.diff(a[order]), np.diff(b[order])
        if not ((up > 0) == (along > 0)).all() or (up < 0).any():
            return False
    return True


def _coordinates(flat: int, shape: Coordinates) -> Coordinates:
    return tuple(int(i) for i in np.unravel_index(flat, shape)) if shape else ()


def _chunk_name(at: Any) -> str:
    return ".".join(map(str, at)) or "0"
