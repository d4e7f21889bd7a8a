"""The file as libhdf5 opens it, and what libhdf5 raises as errors of ours."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, Final

import numpy as np
from h5py import h5g, h5t
from manifestry.plugin import (
    FileTable,
    MalformedFileError,
    Source,
    translated,
)
from numpy.typing import NDArray

from manifestry_hdf5.libhdf5.damage_checks import check_layout, check_lengths, check_type
from manifestry_hdf5.libhdf5.file_bytes import LocalFile, RemoteFile
from manifestry_hdf5.libhdf5.object_contents import ObjectContents
from manifestry_hdf5.structures.batched_reads import Blocks, Fetch
from manifestry_hdf5.structures.global_heap import SIGNATURE, GlobalHeap, check_collection
from manifestry_hdf5.structures.object_header import (
    CACHE_IMAGE,
    SHARED_MESSAGES,
    Message,
    OverTheEndError,
    read_extension,
    read_messages,
)
from manifestry_hdf5.structures.superblock import (
    Superblock,
    read_superblock,
)

__all__ = ["LIBRARY_ERRORS", "Identity", "OpenFile", "address_of", "library_errors"]

type Identity = tuple[str, int]
"""URL of a file and address of an object header in it: the same for every path to an object."""

_MAX_CHECKED_BYTES: Final = 256 << 20
"""Local files up to this size are searched for damage in the global heap; that takes a fraction of a second."""

LIBRARY_ERRORS: Final = (OSError, RuntimeError, ValueError, KeyError, TypeError, IndexError, OverflowError, MemoryError)
"""What h5py raises when libhdf5 reports an error, by the kind of its call."""


def library_errors(where: str) -> AbstractContextManager[None]:
    """Inside, an error of libhdf5 becomes a `MalformedFileError` that names the place."""
    return translated(LIBRARY_ERRORS, MalformedFileError, where)


class OpenFile:
    """A file that libhdf5 has open.

    Attributes
    ----------
    source
        Where it is.
    id
        h5py's low-level identifier.
    being_written
        Whether another program writes to it, and lets others read meanwhile (SWMR).
    files
        The file as the table that manifests share.
    common
        Type, filters and fill value by the messages that say them: many datasets have few of these.
    """

    def __init__(
        self, source: Source, fid: Any, octets: LocalFile | RemoteFile, *, being_written: bool = False
    ) -> None:
        self.source = source
        self.id = fid
        self.being_written = being_written
        self.files = FileTable([source.file])
        self.common: dict[tuple[tuple[int, int, bytes], ...], Any] = {}
        self._octets = octets
        if isinstance(octets, RemoteFile):
            octets.length_size = int(fid.get_create_plist().get_sizes()[1])
        self._damage: str | None = None
        self._last: tuple[int, list[Message]] = (-1, [])

    @property
    def remote(self) -> bool:
        """Whether libhdf5 reads it through the block cache of its source."""
        return isinstance(self._octets, RemoteFile)

    @cached_property
    def superblock(self) -> Superblock:
        """Base address and sizes of addresses."""
        return read_superblock(self.id, self.read)

    @cached_property
    def heap(self) -> GlobalHeap:
        """Where variable-length texts are."""
        return GlobalHeap(self.read, self.superblock)

    def header(self, address: int) -> list[Message]:
        """The messages of the object header at an address; none where libhdf5 alone can read them.

        Raises
        ------
        MalformedFileError
            It reaches over the end of the file.
        """
        if self._last[0] != address:
            self._last = address, self._header(address)
        return self._last[1]

    @cached_property
    def _has_cache_image(self) -> bool:
        """Whether the file holds an image of libhdf5's metadata cache.

        Then structures may be newer there than in their own place, and only libhdf5 reads them right.
        """
        return CACHE_IMAGE in self._extension

    @cached_property
    def _extension(self) -> dict[int, bytes]:
        """The messages of the superblock extension by type."""
        return read_extension(self.read, self.superblock)

    @cached_property
    def contents(self) -> ObjectContents:
        """Links and attribute messages of its objects.

        Raises
        ------
        MalformedFileError
            The superblock extension is damaged.
        """
        return ObjectContents(self.superblock, self.header, self._extension.get(SHARED_MESSAGES), self._fetch_ahead)

    def _header(self, address: int) -> list[Message]:
        if self._has_cache_image:
            return []
        try:
            return list(read_messages(self.read, self.superblock, address))
        except OverTheEndError:
            raise
        except (MalformedFileError, IndexError, struct.error):
            return []

    def check(self, address: int, where: str) -> None:
        """Check an object before libhdf5 opens it.

        Raises
        ------
        MalformedFileError
            It is damaged where libhdf5 would not notice it, and end the process.
        """
        with library_errors(where):
            check_layout(self.header(address), self.superblock, self.heap, where)

    def offset_of(self, dataset: Any) -> int | None:
        """Absolute position of the elements of an open contiguous dataset; None where none are stored.

        libhdf5 (up to 2.0 at least) adds the length of the user block also to the address that means none.
        """
        offset = dataset.get_offset()
        return None if offset is None or offset < self.superblock.base else int(offset)

    def _fetch_ahead(self, wanted: Sequence[Blocks]) -> list[NDArray[np.uint8]]:
        """Blocks that libhdf5 reads next: through the cache that it reads through."""
        if not isinstance(self._octets, RemoteFile):
            return self._octets.fetch(wanted)
        self._octets.prefetch(
            [
                (start, start + blocks.length)
                for blocks in wanted
                for start in blocks.positions.tolist()
                if blocks.length
            ]
        )
        parts = []
        for blocks in wanted:
            parts.append(np.zeros((len(blocks.positions), blocks.length), "u1"))
            for row, start in zip(parts[-1], blocks.positions.tolist(), strict=True):
                part = self.read(start, start + blocks.length)
                row[: len(part)] = np.frombuffer(part, "u1")
        return parts

    def check_lengths(self, dataset: Any) -> None:
        """Check how long the elements of an open dataset of variable length are, before libhdf5 makes room for them.

        Only those of contiguous datasets are where they can be looked at.

        Raises
        ------
        MalformedFileError
            One takes more bytes than the file has.
        """
        offset, datatype = self.offset_of(dataset), dataset.get_type()
        if offset is not None and datatype.get_class() in (h5t.VLEN, h5t.STRING):
            width = 8 + self.superblock.offset_size
            data = self.read(offset, offset + int(dataset.get_space().get_simple_extent_npoints()) * width)
            check_lengths(data, width, self.source.size)

    @property
    def fetch(self) -> Fetch:
        """How blocks of chunk indexes are read."""
        return self._octets.fetch

    def read(self, start: int, stop: int) -> bytes:
        """Bytes by absolute position, fewer where the file ends."""
        return self._octets.read_range(start, stop)

    def check_values(self, datatype: Any) -> None:
        """Check type and global heap before libhdf5 reads elements of variable length or references to regions.

        The heap of a remote file is checked where libhdf5 reads it, that of a local one here, as a whole: only libhdf5
        knows which parts it will come to.

        Raises
        ------
        MalformedFileError
            The type is damaged in a way that ends the process, or a collection in one that keeps libhdf5 in an endless loop.
        UnsupportedFeatureError
            h5py cannot read elements of the type.
        """
        check_type(datatype)
        if self._damage is None:
            self._damage = self._find_heap_damage()
        if self._damage:
            raise MalformedFileError(self._damage)

    def _find_heap_damage(self) -> str:
        if not isinstance(self._octets, LocalFile) or self._octets.size > _MAX_CHECKED_BYTES:
            return ""
        for at in self._octets.find(SIGNATURE):
            length = self._octets.read_range(at + 8, at + 8 + self.superblock.length_size)
            data = self._octets.read_range(at, at + int.from_bytes(length, "little"))
            try:
                check_collection(data, self.superblock.length_size, hex(at))
            except MalformedFileError as error:
                return str(error)
        return ""

    def prefetch(self, addresses: list[int], count: int) -> None:
        """Fetch `count` bytes at each address in one round trip, where that saves anything."""
        if isinstance(self._octets, RemoteFile) and addresses:
            base = self.superblock.base
            self._octets.prefetch([(base + address, base + address + count) for address in addresses])

    def identity(self, identifier: Any) -> Identity:
        """What an open object of this file is known by; for the target of a hard link, the link tells its address.

        ``H5Oget_info`` gives it as well, but reads the whole chunk index of a dataset to do so.
        """
        with library_errors("object header"):
            return self.source.url, address_of(identifier, b".")


def address_of(location: Any, name: bytes) -> int:
    """Address of the object header that a name leads to, which is not opened.

    Raises
    ------
    OSError, KeyError, ValueError
        It leads nowhere.
    """
    number: tuple[int, int] = h5g.get_objinfo(location, name).objno
    return int(number[0]) | int(number[1]) << 64
