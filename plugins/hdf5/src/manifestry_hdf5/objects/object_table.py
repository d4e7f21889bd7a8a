"""The objects of a file by the addresses of their headers: messages, links and attributes.

What is asked for together is read together: one round trip for each level of all structures of all objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Final

from manifestry.plugin import MalformedFileError, ManifestryError

from manifestry_hdf5.structures.batched_reads import Fetch, IndexReader, read_alone, read_together
from manifestry_hdf5.structures.data_objects.dataspace_message import DATASPACE_MESSAGE
from manifestry_hdf5.structures.data_objects.datatype_message import DATATYPE_MESSAGE
from manifestry_hdf5.structures.data_objects.group_links import read_links
from manifestry_hdf5.structures.data_objects.info_messages import LINK_INFO_MESSAGE
from manifestry_hdf5.structures.data_objects.link_message import Link, LinkKind
from manifestry_hdf5.structures.data_objects.object_attributes import read_attribute_messages
from manifestry_hdf5.structures.data_objects.object_header import Message, read_messages
from manifestry_hdf5.structures.file_metadata.superblock import Superblock
from manifestry_hdf5.structures.infrastructure.shared_messages import SharedMessages
from manifestry_hdf5.structures.infrastructure.symbol_table import SYMBOL_TABLE_MESSAGE

__all__ = ["ObjectKind", "ObjectTable", "kind_of"]


class ObjectKind(Enum):
    """What an object is."""

    GROUP = "group"
    DATASET = "dataset"
    DATATYPE = "committed datatype"


_GROUP_MESSAGES: Final = frozenset({SYMBOL_TABLE_MESSAGE, LINK_INFO_MESSAGE})


def kind_of(header: Sequence[Message]) -> ObjectKind:
    """What an object is, by the messages that it has.

    Raises
    ------
    MalformedFileError
        It is nothing.
    """
    kinds = {message[0] for message in header}
    if kinds & _GROUP_MESSAGES:
        return ObjectKind.GROUP
    if DATATYPE_MESSAGE in kinds:
        return ObjectKind.DATASET if DATASPACE_MESSAGE in kinds else ObjectKind.DATATYPE
    raise MalformedFileError("object header: it has the messages of no object")


class ObjectTable:
    """Reads what belongs to the objects of a file, and keeps it.

    Parameters
    ----------
    superblock
        That of the file.
    shared_table
        The message that says where the table of shared messages is, where there is one.
    fetch
        How blocks are read.
    """

    def __init__(self, superblock: Superblock, shared_table: bytes | None, fetch: Fetch) -> None:
        self._superblock = superblock
        self._shared = SharedMessages(superblock, shared_table, self.header)
        self._fetch = fetch
        self._headers: dict[int, Sequence[Message] | ManifestryError] = {}
        self._links: dict[int, list[Link] | ManifestryError] = {}
        self._attributes: dict[int, list[bytes] | ManifestryError] = {}

    def read_ahead(self, root: int, path: str, wants_group: Callable[[str], bool], max_objects: int) -> None:
        """Read everything below a group level by level, unless its links have been read already.

        What is damaged is found out when it is asked for.

        Parameters
        ----------
        path
            That of the group.
        wants_group
            Whether the members of the group at a path matter.
        max_objects
            How many are read at most.
        """
        if root in self._links:
            return
        level, seen = {root: path}, {root}
        while level and len(seen) <= max_objects:
            self._read_headers(level)
            groups = [address for address, where in level.items() if self._is_group(address) and wants_group(where)]
            self._read_contents(level, groups)
            below: dict[int, str] = {}
            for group in groups:
                links = self._links[group]
                for link in () if isinstance(links, ManifestryError) else links:
                    if link.kind is LinkKind.HARD and link.address not in seen:
                        seen.add(link.address)
                        name = link.name.decode("utf-8", "replace")
                        below[link.address] = f"{level[group]}/{name}".lstrip("/")
            level = below

    def attributes_read(self) -> Iterator[bytes]:
        """The attribute messages that have been read."""
        for messages in self._attributes.values():
            if not isinstance(messages, ManifestryError):
                yield from messages

    def _is_group(self, address: int) -> bool:
        header = self._headers[address]
        return not isinstance(header, ManifestryError) and any(m[0] in _GROUP_MESSAGES for m in header)

    def _read_headers(self, addresses: Iterable[int]) -> None:
        _fill(self._headers, {a: read_messages(self._superblock, a) for a in addresses}, self._fetch)

    def _read_contents(self, addresses: Iterable[int], groups: Iterable[int]) -> None:
        """The attributes of some objects and the links of some groups, all together."""
        found: dict[tuple[int, bool], list[Link] | list[bytes] | ManifestryError] = {}
        readers: dict[tuple[int, bool], IndexReader[list[Link] | list[bytes]]] = {}
        for address in groups:
            readers[address, True] = read_links(self.header(address), self._superblock)
        for address in addresses:
            header = self._headers[address]
            if not isinstance(header, ManifestryError):
                readers[address, False] = read_attribute_messages(header, self._superblock, self._shared)
        _fill(found, readers, self._fetch)
        for (address, is_group), content in found.items():
            (self._links if is_group else self._attributes)[address] = content  # type: ignore[assignment]

    def header(self, address: int) -> Sequence[Message]:
        """The messages of an object header.

        Raises
        ------
        MalformedFileError, UnsupportedFeatureError
            As `read_messages`.
        """
        if address not in self._headers:
            self._read_headers([address])
        return _given(self._headers[address])

    def links(self, address: int) -> list[Link]:
        """The links of a group, in the order of their names.

        Raises
        ------
        MalformedFileError
            They cannot be read.
        UnsupportedFeatureError
            They are behind a filter that metadata is not read through.
        """
        if address not in self._links:
            header = self.header(address)
            _fill(self._links, {address: read_links(header, self._superblock)}, self._fetch)
        return _given(self._links[address])

    def attribute_messages(self, address: int) -> list[bytes]:
        """The attribute messages of an object; those of dense storage in the order of their names.

        Raises
        ------
        MalformedFileError
            They cannot be read.
        UnsupportedFeatureError
            They are behind a filter that metadata is not read through.
        """
        if address not in self._attributes:
            header = self.header(address)
            reader = read_attribute_messages(header, self._superblock, self._shared)
            _fill(self._attributes, {address: reader}, self._fetch)
        return _given(self._attributes[address])

    def message_data(self, message: Message) -> bytes:
        """The data of a message of an object, also where it is shared with others.

        Raises
        ------
        MalformedFileError
            It is not where it should be.
        UnsupportedFeatureError
            It is behind a filter that metadata is not read through.
        """
        return read_alone(self._shared.read(message), self._fetch) if message.shared else message.data


def _fill[K, T](table: dict[K, T | ManifestryError], readers: Mapping[K, IndexReader[T]], fetch: Fetch) -> None:
    """Enter what readers return, or the errors that end them."""
    table |= dict(zip(readers, read_together(list(readers.values()), fetch), strict=True))


def _given[T](found: T | ManifestryError) -> T:
    if isinstance(found, ManifestryError):
        raise found
    return found
