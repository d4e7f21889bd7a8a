"""`concat`: trees one after the other along a dimension that they have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from manifestry.combine.chunking import join_along
from manifestry.combine.comparison import Comparison
from manifestry.combine.compatibility.differences import Aspect, differences
from manifestry.combine.compatibility.harmonising import harmonise
from manifestry.combine.compatibility.meaning import explain_losses, lost_meaning, nearest
from manifestry.combine.dimensions import axis_along, can_expand
from manifestry.combine.filling import fill_missing, missing_error
from manifestry.combine.hints import TRIED_BYTES, ConflictError, MeaningLostError, limit_hints, remedy, with_advice
from manifestry.combine.index import check_order, load_along
from manifestry.combine.options import CombineOptions
from manifestry.combine.trees import (
    build_tree,
    check_names,
    check_some,
    is_named,
    ordered_union,
    shared_parts,
    without_summaries,
)
from manifestry.combine.values import read_values
from manifestry.errors import IncompatibleArraysError, MalformedFileError, ManifestryError, OptionError
from manifestry.hints import Hint
from manifestry.issues import Issue
from manifestry.model.files import FileMerger
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.storage.registry import StoreRegistry, Stores

__all__ = ["Concatenation", "concat"]


def concat(
    trees: Iterable[VirtualGroup], dim: str, *, like: VirtualGroup | None = None, stores: Stores = None, **options: Any
) -> VirtualGroup:
    """Trees one after the other along a dimension that their arrays have.

    Arrays with the dimension are joined along it. Arrays without it must hold the same values everywhere and are kept
    once; those that ``stack`` names get the dimension, as many steps of it as each tree has. The one-dimensional
    coordinate of the dimension is copied into the result, and its order is checked: values that go back or occur twice
    are listed in ``issues``.

    Parameters
    ----------
    trees
        In the order in which they follow each other.
    dim
        Name of the dimension, in whichever group it occurs.
    like
        A tree that decides how values are stored and what must be equal, in place of the first one. It is not part
        of the result.
    stores
        Object stores by URL prefix, as for `manifestry.parse`: coordinates are read from the sources.
    **options
        See `manifestry.combine.CombineOptions`.

    Raises
    ------
    IncompatibleArraysError
        Arrays differ in what their bytes mean, or lack where `options` do not say what to do about it; the message
        names the sources, the variable and both values. Its hints are options with which these trees are combined.
    OptionError
        An option is unknown, or no array has the dimension.
    """
    chosen = CombineOptions.of(options, "concat", call=concat)
    return Concatenation(check_some(trees), dim, chosen, like=like, stores=stores).run()


class Concatenation:
    """One run of `concat`.

    Parameters
    ----------
    trees, dim, like, stores
        See `concat`.
    options
        What to do where the trees differ.
    check_order
        Whether to look at the order of the coordinate.
    continued
        `like` is an output that goes on: its arrays have the dimensions that they have, and none can be left out.
    trial
        Only to see whether the options help: little is copied.
    """

    def __init__(
        self,
        trees: Sequence[VirtualGroup],
        dim: str,
        options: CombineOptions,
        *,
        like: VirtualGroup | None = None,
        stores: Stores = None,
        check_order: bool = True,
        continued: bool = False,
        trial: bool = False,
    ) -> None:
        self.trees = trees
        self.dim = dim
        self.options = options
        self.stores = StoreRegistry.of(stores)
        self._like = like
        self._all = [*trees, *([] if like is None else [like])]
        self._check_order = check_order
        self._merger = FileMerger()
        self._remedies: dict[str, Sequence[Hint]] = {}
        self._lengths: dict[str, tuple[list[int], str]] = {}
        self._continued = continued
        self._copy_budget = TRIED_BYTES if trial else None
        self._sides = Comparison(trees, dim, options, self.stores, like=like, keeps_dimensions=continued)

    def run(self) -> VirtualGroup:
        """The tree of all; an error says which options help."""
        try:
            return self.join()
        except IncompatibleArraysError as error:
            raise with_advice(error, self._attempt) from error

    def _attempt(self, changes: Mapping[str, Any]) -> list[str]:
        """Combine the same trees with other options, which must leave something worth having; paths of what they leave out."""
        options = msgspec.structs.replace(self.options, **changes)
        common: dict[str, Any] = {"like": self._like, "stores": self.stores, "check_order": False, "trial": True}
        other = Concatenation(self.trees, self.dim, options, continued=self._continued, **common)
        combined = dict(other.join().walk_arrays())
        if lacks := lost_meaning(other._all, combined.keys()):
            raise MeaningLostError(lacks, other._remedies)
        along = [p for p, a in combined.items() if self.dim in (a.dims or ()) and p.rpartition("/")[2] != self.dim]
        if not along or (self._continued and not self._continues(combined, options)):
            raise IncompatibleArraysError("required arrays would be left out")
        return sorted(
            {path for arrays in (self._sides.like_arrays, *self._sides.arrays) for path in arrays} - combined.keys()
        )

    def _continues(self, arrays: Mapping[str, VirtualArray], options: CombineOptions) -> bool:
        """Whether an output can go on with some arrays: it keeps its own, what missing chunks read as, and attributes."""
        if (
            options.attributes == "drop" != self.options.attributes
            or not self._sides.like_arrays.keys() <= arrays.keys()
        ):
            return False
        pairs = (
            (self._sides.like_arrays[path], array) for path, array in arrays.items() if path in self._sides.like_arrays
        )
        found = (differences(*pair, axis_along(pair[0], self.dim)) for pair in pairs)
        return not any(one.aspect is Aspect.FILL_VALUE for ones in found for one in ones)

    def join(self) -> VirtualGroup:
        """As `run`, for callers that need no advice."""
        self._sides.unite_ranges()
        self._sides.agree_on_times()
        self._sides.join_tiles()
        paths = ordered_union([self._sides.like_arrays, *self._sides.arrays])
        for option, names in (("load", self.options.load), ("stack", self.options.stack)):
            check_names(option, names, paths)
        if not any(
            axis_along(array, self.dim) is not None for arrays in self._sides.arrays for array in arrays.values()
        ):
            raise self._no_dimension_error([issue for tree in self.trees for issue in tree.issues])
        # Coordinates first: where another array does not match one, that array is dropped.
        joined = {
            path: self._combine_or_drop(path) for path in sorted(paths, key=lambda p: p.rpartition("/")[2] != self.dim)
        }
        arrays = {path: array for path in paths if (array := joined[path]) is not None}
        if not any(axis_along(array, self.dim) is not None for array in arrays.values()):
            raise self._no_dimension_error(self._sides.issues)
        if len(arrays) < len(paths):
            self._sides.issues = explain_losses(self._sides.issues, lost_meaning(self._all, arrays.keys()))
        groups = [dict(tree.walk()) for tree in self.trees]
        like_groups = groups[0] if self._like is None else dict(self._like.walk())
        attributes = {}
        for path in ordered_union([like_groups, *groups]):
            positions = [i for i, g in enumerate(groups) if path in g]
            first = like_groups if path in like_groups else groups[positions[0]]
            alike = [first[path], *(groups[i][path] for i in positions)]
            own, *others = without_summaries(path, alike, self._sides.issues.append)
            attributes[path] = self._sides.attributes(path, own, list(zip(positions, others, strict=True)))
        tree = build_tree(arrays, attributes)
        return tree.with_(**shared_parts(self._sides.trees_without_old_forms(), self._sides.issues))

    def _no_dimension_error(self, issues: Sequence[Issue]) -> ManifestryError:
        """No array has the dimension, perhaps because all that had it were left out."""
        lost = next((issue for issue in issues if issue.severity == "refused"), None)
        if lost is not None:
            return IncompatibleArraysError(f"no variable with the dimension {self.dim!r} is left: {lost}")
        dims = sorted({str(d) for a in self._sides.like_arrays.values() for d in a.dims or ()})
        way = f"; a coordinate makes it a new dimension: coords=['{self.dim}=...'] (--coord), or stack()"
        return OptionError(
            f"no array has the dimension {self.dim!r} (there are: {', '.join(dims) or 'none'})"
            + (way if all(map(can_expand, self._sides.arrays)) else "")
        )

    def _combine_or_drop(self, path: str) -> VirtualArray | None:
        """One variable, or None where it is left out because the options say so."""
        try:
            if path in self._sides.time_failures:
                raise self._sides.time_failures[path]
            return self._combine_variable(path)
        except MalformedFileError as error:
            raise MalformedFileError(f"{path}: {error}") from error
        except IncompatibleArraysError as error:
            if self.options.on_conflict != "drop":
                raise
            self._remedies[path] = getattr(error, "remedies", ())
            message = str(error).removeprefix(f"{path}: ")
            self._sides.issues.append(
                Issue(path=path, feature="incompatible in some sources", message=message, hint="left out")
            )
            return None

    def _combine_variable(self, path: str) -> VirtualArray | None:
        holders = [i for i, arrays in enumerate(self._sides.arrays) if path in arrays]
        first = self._sides.like_arrays.get(path)
        if first is None:
            first = self._sides.arrays[holders[0]][path]
        if len(holders) < len(self.trees) or path not in self._sides.like_arrays:
            lacking = next((i for i in range(len(self.trees)) if i not in set(holders)), None)
            where = (
                f"in {self._sides.label(holders[0])}, but not in the first source"
                if lacking is None
                else f"not in {self._sides.label(lacking)}"
            )
            if self.options.missing == "raise":
                raise missing_error(path, f"is {where}")
            if self.options.missing == "drop":
                self._sides.issues.append(
                    Issue(path=path, feature="missing in some sources", message=where, hint="left out")
                )
                return None
        axis = axis_along(first, self.dim)
        if axis is None:
            return self._sides.keep_fixed(path, first, holders)
        return self._join_variable(path, first, axis)

    def _join_variable(self, path: str, first: VirtualArray, axis: int) -> VirtualArray:
        if self.options.missing == "fill":
            stored = self._continued and path in self._sides.like_arrays
            common = (path, first, self._sides.arrays, self.dim, self._sides.label)
            absent = "the output" if self._continued and not stored else ""
            first, parts = fill_missing(*common, stored=stored, absent=absent)
        else:
            parts = [arrays[path] for arrays in self._sides.arrays if path in arrays]
        name = path.rpartition("/")[2]
        like = (first, self._sides.like_inherited.get(path, {}))
        if (name == self.dim and first.metadata.ndim == 1) or self._is_loaded(path):
            holders = [
                i for i, arrays in enumerate(self._sides.arrays) if path in arrays or len(parts) == len(self.trees)
            ]
            inherited = [self._sides.inherited[i].get(path, {}) for i in holders]
            joined = load_along(
                parts, axis, path, inherited, like, options=self.options, stores=self.stores, labels=self._sides.label
            )
            if name == self.dim and first.metadata.ndim == 1 and self._check_order:
                lengths = [part.shape[0] for part in parts]
                values = read_values(joined, self.stores)
                self._sides.issues += check_order(path, values, lengths, self._sides.label)
        else:
            same = [self._fit(path, first, part, i, axis) for i, part in enumerate(parts)]
            joined = join_along(same, axis, path, options=self.options, stores=self.stores, merger=self._merger)
        self._check_lengths(path, [part.shape[axis] for part in parts])
        own_attributes = [(i, part.attributes) for i, part in enumerate(parts)]
        attributes = self._sides.attributes(path, first.attributes, own_attributes)
        metadata = joined.metadata.with_(attributes=attributes, fill_value=first.metadata.fill_value)
        return VirtualArray(metadata, joined.manifest)

    def _check_lengths(self, path: str, lengths: list[int]) -> None:
        """In each source the dimension has one length in all arrays of a group: values would shift otherwise."""
        group = path.rpartition("/")[0]
        near = nearest(group, self.dim, self._sides.like_arrays.keys())
        # The group of their coordinate, or their own.
        home = group if near is None else near.rpartition("/")[0]
        known, other = self._lengths.setdefault(home, (lengths, path))
        if known == lengths:
            return
        position = next(i for i, (a, b) in enumerate(zip(known, lengths, strict=True)) if a != b)
        raise ConflictError(
            f"{path}: the dimension {self.dim} has length {lengths[position]}, and {known[position]} in {other}, in "
            f"{self._sides.label(position)}: what follows would not match its coordinates",
            [remedy("on_conflict", "drop")],
        )

    def _is_loaded(self, path: str) -> bool:
        return is_named(path, self.options.load)

    def _fit(self, path: str, first: VirtualArray, other: VirtualArray, position: int, axis: int) -> VirtualArray:
        """`other` if it decodes like `first`, or what it is harmonised to."""
        found_differences = self._sides.differences(path, first, other, position, axis)
        if not found_differences:
            return other
        where = self._sides.label(position)
        if self.options.on_conflict != "harmonise":
            raise self._sides.conflict_error(path, found_differences, where, (first, other))
        size, limit = other.metadata.nbytes, self.options.inline_limit
        if self._copy_budget is not None:
            self._copy_budget -= size
            if self._copy_budget < 0:
                raise IncompatibleArraysError(f"{path}: trying it would copy more than {TRIED_BYTES} bytes")
        meaning = (
            {**self._sides.like_inherited.get(path, {}), **first.attributes},
            {**self._sides.inherited[position].get(path, {}), **other.attributes},
        )
        try:
            return harmonise(first, other, found_differences, meaning, stores=self.stores, limit=limit)
        except ManifestryError as error:
            remedies = [
                *limit_hints(size, limit),
                *self._sides.stack_hints(path, first, other),
                remedy("on_conflict", "drop"),
            ]
            raise ConflictError(f"{path}: {found_differences[0]} in {where}: {error}", remedies) from error
