"""`concat`: trees one after the other along a dimension that they have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from manifestry.combine.chunking import join_along
from manifestry.combine.compatibility import STORAGE, Difference, differences, inherited_attributes
from manifestry.combine.constants import Constant
from manifestry.combine.filling import fill_value_for_missing, filled_before, missing_part
from manifestry.combine.harmonise import harmonise
from manifestry.combine.index import check_order, load_along
from manifestry.combine.manifests import FileMerger
from manifestry.combine.options import CombineOptions
from manifestry.combine.trees import build_tree, check_some, combine_attributes, label, ordered_union, shared_parts
from manifestry.combine.values import at_hand, encode_values, plain_metadata, read_values
from manifestry.errors import IncompatibleArraysError, MalformedFileError, ManifestryError, OptionError
from manifestry.formats.options import make_options
from manifestry.issues import Issue
from manifestry.model.attributes import Attributes
from manifestry.model.elements import same_bits
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.storage.registry import StoreRegistry

__all__ = ["Concatenation", "concat"]


def concat(
    trees: Iterable[VirtualGroup], dim: str, *, like: VirtualGroup | None = None, stores: Any = None, **options: Any
) -> VirtualGroup:
    """Trees one after the other along a dimension that their arrays have.

    Arrays with the dimension are joined along it. Arrays without it must hold the same values everywhere and are kept
    once. The one-dimensional coordinate of the dimension is copied into the result, and its order is looked at:
    values that go back or are there twice are listed in ``issues``.

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
        names the sources, the variable and both values.
    OptionError
        An option is unknown, or no array has the dimension.
    """
    chosen = make_options(CombineOptions, options, "concat")
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
    """

    def __init__(
        self,
        trees: Sequence[VirtualGroup],
        dim: str,
        options: CombineOptions,
        *,
        like: VirtualGroup | None = None,
        stores: Any = None,
        check_order: bool = True,
    ) -> None:
        self.trees = trees
        self.dim = dim
        self.options = options
        self.stores = stores if isinstance(stores, StoreRegistry) else StoreRegistry(stores)
        self._like = like
        self._check_order = check_order
        self._merger = FileMerger()
        self._issues: list[Issue] = []
        self._lengths: dict[str, tuple[list[int], str]] = {}
        self._arrays = [dict(tree.walk_arrays()) for tree in trees]
        self._inherited = [inherited_attributes(arrays) for arrays in self._arrays]
        self._like_arrays = self._arrays[0] if like is None else dict(like.walk_arrays())
        self._like_inherited = inherited_attributes(self._like_arrays)

    def run(self) -> VirtualGroup:
        """The tree of all."""
        paths = ordered_union([self._like_arrays, *self._arrays])
        for name in self.options.load:
            if not any(name in (path, path.rpartition("/")[2]) for path in paths):
                raise OptionError(f"load: {name!r} is no variable; there are: {', '.join(sorted(paths)[:20])}")
        if not any(self._axis(array) is not None for arrays in self._arrays for array in arrays.values()):
            raise self._nothing_along([issue for tree in self.trees for issue in tree.issues])
        # Coordinates first: where another array does not fit beside one, it is that array which goes.
        joined = {path: self._guarded(path) for path in sorted(paths, key=lambda p: p.rpartition("/")[2] != self.dim)}
        arrays = {path: array for path in paths if (array := joined[path]) is not None}
        if not any(self._axis(array) is not None for array in arrays.values()):
            raise self._nothing_along(self._issues)
        groups = [dict(tree.walk()) for tree in self.trees]
        like_groups = groups[0] if self._like is None else dict(self._like.walk())
        attributes = {}
        for path in ordered_union([like_groups, *groups]):
            found = [(i, g[path].attributes) for i, g in enumerate(groups) if path in g]
            first = like_groups[path].attributes if path in like_groups else found[0][1]
            attributes[path] = self._attributes(path, first, found)
        tree = build_tree(arrays, attributes)
        return tree.with_(**shared_parts(self.trees, self._issues))

    def _nothing_along(self, issues: Sequence[Issue]) -> ManifestryError:
        """No array has the dimension, perhaps because all that had it were left out."""
        lost = next((issue for issue in issues if issue.severity == "refused"), None)
        if lost is not None:
            return IncompatibleArraysError(f"no variable with the dimension {self.dim!r} is left: {lost}")
        there = sorted({str(d) for a in self._like_arrays.values() for d in a.dims or ()})
        return OptionError(
            f"no array has the dimension {self.dim!r} (there are: {', '.join(there) or 'none'}); "
            "stack() or coords= makes a new dimension"
        )

    def _guarded(self, path: str) -> VirtualArray | None:
        """One variable, or None where it is left out because the options say so."""
        try:
            return self._variable(path)
        except MalformedFileError as error:
            raise MalformedFileError(f"{path}: {error}") from error
        except IncompatibleArraysError as error:
            if self.options.on_conflict != "drop":
                raise
            message = str(error).removeprefix(f"{path}: ")
            self._issues.append(Issue(path, "incompatible in some sources", message, "left out"))
            return None

    def _variable(self, path: str) -> VirtualArray | None:
        there = [i for i, arrays in enumerate(self._arrays) if path in arrays]
        first = self._like_arrays.get(path)
        if first is None:
            if self._like is not None and self.options.missing == "fill":
                raise self._missing(path, f"is in {self._label(there[0])} and not in the first source")
            first = self._arrays[there[0]][path]
        if len(there) < len(self.trees) or path not in self._like_arrays:
            gone = next((i for i in range(len(self.trees)) if i not in set(there)), None)
            where = (
                f"in {self._label(there[0])}, but not in the first source"
                if gone is None
                else f"not in {self._label(gone)}"
            )
            if self.options.missing == "raise":
                raise self._missing(path, f"is {where}")
            if self.options.missing == "drop":
                self._issues.append(Issue(path, "missing in some sources", where, "left out"))
                return None
        axis = self._axis(first)
        if axis is None:
            return self._constant(path, first, there)
        return self._along(path, first, axis)

    def _missing(self, path: str, what: str) -> IncompatibleArraysError:
        return IncompatibleArraysError(
            f"{path}: {what}; missing='fill' (--combine missing=fill) stands missing chunks in for it, 'drop' leaves the "
            "variable out"
        )

    def _axis(self, array: VirtualArray) -> int | None:
        dims = array.dims or ()
        if dims.count(self.dim) > 1:
            raise IncompatibleArraysError(f"an array has the dimension {self.dim} twice: {dims}")
        return dims.index(self.dim) if self.dim in dims else None

    def _label(self, position: int) -> str:
        return label(self.trees[position], position)

    def _attributes(self, path: str, first: Attributes, there: Sequence[tuple[int, Attributes]]) -> Attributes:
        def name(at: int) -> str:
            return self._label(there[at - 1][0]) if at else "the first source"

        return combine_attributes(path, [first, *(a for _, a in there)], name, self.options, self._issues.append)

    def _along(self, path: str, first: VirtualArray, axis: int) -> VirtualArray:
        first, parts = self._parts(path, first, axis)
        name = path.rpartition("/")[2]
        like = (first, self._like_inherited.get(path, {}))
        if (name == self.dim and first.metadata.ndim == 1) or self._is_loaded(path):
            inherited = [self._inherited[i].get(path, {}) for i in range(len(parts))]
            joined = load_along(parts, axis, path, inherited, like, self.options, self.stores, self._label)
            if name == self.dim and first.metadata.ndim == 1 and self._check_order:
                lengths = [part.shape[0] for part in parts]
                values = read_values(joined, self.stores)
                self._issues += check_order(path, values, lengths, self._label)
        else:
            same = [self._checked(path, first, part, i, axis) for i, part in enumerate(parts)]
            joined = join_along(same, axis, path, self.options, self.stores, self._merger)
        self._check_lengths(path, [part.shape[axis] for part in parts])
        there = [(i, part.attributes) for i, part in enumerate(parts)]
        attributes = self._attributes(path, first.attributes, there)
        metadata = joined.metadata.with_(attributes=attributes, fill_value=first.metadata.fill_value)
        return VirtualArray(metadata, joined.manifest)

    def _check_lengths(self, path: str, lengths: list[int]) -> None:
        """In each source the dimension has one length in all arrays of a group: values would shift otherwise."""
        known, other = self._lengths.setdefault(self._home(path), (lengths, path))
        if known == lengths:
            return
        position = next(i for i, (a, b) in enumerate(zip(known, lengths, strict=True)) if a != b)
        raise IncompatibleArraysError(
            f"{path}: the dimension {self.dim} has length {lengths[position]}, and {known[position]} in {other}, in "
            f"{self._label(position)}: what follows would not lie beside its coordinates; leave one of them out (exclude)"
        )

    def _home(self, path: str) -> str:
        """The group whose coordinate the arrays of a group lie beside: the nearest that has one, or the group itself.

        Source: CF conventions 2.7, "Groups": dimensions and coordinates are looked for in the groups above, too.
        """
        own = group = path.rpartition("/")[0]
        while f"{group}/{self.dim}".lstrip("/") not in self._like_arrays:
            if not group:
                return own
            group = group.rpartition("/")[0]
        return group

    def _is_loaded(self, path: str) -> bool:
        return path in self.options.load or path.rpartition("/")[2] in self.options.load

    def _parts(self, path: str, first: VirtualArray, axis: int) -> tuple[VirtualArray, list[VirtualArray]]:
        """The array of every tree; where one lacks it, missing chunks that read as missing values."""
        found = [arrays.get(path) for arrays in self._arrays]
        parts = [part for part in found if part is not None]
        if self.options.missing != "fill" or not (len(parts) < len(found) or filled_before(first, parts)):
            return first, parts
        gone = self._label(found.index(None)) if None in found else "a source"
        if len(parts) < len(found) and first.metadata.ndim == 1 and path.rpartition("/")[2] == self.dim:
            raise IncompatibleArraysError(f"{path}: is not in {gone}, and a coordinate has no missing values")
        fill = fill_value_for_missing(path, first, parts, gone)
        whole = [missing_part(first, axis, self._length(i, path)) if p is None else p for i, p in enumerate(found)]
        refilled = [VirtualArray(p.metadata.with_(fill_value=fill), p.manifest) for p in (first, *whole)]
        return refilled[0], refilled[1:]

    def _length(self, position: int, path: str) -> int:
        """How long the dimension is in a tree that lacks a variable: as in the other arrays of the group, or of all."""
        group = path.rpartition("/")[0]
        arrays = self._arrays[position]
        near = sorted(arrays, key=lambda other: other.rpartition("/")[0] != group)
        for other in near:
            axis = self._axis(arrays[other])
            if axis is not None:
                return arrays[other].shape[axis]
        raise IncompatibleArraysError(f"{path}: {self._label(position)} has no array with the dimension {self.dim}")

    def _differences(
        self, path: str, first: VirtualArray, other: VirtualArray, position: int, axis: int | None
    ) -> list[Difference]:
        inherited = (self._like_inherited.get(path, {}), self._inherited[position].get(path, {}))
        return differences(first, other, axis, inherited)

    def _checked(self, path: str, first: VirtualArray, other: VirtualArray, position: int, axis: int) -> VirtualArray:
        """`other` if it decodes like `first`, or what it is harmonised to."""
        found = self._differences(path, first, other, position, axis)
        if not found:
            return other
        where = self._label(position)
        if self.options.on_conflict != "harmonise":
            raise self._conflict(path, found, where)
        meaning = (
            {**self._like_inherited.get(path, {}), **first.attributes},
            {**self._inherited[position].get(path, {}), **other.attributes},
        )
        try:
            return harmonise(first, other, found, meaning, self.stores, self.options.inline_limit)
        except ManifestryError as error:
            raise IncompatibleArraysError(f"{path}: {found[0]} in {where}: {error}") from error

    def _conflict(self, path: str, found: Sequence[Difference], where: str) -> IncompatibleArraysError:
        listed = "; ".join(map(str, found))
        return IncompatibleArraysError(
            f"{path}: {listed} in {where} (compared with the first source); on_conflict='harmonise' (--combine "
            "on_conflict=harmonise) copies small arrays in the form of the first source, 'drop' leaves the variable out"
        )

    def _constant(self, path: str, first: VirtualArray, there: Sequence[int]) -> VirtualArray:
        kept = Constant(first, self.stores, self.options.inline_limit)
        if self.options.compat == "equals":
            others = [i for i in there if not self._is_same(first, self._arrays[i][path])]
            near = at_hand([self._arrays[i][path] for i in others], self.stores, self.options.inline_limit)
            for position, other in zip(others, near, strict=True):
                self._compare(path, kept, other, position)
        found = self._arrays[there[0]][path] if self._like is None else first
        attributes = self._attributes(path, first.attributes, [(i, self._arrays[i][path].attributes) for i in there])
        metadata = found.metadata.with_(attributes=attributes)
        if not self._is_loaded(path):
            return VirtualArray(metadata, found.manifest)
        if metadata.nbytes > self.options.inline_limit:
            raise IncompatibleArraysError(
                f"{path}: copying its values takes {metadata.nbytes} bytes; the limit is "
                f"inline_limit={self.options.inline_limit}"
            )
        return encode_values(read_values(found, self.stores), plain_metadata(metadata, metadata.shape))

    @staticmethod
    def _is_same(first: VirtualArray, other: VirtualArray) -> bool:
        """Whether two arrays are the same bytes, so that nothing has to be read."""
        return other is first or (other.metadata == first.metadata and other.manifest == first.manifest)

    def _compare(self, path: str, kept: Constant, other: VirtualArray, position: int) -> None:
        found = self._differences(path, kept.array, other, position, None)
        matters = [difference for difference in found if difference.what not in STORAGE]
        if matters:
            raise self._conflict(path, matters, self._label(position))
        alike = not found and same_bits(kept.array.metadata.fill_value, other.metadata.fill_value)
        try:
            equal = kept.equals(other, same_decoding=alike)
        except IncompatibleArraysError as error:
            raise IncompatibleArraysError(f"{path}: {error}") from error
        if not equal:
            raise IncompatibleArraysError(
                f"{path}: it has no dimension {self.dim!r} and differs in {self._label(position)}: "
                f"{kept.first_difference(other)}; compat='override' (--combine compat=override) takes that of the first "
                "source"
            )
