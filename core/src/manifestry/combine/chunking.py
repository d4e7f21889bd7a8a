"""Arrays of different lengths along one dimension as one array with one chunk grid, without changing a value.

In this order: whole chunks one after the other; values that are copied already, in chunks as long as those they are in;
uncompressed chunks split to a length that fits all; chunks that end inside the dimension read and encoded again, within a
limit; a rectilinear grid, only when asked for; else refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from manifestry.combine.dimensions import axis_along
from manifestry.combine.hints import ConflictError, limit_hints, remedy
from manifestry.combine.manifests import slice_manifest, split_manifest
from manifestry.combine.options import CombineOptions
from manifestry.combine.values import encode_values, read_values
from manifestry.errors import IncompatibleArraysError, MalformedFileError
from manifestry.hints import Hint
from manifestry.model.datatypes import is_variable_length
from manifestry.model.files import FileMerger
from manifestry.model.limits import Limits
from manifestry.model.manifest import ChunkManifest
from manifestry.model.metadata import ArrayMetadata, RectilinearGrid, RegularGrid
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.storage.registry import StoreRegistry

__all__ = ["Ranges", "join_along", "splits_along", "take_along"]

type Ranges = Sequence[tuple[int, int]]
"""Half-open ranges of elements along a dimension, in order."""


_LIGHT_BYTES: Final = 64
"""About what a reference takes in an output."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """One array and the elements ``start:stop`` of the whole that it is."""

    array: VirtualArray
    start: int
    stop: int


def join_along(
    arrays: Sequence[VirtualArray],
    axis: int,
    path: str,
    *,
    options: CombineOptions,
    stores: StoreRegistry,
    merger: FileMerger | None = None,
) -> VirtualArray:
    """Arrays that decode alike, joined along `axis`; the first gives the metadata.

    Raises
    ------
    IncompatibleArraysError
        A chunk ends inside the dimension and can neither be split nor copied within ``options.inline_limit``.
    """
    arrays = [array for array in arrays if array.shape[axis]] or list(arrays[:1])
    total = sum(array.shape[axis] for array in arrays)
    metadata = arrays[0].metadata
    metadata = metadata.with_(shape=(*metadata.shape[:axis], total, *metadata.shape[axis + 1 :]))
    merger = merger or FileMerger()
    if any(isinstance(array.metadata.chunk_grid, RectilinearGrid) for array in arrays):
        return _rectilinear(arrays, axis, path, metadata, merger)
    size = _common_size(arrays, axis)
    longest = max(array.metadata.chunk_shape[axis] for array in arrays)
    if size is not None and size < longest and _is_copied_anyway(arrays, axis, size, options):
        whole = _with_chunk(metadata, axis, longest)
        return _assemble(arrays, axis, path, whole, options=options, stores=stores, merger=merger)
    if size is not None:
        split = _with_chunk(metadata, axis, size)
        if math.prod(split.grid_shape) > Limits().max_chunks:
            why = f"split to {size} elements they would be {math.prod(split.grid_shape)} chunks"
            raise _refusal(arrays, axis, path, why)
        return _split_to(arrays, axis, size, split, merger)
    if options.partial == "rectilinear":
        return _rectilinear(arrays, axis, path, metadata, merger)
    return _assemble(arrays, axis, path, metadata, options=options, stores=stores, merger=merger)


def take_along(
    tree: VirtualGroup, dim: str, length: int, ranges: Ranges, *, options: CombineOptions, stores: StoreRegistry
) -> VirtualGroup:
    """A tree with some ranges of a dimension only: whole chunks stay references, others are split or copied.

    Parameters
    ----------
    length
        How long the dimension is in all arrays that have it.

    Raises
    ------
    IncompatibleArraysError
        An array has another length, or chunks can neither be split nor copied within ``options.inline_limit``.
    """

    def take(path: str, array: VirtualArray) -> VirtualArray:
        axis = axis_along(array, dim)
        if axis is None:
            return array
        if array.shape[axis] != length:
            raise IncompatibleArraysError(
                f"{path}: has {array.shape[axis]} elements along {dim}, and its coordinate {length}"
            )
        parts = [_take_range(array, axis, path, part, options=options, stores=stores) for part in ranges or [(0, 0)]]
        return parts[0] if len(parts) == 1 else join_along(parts, axis, path, options=options, stores=stores)

    return tree.map_arrays(take)


def _take_range(
    array: VirtualArray, axis: int, path: str, part: tuple[int, int], *, options: CombineOptions, stores: StoreRegistry
) -> VirtualArray:
    start, stop = part
    metadata = array.metadata
    if start == stop:
        start = stop = 0
    if not isinstance(metadata.chunk_grid, RegularGrid):
        raise _refusal([array], axis, path, "of a rectilinear grid no part is taken")
    chunk = metadata.chunk_shape[axis]
    size = math.gcd(chunk, start)
    shape = (*metadata.shape[:axis], stop - start, *metadata.shape[axis + 1 :])
    if size < chunk and not splits_along(metadata, axis):
        inside = tuple(slice(start, stop) if i == axis else slice(None) for i in range(metadata.ndim))
        taken = math.prod(shape) * metadata.dtype.itemsize
        if taken > options.inline_limit:
            why = f"{taken} bytes would have to be copied; the limit is inline_limit={options.inline_limit}"
            raise _refusal([array], axis, path, why, limit_hints(taken, options.inline_limit))
        return encode_values(read_values(array, stores, inside), metadata.with_(shape=shape))
    if size < chunk:
        array = _split_to([array], axis, size, _with_chunk(metadata, axis, size), FileMerger())
    taken_chunks = slice_manifest(array.manifest, axis, start // size, -(-stop // size))
    return VirtualArray(array.metadata.with_(shape=shape), taken_chunks)


def _common_size(arrays: Sequence[VirtualArray], axis: int) -> int | None:
    """The largest chunk length that all arrays can have without reading a byte, None when there is none."""
    sizes = [array.metadata.chunk_shape[axis] for array in arrays]
    inner = math.gcd(*(array.shape[axis] for array in arrays[:-1]))
    size = math.gcd(inner, *sizes)
    if all(size == chunk for chunk in sizes) or all(splits_along(array.metadata, axis) for array in arrays):
        return size
    return None


def _is_copied_anyway(arrays: Sequence[VirtualArray], axis: int, size: int, options: CombineOptions) -> bool:
    """Whether split chunks would be lighter than references to them, of values that are in the manifests already."""
    if options.partial == "raise":
        return False
    piece = size * arrays[0].metadata.dtype.itemsize * math.prod(arrays[0].metadata.chunk_shape[axis + 1 :])
    if piece >= _LIGHT_BYTES or sum(array.metadata.nbytes for array in arrays) > options.inline_limit:
        return False
    return all(array.manifest.inlined.all() for array in arrays)


def splits_along(metadata: ArrayMetadata, axis: int) -> bool:
    """Whether a range of a chunk along `axis` is a range of its bytes: uncompressed, and nothing varies slower."""
    if is_variable_length(metadata.dtype) or any(codec.name != "bytes" for codec in metadata.codecs):
        return False
    return all(n == 1 for n in metadata.chunk_shape[:axis])


def _split_to(
    arrays: Sequence[VirtualArray], axis: int, size: int, metadata: ArrayMetadata, merger: FileMerger
) -> VirtualArray:
    for array in arrays:
        _check_whole_chunks(array, size, axis)
    parts = [
        split_manifest(array.manifest, axis, array.metadata.chunk_shape[axis] // size, -(-array.shape[axis] // size))
        for array in arrays
    ]
    return VirtualArray(metadata, ChunkManifest.concatenate(parts, axis, merger))


def _check_whole_chunks(array: VirtualArray, size: int, axis: int) -> None:
    """Parts of a chunk lie where they are sought only if it has the bytes that its shape takes."""
    shape = array.metadata.chunk_shape
    if shape[axis] == size:
        return
    whole = math.prod(shape) * array.metadata.dtype.itemsize
    lengths = array.manifest.lengths
    odd = lengths[(lengths != 0) & (lengths != whole)]
    if odd.size:
        raise MalformedFileError(
            f"a chunk{_place(array)} has {odd.reshape(-1)[0]} bytes, and its elements take {whole}"
        )


def _with_chunk(metadata: ArrayMetadata, axis: int, size: int) -> ArrayMetadata:
    shape = metadata.chunk_shape
    return metadata.with_(chunk_grid=RegularGrid((*shape[:axis], size, *shape[axis + 1 :])))


def _rectilinear(
    arrays: Sequence[VirtualArray], axis: int, path: str, metadata: ArrayMetadata, merger: FileMerger
) -> VirtualArray:
    """A grid with the chunk lengths as they are; every stored chunk must be whole."""
    edges: list[tuple[int, ...]] = []
    for array in arrays:
        own = _edges(array.metadata)
        if isinstance(array.metadata.chunk_grid, RegularGrid) and array.shape[axis] % array.metadata.chunk_shape[axis]:
            raise _refusal(arrays, axis, path, "a rectilinear grid cannot hold a chunk that is longer than its part")
        edges = edges or list(own)
        if any(own[i] != edges[i] for i in range(len(own)) if i != axis):
            raise _refusal(arrays, axis, path, "the chunks differ in other dimensions too")
    edges[axis] = tuple(n for array in arrays for n in _edges(array.metadata)[axis])
    joined = ChunkManifest.concatenate([array.manifest for array in arrays], axis, merger)
    return VirtualArray(metadata.with_(chunk_grid=RectilinearGrid(tuple(edges))), joined)


def _edges(metadata: ArrayMetadata) -> tuple[tuple[int, ...], ...]:
    grid = metadata.chunk_grid
    if isinstance(grid, RectilinearGrid):
        return grid.edges
    return tuple((c,) * n for c, n in zip(grid.chunk_shape, metadata.grid_shape, strict=True))


def _assemble(
    arrays: Sequence[VirtualArray],
    axis: int,
    path: str,
    metadata: ArrayMetadata,
    *,
    options: CombineOptions,
    stores: StoreRegistry,
    merger: FileMerger,
) -> VirtualArray:
    """The chunk grid of `metadata`; chunks that no source holds whole are read and encoded again."""
    size = metadata.chunk_shape[axis]
    ends = np.cumsum([array.shape[axis] for array in arrays]).tolist()
    pieces = [_Piece(array, end - array.shape[axis], end) for array, end in zip(arrays, ends, strict=True)]
    runs = list(_runs(pieces, axis, size))
    copied = sum(run.stop - run.start for run in runs if run.array is None)
    per_element = math.prod(metadata.shape[:axis]) * math.prod(metadata.shape[axis + 1 :]) * metadata.dtype.itemsize
    size_copied = copied * per_element
    if options.partial == "raise":
        why = f"{size_copied} bytes would have to be copied, and partial='raise' forbids it"
        raise _refusal(arrays, axis, path, why, [remedy("partial", "inline")])
    if size_copied > options.inline_limit:
        why = f"{size_copied} bytes would have to be copied; the limit is inline_limit={options.inline_limit}"
        raise _refusal(arrays, axis, path, why, limit_hints(size_copied, options.inline_limit))
    parts = [
        slice_manifest(run.array.manifest, axis, run.first, run.first + -(-(run.stop - run.start) // size))
        if run.array is not None
        else _copy(pieces, run, axis, metadata, stores)
        for run in runs
    ]
    return VirtualArray(metadata, ChunkManifest.concatenate(parts, axis, merger))


@dataclass(frozen=True, slots=True)
class _Run:
    """Elements ``start:stop`` of the whole: chunks of one array from its chunk `first` on, or (None) to be copied."""

    start: int
    stop: int
    array: VirtualArray | None = None
    first: int = 0


def _runs(pieces: Sequence[_Piece], axis: int, size: int) -> Iterator[_Run]:
    """The whole as runs of chunks that one array holds, and runs between them that have to be copied."""
    total = pieces[-1].stop
    done = 0
    for piece in pieces:
        if piece.array.metadata.chunk_shape[axis] != size or piece.start % size:
            continue
        last = piece.stop if piece.stop == total else piece.stop // size * size
        if last <= piece.start:
            continue
        if done < piece.start:
            yield _Run(done, piece.start)
        yield _Run(piece.start, last, piece.array)
        done = last
    if done < total:
        yield _Run(done, total)


def _copy(
    pieces: Sequence[_Piece], run: _Run, axis: int, metadata: ArrayMetadata, stores: StoreRegistry
) -> ChunkManifest:
    values = []
    for piece in pieces:
        start, stop = max(piece.start, run.start), min(piece.stop, run.stop)
        if start < stop:
            inside = [slice(None)] * metadata.ndim
            inside[axis] = slice(start - piece.start, stop - piece.start)
            values.append(read_values(piece.array, stores, tuple(inside)))
    return encode_values(np.concatenate(values, axis), metadata).manifest


def _refusal(
    arrays: Sequence[VirtualArray], axis: int, path: str, why: str, remedies: Sequence[Hint] = ()
) -> ConflictError:
    pairs = [(array, _edges(array.metadata)[axis][:1]) for array in arrays]
    shown = [f"{array.shape[axis]} in chunks of {c[0] if c else 0}{_place(array)}" for array, c in pairs[:6]]
    listed = ", ".join(shown) + (", …" if len(pairs) > 6 else "")
    return ConflictError(
        f"{path}: chunks end inside dimension {axis} (lengths {listed}) and cannot be joined: {why}",
        [*remedies, remedy("on_conflict", "drop")],
    )


def _place(array: VirtualArray) -> str:
    urls = array.manifest.files.urls
    return f" in {urls[0]}" if urls else ""
