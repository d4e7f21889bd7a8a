"""The objects of a file by the addresses of their headers: messages, links and attributes.

What is asked for together is read together: as many round trips as the longest way to anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from manifestry.plugin import MalformedFileError, ManifestryError

from manifestry_hdf5.objects.reading_ahead import ReadingAhead
from manifestry_hdf5.structures.batched_reads import (
    Fetch,
    IndexReader,
    Parts,
    read_alone,
    read_growing,
    read_together,
)
from manifestry_hdf5.structures.data_objects.dataspace_message import DATASPACE_MESSAGE
from manifestry_hdf5.structures.data_objects.datatype_message import DATATYPE_MESSAGE
from manifestry_hdf5.structures.data_objects.group_links import read_links
from manifestry_hdf5.structures.data_objects.info_messages import LINK_INFO_MESSAGE
from manifestry_hdf5.structures.data_objects.link_message import Link, LinkKind
from manifestry_hdf5.structures.data_objects.object_attributes import attributes_at_hand, read_attribute_messages
from manifestry_hdf5.structures.data_objects.object_header import (
    HeaderBlocks,
    KnownMessages,
    Message,
    read_messages,
    read_next_blocks,
)
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
    datatype = dataspace = False
    for message in header:
        kind = message[0]
        if kind in _GROUP_MESSAGES:
            return ObjectKind.GROUP
        datatype, dataspace = datatype or kind == DATATYPE_MESSAGE, dataspace or kind == DATASPACE_MESSAGE
    if datatype:
        return ObjectKind.DATASET if dataspace else ObjectKind.DATATYPE
    raise MalformedFileError("object header: it has the messages of no object")


type _Part = tuple[int, int]
"""A part of an object, and the address of its header; 0 for the headers of many."""

_HEADERS, _LINKS, _ATTRIBUTES, _NOTHING = range(4)


class _Ahead(NamedTuple):
    """What is read ahead: the paths of the objects met so far, which groups matter, and what else will be asked for."""

    paths: dict[int, str]
    wants_group: Callable[[str], bool]
    hints: ReadingAhead | None


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

    Attributes
    ----------
    shared
        Finds messages that objects share.
    """

    def __init__(self, superblock: Superblock, shared_table: bytes | None, fetch: Fetch) -> None:
        self._superblock = superblock
        self.shared = SharedMessages(superblock, shared_table, self.read_header)
        self._fetch = fetch
        self._headers: dict[int, Sequence[Message] | ManifestryError] = {}
        self._links: dict[int, list[Link] | ManifestryError] = {}
        self._attributes: dict[int, list[bytes] | ManifestryError] = {}
        self._known: KnownMessages = {}
        self._read_ahead: set[int] = set()

    def read_ahead(
        self,
        root: int,
        path: str,
        wants_group: Callable[[str], bool],
        max_objects: int,
        hints: ReadingAhead | None = None,
    ) -> None:
        """Read everything below a group together, unless that has been done already.

        Every object is read as soon as a link to it is known, whatever is still on its way of others. What is damaged is
        found out when it is asked for.

        Parameters
        ----------
        path
            That of the group.
        wants_group
            Whether the members of the group at a path matter.
        max_objects
            How many are read at most.
        hints
            What will be asked for besides, where to have it beforehand saves anything.
        """
        if root not in self._read_ahead:
            self._read_below(_Ahead({root: path}, wants_group, hints), max_objects)

    def read_rest_ahead(self, root: int, max_objects: int, hints: ReadingAhead) -> None:
        """Read what is below those groups under one that `read_ahead` has left out, all together."""
        unread: list[int] = []
        seen, waiting = {root}, [root]
        while waiting:
            address = waiting.pop()
            links = self._links.get(address)
            if isinstance(links, list):
                members = {link.address for link in links if link.kind is LinkKind.HARD} - seen
                seen |= members
                waiting += members
            elif links is None and self._may_be_group(address):
                unread.append(address)
        self._read_below(_Ahead(dict.fromkeys(unread, ""), lambda _: True, hints), max_objects)

    def _may_be_group(self, address: int) -> bool:
        header = self._headers.get(address, ())
        return not isinstance(header, ManifestryError) and (
            not header or any(message[0] in _GROUP_MESSAGES for message in header)
        )

    def _read_below(self, ahead: _Ahead, max_objects: int) -> None:
        """Read some objects and all below them."""

        def follow(part: _Part, found: Any) -> Parts[_Part]:
            kind, address = part
            if kind == _HEADERS:
                return self._follow_headers(found, ahead)
            if kind == _LINKS:
                self._links[address] = found
                more = not isinstance(found, ManifestryError) and len(ahead.paths) <= max_objects
                return self._members(found, address, ahead) if more else ()
            return self._follow_attributes(address, found, ahead.hints) if kind == _ATTRIBUTES else ()

        read_growing(
            self._unread(list(ahead.paths), ahead), follow, self._fetch, ahead.hints.at_hand if ahead.hints else None
        )

    def _unread(self, addresses: Iterable[int], ahead: _Ahead) -> Parts[_Part]:
        """Readers of some headers; of those that are known nothing is read."""
        headers = []
        for address in addresses:
            known = self._headers.get(address, ())
            if not isinstance(known, ManifestryError):
                headers.append(HeaderBlocks(address, self._known, known))
        return self._go_on(headers, ahead)

    def _go_on(self, headers: Sequence[HeaderBlocks], ahead: _Ahead) -> Parts[_Part]:
        """Readers of the blocks that come next of some headers: one of all, or one of each where some may have to travel."""
        batches = [headers] if ahead.hints is None else [[header] for header in headers]
        return [((_HEADERS, 0), read_next_blocks(self._superblock, batch)) for batch in batches]

    def _follow_headers(self, headers: Sequence[HeaderBlocks], ahead: _Ahead) -> Parts[_Part]:
        """What comes next of headers some blocks of which have been read, and what those lead to that are complete."""
        parts: list[tuple[_Part, IndexReader[Any]]] = []
        further = []
        for header in headers:
            if not header.ended:
                further.append(header)
                continue
            address, messages = header.address, header.messages
            self._headers[address] = header.error or messages
            if header.error is None:
                parts += self._contents(address, messages, ahead)
                if ahead.hints:
                    parts += _unnamed(ahead.hints.of_header(messages, ahead.paths[address]))
        if further:
            parts += self._go_on(further, ahead)
        return parts

    def _follow_attributes(
        self, address: int, found: list[bytes] | ManifestryError, hints: ReadingAhead | None
    ) -> Parts[_Part]:
        """Keep the attributes of an object; what they lead to."""
        self._attributes[address] = found
        return _unnamed(hints.of_attributes(found)) if hints and not isinstance(found, ManifestryError) else ()

    def _contents(self, address: int, header: Sequence[Message], ahead: _Ahead) -> Parts[_Part]:
        """What to read of an object whose header has been read: attributes, and the links of a group that is wanted."""
        parts: list[tuple[_Part, IndexReader[Any]]] = []
        if address not in self._attributes:
            try:
                found = attributes_at_hand(header, self._superblock)
            except ManifestryError as error:
                self._attributes[address] = error
            else:
                if found is not None:
                    parts += self._follow_attributes(address, found, ahead.hints)
                else:
                    reader = read_attribute_messages(header, self._superblock, self.shared)
                    parts.append(((_ATTRIBUTES, address), reader))
        for message in header:
            if message[0] in _GROUP_MESSAGES:
                if address not in self._read_ahead and ahead.wants_group(ahead.paths[address]):
                    self._read_ahead.add(address)
                    parts.append(((_LINKS, address), read_links(header, self._superblock)))
                break
        return parts

    def _members(self, links: list[Link], group: int, ahead: _Ahead) -> Parts[_Part]:
        """The headers of those members of a group that are not known yet, whose paths are noted."""
        fresh: list[int] = []
        paths = ahead.paths
        above = f"{paths[group]}/"
        for link in links:
            if link.kind is LinkKind.HARD and link.address not in paths:
                paths[link.address] = (above + link.name.decode("utf-8", "replace")).lstrip("/")
                fresh.append(link.address)
        return self._unread(fresh, ahead)

    def read_header(self, address: int) -> IndexReader[Sequence[Message]]:
        """The messages of an object header, read when they are not known yet.

        Raises
        ------
        MalformedFileError, UnsupportedFeatureError
            As `read_messages`.
        """
        if address in self._headers:
            return _given(self._headers[address])
        return (yield from read_messages(self._superblock, address, self._known))

    def header(self, address: int) -> Sequence[Message]:
        """The messages of an object header.

        Raises
        ------
        MalformedFileError, UnsupportedFeatureError
            As `read_messages`.
        """
        if address not in self._headers:
            self._headers[address] = self._read(read_messages(self._superblock, address, self._known))
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
            self._links[address] = self._read(read_links(self.header(address), self._superblock))
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
            reader = read_attribute_messages(self.header(address), self._superblock, self.shared)
            self._attributes[address] = self._read(reader)
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
        return read_alone(self.shared.read(message), self._fetch) if message.shared else message.data

    def _read[T](self, reader: IndexReader[T]) -> T | ManifestryError:
        """What a reader returns, or the error that ends it: that is kept as well."""
        return read_together([reader], self._fetch)[0]


def _unnamed(readers: Iterable[IndexReader[None]]) -> Parts[_Part]:
    """Readers that return nothing."""
    return [((_NOTHING, 0), reader) for reader in readers]


def _given[T](found: T | ManifestryError) -> T:
    if isinstance(found, ManifestryError):
        raise found
    return found
