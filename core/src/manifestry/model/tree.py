"""VirtualArray and VirtualGroup: what a parser returns, combining works on, and a writer stores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, Final

import numpy as np

from manifestry.errors import one_line
from manifestry.issues import Issue
from manifestry.model.attributes import Attributes, attributes_equal
from manifestry.model.files import FileTable
from manifestry.model.manifest import ChunkManifest
from manifestry.model.metadata import ArrayMetadata
from manifestry.model.provenance import Provenance
from manifestry.model.selection import Selection

__all__ = ["UNNAMED_DIM", "VirtualArray", "VirtualGroup", "check_tree"]

UNNAMED_DIM: Final = "unnamed_"
"""What names of dimensions begin with that are made up, since the source has none."""


@dataclass(frozen=True, slots=True)
class VirtualArray:
    """An array whose chunks lie in other files: what it is, and where its chunks are."""

    metadata: ArrayMetadata
    manifest: ChunkManifest

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements along each dimension."""
        return self.metadata.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the elements, in native byte order."""
        return self.metadata.dtype

    @property
    def dims(self) -> tuple[str | None, ...] | None:
        """Dimension names, or None where the source has none."""
        return self.metadata.dims

    @property
    def attributes(self) -> Attributes:
        """Typed attributes."""
        return self.metadata.attributes

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the references take, not the elements."""
        return self.manifest.nbytes

    def named_dims(self, name: str) -> tuple[str, ...]:
        """A name for every dimension: one that has none is called after the array's name and its position.

        Such names begin with `UNNAMED_DIM`, by which they are known again.
        """
        dims = self.dims if self.dims is not None else (None,) * self.metadata.ndim
        return tuple(f"{UNNAMED_DIM}{name}_{i}" if dim is None else dim for i, dim in enumerate(dims))

    def relocate(self, prefixes: Mapping[str, str]) -> VirtualArray:
        """The same array with its files under other URLs."""
        return VirtualArray(self.metadata, self.manifest.relocate(prefixes))

    def __repr__(self) -> str:
        dims = ", ".join(one_line(str(d)) for d in self.dims or ())
        return f"<VirtualArray ({dims}) {self.shape} {self.dtype}, {self.manifest.stored_count} chunks stored>"


