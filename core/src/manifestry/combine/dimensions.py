"""Arrays with one dimension more or less, of length 1: the same chunks, and codecs that know where axes went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from manifestry.combine.manifests import insert_axis
from manifestry.combine.trees import is_named
from manifestry.errors import IncompatibleArraysError
from manifestry.model.codecs import Codec, Dependence, codec_entry
from manifestry.model.metadata import ArrayMetadata, RegularGrid
from manifestry.model.tree import VirtualArray, VirtualGroup

__all__ = ["axis_along", "can_expand", "drop_axis", "expand_array", "length_beside", "repeat_array", "stack_arrays"]


def expand_array(array: VirtualArray, dim: str | None, path: str = "", axis: int = 0) -> VirtualArray:
    """An array with one more dimension of length 1.

    Raises
    ------
    IncompatibleArraysError
        A codec depends on the dimensions of a chunk.
    """
    metadata = array.metadata
    if array.dims is None and metadata.ndim and dim is not None:
        raise IncompatibleArraysError(f"{path}: has no dimension names, and a new dimension needs them")
    if not isinstance(metadata.chunk_grid, RegularGrid):
        raise IncompatibleArraysError(f"{path}: a rectilinear chunk grid cannot get a new dimension")
    names = array.dims or (None,) * metadata.ndim
    expanded = metadata.with_(
        shape=_insert(metadata.shape, axis, 1),
        chunk_grid=RegularGrid(_insert(metadata.chunk_shape, axis, 1)),
        dims=None if array.dims is None and dim is None else (*names[:axis], dim, *names[axis:]),
        codecs=_move_axis(metadata.codecs, axis, 1, path),
    )
    return VirtualArray(expanded, insert_axis(array.manifest, axis))


def can_expand(arrays: Mapping[str, VirtualArray]) -> bool:
    """Whether all arrays can have one more dimension."""
    try:
        for path, array in arrays.items():
            expand_array(array, "", path)
    except IncompatibleArraysError:
        return False
    return True


def repeat_array(array: VirtualArray, dim: str, length: int, path: str = "") -> VirtualArray:
    """An array with a new first dimension along which it is there `length` times, each time by the same references.

    Raises
    ------
    IncompatibleArraysError
        As for `expand_array`.
    """
    expanded = expand_array(array, dim, path)
    metadata = expanded.metadata.with_(shape=(length, *array.shape))
    repeated = expanded.manifest.rearrange(lambda grid: np.broadcast_to(grid, metadata.grid_shape))
    return VirtualArray(metadata, repeated)


def axis_along(array: VirtualArray, dim: str) -> int | None:
    """Which of its dimensions `dim` is, None where it has none of that name.

    Raises
    ------
    IncompatibleArraysError
        It has two.
    """
    dims = array.dims or ()
    if dims.count(dim) > 1:
        raise IncompatibleArraysError(f"dimensions {dims}: {dim} occurs twice, and must occur once")
    return dims.index(dim) if dim in dims else None


def lengths_along(tree: VirtualGroup, dim: str) -> list[int]:
    """How long a dimension is in the arrays of a tree that have it, one after the other."""
    arrays = [array for _, array in tree.walk_arrays()]
    return [n for a in arrays for name, n in zip(a.dims or (), a.shape, strict=False) if name == dim]


def length_beside(arrays: Mapping[str, VirtualArray], dim: str, path: str) -> int | None:
    """How long a dimension is for an array without it: as in the other arrays of its group, or of all."""
    group = path.rpartition("/")[0]
    near = sorted(arrays, key=lambda other: other.rpartition("/")[0] != group)
    axes = ((arrays[other], axis_along(arrays[other], dim)) for other in near)
    return next((array.shape[axis] for array, axis in axes if axis is not None), None)


def stack_arrays(arrays: Mapping[str, VirtualArray], dim: str, names: Sequence[str]) -> dict[str, VirtualArray]:
    """The arrays of one tree by path; those of some names or paths have the dimension, as long as it is in their group."""
    found = dict(arrays)
    for path, array in arrays.items() if names else ():
        if is_named(path, names) and axis_along(array, dim) is None:
            length = length_beside(arrays, dim, path)
            if length is not None:
                found[path] = repeat_array(array, dim, length, path)
    return found


def drop_axis(array: VirtualArray, axis: int, path: str = "") -> VirtualArray:
    """An array without one of its dimensions, which has length 1 and chunks of length 1.

    Raises
    ------
    IncompatibleArraysError
        Chunks are longer, or a codec depends on the dimensions of a chunk.
    """
    metadata = array.metadata
    if not isinstance(metadata.chunk_grid, RegularGrid) or metadata.chunk_shape[axis] != 1 or metadata.shape[axis] != 1:
        raise IncompatibleArraysError(
            f"{path}: {metadata.chunk_grid}: the dimension cannot be dropped unread; its chunks must have length 1"
        )
    dropped = _without_axis(metadata, axis, path)
    return VirtualArray(dropped, array.manifest.rearrange(lambda grid: grid.squeeze(axis)))


def _without_axis(metadata: ArrayMetadata, axis: int, path: str) -> ArrayMetadata:
    return metadata.with_(
        shape=_without(metadata.shape, axis),
        chunk_grid=RegularGrid(_without(metadata.chunk_shape, axis)),
        dims=None if metadata.dims is None else _without(metadata.dims, axis),
        codecs=_move_axis(metadata.codecs, axis, -1, path),
    )


def _insert(shape: tuple[int, ...], axis: int, length: int) -> tuple[int, ...]:
    return (*shape[:axis], length, *shape[axis:])


def _without[T](items: tuple[T, ...], axis: int) -> tuple[T, ...]:
    return items[:axis] + items[axis + 1 :]


def _move_axis(codecs: tuple[Codec, ...], axis: int, step: int, path: str) -> tuple[Codec, ...]:
    """The codecs for chunks with one more (`step` 1) or less (-1) dimension of length 1 at `axis`.

    Raises
    ------
    IncompatibleArraysError
        For a codec it is not known that this changes no byte.
    """
    moved = []
    for codec in codecs:
        if codec.name == "transpose":
            order = codec.configuration["order"]
            if step > 0:
                order = [axis, *(i + (i >= axis) for i in order)]
                axis = 0  # a new axis is stored as the slowest one
            else:
                where = list(order).index(axis)
                order = [i - (i > axis) for i in order if i != axis]
                axis = where
            moved.append(Codec("transpose", {"order": order}))
        elif codec.name == "sharding_indexed" and codec is codecs[0]:
            moved.append(_move_shard_axis(codec, axis, step, path))
            return (*moved, *codecs[1:])
        elif (dependence := _dependence(codec)) is Dependence.NONE:
            moved.append(codec)
        elif axis == 0 and dependence is Dependence.TRAILING_AXES:
            moved.append(_move_image_axis(codec, step))
        else:
            raise IncompatibleArraysError(
                f"{path}: the codec {codec.name} depends on the dimensions of a chunk; none can be added or dropped"
            )
    return tuple(moved)


def _dependence(codec: Codec) -> Dependence:
    entry = codec_entry(codec.name)
    return Dependence.SHAPE if entry is None else entry.dependence


def _move_image_axis(codec: Codec, step: int) -> Codec:
    """Image codecs give what they decode the shape of the chunk; an axis that they name may move."""
    along = codec.configuration.get("axis")
    if not isinstance(along, int) or along < 0:
        return codec
    return Codec(codec.name, {**codec.configuration, "axis": along + step})


def _move_shard_axis(codec: Codec, axis: int, step: int, path: str) -> Codec:
    options: dict[str, Any] = dict(codec.configuration)
    shape = tuple(options["chunk_shape"])
    inner = tuple(Codec(c["name"], c.get("configuration") or {}) for c in options["codecs"])
    options["chunk_shape"] = list(_insert(shape, axis, 1) if step > 0 else _without(shape, axis))
    options["codecs"] = [c.to_zarr() for c in _move_axis(inner, axis, step, path)]
    return Codec(codec.name, options)
