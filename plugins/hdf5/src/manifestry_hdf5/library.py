"""The file as libhdf5 opens it, and what libhdf5 raises as errors of ours."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import h5py
from h5py import h5f, h5g, h5p
from manifestry.errors import MalformedFileError
from manifestry.model.files import FileTable
from manifestry.storage import BlockReader, Source

from manifestry_hdf5.structures.blocks import Fetch, local_fetch, remote_fetch
from manifestry_hdf5.structures.global_heap import GlobalHeap
from manifestry_hdf5.structures.object_header import Message, read_messages
from manifestry_hdf5.structures.superblock import Superblock, read_superblock

__all__ = ["HEAD_BYTES", "LIBRARY_ERRORS", "Identity", "OpenFile", "OpenFiles", "library_errors"]

type Identity = tuple[str, int]
"""URL of a file and address of an object header in it: the same for every path to an object."""

HEAD_BYTES: Final = 256 << 10
"""Bytes from the start of a remote file that are fetched at once: most files keep their metadata there."""

_CHUNK_SLOTS: Final = 7
"""Places in the chunk cache of an open dataset. Values are read once if at all, and a table of the usual size for each
of thousands of open datasets takes more memory than all references."""

LIBRARY_ERRORS: Final = (OSError, RuntimeError, ValueError, KeyError, TypeError, IndexError, OverflowError, MemoryError)
"""What h5py raises when libhdf5 reports an error, by the kind of its call."""


@contextmanager
def library_errors(where: str) -> Iterator[None]:
    """Inside, an error of libhdf5 becomes a `MalformedFileError` that names the place."""
    try:
        yield
    except LIBRARY_ERRORS as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise MalformedFileError(f"{where}: {first}") from error


class OpenFile:
    """A file that libhdf5 has open.

    Attributes
    ----------
    source
        Where it is.
    id
        h5py's low-level identifier.
    files
        The file as the table that manifests share.
    number
        What libhdf5 tells files apart by.
    element_types
        Element types by encoded datatype: many datasets have few types.
    """

    def __init__(self, source: Source, fid: Any, blocks: BlockReader | None) -> None:
        self.source = source
        self.id = fid
        self.files = FileTable([source.file])
        self.number = _status(fid)[0]
        self.element_types: dict[bytes, Any] = {}
        self._blocks = blocks

    @property
    def remote(self) -> bool:
        """Whether libhdf5 reads it through the block cache of its source."""
        return self._blocks is not None

    @cached_property
    def superblock(self) -> Superblock:
        """Base address and sizes of addresses."""
        return read_superblock(self.id, self.read)

    @cached_property
    def heap(self) -> GlobalHeap:
        """Where variable-length texts are."""
        return GlobalHeap(self.read, self.superblock)

    def header(self, address: int) -> list[Message]:
        """The messages of the object header at an address; none where libhdf5 alone can read them."""
        if self.superblock.cache_image:
            return []
        try:
            return list(read_messages(self.read, self.superblock, address))
        except (MalformedFileError, IndexError, struct.error):
            return []

    @cached_property
    def fetch(self) -> Fetch:
        """How blocks of chunk indexes are read."""
        return remote_fetch(self.source) if self.remote else local_fetch(self.source)

    @cached_property
    def _map(self) -> Any:
        with Path(str(self.source.local_path)).open("rb") as handle:
            return mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)

    def read(self, start: int, stop: int) -> bytes:
        """Bytes by absolute position, fewer where the file ends."""
        if self._blocks is not None:
            return self._blocks.read_range(start, stop)
        found: bytes = self._map[start:stop]
        return found

    def prefetch(self, addresses: list[int], count: int) -> None:
        """Fetch `count` bytes at each address in one round trip, where that saves anything."""
        if self._blocks is not None and addresses:
            base = self.superblock.base
            self._blocks.prefetch([(base + address, base + address + count) for address in addresses])

    def identity(self, identifier: Any) -> Identity:
        """What an open object of this file is known by; for the target of a hard link, the link tells its address.

        ``H5Oget_info`` would tell as well, but reads the whole chunk index of a dataset to do so.
        """
        return self.source.url, _status(identifier)[1]

    def owns(self, identifier: Any) -> bool:
        """Whether an open object is in this file, and not in one that a link led to."""
        return _status(identifier)[0] == self.number


class OpenFiles:
    """The files that one parse has open, each once; a context that closes them all."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._open: dict[str, OpenFile] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all files."""
        self._stack.close()

    def open(self, source: Source) -> OpenFile:
        """The file of a source, opened when it was not before.

        Raises
        ------
        MalformedFileError
            libhdf5 cannot open it.
        SourceError
            It cannot be read.
        """
        if source.url not in self._open:
            self._open[source.url] = self._stack.enter_context(_open_file(source, first=not self._open))
        return self._open[source.url]


@contextmanager
def _open_file(source: Source, *, first: bool) -> Iterator[OpenFile]:
    """Open a file for reading: a local one by its path, a remote one through the block cache of its source.

    Closing the first file closes every object in it. Others may be opened once more by libhdf5 itself, as sources of
    virtual datasets, and that fails unless they have its default way of closing.
    """
    size = source.size  # a missing file is said to be missing, not malformed
    with library_errors(source.url):
        if source.local_path is not None:
            fid, blocks, wrapper = _open_local(os.fsencode(source.local_path), first=first), None, None
        else:
            blocks = source.blocks()
            blocks.prefetch([(0, min(size, HEAD_BYTES))])
            wrapper = h5py.File(blocks, "r", rdcc_nslots=_CHUNK_SLOTS)
            fid = wrapper.id
    try:
        yield OpenFile(source, fid, blocks)
    finally:
        if wrapper is not None:
            wrapper.close()
        elif fid.valid:
            fid.close()


def _open_local(path: bytes, *, first: bool) -> Any:
    """A file by its path. One that this process has open already, through h5py say, is opened as it was there."""
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fclose_degree(h5f.CLOSE_STRONG if first else h5f.CLOSE_DEFAULT)
    try:
        return h5f.open(path, h5f.ACC_RDONLY, fapl=access)
    except OSError as error:
        if "close degree" not in str(error):
            raise
    access.set_fclose_degree(h5f.CLOSE_DEFAULT)
    return h5f.open(path, h5f.ACC_RDONLY, fapl=access)


def _status(identifier: Any) -> tuple[int, int]:
    """Number of the file and address of the object header of an open object."""
    with library_errors("object header"):
        status = h5g.get_objinfo(identifier)
    return int(status.fileno[0]), int(status.objno[0]) | int(status.objno[1]) << 64