@dataclass(frozen=True, slots=True, eq=False)
class VirtualGroup:
    """A group of virtual arrays and subgroups.

    Attributes
    ----------
    arrays, groups
        Children by name. A name is one segment of a path and belongs to an array or a group, never both.
    attributes
        Typed attributes of the group.
    issues
        What was left out or is worth knowing, of the whole tree below; kept on the root.
    provenance
        Which parsers read which sources; kept on the root.
    """

    arrays: Mapping[str, VirtualArray] = field(default_factory=dict)
    _: KW_ONLY
    groups: Mapping[str, VirtualGroup] = field(default_factory=dict)
    attributes: Attributes = field(default_factory=dict)
    issues: tuple[Issue, ...] = ()
    provenance: tuple[Provenance, ...] = ()

    def with_(self, **changes: Any) -> VirtualGroup:
        """A copy with some fields replaced."""
        return replace(self, **changes)

    def walk(self, prefix: str = "") -> Iterator[tuple[str, VirtualGroup]]:
        """The group itself and all below it with their paths (``""`` for itself), parents first."""
        yield prefix, self
        for name, group in self.groups.items():
            yield from group.walk(f"{prefix}/{name}" if prefix else name)

    def walk_arrays(self) -> Iterator[tuple[str, VirtualArray]]:
        """All arrays of the tree with their paths, for example ``"group/array"``."""
        for path, group in self.walk():
            for name, array in group.arrays.items():
                yield (f"{path}/{name}" if path else name), array

    def __getitem__(self, path: str) -> VirtualArray | VirtualGroup:
        """The array or group at a path.

        Raises
        ------
        KeyError
            There is nothing at that path.
        """
        node: VirtualArray | VirtualGroup = self
        for part in filter(None, path.split("/")):
            if isinstance(node, VirtualArray) or not (part in node.arrays or part in node.groups):
                raise KeyError(path)
            node = node.arrays[part] if part in node.arrays else node.groups[part]
        return node

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the references of all arrays take; a file table shared by arrays counts once."""
        tables = {id(array.manifest.files): array.manifest.files.nbytes for _, array in self.walk_arrays()}
        columns = sum(array.manifest.nbytes - array.manifest.files.nbytes for _, array in self.walk_arrays())
        return columns + sum(tables.values())

    @property
    def files(self) -> FileTable:
        """The distinct source objects that any array refers to."""
        distinct = {id(array.manifest.files): array.manifest.files for _, array in self.walk_arrays()}
        return FileTable.union(list(distinct.values()))[0]

    def map_arrays(self, change: Any) -> VirtualGroup:
        """A copy in which every array is ``change(path, array)``; where that gives None, the array is left out."""
        return _map_arrays(self, change, "")

    def select(self, include: Sequence[str] = (), exclude: Sequence[str] = (), group: str = "") -> VirtualGroup:
        """Keep only some arrays.

        Parameters
        ----------
        include, exclude
            Names or paths of arrays or groups; shell patterns (``*``, ``?``) are understood. A name without a slash
            is looked for in every group. Nothing included means everything.
        group
            Path of the group that becomes the root.

        Raises
        ------
        KeyError
            A name is not in the tree: a misspelt selection must not pass unnoticed.
        """
        root = self[group] if group else self
        if isinstance(root, VirtualArray):
            raise KeyError(f"{group} is an array, not a group")
        selection = Selection(include=tuple(include), exclude=tuple(exclude))
        selection.check(path for path, _ in root.walk_arrays())
        picked = root.map_arrays(lambda path, array: array if selection.array(path) else None)
        return replace(_without_empty(picked, root), issues=self.issues, provenance=self.provenance)

    def rename(self, names: Mapping[str, str]) -> VirtualGroup:
        """Rename arrays and groups by path, and dimensions by name wherever they occur.

        Parameters
        ----------
        names
            ``{path or dimension: new name}``; the new name is one segment. Attributes that mention old names
            (``coordinates``) stay as they are.

        Raises
        ------
        KeyError
            A name is neither a path nor a dimension of the tree.
        ValueError
            Two children, or two dimensions of an array, would have one name, or a new name is a path.
        """
        paths = {path for path, _ in self.walk_arrays()} | {path for path, _ in self.walk() if path}
        dims = {dim for _, array in self.walk_arrays() for dim in array.dims or () if dim is not None}
        for name in names:
            if name not in paths and name not in dims:
                raise KeyError(f"{name} is not an array, group or dimension of this tree")
            if "/" in names[name] or not names[name]:
                raise ValueError(f"{names[name]!r} is not a single name")
        return _rename(self, names, "")

    def relocate(self, prefixes: Mapping[str, str]) -> VirtualGroup:
        """The same tree with its files under other URLs: index where the data is at hand, publish where readers are.

        Parameters
        ----------
        prefixes
            ``{old_prefix: new_prefix}``; of several that match, the longest counts. The text is compared as it stands.
        """
        tables: dict[int, FileTable] = {}

        def move(_path: str, array: VirtualArray) -> VirtualArray:
            old = array.manifest
            files = tables.get(id(old.files)) or tables.setdefault(id(old.files), old.files.relocate(prefixes))
            return VirtualArray(array.metadata, replace(old, files=files))

        provenance = tuple(replace(part, sources=part.sources.relocate(prefixes)) for part in self.provenance)
        return replace(self.map_arrays(move), provenance=provenance)

    def __eq__(self, other: object) -> bool:
        """Whether arrays, groups and attributes are equal; issues and provenance do not count."""
        if not isinstance(other, VirtualGroup):
            return NotImplemented
        return (
            dict(self.arrays) == dict(other.arrays)
            and dict(self.groups) == dict(other.groups)
            and attributes_equal(self.attributes, other.attributes)
        )

    def __hash__(self) -> int:
        return hash((frozenset(self.arrays), frozenset(self.groups)))

    def __repr__(self) -> str:
        arrays = sum(1 for _ in self.walk_arrays())
        issues = f", {len(self.issues)} issues" if self.issues else ""
        names = [*self.arrays, *(f"{g}/" for g in self.groups)][:8]
        return f"<VirtualGroup {', '.join(map(one_line, names))}: {arrays} arrays{issues}>"


def check_tree(given: object) -> None:
    """Make sure that what a caller gives as a tree is one.

    Raises
    ------
    TypeError
        It is something else, most often the path of a file.
    """
    if not isinstance(given, VirtualGroup):
        raise TypeError(
            f"a tree was expected, not the {type(given).__name__} {given!r:.80}: manifestry.parse(path) gives the tree of a "
            "file, manifestry.convert(sources, target) takes files"
        )


def _map_arrays(group: VirtualGroup, change: Any, prefix: str) -> VirtualGroup:
    arrays = {name: change(prefix + name, array) for name, array in group.arrays.items()}
    groups = {name: _map_arrays(child, change, f"{prefix}{name}/") for name, child in group.groups.items()}
    return replace(group, arrays={k: v for k, v in arrays.items() if v is not None}, groups=groups)


def _without_empty(group: VirtualGroup, before: VirtualGroup) -> VirtualGroup:
    """Drop groups that hold nothing now and held an array before."""
    groups = {name: _without_empty(child, before.groups[name]) for name, child in group.groups.items()}
    kept = {
        n: g for n, g in groups.items() if g.arrays or g.groups or next(before.groups[n].walk_arrays(), None) is None
    }
    return replace(group, groups=kept)


def _rename(group: VirtualGroup, names: Mapping[str, str], prefix: str) -> VirtualGroup:
    def new(name: str) -> str:
        return names.get(prefix + name, name)

    arrays = {new(name): _rename_dims(array, names) for name, array in group.arrays.items()}
    groups = {new(name): _rename(child, names, f"{prefix}{name}/") for name, child in group.groups.items()}
    if len({*arrays, *groups}) != len(group.arrays) + len(group.groups):
        raise ValueError(f"renaming would give two children of {prefix or '/'} the same name")
    return replace(group, arrays=arrays, groups=groups)


def _rename_dims(array: VirtualArray, names: Mapping[str, str]) -> VirtualArray:
    if array.dims is None or not any(dim in names for dim in array.dims):
        return array
    dims = tuple(dim if dim is None else names.get(dim, dim) for dim in array.dims)
    if len(set(dims)) < len(set(array.dims)):
        raise ValueError(f"renaming would give two of the dimensions {array.dims} the same name")
    return replace(array, metadata=array.metadata.with_(dims=dims))
