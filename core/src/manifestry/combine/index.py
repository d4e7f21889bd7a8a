"""The coordinate of the combined dimension: its values are copied into the output, and its order checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from manifestry.combine.compatibility.differences import differences
from manifestry.combine.compatibility.harmonising import harmonise_values
from manifestry.combine.hints import ConflictError, limit_hints, remedy
from manifestry.combine.options import CombineOptions
from manifestry.combine.values import encode_values, plain_metadata, read_many, read_values
from manifestry.errors import IncompatibleArraysError, ManifestryError
from manifestry.issues import Issue
from manifestry.model.attributes import Attributes
from manifestry.model.datatypes import is_float, is_integer, is_time
from manifestry.model.tree import VirtualArray
from manifestry.storage.registry import StoreRegistry

__all__ = ["GAPS", "check_order", "load_along", "unread_order"]

GAPS: Final = "coordinate has gaps"
"""What issues of missing steps are called: what is there follows each other all the same."""

_REGULAR: Final = 5
"""How many values have a usual step."""


def load_along(
    arrays: Sequence[VirtualArray],
    axis: int,
    path: str,
    inherited: Sequence[Attributes],
    like: tuple[VirtualArray, Attributes],
    *,
    options: CombineOptions,
    stores: StoreRegistry,
    labels: Callable[[int], str],
) -> VirtualArray:
    """Arrays joined along `axis`, their values copied.

    Parameters
    ----------
    inherited
        Attributes that each has from the variable it bounds.
    like
        The array that decides units and data type, and what it inherits.
    labels
        Names of the sources.

    Raises
    ------
    IncompatibleArraysError
        They differ in what the values mean, and cannot be or are not to be harmonised; or they are too large.
    """
    first, first_inherited = like
    size = sum(array.metadata.nbytes for array in arrays)
    if size > options.inline_limit:
        raise ConflictError(
            f"{path}: copying its values takes {size} bytes; the limit is inline_limit={options.inline_limit}",
            limit_hints(size, options.inline_limit),
        )
    values = read_many(arrays, stores) if first.metadata.ndim == 1 else [read_values(a, stores) for a in arrays]
    parts = []
    for position, (array, data) in enumerate(zip(arrays, values, strict=True)):
        have = inherited[position]
        found_differences = differences(first, array, axis, (first_inherited, have), values_only=True)
        if not found_differences:
            parts.append(data)
            continue
        if options.on_conflict != "harmonise":
            raise ConflictError(
                f"{path}: {found_differences[0]} in {labels(position)}",
                [remedy("on_conflict", "harmonise"), remedy("on_conflict", "drop")],
            )
        meaning = ({**first_inherited, **first.attributes}, {**have, **array.attributes})
        try:
            parts.append(harmonise_values(data, first.dtype, found_differences, meaning))
        except IncompatibleArraysError as error:
            raise ConflictError(
                f"{path}: {found_differences[0]} in {labels(position)}: {error}", [remedy("on_conflict", "drop")]
            ) from error
    return _encode_copy(np.concatenate(parts, axis), first, axis, options)


def _encode_copy(values: NDArray[Any], like: VirtualArray, axis: int, options: CombineOptions) -> VirtualArray:
    chunks = list(values.shape)
    if options.index_chunk is not None:
        chunks[axis] = min(options.index_chunk, max(1, chunks[axis])) if like.metadata.ndim > 1 else options.index_chunk
    return encode_values(values, plain_metadata(like.metadata, values.shape, tuple(chunks)))


def unread_order(path: str, error: ManifestryError) -> Issue:
    """The issue of a coordinate whose order is not known, since its values cannot be read."""
    return Issue(
        path=path, feature="order of the coordinate not looked at", message=str(error), hint="", severity="reported"
    )


def check_order(
    path: str, values: NDArray[Any], lengths: Sequence[int], labels: Callable[[int], str], *, known: int = 0
) -> list[Issue]:
    """What is unusual about the order of a coordinate: values that go back, values twice, gaps, sources that overlap.

    Parameters
    ----------
    lengths
        How many of the values are from each source.
    known
        How many of the first values were there before: what is unusual about them alone is not reported.
    """
    if values.size < 2 or values.dtype.type is np.void:  # records have no order
        return []
    ends = np.cumsum(lengths)

    def source(element: int) -> str:
        return labels(int(np.searchsorted(ends, element, side="right")))

    issues = []
    up, down = values[1:] > values[:-1], values[1:] < values[:-1]
    back = np.flatnonzero(down if _ascends(up, down, known) else up)
    back = back[back + 1 >= known]
    if back.size:
        at = int(back[0]) + 1
        message = f"{back.size} times; first {values[at]} in {source(at)} after {values[at - 1]} in {source(at - 1)}"
        fixed = int(np.searchsorted(ends, known, side="right"))  # sources that are written already stay where they are
        hint = "sort the sources" if _is_sortable(values, lengths, fixed) else ""
        issues.append(
            Issue(path=path, feature="coordinate not monotonic", message=message, hint=hint, severity="reported")
        )
        issues += _overlaps(path, values, lengths, labels)
    else:
        issues += _gaps(path, values, source, known)
    order = np.argsort(values, kind="stable")
    same = np.flatnonzero((values[order][1:] == values[order][:-1]) & (order[1:] >= known))
    if same.size:
        a, b = (int(order[same[0] + i]) for i in (0, 1))
        message = f"{same.size} times; first {values[a]} in {source(a)} and {source(b)}"
        one, other = (int(np.searchsorted(ends, element, side="right")) for element in (a, b))
        repeated = one != other and _contains(values, lengths, one, other)
        hint = f"leave out {labels(other)}: all its values are in {labels(one)}" if repeated else ""
        issues.append(
            Issue(path=path, feature="duplicate coordinate values", message=message, hint=hint, severity="reported")
        )
    return issues


def _gaps(path: str, values: NDArray[Any], source: Callable[[int], str], known: int) -> list[Issue]:
    """Steps that are missing where most steps are about equal, as days are, and months."""
    if values.size < _REGULAR or not (is_integer(values.dtype) or is_float(values.dtype) or is_time(values.dtype)):
        return []
    steps = np.abs(np.diff(values.view("i8") if is_time(values.dtype) else values).astype("f8"))
    middle = steps.size // 2
    usual = float(np.partition(steps, middle)[middle])  # np.median imports numpy.ma, which takes a while
    alike = np.count_nonzero(np.abs(steps - usual) <= 0.15 * usual)
    wide = np.flatnonzero(steps > 1.5 * usual)
    wide = wide[wide + 1 >= known]
    if not usual > 0 or alike < 0.75 * steps.size or not wide.size:
        return []
    at = int(wide[0]) + 1
    message = f"{wide.size} times; first between {values[at - 1]} in {source(at - 1)} and {values[at]} in {source(at)}"
    return [Issue(path=path, feature=GAPS, message=message, severity="reported")]


def _ascends(up: NDArray[np.bool_], down: NDArray[np.bool_], known: int) -> bool:
    """Whether values ascend rather than descend; those that were there before decide, where they can."""
    for part in (slice(0, max(0, known - 1)), slice(None)):
        ups, downs = np.count_nonzero(up[part]), np.count_nonzero(down[part])
        if ups != downs:
            return bool(ups > downs)
    return True


def _parts(values: NDArray[Any], lengths: Sequence[int]) -> list[NDArray[Any]]:
    """The values of each source."""
    return np.split(values, np.cumsum(lengths)[:-1])


def _is_sortable(values: NDArray[Any], lengths: Sequence[int], fixed: int) -> bool:
    """Whether the values go one way when the sources, each as it is, come in another order."""
    parts = _parts(values, lengths)
    free = [part for part in parts[fixed:] if part.size]
    up = np.concatenate([*parts[:fixed], *sorted(free, key=lambda part: (part[0], part[-1]))])
    down = np.concatenate([*parts[:fixed], *sorted(free, key=lambda part: (part[0], part[-1]), reverse=True)])
    return bool((up[1:] >= up[:-1]).all() or (down[1:] <= down[:-1]).all())


def _contains(values: NDArray[Any], lengths: Sequence[int], one: int, other: int) -> bool:
    """Whether all values of one source are in another one."""
    first, second = (_parts(values, lengths)[at].tolist() for at in (one, other))
    return set(second) <= set(first)


def _overlaps(path: str, values: NDArray[Any], lengths: Sequence[int], labels: Callable[[int], str]) -> list[Issue]:
    """Sources of which one begins before another ends: no order of them is monotonic."""
    if not (is_integer(values.dtype) or is_float(values.dtype) or is_time(values.dtype)):
        return []
    begins = np.cumsum(lengths) - lengths
    sources = np.flatnonzero((np.asarray(lengths) > 0) & (begins < values.size))
    starts = begins[sources]
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    order = np.argsort(low, kind="stable")
    sources, low, high = sources[order], low[order], high[order]
    reach = np.maximum.accumulate(high)
    within = np.flatnonzero(low[1:] < reach[:-1])
    if not within.size:
        return []
    b = int(within[0]) + 1
    a = int(np.argmax(high[:b]))
    message = (
        f"{within.size} of {sources.size}; first {labels(int(sources[b]))} ({low[b]} to {high[b]}) and "
        f"{labels(int(sources[a]))} ({low[a]} to {high[a]})"
    )
    return [
        Issue(path=path, feature="sources overlap", message=message, hint="leave out one of them", severity="reported")
    ]
