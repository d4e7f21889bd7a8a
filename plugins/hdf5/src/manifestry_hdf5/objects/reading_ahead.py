"""What of a remote file will be asked for next, seen from the headers and attributes of its objects.

Readers here yield the blocks and look at no more of them than leads to others: what is read again later is there then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from manifestry.plugin import ManifestryError

from manifestry_hdf5.structures.batched_reads import AtHand, Blocks, IndexReader
from manifestry_hdf5.structures.data_objects.attribute_message import heap_addresses, shared_datatype
from manifestry_hdf5.structures.data_objects.data_layout_message import (
    LAYOUT_MESSAGE,
    ChunkIndex,
    ChunkLayout,
    VirtualLayout,
    parse_layout,
)
from manifestry_hdf5.structures.data_objects.info_messages import (
    ATTRIBUTE_INFO_MESSAGE,
    LINK_INFO_MESSAGE,
    DenseInfo,
    parse_attribute_info,
    parse_link_info,
)
from manifestry_hdf5.structures.data_objects.object_header import Message, find_message
from manifestry_hdf5.structures.file_metadata.superblock import Superblock
from manifestry_hdf5.structures.fractal_heap.blocks import read_blocks_ahead
from manifestry_hdf5.structures.fractal_heap.header import read_heap_header
from manifestry_hdf5.structures.infrastructure.dense_storage import ATTRIBUTES, LINKS
from manifestry_hdf5.structures.infrastructure.global_heap import read_collections_ahead
from manifestry_hdf5.structures.infrastructure.shared_messages import SharedMessages

__all__ = ["ReadingAhead"]

_BEGINNING: Final = 4096
"""Bytes that hold the first node of most chunk indexes, and most collections of a global heap."""


_HEAPS: Final[dict[int, tuple[Callable[[bytes, Superblock], DenseInfo], int]]] = {
    LINK_INFO_MESSAGE: (parse_link_info, LINKS.identifier),
    ATTRIBUTE_INFO_MESSAGE: (parse_attribute_info, ATTRIBUTES.identifier),
}
"""Messages that name a heap: what reads them, and the bytes of IDs in the heap."""


class ReadingAhead:
    """Chunk indexes, shared messages and global heap collections of the objects of a file.

    Parameters
    ----------
    superblock, shared
        Those of the file.
    wants
        Whether the dataset at a path is wanted.
    at_hand
        Which blocks need not travel.

    Attributes
    ----------
    at_hand
        As above.
    """

    def __init__(
        self, superblock: Superblock, shared: SharedMessages, wants: Callable[[str], bool], at_hand: AtHand
    ) -> None:
        self.at_hand = at_hand
        self._superblock = superblock
        self._shared = shared
        self._wants = wants
        self._messages: set[Message] = set()
        self._collections: set[int] = set()

    def of_header(self, header: Sequence[Message], path: str) -> Iterator[IndexReader[None]]:
        """Heaps, messages that are shared, and what leads to the elements of a dataset that is wanted."""
        if self._wants(path) and (places := self._places(header)):
            yield _only_fetch(places)
        for message in header:
            parse, identifier = _HEAPS.get(message.kind, (None, 0))
            if parse is not None:
                yield self._heap(parse, identifier, message.data)
            if message.shared:
                yield from self._shared_message(message)

    def of_attributes(self, messages: Sequence[bytes]) -> Iterator[IndexReader[None]]:
        """Collections that hold elements, and types that are shared."""
        addresses = {address for message in messages for address in heap_addresses(message, self._superblock)}
        fresh, self._collections = addresses - self._collections, self._collections | addresses
        if fresh:
            yield read_collections_ahead(self._superblock, fresh)
        for message in filter(None, map(shared_datatype, messages)):
            yield from self._shared_message(message)

    def _heap(self, parse: Callable[[bytes, Superblock], DenseInfo], identifier: int, data: bytes) -> IndexReader[None]:
        """The heap of the links or attributes of an object, while their B-tree is read."""
        info = parse(data, self._superblock)
        if info.heap is not None:
            heap = yield from read_heap_header(self._superblock, info.heap, identifier)
            yield from read_blocks_ahead(self._superblock, heap)

    def _places(self, header: Sequence[Message]) -> list[int]:
        message = find_message(header, LAYOUT_MESSAGE)
        if message is None or message.shared:
            return []
        try:
            layout = parse_layout(message.data, self._superblock)
        except ManifestryError:
            return []
        address = None
        if isinstance(layout, ChunkLayout):
            address = None if layout.index in (ChunkIndex.SINGLE, ChunkIndex.IMPLICIT) else layout.address
        elif isinstance(layout, VirtualLayout) and layout.mappings is not None:
            address = int.from_bytes(layout.mappings[: self._superblock.offset_size], "little")
        inside = address is not None and self._superblock.base + address < self._superblock.size
        return [self._superblock.base + address] if inside and address is not None else []

    def _shared_message(self, message: Message) -> Iterator[IndexReader[None]]:
        if message not in self._messages:
            self._messages.add(message)
            yield _only_run(self._shared.read(message))


def _only_fetch(places: Sequence[int]) -> IndexReader[None]:
    yield [Blocks(np.array(places, "i8"), _BEGINNING)]


def _only_run(reader: IndexReader[Any]) -> IndexReader[None]:
    yield from reader
