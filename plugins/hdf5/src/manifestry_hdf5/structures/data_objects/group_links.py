"""The links of a group, wherever they are: symbol table, link messages in the header, or dense storage."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from manifestry.plugin import MalformedFileError

from manifestry_hdf5.structures.batched_reads import IndexReader
from manifestry_hdf5.structures.checksum import lookup3_of
from manifestry_hdf5.structures.data_objects.info_messages import LINK_INFO_MESSAGE, DenseInfo, parse_link_info
from manifestry_hdf5.structures.data_objects.link_message import LINK_MESSAGE, Link, parse_link
from manifestry_hdf5.structures.data_objects.object_header import Message
from manifestry_hdf5.structures.fields import integers
from manifestry_hdf5.structures.file_metadata.superblock import Superblock
from manifestry_hdf5.structures.fractal_heap.objects import read_objects
from manifestry_hdf5.structures.infrastructure.dense_storage import LINKS, read_records
from manifestry_hdf5.structures.infrastructure.symbol_table import SYMBOL_TABLE_MESSAGE, read_symbol_table

__all__ = ["read_links"]


def read_links(header: Sequence[Message], superblock: Superblock) -> IndexReader[list[Link]]:
    """The links of a group whose object header is given, in the order of their names.

    Raises
    ------
    MalformedFileError
        A structure is damaged, or the header is not that of a group.
    UnsupportedFeatureError
        Links are behind a filter that metadata is not read through.
    """
    info, is_group, links = None, False, []
    for message in header:
        if message.kind == SYMBOL_TABLE_MESSAGE:
            return (yield from read_symbol_table(message.data, superblock))
        if message.kind == LINK_INFO_MESSAGE:
            info, is_group = parse_link_info(message.data, superblock), True
        elif message.kind == LINK_MESSAGE:
            links.append(parse_link(message.data, superblock))
    if not is_group:
        raise MalformedFileError("object header: it has neither a symbol table nor a link info message")
    if info is not None and info.heap is not None:
        links = yield from _dense_links(info, superblock)
    links.sort(key=attrgetter("name"))
    return links


def _dense_links(info: DenseInfo, superblock: Superblock) -> IndexReader[list[Link]]:
    heap, records = yield from read_records(superblock, info, LINKS)
    messages = yield from read_objects(superblock, heap, records[:, 4:])
    links = [parse_link(message, superblock) for message in messages]
    for link, expected in zip(links, integers(records[:, :4]).tolist(), strict=True):
        if lookup3_of(link.name) != expected:
            raise MalformedFileError(f"{heap.where}: the B-tree of its links by name knows {link.name!r} by another")
    return links
