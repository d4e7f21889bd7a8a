"""From an HDF5 file to a tree: the order of work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from manifestry.plugin import ParseContext, Source, VirtualArray, VirtualGroup

from manifestry_hdf5.arrays import ArrayBuilder
from manifestry_hdf5.groups import Group
from manifestry_hdf5.objects.attributes import visible_attributes
from manifestry_hdf5.objects.datasets import Dataset
from manifestry_hdf5.objects.dimensions import DimensionNames, is_netcdf
from manifestry_hdf5.objects.unlimited_dimensions import UnlimitedDimensions
from manifestry_hdf5.open_files import Hdf5File, OpenFiles
from manifestry_hdf5.options import Hdf5Options
from manifestry_hdf5.sidecar import tree_of_sidecar
from manifestry_hdf5.walk import Walker

if TYPE_CHECKING:
    from manifestry_hdf5.native import NativeHdf5

__all__ = ["Hdf5Parser"]


class Hdf5Parser:
    """Reads HDF5 and netCDF-4 files."""

    def parse(self, source: Source, options: Hdf5Options, context: ParseContext) -> VirtualGroup:
        """The tree of a file; see `manifestry.formats.contracts.Parser`."""
        if options.prefer_sidecar and (tree := tree_of_sidecar(source, context)) is not None:
            return tree
        with OpenFiles(source) as files:
            walker = Walker(
                files,
                context,
                follow_external=options.follow_external,
                paths_of_references=options.references == "paths",
                compounds_as_groups=options.compounds == "groups",
            )
            file = files.open(source)
            root = walker.walk(file, context.group)
            tree = _Assembly(root, file, walker=walker, files=files, context=context).tree()
            for written in files.being_written():
                message = f"{written.source.url}: this is what it holds now, as h5py reads it with swmr=True"
                context.report("", "file that is still being written", message)
            return tree

    def open_native(self, source: Source, options: Hdf5Options) -> NativeHdf5:  # noqa: ARG002 none matters
        """The arrays of a file through h5py, which is imported here; see `manifestry.formats.contracts.NativeReader`."""
        from manifestry_hdf5.native import NativeHdf5  # noqa: PLC0415 parsing needs no libhdf5

        return NativeHdf5(source)


def _deepest_first(group: Group) -> Iterator[Group]:
    for child in group.groups.values():
        yield from _deepest_first(child)
    yield group


class _Assembly:
    """Makes the tree of what the walk found."""

    def __init__(self, root: Group, file: Hdf5File, *, walker: Walker, files: OpenFiles, context: ParseContext) -> None:
        self._root = root
        self._context = context
        outer = walker.outer
        groups = [*outer, *root.walk()]
        self._names = DimensionNames({group.path: group.scales for group in groups})
        top = outer[0] if outer else root
        self._netcdf = is_netcdf(top.attributes, (s for group in groups for s in group.scales.values()))
        self._dims: dict[str, tuple[str | None, ...]] = {}
        self._unlimited = UnlimitedDimensions(
            self._names, (s for group in groups for s in group.scales.values() if self._netcdf)
        )
        self._measure_unlimited(groups, walker, file)
        datasets = [dataset for group in root.walk() for dataset in group.datasets.values()]
        shapes = {
            group.scales[name].identity: shape
            for group in root.walk()
            for name, axes in group.axes.items()
            if (shape := self._shape(group, name)) != axes.lengths
        }
        self._builder = ArrayBuilder(datasets, shapes, files=files, walker=walker, context=context)

    def _measure_unlimited(self, groups: Sequence[Group], walker: Walker, file: Hdf5File) -> None:
        """Take the lengths of all variables of the file into account, those of groups that were not asked for too."""
        wanted = {dataset.identity for group in self._root.walk() for dataset in group.datasets.values()}
        found = ((group.scales[name], axes) for group in self._root.walk() for name, axes in group.axes.items())
        if walker.partial and any(
            scale.identity in wanted and self._unlimited.of(scale, axes) for scale, axes in found
        ):
            groups = [*groups, walker.unwalked(file)]
        for group in groups:
            for name, axes in group.axes.items():
                self._unlimited.see(group.scales[name], axes)

    def _shape(self, group: Group, name: str) -> tuple[int, ...]:
        """The shape of the array that a dataset becomes."""
        return self._unlimited.lengths(group.scales[name], group.axes[name])

    def tree(self) -> VirtualGroup:
        """The whole tree."""
        self._name_dimensions()
        return self._group(self._root)

    def _name_dimensions(self) -> None:
        """Name the dimensions of all arrays; those without a name are numbered in the order of netCDF-C.

        What netCDF-C passes over (array datatypes) comes last.
        """
        passed_over = []
        for group in _deepest_first(self._root):
            for name in sorted(group.axes, key=str.encode):
                if group.axes[name].numbered:
                    self._name(group, name)
                else:
                    passed_over.append((group, name))
        for group, name in passed_over:
            self._name(group, name)
        for group in self._root.walk():
            self._report_sizes(group)

    def _name(self, group: Group, name: str) -> None:
        """Name the dimensions of one dataset."""
        path, axes = group.path_of(name), group.axes[name]
        names, several = self._names.axis_names(name, group.scales[name], len(axes.lengths))
        self._names.add_phony_names(group.path, axes.lengths, axes.unlimited, names)
        if name in group.datasets:
            self._dims[path] = tuple(names)
            for axis in several:
                self._context.report(path, "several scales on one dimension", f"axis {axis} is called {names[axis]}")

    def _report_sizes(self, group: Group) -> None:
        """Report dimensions of several lengths."""
        seen: dict[str, int] = {}
        for name in group.datasets:
            path = group.path_of(name)
            for dim, size in zip(self._dims[path], self._shape(group, name), strict=True):
                if dim is not None and seen.setdefault(dim, size) != size:
                    message = f"{dim} has {size} elements here and {seen[dim]} in another array of the group"
                    self._context.report(path, "dimension of several lengths", message)

    def _group(self, group: Group) -> VirtualGroup:
        arrays = {}
        for name, dataset in group.datasets.items():
            path = group.path_of(name)
            with self._context.isolate(path):
                arrays[group.names.get(name, name)] = self._array(dataset, group, name, path)
        return VirtualGroup(
            arrays,
            groups={name: self._group(child) for name, child in group.groups.items()},
            attributes=visible_attributes(group.attributes, scale=False, netcdf=self._netcdf),
        )

    def _array(self, dataset: Dataset, group: Group, name: str, path: str) -> VirtualArray:
        """The array of a dataset under one of its names."""
        array = self._builder.variable(dataset)
        scale = group.scales[name].is_scale
        attributes = visible_attributes(array.attributes, scale=scale, netcdf=self._netcdf)
        return VirtualArray(array.metadata.with_(attributes=attributes, dims=self._dims[path]), array.manifest)
