"""Variables that some sources lack, as missing chunks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from manifestry.combine.dimensions import axis_along, length_beside
from manifestry.combine.hints import ConflictError, remedy
from manifestry.errors import IncompatibleArraysError, ManifestError
from manifestry.model.attributes import values_equal
from manifestry.model.datatypes import as_element, is_inexact, is_time
from manifestry.model.manifest import ChunkManifest
from manifestry.model.metadata import ArrayMetadata
from manifestry.model.tree import VirtualArray

__all__ = ["fill_missing", "missing_error"]


def missing_error(path: str, what: str) -> ConflictError:
    """The refusal of a variable that a source lacks, with what to do about it."""
    return ConflictError(f"{path}: {what}", [remedy("missing", "fill"), remedy("missing", "drop")])


def fill_missing(
    path: str,
    first: VirtualArray,
    sources: Sequence[Mapping[str, VirtualArray]],
    dim: str,
    labels: Callable[[int], str],
    *,
    stored: bool,
    absent: str = "",
) -> tuple[VirtualArray, list[VirtualArray]]:
    """A variable of every source; where one lacks it, missing chunks that read as missing values.

    Where no chunk is missing, missing chunks will read as missing values: a later source may lack the variable.

    Parameters
    ----------
    path
        Path of the variable.
    first
        The array that decides how values are stored.
    sources
        The arrays of each source, by path.
    dim
        The dimension that sources are joined along.
    labels
        Names of the sources.
    stored
        `first` is in an output already: what its missing chunks read as stays.
    absent
        What is before the sources and lacks the variable; ``""``: nothing.

    Returns
    -------
    tuple
        `first`, and the array of each source, all with the fill value that missing chunks read as.

    Raises
    ------
    IncompatibleArraysError
        No value means missing, missing chunks already read as something else, or the variable is a coordinate.
    """
    arrays = [source.get(path) for source in sources]
    parts = [array for array in arrays if array is not None]
    complete = len(parts) == len(arrays) and not absent
    is_coordinate = first.metadata.ndim == 1 and path.rpartition("/")[2] == dim
    if complete and (stored or is_coordinate or not _can_fill(first, parts)):
        return first, parts
    lacking = "a source" if complete else absent or labels(arrays.index(None))
    if is_coordinate:
        raise ConflictError(
            f"{path}: is not in {lacking}, and a coordinate has no missing values", [remedy("missing", "drop")]
        )
    fill = _fill_value(path, first, parts, lacking)
    if stored and not values_equal(first.metadata.fill_value, fill):
        raise ConflictError(
            f"{path}: is not in {lacking}, and missing chunks of the output read as {first.metadata.fill_value}, which is no "
            f"missing value: only an output that was begun with missing=fill has {fill} there. Convert all sources again "
            "with missing=fill and overwrite=True (--overwrite)"
        )
    axis = axis_along(first, dim)
    assert axis is not None
    whole = []
    for position, array in enumerate(arrays):
        if array is None:
            length = length_beside(sources[position], dim, path)
            if length is None:
                raise IncompatibleArraysError(f"{path}: {labels(position)} has no array with the dimension {dim}")
            array = _missing_part(first, axis, length)  # noqa: PLW2901 what takes its place
        whole.append(array)
    refilled = [VirtualArray(array.metadata.with_(fill_value=fill), array.manifest) for array in (first, *whole)]
    return refilled[0], refilled[1:]


def _missing_part(like: VirtualArray, axis: int, length: int) -> VirtualArray:
    """An array of which nothing is stored, as long as `length` along `axis` and otherwise as `like`."""
    shape = like.shape
    metadata = like.metadata.with_(shape=(*shape[:axis], length, *shape[axis + 1 :]))
    return VirtualArray(metadata, ChunkManifest.missing(metadata.grid_shape))


def _fill_value(path: str, first: VirtualArray, parts: Sequence[VirtualArray], lacking: str) -> Any:
    """What missing chunks have to read as, so that readers see missing values where a source lacks the variable.

    That is ``_FillValue`` or ``missing_value``, or NaN or NaT without one. Chunks that are missing in a source read as
    that source's fill value, which then must be the same. `lacking` names a source that lacks the variable.

    Raises
    ------
    IncompatibleArraysError
        No value means missing, or chunks that are missing already read as something else.
    """
    wanted = _missing_value(first.metadata)
    if wanted is None:
        raise ConflictError(
            f"{path}: is not in {lacking}, and no value of {first.dtype} means missing: it has no _FillValue",
            [remedy("missing", "drop")],
        )
    for part in parts:
        if _is_sparse(part) and not values_equal(part.metadata.fill_value, wanted):
            raise ConflictError(
                f"{path}: chunks that are missing read as {part.metadata.fill_value}, and those of {lacking}, which lacks the "
                f"variable, would have to read as {wanted}",
                [remedy("missing", "drop")],
            )
    return wanted


def _can_fill(first: VirtualArray, parts: Sequence[VirtualArray]) -> bool:
    """Whether chunks that are missing read as missing values, or none is missing; and it is not so already."""
    wanted = _missing_value(first.metadata)
    if wanted is None or all(values_equal(part.metadata.fill_value, wanted) for part in (first, *parts)):
        return False
    return all(values_equal(part.metadata.fill_value, wanted) for part in parts if _is_sparse(part))


def _is_sparse(array: VirtualArray) -> bool:
    return array.manifest.stored_count < array.manifest.size


def _missing_value(metadata: ArrayMetadata) -> Any:
    """What readers take for a missing value, None where there is no such value."""
    for name in ("_FillValue", "missing_value"):
        for mark in np.asarray(metadata.attributes.get(name, ())).reshape(-1)[:1]:
            with suppress(ManifestError):  # a number that no element can be
                element = as_element(metadata.dtype, mark)
                if values_equal(element, mark) or element == mark:  # rounded, it would be a number like others
                    return element
    if is_time(metadata.dtype):
        return np.array("NaT", metadata.dtype)[()]
    return metadata.dtype.type(np.nan) if is_inexact(metadata.dtype) else None
