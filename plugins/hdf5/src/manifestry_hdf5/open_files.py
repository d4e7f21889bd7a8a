"""Opening files: each once, as long as a parse goes on, and where they may point."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, Final, Self

from manifestry.plugin import (
    FileTable,
    MalformedFileError,
    ParseContext,
    ReferencePolicy,
    Source,
    SourceError,
    UnsupportedFeatureError,
    translated,
)

from manifestry_hdf5.file_bytes import FileBytes, LocalFile, PatchedFile, RemoteFile
from manifestry_hdf5.linked_files import PointsBy, find_linked_file
from manifestry_hdf5.netcdf_names import NetcdfNames
from manifestry_hdf5.objects.object_paths import ObjectPaths
from manifestry_hdf5.objects.object_table import ObjectTable
from manifestry_hdf5.objects.reading_ahead import ReadingAhead
from manifestry_hdf5.structures.batched_reads import Fetch, read_alone
from manifestry_hdf5.structures.data_objects.data_layout_message import VirtualLayout
from manifestry_hdf5.structures.data_objects.dataspace_message import Dataspace, parse_dataspace
from manifestry_hdf5.structures.data_objects.datatype import ReferenceKind
from manifestry_hdf5.structures.data_objects.external_files_message import ExternalFile, read_external_files
from manifestry_hdf5.structures.data_objects.object_header import Message, find_message, read_messages
from manifestry_hdf5.structures.encodings.references import parse_reference
from manifestry_hdf5.structures.file_metadata.cache_image import CACHE_IMAGE_MESSAGE, read_cache_image
from manifestry_hdf5.structures.file_metadata.driver_information import (
    DRIVER_INFORMATION_MESSAGE,
    check_driver,
    read_driver,
)
from manifestry_hdf5.structures.file_metadata.file_space import FILE_SPACE_MESSAGE, parse_page_size
from manifestry_hdf5.structures.file_metadata.superblock import Superblock, read_superblock
from manifestry_hdf5.structures.infrastructure.global_heap import (
    COLLECTION_BYTES,
    GlobalHeap,
    read_collections_ahead,
)
from manifestry_hdf5.structures.infrastructure.shared_messages import SHARED_TABLE_MESSAGE
from manifestry_hdf5.structures.infrastructure.virtual_mappings import VirtualMapping, parse_virtual_mappings

__all__ = ["Hdf5File", "OpenFiles"]


class Hdf5File:
    """A file that is open.

    Attributes
    ----------
    source
        Where it is.
    superblock
        Where everything in it begins.
    heap
        Where values of variable length are.
    objects, paths
        Its objects by the addresses of their headers, and the paths of those.
    netcdf_names
        The names of variables that netCDF-4 has stored under others.
    files
        The file as the table that manifests share.
    common, attributes
        What the same messages say of many objects: type, filters and fill value, and name and value of an attribute.

    Raises
    ------
    MalformedFileError
        It is no HDF5 file, or damaged where everything begins.
    UnsupportedFeatureError
        It is one of several that are one, or is still open for writing.
    SourceError
        It cannot be read.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.common: dict[tuple[Message, ...], Any] = {}
        self.attributes: dict[bytes, tuple[str, Any]] = {}
        self._spaces: dict[bytes, Dataspace] = {}
        self._octets: FileBytes = _octets(source)
        self.files = FileTable([source.file])
        with ExitStack() as failing:
            failing.callback(self.close)
            self.superblock: Superblock = read_superblock(self._octets.read_range, source.size)
            _refuse_unclosed(source, self.superblock)
            extension = self._extension()
            failing.pop_all()
        self.heap = GlobalHeap(self.read, self.superblock)
        table = find_message(extension, SHARED_TABLE_MESSAGE)
        self.objects = ObjectTable(self.superblock, None if table is None else table.data, self._octets.fetch)
        self.netcdf_names = NetcdfNames(self.objects, self.superblock.root)
        self.paths = ObjectPaths(self.objects, self.superblock.root, self.netcdf_names.of)

    @property
    def being_written(self) -> bool:
        """Whether another program writes to it, and lets others read meanwhile (SWMR)."""
        return self.superblock.writing

    @property
    def remote(self) -> bool:
        """Whether it is read through a store."""
        return self.source.local_path is None

    def _extension(self) -> Sequence[Message]:
        """The messages of the superblock extension (specification, section II.C); what they say of the file counts from here on."""
        superblock, fetch = self.superblock, self._octets.fetch
        if superblock.driver is not None:
            check_driver(read_alone(read_driver(superblock), fetch), self.source.url)
        if superblock.extension is None:
            return ()
        extension = read_alone(read_messages(superblock, superblock.extension), fetch)
        if (driver := find_message(extension, DRIVER_INFORMATION_MESSAGE)) is not None:
            check_driver(driver.data[1:9], self.source.url)
        if (space := find_message(extension, FILE_SPACE_MESSAGE)) is not None:
            self._octets.read_by_pages(superblock.base, parse_page_size(space.data, superblock))
        if (image := find_message(extension, CACHE_IMAGE_MESSAGE)) is not None:
            self._octets = PatchedFile(self._octets, read_alone(read_cache_image(superblock, image.data), fetch))
        return extension

    def read_ahead(self, group: int, path: str, context: ParseContext) -> None:
        """Read what is below a group all together; what is not wanted is left out.

        Parameters
        ----------
        group
            Address of its object header.
        path
            That of the group in the tree.
        """
        hints = None
        if self.remote:
            hints = ReadingAhead(self.superblock, self.objects.shared, context.wants, self._octets.at_hand)
        self.objects.read_ahead(group, path, context.wants_group, context.limits.max_arrays, hints)

    def read_members_ahead(self, group: int, context: ParseContext) -> None:
        """Read the headers and attributes of the members of a group all together, where that saves anything."""
        if self.remote:
            self.objects.read_ahead(group, "", lambda path: not path, context.limits.max_arrays)

    def read_rest_ahead(self, context: ParseContext) -> None:
        """Read the objects below groups that were left out all together, where that saves anything."""
        if self.remote:
            hints = ReadingAhead(self.superblock, self.objects.shared, lambda _: False, self._octets.at_hand)
            self.objects.read_rest_ahead(self.superblock.root, context.limits.max_arrays, hints)

    def dataspace(self, message: bytes) -> Dataspace:
        """The dimensions that a message says; those of attributes are nearly all the same.

        Raises
        ------
        MalformedFileError
            As `parse_dataspace`.
        """
        space = self._spaces.get(message)
        if space is None:
            space = self._spaces[message] = parse_dataspace(message, self.superblock)
        return space

    def target_of(self, element: bytes, kind: ReferenceKind) -> str | None:
        """The path of the object that an element of a reference type points at, None for a null reference.

        Raises
        ------
        UnsupportedFeatureError
            It points at a part of an object, or at one that has no path in this file.
        MalformedFileError
            As `parse_reference`.
        """
        pointer = parse_reference(element, kind, self.superblock, self.heap)
        if pointer is None:
            return None
        if pointer.region is not None or pointer.attribute is not None:
            raise UnsupportedFeatureError("references to regions or attributes", hint="read them with h5py")
        path = None if pointer.file is not None else self.paths.find(pointer.address)
        if path is None:
            raise UnsupportedFeatureError("reference to an object that has no path in the file")
        return path

    def external_files(self, message: Message | None) -> tuple[ExternalFile, ...]:
        """The external raw files that a message of this file lists.

        Raises
        ------
        MalformedFileError, UnsupportedFeatureError
            As `read_external_files`.
        """
        if message is None:
            return ()
        return read_alone(read_external_files(self.objects.message_data(message), self.superblock), self._octets.fetch)

    def virtual_mappings(self, layout: VirtualLayout, rank: int) -> tuple[VirtualMapping, ...]:
        """The mappings of a virtual dataset of this file that has `rank` dimensions.

        Raises
        ------
        MalformedFileError, UnsupportedFeatureError
            As `parse_virtual_mappings`.
        """
        if layout.mappings is None:
            return ()
        return parse_virtual_mappings(self.heap.object(layout.mappings), self.superblock, rank)

    def read(self, start: int, stop: int) -> bytes:
        """Bytes by absolute position, fewer where the file ends."""
        return self._octets.read_range(start, stop)

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Bring ranges that will be read soon, in one round trip, where that saves anything."""
        self._octets.prefetch(ranges)

    def read_collections_ahead(self, addresses: Sequence[int], limit: int) -> None:
        """Bring global heap collections that will be read soon, of no more bytes than a limit."""
        some = addresses[: max(0, limit) // COLLECTION_BYTES]
        if some:
            read_alone(read_collections_ahead(self.superblock, some), self._octets.fetch)

    @property
    def fetch_index(self) -> Fetch:
        """How blocks of chunk indexes are read."""
        return self._octets.fetch_index

    def close(self) -> None:
        """Let go of the file."""
        self._octets.close()


def _octets(source: Source) -> FileBytes:
    if source.local_path is None:
        return RemoteFile(source)
    size = source.size  # a missing file is said to be missing, not malformed
    with translated(OSError, SourceError, source.url):
        return LocalFile(source.local_path, size)


def _refuse_unclosed(source: Source, superblock: Superblock) -> None:
    """Refuse a file that a program has not closed, unless that program lets others read meanwhile (SWMR).

    Raises
    ------
    UnsupportedFeatureError
        It cannot be said what of it is on the disk.
    """
    if superblock.writing and not (superblock.swmr and source.local_path is not None):
        remedy = (
            "copy it to this machine"
            if superblock.swmr
            else "close it, or mark it as closed with h5clear -s if its writer has died"
        )
        raise UnsupportedFeatureError("file that is still open for writing", source.url, remedy)


_SIDE_BY_SIDE: Final = 16
"""Files whose first bytes are read at a time."""


def _read_head(source: Source) -> None:
    with suppress(SourceError):
        source.head()


class OpenFiles:
    """The files that one parse has open, each once; a context that closes them all.

    Parameters
    ----------
    root
        The one that the caller gave: what others point at, it must be allowed to point at too.
    """

    def __init__(self, root: Source) -> None:
        self._open: dict[str, Hdf5File] = {}
        self._begun: dict[str, Source] = {}
        self._root = root

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all files."""
        for file in self._open.values():
            file.close()

    def open(self, source: Source) -> Hdf5File:
        """The file of a source, opened when it was not before.

        Raises
        ------
        MalformedFileError, UnsupportedFeatureError, SourceError
            As `Hdf5File`; the message names the file.
        """
        if source.url not in self._open:
            with translated(MalformedFileError, MalformedFileError, source.url):
                self._open[source.url] = Hdf5File(self._begun.pop(source.url, source))
        return self._open[source.url]

    def begin(self, sources: Sequence[Source]) -> None:
        """Read the first bytes of remote files that will be opened, side by side; what fails will fail again."""
        fresh = {source.url: source for source in sources if source.local_path is None}
        for url in self._open.keys() | self._begun.keys():
            fresh.pop(url, None)
        if fresh:
            with ThreadPoolExecutor(min(_SIDE_BY_SIDE, len(fresh))) as pool:
                list(pool.map(_read_head, fresh.values()))
        self._begun |= fresh

    def link_target(self, file: Hdf5File, name: str, points_by: PointsBy, where: str) -> Source:
        """The source that a file points at by a name.

        The file itself must be allowed to point there, and so must the one that the caller gave.

        Parameters
        ----------
        points_by, where
            How it points there, and in which object: for the refusal.

        Raises
        ------
        UnsupportedFeatureError
            It may not point there.
        SourceError
            It is nowhere, or no store knows such URLs.
        """

        def permit(source: Source) -> None:
            try:
                if source.url != file.source.url:
                    for document in (file.source, self._root):
                        ReferencePolicy.of(document).permit(source.url)
            except SourceError as error:
                raise UnsupportedFeatureError(f"{points_by} that is not allowed", where, str(error)) from error

        return find_linked_file(file.source, name, points_by, permit)

    def being_written(self) -> list[Hdf5File]:
        """The open files to which other programs write."""
        return [file for file in self._open.values() if file.being_written]

    @property
    def restricted(self) -> bool:
        """Whether the caller says where files may point."""
        return ReferencePolicy.of(self._root).restricted
