"""The file as libhdf5 opens it, and what libhdf5 raises as errors of ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import h5py
from h5py import h5f, h5g, h5p
from manifestry.errors import MalformedFileError
from manifestry.storage import BlockReader, Source

__all__ = ["HEAD_BYTES", "LIBRARY_ERRORS", "OpenFile", "address_of", "library_errors", "open_file"]

HEAD_BYTES: Final = 256 << 10
"""Bytes from the start of a remote file that are fetched at once: most files keep their metadata there."""

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
    blocks
        The reader with a block cache through which libhdf5 reads a remote file; None for a local one.
    """

    def __init__(self, source: Source, fid: Any, blocks: BlockReader | None) -> None:
        self.source = source
        self.id = fid
        self.blocks = blocks

    def prefetch(self, addresses: list[int], count: int) -> None:
        """Fetch `count` bytes at each address in one round trip, where that saves anything."""
        if self.blocks is not None:
            self.blocks.prefetch([(address, address + count) for address in addresses])


@contextmanager
def open_file(source: Source) -> Iterator[OpenFile]:
    """Open a file for reading: a local one by its path, a remote one through the block cache of its source.

    Raises
    ------
    MalformedFileError
        libhdf5 cannot open it.
    SourceError
        It cannot be read.
    """
    size = source.size  # a missing file is said to be missing, not malformed
    with library_errors(source.url):
        if source.local_path is not None:
            access = h5p.create(h5p.FILE_ACCESS)
            access.set_fclose_degree(h5f.CLOSE_STRONG)
            fid, blocks, wrapper = h5f.open(os.fsencode(source.local_path), h5f.ACC_RDONLY, fapl=access), None, None
        else:
            blocks = source.blocks()
            blocks.prefetch([(0, min(size, HEAD_BYTES))])
            wrapper = h5py.File(blocks, "r")
            fid = wrapper.id
    try:
        yield OpenFile(source, fid, blocks)
    finally:
        if wrapper is not None:
            wrapper.close()
        elif fid.valid:
            fid.close()


def address_of(identifier: Any) -> tuple[int, int]:
    """Number of the file and address of the object header of an open object: its identity.

    ``H5Oget_info`` would tell as well, but reads the whole chunk index of a dataset to do so.
    """
    status = h5g.get_objinfo(identifier)
    return int(status.fileno[0]), int(status.objno[0]) | int(status.objno[1]) << 64
