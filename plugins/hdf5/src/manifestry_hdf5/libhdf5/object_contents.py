"""Links and attribute messages of the objects of an open file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from h5py import h5l

from manifestry_hdf5.structures.batched_reads import Fetch, read_alone
from manifestry_hdf5.structures.contents.group_links import read_links
from manifestry_hdf5.structures.contents.link_message import Link, LinkKind
from manifestry_hdf5.structures.contents.object_attributes import read_attribute_messages
from manifestry_hdf5.structures.contents.shared_messages import SharedMessages
from manifestry_hdf5.structures.object_header import Message
from manifestry_hdf5.structures.superblock import Superblock

__all__ = ["ObjectContents"]

_GROUPS_AT_HAND: Final = 8
"""Groups whose links are kept: paths of soft links go through the same groups again and again."""


class ObjectContents:
    """Reads what belongs to the objects of a file, besides their headers.

    Parameters
    ----------
    superblock
        That of the file.
    header_at
        The messages of the object header at an address; none where libhdf5 alone can read them.
    shared_table
        The message that says where the table of shared messages is, where there is one.
    fetch
        How blocks are read.
    """

    def __init__(
        self,
        superblock: Superblock,
        header_at: Callable[[int], Sequence[Message]],
        shared_table: bytes | None,
        fetch: Fetch,
    ) -> None:
        self._superblock = superblock
        self._header_at = header_at
        self._shared = SharedMessages(superblock, shared_table, header_at)
        self._fetch = fetch
        self._links: dict[int, list[Link]] = {}

    def links(self, address: int, group: Any) -> list[Link]:
        """The links of an open group whose object header is at an address, in the order of their names.

        Raises
        ------
        MalformedFileError
            They cannot be read.
        UnsupportedFeatureError
            They are behind a filter that metadata is not read through.
        """
        if address not in self._links:
            header = self._header_at(address)
            links = (
                read_alone(read_links(header, self._superblock), self._fetch) if header else _links_by_library(group)
            )
            if len(self._links) == _GROUPS_AT_HAND:
                del self._links[next(iter(self._links))]
            self._links[address] = links
        return self._links[address]

    def attribute_messages(self, header: Sequence[Message]) -> list[bytes]:
        """The attribute messages of an object whose header is given; those of dense storage in the order of their names.

        Raises
        ------
        MalformedFileError
            They cannot be read.
        UnsupportedFeatureError
            They are behind a filter that metadata is not read through.
        """
        return read_alone(read_attribute_messages(header, self._superblock, self._shared), self._fetch)

    def message_data(self, message: Message) -> bytes:
        """The data of a message of an object, also where it is shared with others.

        Raises
        ------
        MalformedFileError
            It is not where it should be.
        UnsupportedFeatureError
            It is behind a filter that metadata is not read through.
        """
        return read_alone(self._shared.read(message), self._fetch)


def _links_by_library(group: Any) -> list[Link]:
    """The links of an open group, in the order of their names.

    Raises
    ------
    OSError, KeyError, RuntimeError
        libhdf5 cannot read them.
    """
    hard, others = [], []

    def add(name: bytes, info: Any) -> None:  # libhdf5 fills the same `info` again for the next link
        if info.type == h5l.TYPE_HARD:
            hard.append(Link(name, LinkKind.HARD, int(info.u)))
        else:
            others.append((name, int(info.type)))

    group.links.iterate(add, info=True)
    return sorted(hard + [_by_path(group, name, kind) for name, kind in others])


def _by_path(group: Any, name: bytes, kind: int) -> Link:
    if kind == h5l.TYPE_SOFT:
        return Link(name, LinkKind.SOFT, target=group.links.get_val(name))
    if kind == h5l.TYPE_EXTERNAL:
        file, target = group.links.get_val(name)
        return Link(name, LinkKind.EXTERNAL, target=target, file=file)
    return Link(name, LinkKind.USER_DEFINED)
