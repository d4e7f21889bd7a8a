"""The trees of one run of `concat` side by side: what differs between them, and whether it matters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from manifestry.combine.compatibility.decoded import is_encoding
from manifestry.combine.compatibility.differences import Difference, differences, inherited_attributes
from manifestry.combine.compatibility.fixed_arrays import OTHER_ENCODING, FixedArray, is_same_array
from manifestry.combine.compatibility.places import TILES_JOINED, adjoining_tiles
from manifestry.combine.compatibility.ranges import RANGES, range_issues, united_ranges, with_ranges
from manifestry.combine.compatibility.time_variables import TIMES_HARMONISED, agree_on_times
from manifestry.combine.dimensions import axis_along, stack_arrays
from manifestry.combine.hints import ConflictError, limit_hints, remedy
from manifestry.combine.options import CombineOptions
from manifestry.combine.trees import combine_attributes, is_named, label, ordered_union
from manifestry.combine.values import encode_values, plain_metadata, read_values
from manifestry.errors import IncompatibleArraysError
from manifestry.hints import Hint
from manifestry.issues import Issue
from manifestry.model.attributes import Attributes
from manifestry.model.datatypes import same_bits
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.storage.registry import StoreRegistry

__all__ = ["Comparison"]


class Comparison:
    """Trees, and what decides what they must be like.

    Parameters
    ----------
    trees, dim, options, stores
        Of the run.
    like
        What decides, in place of the first tree.
    keeps_dimensions
        The arrays of `like` have the dimensions that they have: none gets the combined one.

    Attributes
    ----------
    arrays, inherited
        Arrays of each tree by path, and what bounds among them inherit.
    like_arrays, like_inherited
        The same of what decides.
    issues
        What was found so far.
    time_failures
        Why time coordinates cannot agree, by path.
    """

    def __init__(
        self,
        trees: Sequence[VirtualGroup],
        dim: str,
        options: CombineOptions,
        stores: StoreRegistry,
        *,
        like: VirtualGroup | None,
        keeps_dimensions: bool,
    ) -> None:
        self.trees = trees
        self.dim = dim
        self.options = options
        self.stores = stores
        self.own_first = like is None
        self.keeps_dimensions = keeps_dimensions
        self.arrays = [stack_arrays(dict(tree.walk_arrays()), dim, options.stack) for tree in trees]
        if like is None:
            self.like_arrays = dict(self.arrays[0])
        else:
            self.like_arrays = stack_arrays(dict(like.walk_arrays()), dim, () if keeps_dimensions else options.stack)
        self.inherited = [inherited_attributes(arrays) for arrays in self.arrays]
        self.like_inherited = inherited_attributes(self.like_arrays)
        self.issues: list[Issue] = []
        self.time_failures: Mapping[str, ConflictError] = {}

    def agree_on_times(self) -> None:
        """From here on, times that the sources count differently are in one form."""
        agreed = agree_on_times(
            self.dim,
            (self.like_arrays, self.like_inherited),
            list(zip(self.arrays, self.inherited, strict=True)),
            stores=self.stores,
            limit=self.options.inline_limit,
            labels=self.label,
        )
        self.issues += agreed.issues
        self.time_failures = agreed.failures
        if agreed.like:
            self.like_arrays |= {path: array for path, array in agreed.like.items() if path in self.like_arrays}
            self.arrays = [{**own, **new} for own, new in zip(self.arrays, agreed.arrays, strict=True)]
            self.like_inherited = inherited_attributes(self.like_arrays)
            self.inherited = [inherited_attributes(arrays) for arrays in self.arrays]

    def unite_ranges(self) -> None:
        """From here on, ranges that sources state of arrays along the dimension are those of all of them.

        Not of what counts in another unit, or is packed otherwise, in some sources.
        """
        for path in ordered_union([self.like_arrays, *self.arrays]):
            holders = [i for i, arrays in enumerate(self.arrays) if path in arrays]
            decides = path in self.like_arrays
            first = self.like_arrays[path] if decides else self.arrays[holders[0]][path]
            if axis_along(first, self.dim) is None:
                continue
            parts = [first, *(self.arrays[i][path] for i in holders)]
            if all(RANGES.isdisjoint(part.metadata.attributes) for part in parts):
                continue
            changes = united_ranges([(part.attributes, part.dtype) for part in parts])
            mine = self.like_inherited if decides else self.inherited[holders[0]]
            inherited = [mine.get(path, {}), *(self.inherited[i].get(path, {}) for i in holders)]
            if not changes or not all(self._counts_alike(parts, inherited, at) for at in range(len(parts))):
                continue
            whole, *own = (_with(part, with_ranges(part.attributes, changes)) for part in parts)
            if decides:
                self.like_arrays[path] = whole
            for position, part in zip(holders, own, strict=True):
                self.arrays[position] = {**self.arrays[position], path: part}
            self.issues += range_issues(path, changes)

    def _counts_alike(self, arrays: Sequence[VirtualArray], inherited: Sequence[Attributes], at: int) -> bool:
        axis, both = axis_along(arrays[0], self.dim), (inherited[0], inherited[at])
        found = differences(arrays[0], arrays[at], axis, both, values_only=True)
        return all(difference.attribute in RANGES for difference in found)

    def join_tiles(self) -> None:
        """From here on, tiles that lie side by side along the dimension have the georeference of the whole."""
        if len(self.trees) < 2 and self.own_first:
            return
        found = None if self.keeps_dimensions else adjoining_tiles(self.dim, self.like_arrays, self.arrays)
        if found is None:
            return
        like, sources = found
        self.like_arrays |= _with_attributes(self.like_arrays, like)
        self.arrays = [{**own, **_with_attributes(own, new)} for own, new in zip(self.arrays, sources, strict=True)]
        for path in like if len(self.trees) > 1 else ():
            self._report(path, TILES_JOINED, f"along {self.dim}; the transform is that of the first")

    def trees_without_old_forms(self) -> list[VirtualGroup]:
        """The trees, without what was said of times that have another form now."""
        paths = {issue.path for issue in self.issues if issue.feature == TIMES_HARMONISED}
        old = [tuple(i for i in t.issues if i.feature != TIMES_HARMONISED or i.path not in paths) for t in self.trees]
        return (
            [tree.with_(issues=issues) for tree, issues in zip(self.trees, old, strict=True)]
            if paths
            else [*self.trees]
        )

    def label(self, position: int) -> str:
        """What messages call a tree."""
        return label(self.trees[position], position)

    def attributes(self, path: str, first: Attributes, own_attributes: Sequence[tuple[int, Attributes]]) -> Attributes:
        """The attributes of the whole, of those of the first and of some trees by their positions."""

        def name(at: int) -> str:
            return self.label(own_attributes[at - 1][0]) if at else "the first source"

        return combine_attributes(
            path, [first, *(a for _, a in own_attributes)], name, self.options, self.issues.append
        )

    def differences(
        self, path: str, first: VirtualArray, other: VirtualArray, position: int, axis: int | None
    ) -> list[Difference]:
        """In what an array of a tree decodes differently from the first one."""
        inherited = (self.like_inherited.get(path, {}), self.inherited[position].get(path, {}))
        return differences(first, other, axis, inherited)

    def conflict_error(
        self, path: str, found_differences: Sequence[Difference], where: str, arrays: tuple[VirtualArray, VirtualArray]
    ) -> ConflictError:
        """The refusal of an array that differs, with what may help."""
        listed = "; ".join(map(str, found_differences))
        remedies = [
            remedy("on_conflict", "harmonise"),
            *self.stack_hints(path, *arrays),
            remedy("on_conflict", "drop"),
        ]
        return ConflictError(f"{path}: {listed} in {where} (compared with the first source)", remedies)

    def stack_hints(self, path: str, *arrays: VirtualArray) -> list[Hint]:
        """What gives a variable the dimension: not one that counts the elements of a dimension of its own."""
        name = path.rpartition("/")[2]
        if name in (arrays[0].dims or ()) or all(axis_along(array, self.dim) is not None for array in arrays):
            return []
        others = {other for arrays in self.arrays for other in arrays if other.endswith(f"/{name}")}
        mark = path if "/" in path or not others else f"/{path}"
        return [remedy("stack", tuple(dict.fromkeys((*self.options.stack, mark))))]

    def keep_fixed(self, path: str, first: VirtualArray, holders: Sequence[int]) -> VirtualArray:
        """An array without the dimension, of the trees that have it: the same in all, or refused."""
        kept = FixedArray(first, self.stores, self.options.inline_limit, self.like_inherited.get(path))
        if self.options.compat != "override":
            others = [i for i in holders if not is_same_array(first, self.arrays[i][path])]
            near = kept.near([self.arrays[i][path] for i in others])
            for position, other in zip(others, near, strict=True):
                self._compare(path, kept, other, position)
        source_array = self.arrays[holders[0]][path] if self.own_first else first
        attributes = self.attributes(path, first.attributes, [(i, self.arrays[i][path].attributes) for i in holders])
        metadata = source_array.metadata.with_(attributes=attributes)
        if not is_named(path, self.options.load):
            return VirtualArray(metadata, source_array.manifest)
        if metadata.nbytes > self.options.inline_limit:
            raise ConflictError(
                f"{path}: copying its values takes {metadata.nbytes} bytes; the limit is "
                f"inline_limit={self.options.inline_limit}",
                limit_hints(metadata.nbytes, self.options.inline_limit),
            )
        return encode_values(read_values(source_array, self.stores), plain_metadata(metadata, metadata.shape))

    def _compare(self, path: str, kept: FixedArray, other: VirtualArray, position: int) -> None:
        found_differences = self.differences(path, kept.array, other, position, None)
        meaning = {**self.inherited[position].get(path, {}), **other.attributes}
        matters = [difference for difference in found_differences if not difference.only_storage]
        if not is_encoding(found_differences, kept.meaning, meaning):
            raise self.conflict_error(path, matters, self.label(position), (kept.array, other))
        without = [*self.stack_hints(path, other), remedy("on_conflict", "drop")]
        alike = not found_differences and same_bits(kept.array.metadata.fill_value, other.metadata.fill_value)
        decoding = meaning if matters else None
        try:
            equal = kept.equals(other, same_decoding=alike, meaning=decoding)
        except IncompatibleArraysError as error:
            wider = limit_hints(other.metadata.nbytes, self.options.inline_limit)
            listed = f"{matters[0]} in {self.label(position)}; " if matters else ""
            raise ConflictError(f"{path}: {listed}{error}", [*wider, *without]) from error
        if equal:
            if matters:
                self._report(path, OTHER_ENCODING, "the values are equal; as in the first source")
            return
        more = kept.more_than_rounding(other, decoding)
        asked = self.options.compat == "close"
        if asked and not more:
            self._report(path, "values differ by rounding", "as in the first source")
            return
        listed = f" ({'; '.join(map(str, matters))})" if matters else ""
        raise ConflictError(
            f"{path}: has no dimension {self.dim!r} and differs in {self.label(position)}: "
            + kept.first_difference(other, decoding)
            + listed
            + (f"; that is more than rounding (compat=close): {more}" if asked else ""),
            without if more else [remedy("compat", "close"), *without],
        )

    def _report(self, path: str, feature: str, message: str) -> None:
        self.issues.append(Issue(path=path, feature=feature, message=message, severity="reported"))


def _with_attributes(arrays: Mapping[str, VirtualArray], changed: Mapping[str, Attributes]) -> dict[str, VirtualArray]:
    return {path: _with(arrays[path], attributes) for path, attributes in changed.items()}


def _with(array: VirtualArray, attributes: Attributes) -> VirtualArray:
    return VirtualArray(array.metadata.with_(attributes=attributes), array.manifest)
