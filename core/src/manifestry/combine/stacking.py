"""`stack`: trees one after the other along a new dimension."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from manifestry.combine.concatenate import Concatenation
from manifestry.combine.manifests import insert_axis
from manifestry.combine.options import CombineOptions
from manifestry.combine.trees import check_some
from manifestry.combine.values import inline_array
from manifestry.errors import IncompatibleArraysError, OptionError
from manifestry.formats.options import make_options
from manifestry.model.manifest import ChunkManifest
from manifestry.model.metadata import ArrayMetadata, Codec, RegularGrid
from manifestry.model.tree import VirtualArray, VirtualGroup

__all__ = ["coordinate_paths", "drop_axis", "expand", "expand_array", "stack"]

_TO_BYTES: Final = {"bytes", "vlen-utf8", "vlen-bytes"}
_SHAPELESS: Final = {*_TO_BYTES, "numcodecs.delta", "numcodecs.fixedscaleoffset"}
"""Codecs up to the array-to-bytes one that see a chunk as a row of elements, whatever its dimensions."""

_LINKS: Final = ("coordinates", "grid_mapping", "bounds", "climatology", "ancillary_variables", "cell_measures")


def stack(
    trees: Iterable[VirtualGroup],
    dim: str,
    *,
    coords: Mapping[str, Any] | None = None,
    variables: Sequence[str] = (),
    like: VirtualGroup | None = None,
    stores: Any = None,
    **options: Any,
) -> VirtualGroup:
    """Trees one after the other along a dimension that they do not have yet; it becomes the first one.

    Coordinates (arrays named like a dimension, and those that a ``coordinates``, ``grid_mapping`` or ``bounds``
    attribute names) must hold the same values everywhere and are kept once; all other arrays get the new dimension.

    Parameters
    ----------
    trees
        In the order in which they follow each other.
    dim
        Name of the new dimension. An array of that name is stacked too, and becomes its coordinate.
    coords
        Values along the new dimension by name, one for each tree, for example ``{"time": dates}``. A value with
        attributes is an array made by `manifestry.combine.inline_array`.
    variables
        Names or paths of coordinates that get the new dimension too.
    like, stores, **options
        As for `concat`.

    Raises
    ------
    IncompatibleArraysError, OptionError
        As for `concat`; a codec that depends on the number of dimensions is refused.
    """
    parts = check_some(trees)
    chosen = make_options(CombineOptions, options, "stack")
    for name, values in (coords or {}).items():
        if len(values if not isinstance(values, VirtualArray) else range(values.shape[0])) != len(parts):
            raise OptionError(f"coords: {name} needs one value for each of the {len(parts)} trees")
    expanded = [expand(tree, dim, variables=variables) for tree in parts]
    template = None if like is None else expand(like, dim, variables=variables)
    tree = Concatenation(expanded, dim, chosen, like=template, stores=stores).run()
    added = {
        name: values if isinstance(values, VirtualArray) else inline_array(values, (dim,))
        for name, values in (coords or {}).items()
    }
    for name in added:
        if name in tree.arrays and name != dim:
            raise OptionError(f"coords: the trees have an array {name!r} already")
    return tree.with_(arrays={**tree.arrays, **added})


def expand(tree: VirtualGroup, dim: str, *, variables: Sequence[str] = ()) -> VirtualGroup:
    """A tree whose arrays, except coordinates, have a new first dimension of length 1."""
    if any(dim in (array.dims or ()) for _, array in tree.walk_arrays()):
        raise OptionError(f"there is a dimension {dim!r} already: concat() joins along it")
    kept = coordinate_paths(tree) - {path for path, _ in tree.walk_arrays() if _named(path, (dim, *variables))}
    return tree.map_arrays(lambda path, array: array if path in kept else expand_array(array, dim, path))


def _named(path: str, names: Sequence[str]) -> bool:
    return path in names or path.rpartition("/")[2] in names


def coordinate_paths(tree: VirtualGroup) -> set[str]:
    """Paths of the arrays that describe others: named like a dimension, or by an attribute that links to them."""
    found = set()
    for path, group in tree.walk():
        prefix = f"{path}/" if path else ""
        dims = {dim for array in group.arrays.values() for dim in array.dims or ()}
        linked = [group.attributes.get("coordinates")]
        linked += [array.attributes.get(link) for array in group.arrays.values() for link in _LINKS]
        words = {word for text in linked if isinstance(text, str) for word in text.replace(":", " ").split()}
        found |= {prefix + name for name in group.arrays if name in dims or name in words}
    return found


def expand_array(array: VirtualArray, dim: str | None, path: str = "", axis: int = 0) -> VirtualArray:
    """An array with one more dimension of length 1.

    Raises
    ------
    IncompatibleArraysError
        A codec depends on the dimensions of a chunk.
    """
    metadata = array.metadata
    if array.dims is None and metadata.ndim and dim is not None:
        raise IncompatibleArraysError(f"{path}: it has no dimension names, and a new dimension needs them")
    if not isinstance(metadata.chunk_grid, RegularGrid):
        raise IncompatibleArraysError(f"{path}: a rectilinear chunk grid does not get a new dimension")
    names = array.dims or (None,) * metadata.ndim
    expanded = metadata.with_(
        shape=_insert(metadata.shape, axis, 1),
        chunk_grid=RegularGrid(_insert(metadata.chunk_shape, axis, 1)),
        dims=None if array.dims is None and dim is None else (*names[:axis], dim, *names[axis:]),
        codecs=_expanded_codecs(metadata, axis, path),
    )
    return VirtualArray(expanded, insert_axis(array.manifest, axis))


def drop_axis(array: VirtualArray, axis: int) -> VirtualArray:
    """An array without one of its dimensions, which has length 1 and chunks of length 1.

    Raises
    ------
    IncompatibleArraysError
        Chunks are longer, or a codec depends on the dimensions of a chunk.
    """
    metadata = array.metadata
    if not isinstance(metadata.chunk_grid, RegularGrid) or metadata.chunk_shape[axis] != 1 or metadata.shape[axis] != 1:
        raise IncompatibleArraysError(f"a dimension with chunks of {metadata.chunk_grid} cannot be dropped unread")
    dropped = metadata.with_(
        shape=_without(metadata.shape, axis),
        chunk_grid=RegularGrid(_without(metadata.chunk_shape, axis)),
        dims=None if metadata.dims is None else _without(metadata.dims, axis),
        codecs=_dropped_codecs(metadata, axis),
    )
    manifest = array.manifest
    grid = _without(manifest.grid_shape, axis)
    columns = (manifest.file_index, manifest.offsets, manifest.lengths)
    return VirtualArray(dropped, ChunkManifest.from_columns(grid, manifest.files, *columns, inline=manifest.inline))


def _without[T](items: tuple[T, ...], axis: int) -> tuple[T, ...]:
    return items[:axis] + items[axis + 1 :]


def _dropped_codecs(metadata: ArrayMetadata, axis: int) -> tuple[Codec, ...]:
    """The codecs for chunks without a dimension of length 1; only those that change no byte for that."""
    codecs = []
    for position, codec in enumerate(metadata.codecs):
        if codec.name == "transpose":
            order = codec.configuration["order"]
            codecs.append(Codec("transpose", {"order": [i - (i > axis) for i in order if i != axis]}))
        elif codec.name in _SHAPELESS:
            codecs.append(codec)
            if codec.name in _TO_BYTES:
                return (*codecs, *metadata.codecs[position + 1 :])
        else:
            raise IncompatibleArraysError(f"the codec {codec.name} depends on the dimensions of a chunk")
    return tuple(codecs)


def _insert(shape: tuple[int, ...], axis: int, length: int) -> tuple[int, ...]:
    return (*shape[:axis], length, *shape[axis:])


def _expanded_codecs(metadata: ArrayMetadata, axis: int, path: str) -> tuple[Codec, ...]:
    """The codecs for chunks with one more dimension of length 1, which changes no byte of them."""
    codecs = []
    for position, codec in enumerate(metadata.codecs):
        if codec.name == "transpose":
            order = [i + (i >= axis) for i in codec.configuration["order"]]
            codecs.append(Codec("transpose", {"order": [axis, *order]}))
        elif codec.name == "sharding_indexed" and position == 0:
            inner = _expanded_codecs(_inner(metadata, codec), axis, path)
            shape = list(_insert(tuple(codec.configuration["chunk_shape"]), axis, 1))
            codecs.append(
                Codec(codec.name, {**codec.configuration, "chunk_shape": shape, "codecs": [c.to_zarr() for c in inner]})
            )
            return (*codecs, *metadata.codecs[1:])
        elif codec.name in _SHAPELESS:
            codecs.append(codec)
            if codec.name in _TO_BYTES:
                return (*codecs, *metadata.codecs[position + 1 :])
        else:
            raise IncompatibleArraysError(
                f"{path}: the codec {codec.name} depends on the dimensions of a chunk, so it gets no new one"
            )
    return tuple(codecs)


def _inner(metadata: ArrayMetadata, codec: Codec) -> ArrayMetadata:
    inner = tuple(Codec(c["name"], c.get("configuration") or {}) for c in codec.configuration["codecs"])
    return metadata.with_(codecs=inner, dtype=np.dtype(metadata.dtype))
