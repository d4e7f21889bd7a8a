"""Groups, links and datasets of a file as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from operator import attrgetter
from typing import Final

from manifestry.plugin import (
    MalformedFileError,
    ManifestryError,
    OptionError,
    ParseContext,
    SourceError,
    UnsupportedFeatureError,
    is_node_name,
)

from manifestry_hdf5.groups import Group, datasets_of
from manifestry_hdf5.link_follower import LinkFollower, NowhereError, Place
from manifestry_hdf5.linked_files import PointsBy
from manifestry_hdf5.objects.attributes import read_attributes
from manifestry_hdf5.objects.datasets import (
    Dataset,
    Identity,
    is_virtual,
    read_axes,
    read_dataset,
    read_datatype,
    read_layout,
    read_space,
)
from manifestry_hdf5.objects.dimensions import SCALE_ATTRIBUTES, Scale, read_scale
from manifestry_hdf5.objects.object_table import ObjectKind, kind_of
from manifestry_hdf5.objects.record_fields import fields_of, is_for_groups
from manifestry_hdf5.objects.texts import decode_text
from manifestry_hdf5.open_files import Hdf5File, OpenFiles
from manifestry_hdf5.storage.virtual_sources import SourceName, virtual_extent
from manifestry_hdf5.structures.data_objects.data_layout_message import VirtualLayout
from manifestry_hdf5.structures.data_objects.dataspace_message import Dataspace
from manifestry_hdf5.structures.data_objects.datatype import Compound
from manifestry_hdf5.structures.data_objects.link_message import Link, LinkKind
from manifestry_hdf5.structures.encodings.selected_elements import endless_axis

__all__ = ["Walker"]

_BY_NAME: Final = attrgetter("name")


class Walker:
    """Walks a file by its links, and the files that external links lead to.

    Parameters
    ----------
    files
        The files that are open.
    context
        Selection, limits, and where refusals go.
    follow_external
        Whether external links are followed.
    paths_of_references
        Whether references to objects become paths; datasets of such elements are refused otherwise.
    compounds_as_groups
        Whether records with fields of any length become groups of arrays.

    Attributes
    ----------
    outer
        Groups above the one that was asked for, from the root on: their attributes, and what their datasets say about
        dimensions.
    partial
        Whether there may be groups that were not walked.
    """

    def __init__(
        self,
        files: OpenFiles,
        context: ParseContext,
        *,
        follow_external: bool,
        paths_of_references: bool = True,
        compounds_as_groups: bool = False,
    ) -> None:
        self._files = files
        self._context = context
        self._follow_external = follow_external
        self._links = LinkFollower(files, follow_external=follow_external)
        self._paths_of_references = paths_of_references
        self._compounds_as_groups = compounds_as_groups
        self._with_references: set[str] = set()  # the files in which some were met
        self._above: list[Identity] = []  # the groups that are being walked
        self._measured: list[Identity] = []  # the virtual datasets whose length is being looked for
        self._count = 0
        self._datasets: dict[Identity, Dataset] = {}
        self.outer: list[Group] = []
        self.partial = False

    def walk(self, file: Hdf5File, path: str) -> Group:
        """The group at `path` of a file and everything below it.

        Raises
        ------
        OptionError
            There is no such group.
        MalformedFileError
            It cannot be read.
        """
        place = self._group_at(file, path)
        parts = path.split("/") if path else []
        self.partial = bool(parts)
        for depth in range(len(parts)):
            above = "/".join(parts[:depth])
            self.outer.append(self._scales_of(*self._group_at(file, above), f"/{above}"))
        return self._group(*place, "")

    def _group_at(self, file: Hdf5File, path: str) -> Place:
        """The group at a path, and the file that it is in."""
        try:
            group_file, address = self._links.target(file, file.superblock.root, b"/" + path.encode(), f"group {path}")
            if kind_of(group_file.objects.header(address)) is ObjectKind.GROUP:
                return group_file, address
        except NowhereError as error:
            raise OptionError(f"there is no group {path!r} in {file.source.url}: {error}") from error
        raise OptionError(f"there is no group {path!r} in {file.source.url}: it is not a group")

    def _scales_of(self, file: Hdf5File, address: int, path: str) -> Group:
        """A group above the one asked for: only what it says about dimensions matters."""
        group = Group(path=path)
        file.read_members_ahead(address, self._context)
        group.attributes = read_attributes(file, address, path, self._context)
        for link in file.objects.links(address):
            hard = link.kind is LinkKind.HARD
            if hard and kind_of(file.objects.header(link.address)) is ObjectKind.DATASET:
                self._measure(file, group, decode_text(link.name), link.address)
        return group

    def unwalked(self, file: Hdf5File) -> Group:
        """What all datasets of a file say about dimensions, whatever was asked for; one that is damaged says nothing."""
        group = Group(path="")
        file.read_rest_ahead(self._context)
        for address in datasets_of(file, self._context.limits.max_arrays):
            with suppress(ManifestryError):
                self._measure(file, group, f"{address:#x}", address)
        return group

    def _measure(self, file: Hdf5File, group: Group, name: str, address: int) -> None:
        """Add what a dataset that is not wanted says about dimensions."""
        path = group.path_of(name)
        scale = group.scales[name] = self._scale(file, address, path)
        if not scale.only_dimension:
            group.axes[name] = read_axes(file, file.objects.header(address), self._space(file, address, path))

    def _group(self, file: Hdf5File, address: int, path: str) -> Group:
        group = Group(path=path)
        self._above.append((file.source.url, address))
        try:
            file.read_ahead(address, path, self._context)
            group.attributes = read_attributes(file, address, path, self._context)
            links = file.objects.links(address)
            times = Counter(map(_BY_NAME, links))
            group.names = file.netcdf_names.of(address)
            for link in links:
                name = self._name(link.name, path)
                if name is not None:
                    with self._context.isolate(group.path_of(name)):
                        if (count := times[link.name]) > 1:  # libhdf5 opens either of them
                            raise MalformedFileError(f"group {path or '/'}: {count} links have the name {name!r}")
                        self._link(file, group, address, name, link)
        finally:
            self._above.pop()
        return group

    def _name(self, raw: bytes, path: str) -> str | None:
        """The name of a link, or None when no Zarr node can have it."""
        try:
            name = raw.decode("utf-8")
        except UnicodeDecodeError:
            name = raw.decode("utf-8", "backslashreplace")
            self._context.refuse(f"{path}/{name}".lstrip("/"), "name that is not UTF-8")
            return None
        if not is_node_name(name):
            self._context.refuse(f"{path}/{name}".lstrip("/"), "name that no Zarr node can have")
            return None
        return name

    def _link(self, file: Hdf5File, group: Group, address: int, name: str, link: Link) -> None:
        path = group.path_of(name)
        if name in group.names and file.netcdf_names.is_taken(address, group.names[name]):
            hint = "leave it out with on_unsupported='skip' (--on-unsupported skip)"
            raise UnsupportedFeatureError(f"variable {name} beside another of its name", path, hint)
        if link.kind is LinkKind.HARD:
            self._add_object(file, group, link.address, name)
        elif link.kind is LinkKind.USER_DEFINED:
            self._context.report(path, "user-defined link", "only the program that made it knows what it leads to")
        elif link.kind is LinkKind.EXTERNAL and not self._follow_external:
            self._context.report(path, "external link", "not followed because follow_external is false")
        else:
            try:
                other, child = self._links.target(file, address, link.name, path)
            except NowhereError as error:
                kind = link.kind.name.lower()
                hint = f"{error}; leave it out with on_unsupported='skip' (--on-unsupported skip)"
                raise UnsupportedFeatureError(f"{kind} link that leads nowhere", path, hint) from error
            else:
                self._add_object(other, group, child, name)

    def _add_object(self, file: Hdf5File, group: Group, address: int, name: str) -> None:
        """Add the group or dataset that a link leads to."""
        path = group.path_of(name)
        self._count += 1
        if self._count > self._context.limits.max_arrays:
            raise MalformedFileError(f"{path}: more than {self._context.limits.max_arrays} objects")
        kind = kind_of(file.objects.header(address))
        if kind is ObjectKind.GROUP:
            self._subgroup(file, group, address, path)
        elif kind is ObjectKind.DATASET:
            self._dataset(file, group, address, name)

    def _subgroup(self, file: Hdf5File, group: Group, address: int, path: str) -> None:
        if not self._context.wants_group(path):
            self.partial = True
            return
        if (file.source.url, address) in self._above:
            self._context.report(path, "link to a group that it is in", "the cycle is cut here")
        elif len(self._above) >= self._context.limits.max_depth:
            raise MalformedFileError(f"{path}: groups nested deeper than {self._context.limits.max_depth}")
        else:
            group.groups[path.rpartition("/")[2]] = self._group(file, address, path)

    def _dataset(self, file: Hdf5File, group: Group, address: int, name: str) -> None:
        path, header = group.path_of(name), file.objects.header(address)
        if self._compounds_as_groups and is_for_groups(datatype := read_datatype(file, header)):
            assert isinstance(datatype, Compound)
            self._records(file, group, address, name, datatype)
            return
        if not self._context.wants(path):
            self._measure(file, group, name, address)
            return
        identity = (file.source.url, address)
        earlier = self._datasets.get(identity)  # the same dataset under another name
        attributes = earlier.attributes if earlier else read_attributes(file, address, path, self._context)
        space = self._space(file, address, path)
        scale = group.scales[name] = read_scale(space, identity, attributes)
        if not scale.only_dimension:
            try:
                dataset = earlier or read_dataset(
                    file, identity, path, self._context, attributes=attributes, space=space
                )
                self._check_references(dataset, path)
            except UnsupportedFeatureError:
                group.axes[name] = read_axes(file, header, space)
                raise
            group.datasets[name] = self._datasets[identity] = dataset
            group.axes[name] = dataset.axes

    def _records(self, file: Hdf5File, group: Group, address: int, name: str, datatype: Compound) -> None:
        """Add the records of a dataset as a group of arrays, one for each field; fields that are records are groups in it."""
        path, header, identity = group.path_of(name), file.objects.header(address), (file.source.url, address)
        if not self._context.wants_group(path):
            self._measure(file, group, name, address)
            return
        attributes, space = read_attributes(file, address, path, self._context), self._space(file, address, path)
        scale = group.scales[name] = read_scale(space, identity, attributes)
        group.axes[name] = read_axes(file, header, space)
        top = group.groups[group.names.get(name, name)] = Group(path=path, attributes=attributes)
        for member in fields_of(datatype):
            inner: Group | None = top
            for raw in member.names[:-1]:
                inner = self._inner_group(inner, raw)
            field_name = None if inner is None else self._name(member.names[-1], inner.path)
            if inner is None or field_name is None or not self._context.wants(where := f"{inner.path}/{field_name}"):
                continue
            with self._context.isolate(where):
                dataset = read_dataset(file, identity, where, self._context, attributes={}, space=space, field=member)
                self._check_references(dataset, where)
                inner.datasets[field_name], inner.axes[field_name] = dataset, dataset.axes
                inner.scales[field_name] = replace(scale, is_scale=False, only_dimension=False)

    def _inner_group(self, group: Group | None, raw: bytes) -> Group | None:
        """The group of a field that is a record, None where no node can have its name."""
        name = None if group is None else self._name(raw, group.path)
        if group is None or name is None:
            return None
        return group.groups.setdefault(name, Group(path=f"{group.path}/{name}"))

    def _check_references(self, dataset: Dataset, path: str) -> None:
        """Report references to objects once for each file, or refuse them."""
        if not dataset.element.references:
            return
        if not self._paths_of_references:
            raise UnsupportedFeatureError(
                "references as elements", path, "references='paths' gives the paths of the objects"
            )
        url = dataset.file.source.url
        if url not in self._with_references:
            self._with_references.add(url)
            message = f"the first are in {path}: they become the paths of the objects, null ones empty texts"
            self._context.report("", "references as elements", message)

    def _scale(self, file: Hdf5File, address: int, path: str) -> Scale:
        """What a dataset that is not wanted says about dimensions."""
        attributes = read_attributes(file, address, path, self._context, only=SCALE_ATTRIBUTES)
        return read_scale(self._space(file, address, path), (file.source.url, address), attributes)

    def _space(self, file: Hdf5File, address: int, path: str) -> Dataspace:
        """The dimensions of a dataset: those of a virtual one without an end are found among its sources."""
        header = file.objects.header(address)
        space = read_space(file, header)
        if not is_virtual(header):
            return space
        layout = read_layout(file, header)
        assert isinstance(layout, VirtualLayout)
        mappings = file.virtual_mappings(layout, len(space.shape))
        if all(endless_axis(mapping.virtual) is None for mapping in mappings):
            return space
        if (file.source.url, address) in self._measured:
            raise UnsupportedFeatureError("virtual dataset that is its own source", path)
        self._measured.append((file.source.url, address))
        try:
            return virtual_extent(space, mappings, lambda name: self._shape_of(file, name, path))
        finally:
            self._measured.pop()

    def _shape_of(self, file: Hdf5File, name: SourceName, path: str) -> tuple[int, ...] | None:
        """The shape of the source of a virtual dataset, None where there is none."""
        try:
            other, address = self._links.follow(self.source_file(file, name, path), name.dataset.encode(), path)
        except (MalformedFileError, SourceError):
            return None
        return self._space(other, address, path).shape

    def source_file(self, file: Hdf5File, name: SourceName, path: str) -> Hdf5File:
        """The file of a source of a virtual dataset.

        Raises
        ------
        MalformedFileError, SourceError
            It cannot be read.
        UnsupportedFeatureError
            The file may not point at it.
        """
        if name.file == ".":
            return file
        return self._files.open(self._files.link_target(file, name.file, PointsBy.VIRTUAL_SOURCE, path))

    def begin_source_files(self, file: Hdf5File, names: Iterable[SourceName], path: str) -> None:
        """Begin to read the files of the sources of a virtual dataset, which `source_file` opens; what fails will fail again."""
        sources = []
        for name in {name.file for name in names} - {"."} if file.remote else ():
            with suppress(MalformedFileError, SourceError, UnsupportedFeatureError):
                sources.append(self._files.link_target(file, name, PointsBy.VIRTUAL_SOURCE, path))
        if len(sources) > 1:
            self._files.begin(sources)

    def describe(self, file: Hdf5File, target: str, path: str) -> Dataset:
        """The dataset at a path of a file, for which another dataset at `path` asks.

        Raises
        ------
        MalformedFileError
            There is none.
        UnsupportedFeatureError
            As `read_dataset`.
        """
        found, address = self._links.follow(file, target.encode(), path)
        if kind_of(found.objects.header(address)) is not ObjectKind.DATASET:
            raise MalformedFileError(f"{path}: {target} is not a dataset")
        identity = (found.source.url, address)
        known = self._datasets.get(identity)  # with its attributes: its own array may be wanted later
        if known is not None:
            return known
        space = self._space(found, address, path)
        return read_dataset(found, identity, path, self._context, attributes={}, space=space)

    def describe_field(self, file: Hdf5File, target: str) -> Dataset | None:
        """The field of records at a path that goes on behind the path of a dataset; None where there is none."""
        names = target.split("/")
        for depth in range(len(names) - 1, 0, -1):
            with suppress(MalformedFileError, SourceError):
                found, address = self._links.follow(file, "/".join(names[:depth]).encode(), target)
                header = found.objects.header(address)
                if kind_of(header) is not ObjectKind.DATASET:
                    return None
                datatype, wanted = read_datatype(found, header), tuple(name.encode() for name in names[depth:])
                members = fields_of(datatype) if isinstance(datatype, Compound) else ()
                member = next((one for one in members if one.names == wanted), None)
                identity, space = (found.source.url, address), self._space(found, address, target)
                return (
                    None
                    if member is None
                    else read_dataset(found, identity, target, self._context, attributes={}, space=space, field=member)
                )
        return None
