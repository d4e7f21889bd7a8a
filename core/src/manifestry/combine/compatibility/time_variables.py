"""Time coordinates that count in units, from epochs or in data types of their own in each source, made to agree.

A coordinate and its bounds without units of their own count together. Where they differ in nothing but this, their values
are copied in the form that holds all (see `common_times`); what agrees stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np

from manifestry.combine.compatibility.common_times import CommonTimes, TimeSeries, common_times
from manifestry.combine.compatibility.differences import Aspect, Difference, bounds_of, differences, units_of
from manifestry.combine.compatibility.ranges import RANGES
from manifestry.combine.compatibility.times import is_time
from manifestry.combine.hints import ConflictError, limit_hints, remedy
from manifestry.combine.values import encode_values, plain_metadata, read_many, read_values
from manifestry.errors import MalformedFileError, ManifestError, UnsupportedFeatureError
from manifestry.issues import Issue
from manifestry.model.attributes import Attributes, attributes_equal
from manifestry.model.datatypes import as_element, default_fill, is_float, is_integer
from manifestry.model.manifest import ChunkManifest
from manifestry.model.metadata import ArrayMetadata
from manifestry.model.tree import VirtualArray
from manifestry.storage.registry import StoreRegistry

__all__ = ["COUNTED", "TIMES_HARMONISED", "AgreedTimes", "agree_on_times"]

TIMES_HARMONISED: Final = "times harmonised"
"""What issues of copied times are called."""

COUNTED: Final = frozenset({"units", "calendar", "_FillValue", "missing_value"})
"""Attributes in which times may differ that are made to agree."""

type Arrays = Mapping[str, VirtualArray]
type Inherited = Mapping[str, Attributes]


@dataclass(slots=True)
class AgreedTimes:
    """What became of the time coordinates.

    Attributes
    ----------
    like
        Arrays that decide for all, by path, of the form in which times are now; only those that were changed.
    arrays
        Arrays of each source, by path; only those that were changed.
    issues
        What was copied.
    failures
        Why some cannot agree, by path.
    """

    like: dict[str, VirtualArray] = field(default_factory=dict)
    arrays: list[dict[str, VirtualArray]] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    failures: dict[str, ConflictError] = field(default_factory=dict)


def agree_on_times(
    dim: str,
    like: tuple[Arrays, Inherited],
    sources: Sequence[tuple[Arrays, Inherited]],
    *,
    stores: StoreRegistry,
    limit: int,
    labels: Callable[[int], str],
) -> AgreedTimes:
    """The time coordinates along a dimension that differ, in one unit and in types that hold all times exactly.

    Parameters
    ----------
    like, sources
        Arrays by path, and what bounds inherit: of what decides for all, and of each source.
    limit
        Bytes of one array that may be copied.
    labels
        Names of the sources.
    """
    agreed = AgreedTimes(arrays=[{} for _ in sources])
    for family in _families(dim, like, sources):
        members = [_Member.of(path, dim, like, sources) for path in family]
        found = next((one for member in members for one in member.misfits if one[1].attribute not in RANGES), None)
        if found is None or not all(member.can_agree() for member in members):
            continue
        try:
            forms = common_times([member.series(stores, limit, labels) for member in members])
            for member, form in zip(members, forms, strict=True):
                member.take(form, agreed)
        except MalformedFileError as error:
            raise MalformedFileError(f"{family[0]}: {error}") from error
        except ConflictError as error:
            agreed.failures |= dict.fromkeys(family, error)
        except ValueError as error:
            where, difference = found
            text = f"{family[0]}: {difference} in {labels(where)}: {error}"
            agreed.failures |= dict.fromkeys(family, ConflictError(text, [remedy("on_conflict", "drop")]))
    return agreed


def _families(
    dim: str, like: tuple[Arrays, Inherited], sources: Sequence[tuple[Arrays, Inherited]]
) -> Iterator[list[str]]:
    """Paths of the time coordinates along the dimension, each followed by those of its bounds that have no units."""
    paths = list(dict.fromkeys(path for arrays, _ in (like, *sources) for path in arrays))
    owners: dict[str, str] = {}
    for arrays, _ in (*reversed(sources), like):
        if any(_counts(array) for array in arrays.values()):
            owners |= bounds_of(arrays)
    firsts = {path: next(arrays[path] for arrays, _ in (like, *sources) if path in arrays) for path in paths}
    for path in paths:
        if _counts(firsts[path]) and dim in (firsts[path].dims or ()):
            bounds = [b for b, owner in owners.items() if owner == path and b in firsts]
            yield [path, *(b for b in bounds if not _counts(firsts[b]) and dim in (firsts[b].dims or ()))]


def _counts(array: VirtualArray) -> bool:
    return is_time(array.metadata.attributes)


@dataclass(frozen=True)
class _Member:
    """One array of a family: as it is in what decides for all, and in the sources that have it."""

    path: str
    first: VirtualArray
    meaning: Attributes
    axis: int
    parts: Sequence[tuple[int, VirtualArray, Attributes]]

    @classmethod
    def of(
        cls, path: str, dim: str, like: tuple[Arrays, Inherited], sources: Sequence[tuple[Arrays, Inherited]]
    ) -> _Member:
        parts = [(i, one[0][path], _meaning(*one, path)) for i, one in enumerate(sources) if path in one[0]]
        deciding = like if path in like[0] else sources[parts[0][0]]
        first = deciding[0][path]
        return cls(path, first, _meaning(*deciding, path), (first.dims or ()).index(dim), parts)

    @cached_property
    def misfits(self) -> Sequence[tuple[int, Difference]]:
        """In which sources it counts otherwise."""
        own = units_of(self.meaning)
        return [
            (position, difference)
            for position, part, meaning in self.parts
            for difference in differences(self.first, part, self.axis, (own, units_of(meaning)), values_only=True)
        ]

    def can_agree(self) -> bool:
        """Whether it differs in nothing else."""
        arrays = (self.first, *(part for _, part, _ in self.parts))
        return (
            all(is_integer(array.dtype) or is_float(array.dtype) for array in arrays)
            and all(is_time(meaning) for _, _, meaning in self.parts)
            and all(one.aspect is Aspect.DATA_TYPE or one.attribute in COUNTED | RANGES for _, one in self.misfits)
        )

    def series(self, stores: StoreRegistry, limit: int, labels: Callable[[int], str]) -> TimeSeries:
        """Its values in all sources."""
        arrays = [part for _, part, _ in self.parts]
        size = sum(array.metadata.nbytes for array in arrays)
        if size > limit:
            raise ConflictError(
                f"{self.path}: copying its times, which differ in their units or type, takes {size} bytes; the limit is "
                f"inline_limit={limit}",
                [*limit_hints(size, limit), remedy("on_conflict", "drop")],
            )
        flat = self.first.metadata.ndim == 1
        values = read_many(arrays, stores) if flat else [read_values(array, stores) for array in arrays]
        return TimeSeries(
            dtype=self.first.dtype,
            attributes=self.meaning,
            parts=[(data, meaning) for data, (_, _, meaning) in zip(values, self.parts, strict=True)],
            labels=lambda at: labels(self.parts[at][0]),
        )

    def take(self, form: CommonTimes, agreed: AgreedTimes) -> None:
        """Put it into the sources in the form that all have in common."""
        own = self.first.attributes
        attributes = {name: value for name, value in form.attributes.items() if name in own and name not in RANGES}
        # Bounds have no units of their own: what they count in may change all the same.
        before, after = ({n: v for n, v in one.items() if n not in RANGES} for one in (self.meaning, form.attributes))
        as_first = form.dtype == self.first.dtype and attributes_equal(before, after)
        others = {position for position, _ in self.misfits}
        counted = {name: value for name, value in attributes.items() if name in COUNTED}
        for (position, part, _), values in zip(self.parts, form.parts, strict=True):
            if as_first and position not in others and RANGES.isdisjoint(part.attributes):
                continue
            kept = {name: value for name, value in part.attributes.items() if name not in COUNTED | RANGES}
            metadata = _retyped(self.first.metadata, form.dtype).with_(attributes={**kept, **counted})
            plain = plain_metadata(metadata, values.shape)
            agreed.arrays[position][self.path] = _encoded(values, metadata if as_first else plain)
        metadata = _retyped(self.first.metadata, form.dtype).with_(attributes=attributes)
        if not as_first:
            metadata = plain_metadata(metadata, metadata.shape)
        agreed.like[self.path] = VirtualArray(metadata, ChunkManifest.missing(metadata.grid_shape))
        agreed.issues.append(
            Issue(
                path=self.path,
                feature=TIMES_HARMONISED,
                message=f"reference dates, units or types differ between sources; all times are exact as {form}",
                severity="reported",
            )
        )
        stated = {name for array in (self.first, *(part for _, part, _ in self.parts)) for name in array.attributes}
        for name in sorted(RANGES & stated):
            message = "it states the times of one source in the unit of that source"
            path = f"{self.path}@{name}"
            agreed.issues.append(Issue(path=path, feature="attribute left out", message=message, severity="reported"))


def _retyped(metadata: ArrayMetadata, dtype: np.dtype[Any]) -> ArrayMetadata:
    """The same with elements of another type."""
    if metadata.dtype == dtype:
        return metadata
    try:
        fill = as_element(dtype, metadata.fill_value)
    except ManifestError:
        fill = default_fill(dtype)
    return metadata.with_(dtype=dtype, fill_value=fill)


def _meaning(arrays: Arrays, inherited: Inherited, path: str) -> Attributes:
    return {**inherited.get(path, {}), **arrays[path].attributes}


def _encoded(values: np.ndarray[Any, Any], metadata: ArrayMetadata) -> VirtualArray:
    """A copy in the storage of the first source where it can be encoded, uncompressed where it cannot."""
    try:
        return encode_values(values, metadata)
    except UnsupportedFeatureError:
        return encode_values(values, plain_metadata(metadata, values.shape))
