"""Append and region: where each array of a tree goes in what is stored, checked before anything is changed.

For every array it is decided which of these things happens: its references go into the chunk grid of the stored array
at an offset; a small array whose chunks do not continue those of the stored one is stored anew by its values, and so is a
stored time coordinate that cannot hold what is appended to it (its times are then given, exactly, in another unit or
type); an array without the dimension must hold the values that are stored, and is left alone; or the tree does not fit, and the whole
placement is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from manifestry.combine.chunking import join_along
from manifestry.combine.compatibility.common_times import renewed_times
from manifestry.combine.compatibility.differences import (
    Aspect,
    Difference,
    bounds_of,
    differences,
    inherited_attributes,
    same_attribute,
    units_of,
)
from manifestry.combine.compatibility.ranges import ACTUAL, RANGES, united_ranges, with_ranges
from manifestry.combine.compatibility.time_variables import COUNTED
from manifestry.combine.compatibility.times import is_time
from manifestry.combine.dimensions import axis_along
from manifestry.combine.options import CombineOptions
from manifestry.combine.values import encode_values, plain_metadata
from manifestry.errors import IncompatibleArraysError, ManifestError
from manifestry.formats.targets import Placement
from manifestry.model.attributes import Attributes, attributes_to_json
from manifestry.model.codecs import is_lossless
from manifestry.model.manifest import ChunkManifest
from manifestry.model.metadata import ArrayMetadata, RegularGrid
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.storage.registry import StoreRegistry
from manifestry.zarr_documents.v3 import array_document, metadata_from_document

__all__ = ["Destination", "Same", "place_tree"]

_EXTENT: Final = frozenset({Aspect.SHAPE, Aspect.DIMENSIONS})

type Documents = Mapping[str, Mapping[str, Any]]
type Same = Callable[[str, VirtualArray], bool]
"""Whether the stored array at a path has the values of another."""

type Read = Callable[[str | None, VirtualArray], NDArray[Any]]
"""The elements of the stored array at a path or, with None, of an array of the tree."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an array goes.

    Attributes
    ----------
    offset
        Position of the array's first chunk in the stored grid; None when its values are stored anew.
    region
        The elements of the stored array that it fills.
    shape
        The shape of the stored array afterwards.
    renewed
        What takes the place of the whole stored array, its metadata included; None: it stays, and gets more elements.
    attributes
        Attributes of the stored array that change, as JSON; None takes one away.
    """

    offset: tuple[int, ...] | None
    region: tuple[slice, ...]
    shape: tuple[int, ...]
    renewed: VirtualArray | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


def place_tree(
    tree: VirtualGroup,
    at: Placement,
    stored: Documents,
    *,
    same: Same,
    read: Read | None,
    rewrite_below: int,
    stores: StoreRegistry | None = None,
) -> dict[str, Destination]:
    """The destinations of the arrays that change something, by path.

    Parameters
    ----------
    stored
        The documents of everything at and below the group that the tree goes to.
    same
        Called for arrays without the dimension.
    read
        Called for time coordinates that are stored in another form; None: these are refused.
    rewrite_below
        Arrays of fewer bytes may be stored anew by their values.
    stores
        For reading chunks of arrays that are added; None: none is added.

    Raises
    ------
    IncompatibleArraysError
        The tree does not go there; the message names the array and the reason.
    """
    _check_groups(tree, stored)
    arrays = dict(tree.walk_arrays())
    dims = {at.append_dim} if at.append_dim is not None else set(at.region or {})
    for dim in dims:
        if not any(dim in (array.dims or ()) for array in arrays.values()):
            raise IncompatibleArraysError(f"no array of the tree has the dimension {dim!r}")
    if at.append_dim is not None:
        _check_complete(tree, at.append_dim, stored)
    destinations = {}
    mine, theirs = inherited_attributes(arrays), _stored_inherited(arrays, stored)
    for path, array in arrays.items():
        inherited = (theirs.get(path, {}), mine.get(path, {}))
        if path in at.added and path not in stored and at.append_dim is not None and stores is not None:
            destinations[path] = _added(path, array, at.append_dim, stored, stores)
            continue
        fit = _Fit(path, array, _stored_metadata(path, stored), inherited)
        if not dims.isdisjoint(array.dims or ()):
            fit.unite_ranges(grows=at.append_dim is not None)
        destination = None if read is None else fit.renew(at, read, rewrite_below)
        destination = destination or fit.place(at, same, rewrite_below)
        if destination is not None:
            destinations[path] = destination
    return destinations


def _check_groups(tree: VirtualGroup, stored: Documents) -> None:
    for path, _ in tree.walk():
        if path not in stored or stored[path]["node_type"] != "group":
            raise IncompatibleArraysError(f"{path or '/'}: there is no such group at the target")


def _check_complete(tree: VirtualGroup, dim: str, stored: Documents) -> None:
    """Every stored array with the dimension must grow, or the arrays of a group would differ in length."""
    groups = {path for path, _ in tree.walk()}
    tree_paths = {path for path, _ in tree.walk_arrays()}
    for path, document in stored.items():
        grows = document["node_type"] == "array" and dim in (document.get("dimension_names") or ())
        if grows and path.rpartition("/")[0] in groups and path not in tree_paths:
            raise IncompatibleArraysError(
                f"{path}: is stored with the dimension {dim!r} and missing from the tree, so it would stay shorter"
            )


def _added(path: str, array: VirtualArray, dim: str, stored: Documents, stores: StoreRegistry) -> Destination:
    """The destination of an array that the output does not have: missing before what is appended."""
    whole, axis = array, axis_along(array, dim)
    if axis is not None:
        length = _stored_length(path, dim, stored)
        shape = (*array.shape[:axis], length, *array.shape[axis + 1 :])
        metadata = array.metadata.with_(shape=shape)
        before = VirtualArray(metadata, ChunkManifest.missing(metadata.grid_shape))
        whole = join_along([before, array], axis, path, options=CombineOptions(), stores=stores)
        whole = VirtualArray(whole.metadata.with_(attributes=array.attributes), whole.manifest)
    return Destination((0,) * len(whole.shape), tuple(slice(0, n) for n in whole.shape), whole.shape, whole)


def _stored_length(path: str, dim: str, stored: Documents) -> int:
    """How long a dimension is in the output for an array beside others: those of its group first."""
    group = path.rpartition("/")[0]
    for other in sorted(stored, key=lambda other: other.rpartition("/")[0] != group):
        document = stored[other]
        names = document.get("dimension_names") or () if document["node_type"] == "array" else ()
        if dim in names:
            return int(document["shape"][list(names).index(dim)])
    raise IncompatibleArraysError(f"{path}: no array of the output has the dimension {dim!r}")


def _stored_metadata(path: str, stored: Documents) -> ArrayMetadata:
    document = stored.get(path)
    if document is None or document["node_type"] != "array":
        raise IncompatibleArraysError(
            f"{path}: there is no such array at the target; select(exclude=['/{path}']) leaves it out"
        )
    try:
        return metadata_from_document(document)
    except ManifestError as error:
        raise IncompatibleArraysError(f"{path}: the stored array cannot be compared: {error}") from error


def _stored_inherited(arrays: Mapping[str, VirtualArray], stored: Documents) -> dict[str, Attributes]:
    """What the stored bounds of variables have from these, as `inherited_attributes` says it of a tree."""
    there = {bounds: stored[owner] for bounds, owner in bounds_of(arrays).items() if owner in stored}
    return {bounds: units_of(document.get("attributes", {})) for bounds, document in there.items()}


def _names(metadata: ArrayMetadata) -> tuple[str | None, ...]:
    return metadata.dims if metadata.dims is not None else (None,) * metadata.ndim


class _Fit:
    """One array and the stored one that it goes into."""

    def __init__(
        self, path: str, array: VirtualArray, stored: ArrayMetadata, inherited: tuple[Attributes, Attributes]
    ) -> None:
        self.path = path
        self.array = array
        self.mine = array.metadata
        self.stored = stored
        self.inherited = inherited
        self._changes: Mapping[str, Any] = {}

    def unite_ranges(self, *, grows: bool) -> None:
        """From here on, ranges that what is stored and what comes to it state of themselves are those of both.

        What is replaced (it does not grow) may have been what the actual range says.
        """
        sides = (self.stored, self.mine)
        changes = united_ranges([(side.attributes, side.dtype) for side in sides])
        if ACTUAL in changes and not grows:
            changes[ACTUAL] = None
        unlike = self._unlike(None, values_only=True)
        if not changes or any(one.attribute not in RANGES for one in unlike if one.aspect not in _EXTENT):
            return
        old = self.stored.attributes
        self.stored, self.mine = (side.with_(attributes=with_ranges(side.attributes, changes)) for side in sides)
        json = attributes_to_json({name: value for name, value in changes.items() if value is not None})[0]
        self._changes = {
            name: json.get(name)
            for name, value in changes.items()
            if (name in old if value is None else not same_attribute(old.get(name), value))
        }

    def renew(self, at: Placement, read: Read, rewrite_below: int) -> Destination | None:
        """The destination of a time coordinate that is stored in another form than it has from now on; None of others."""
        dims = self.mine.dims or ()
        if at.append_dim not in dims or dims != self.stored.dims:
            return None
        axis = dims.index(at.append_dim)
        have, want = ({**i, **m.attributes} for i, m in zip(self.inherited, (self.stored, self.mine), strict=True))
        if not (is_time(have) and is_time(want)):
            return None
        found = self._unlike(axis, values_only=True)
        if not all(one.aspect is Aspect.DATA_TYPE or one.attribute in COUNTED | RANGES for one in found):
            return None
        if all(one.attribute in RANGES for one in found):
            return None
        if self.stored.nbytes + self.mine.nbytes > rewrite_below or not isinstance(self.stored.chunk_grid, RegularGrid):
            return None
        try:
            old = renewed_times(read(self.path, self.array), have, want, self.mine.dtype)
        except ValueError as error:
            self.refuse(f"{found[0]}, and the times that are stored have no exact numbers there: {error}")
        values = np.concatenate([old, read(None, self.array)], axis)
        kept = {name: value for name, value in self.mine.attributes.items() if name not in RANGES}  # in another unit
        like = self.mine.with_(attributes=kept)
        renewed = encode_values(values, plain_metadata(like, values.shape, self.stored.chunk_grid.chunk_shape))
        region = tuple(slice(0, n) for n in values.shape)
        return Destination((0,) * values.ndim, region, values.shape, renewed)

    def place(self, at: Placement, same: Same, rewrite_below: int) -> Destination | None:
        """The destination, None for an array that is left alone."""
        if _names(self.mine) != _names(self.stored):
            self.refuse(f"the dimensions are {self.mine.dims} instead of {self.stored.dims}")
        ranges: dict[str | None, tuple[int, int] | None] = dict[Any, Any](at.region or {})
        if at.append_dim is not None:
            ranges[at.append_dim] = None
        axes = [i for i, dim in enumerate(self.mine.dims or ()) if dim in ranges]
        if not axes:
            self._check_same(same)
            return None
        if at.append_dim is not None and not self.mine.size and not self.mine.shape[axes[0]]:
            self._check_meaning(axes[0], values_only=True)
            return None  # nothing of it is appended
        region = list(map(slice, [0] * self.stored.ndim, self.stored.shape))
        shape = list(self.stored.shape)
        for axis in axes:
            assert self.mine.dims is not None
            start, stop = ranges[self.mine.dims[axis]] or self._end(axis)
            region[axis] = slice(start, stop)
            shape[axis] = max(stop, shape[axis])
        self._check_shape(region, grows=at.append_dim is not None)
        problem = self._chunk_problem(region, tuple(shape), axes)
        self._check_meaning(axes[0] if at.append_dim is not None else None, values_only=bool(problem))
        if problem:
            self._check_rewritable(problem, region, rewrite_below)
            return Destination(None, tuple(region), tuple(shape), attributes=self._changes)
        chunks = self.stored.chunk_shape
        offset = tuple(part.start // chunk for part, chunk in zip(region, chunks, strict=True))
        return Destination(offset, tuple(region), tuple(shape), attributes=self._changes)

    def refuse(self, why: str) -> NoReturn:
        """Raise the error for this array."""
        raise IncompatibleArraysError(f"{self.path}: {why}")

    def _end(self, axis: int) -> tuple[int, int]:
        old = self.stored.shape[axis]
        return old, old + self.mine.shape[axis]

    def _check_shape(self, region: list[slice], *, grows: bool) -> None:
        wanted = tuple(part.stop - part.start for part in region)
        if wanted != self.mine.shape:
            self.refuse(f"the shape is {self.mine.shape}, and {wanted} is needed")
        for axis, part in enumerate(region):
            if not grows and not 0 <= part.start < part.stop <= max(self.stored.shape[axis], 1):
                self.refuse(f"the region {part.start}:{part.stop} lies outside of 0:{self.stored.shape[axis]}")

    def _chunk_problem(self, region: list[slice], shape: tuple[int, ...], axes: list[int]) -> str:
        """Why the chunks do not go into the stored grid as they are, or ``""``."""
        mine, stored = self.mine.chunk_grid, self.stored.chunk_grid
        if not isinstance(mine, RegularGrid) or not isinstance(stored, RegularGrid):
            return "" if mine == stored and not axes else "a rectilinear chunk grid takes no further chunks"
        if mine.chunk_shape != stored.chunk_shape:
            return f"chunks of {mine.chunk_shape} do not continue chunks of {stored.chunk_shape}"
        for axis in axes:
            part, chunk = region[axis], stored.chunk_shape[axis]
            if part.start % chunk:
                return f"a chunk of {chunk} along dimension {axis} does not begin at {part.start}"
            if part.stop % chunk and part.stop != shape[axis]:
                return f"a chunk of {chunk} along dimension {axis} does not end at {part.stop}"
        return ""

    def _check_meaning(self, axis: int | None, *, values_only: bool) -> None:
        unlike = self._unlike(axis, values_only=values_only)
        if unlike:
            self.refuse("; ".join(map(str, unlike)))

    def _unlike(self, axis: int | None, *, values_only: bool) -> list[Difference]:
        """Differences as JSON, for that is how the stored attributes were kept."""
        mine = metadata_from_document(array_document(self.mine)[0])
        if axis is None:  # a region: lengths were compared already
            mine = mine.with_(shape=self.stored.shape) if isinstance(mine.chunk_grid, RegularGrid) else mine
        first = VirtualArray(self.stored, ChunkManifest.missing(self.stored.grid_shape))
        other = VirtualArray(mine, self.array.manifest)
        return differences(first, other, axis, self.inherited, values_only=values_only)

    def _check_rewritable(self, problem: str, region: list[slice], rewrite_below: int) -> None:
        lossy = sorted({codec.name for codec in self.stored.codecs if not is_lossless([codec])})
        if lossy:
            self.refuse(f"{problem}; and it cannot be stored anew exactly with {', '.join(lossy)}")
        size = max(self.stored.nbytes, self.mine.nbytes)
        if self.array.manifest.inlined.all():  # copies either way: what counts is how much is written for them
            size = self._bytes_of_chunks(region)
        if size > rewrite_below:
            self.refuse(
                f"{problem}; arrays of up to rewrite_below={rewrite_below} bytes are stored anew by their values, and "
                f"this one takes {size}"
            )

    def _bytes_of_chunks(self, region: list[slice]) -> int:
        """Bytes of the elements of the stored chunks in which a region lies."""
        if not isinstance(self.stored.chunk_grid, RegularGrid):
            return max(self.stored.nbytes, self.mine.nbytes)
        lengths: list[int] = [
            (-(-part.stop // chunk) - part.start // chunk) * chunk
            for part, chunk in zip(region, self.stored.chunk_shape, strict=True)
        ]
        return math.prod(lengths) * int(self.stored.dtype.itemsize)

    def _check_same(self, same: Same) -> None:
        self._check_meaning(None, values_only=True)
        if self.mine.shape != self.stored.shape:
            self.refuse(f"the shape is {self.mine.shape} instead of {self.stored.shape}")
        if not same(self.path, self.array):
            self.refuse(
                "has none of the dimensions that change, and other values than the stored array: those that are stored "
                "would hold for what is written, too"
            )
