"""From a document to a tree: the order of work."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from manifestry.plugin import (
    Confidence,
    MalformedFileError,
    OptionError,
    ParseContext,
    Source,
    SourceError,
    UnsupportedFeatureError,
    VirtualArray,
    VirtualGroup,
    is_node_name,
)

from manifestry_dmrpp.arrays import build_array
from manifestry_dmrpp.attributes import group_attributes
from manifestry_dmrpp.dimensions import DimensionNames, axis_lengths, restore_names, without_mark
from manifestry_dmrpp.document import Group, Variable
from manifestry_dmrpp.locations import Locations
from manifestry_dmrpp.options import DmrppOptions
from manifestry_dmrpp.reading import read_document
from manifestry_dmrpp.sidecars import SUFFIXES, find_sidecar, sniff
from manifestry_dmrpp.storage import StorageBuilder

__all__ = ["DmrppParser"]


class DmrppParser:
    """Parser of DMR++ documents. Given a data file, it reads the document beside it."""

    def parse(self, source: Source, options: DmrppOptions, context: ParseContext) -> VirtualGroup:
        """The tree of a document.

        Raises
        ------
        SourceError
            The source is a data file, and there is no document next to it.
        MalformedFileError, UnsupportedFeatureError
            The document as a whole.
        OptionError
            The document does not have the group.
        """
        document, data = _document_of(source)
        below = f"{context.group}/" if context.group else ""

        def wanted(path: str) -> bool:
            return path.startswith(below) and context.wants(path.removeprefix(below))

        root = read_document(document, context.limits, lambda path: wanted(path) or wanted(without_mark(path)))
        restore_names(root, wanted)
        top = root.find(context.group)
        if top is None:
            raise OptionError(f"there is no group {context.group!r} in {document.url}")

        def report(feature: str, message: str) -> None:
            context.report("", feature, message)

        locations = Locations(document, root.properties, options, data, report)
        storage = StorageBuilder(locations, context, legacy="version" not in root.properties)
        return _TreeBuilder(DimensionNames(root, top), storage, context, len(below)).tree(top)


def _document_of(source: Source) -> tuple[Source, Source | None]:
    """The document, and the data file when that is what was given."""
    if sniff(source.head(), source) is not Confidence.NO:
        return source, None
    if source.name.endswith(SUFFIXES) or source.head(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return source, None  # not a document, or a damaged one: reading it says what is wrong
    sidecar = find_sidecar(source)
    if sidecar is None:
        names = ", ".join(source.name + suffix for suffix in SUFFIXES)
        raise SourceError(f"{source.url}: not a DMR++ document, and none beside it ({names})")
    return sidecar, source


class _TreeBuilder:
    """Makes groups and arrays of what the document declares."""

    def __init__(self, names: DimensionNames, storage: StorageBuilder, context: ParseContext, prefix: int) -> None:
        self._names = names
        self._storage = storage
        self._context = context
        self._prefix = prefix  # characters of the path of the group that was asked for

    def tree(self, group: Group) -> VirtualGroup:
        """A group and all below it."""
        groups: dict[str, VirtualGroup] = {}
        for child in group.groups:
            path = child.path[self._prefix :]
            if not self._context.wants_group(path):
                continue
            with self._context.isolate(path):
                _check_name(child.name, path, groups.keys())
                groups[child.name] = self.tree(child)
        arrays: dict[str, VirtualArray] = {}
        wanted = [variable for variable in group.variables if variable.wanted]
        for variable in sorted(wanted, key=lambda variable: bool(variable.stored_name)):
            path = variable.path[self._prefix :]
            if _is_only_dimension(variable):
                self._context.report(path, "dimension without a variable")
                continue
            with self._context.isolate(path):
                if variable.stored_name and self._is_taken(variable, group):
                    hint = "leave it out with on_unsupported='skip' (--on-unsupported skip)"
                    raise UnsupportedFeatureError(
                        f"variable {variable.stored_name} beside another of its name", path, hint
                    )
                _check_name(variable.name, path, groups.keys() | arrays.keys())
                arrays[variable.name] = self._array(variable)
        return VirtualGroup(arrays, groups=groups, attributes=group_attributes(group.attributes))

    @staticmethod
    def _is_taken(variable: Variable, group: Group) -> bool:
        """Whether something else in a group has the name of a variable: anything but a dimension."""
        others = [one.name for one in group.variables if one is not variable and not _is_only_dimension(one)]
        return variable.name in (*others, *(child.name for child in group.groups))

    def _array(self, variable: Variable) -> VirtualArray:
        shape = axis_lengths(variable)
        return build_array(variable, shape, self._names.of(variable), self._storage, self._context)


def _is_only_dimension(variable: Variable) -> bool:
    """Whether a variable is what netCDF-4 makes in HDF5 files for a dimension that has no variable: nothing is in it."""
    if variable.attributes or variable.has_data:
        return False
    path = "/" + variable.path
    return len(variable.dims) == 1 and variable.dims[0].name in (path, variable.name)


def _check_name(name: str, path: str, earlier: AbstractSet[str]) -> None:
    if not is_node_name(name):
        raise UnsupportedFeatureError(f"the name {name!r}", path, "Zarr has no such names")
    if name in earlier:
        raise MalformedFileError(f"{path}: two variables or groups have the name: names must differ")
