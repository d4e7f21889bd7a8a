"""External data files message: files that hold the bytes of a contiguous dataset (specification, section IV.A.2.h)."""

from __future__ import annotations

from typing import Final, NamedTuple

from manifestry.plugin import MalformedFileError, UnsupportedFeatureError

from manifestry_hdf5.structures.batched_reads import IndexReader
from manifestry_hdf5.structures.fields import Fields
from manifestry_hdf5.structures.file_metadata.superblock import Superblock
from manifestry_hdf5.structures.infrastructure.local_heap import read_local_heap

__all__ = ["EXTERNAL_FILES_MESSAGE", "ExternalFile", "read_external_files"]

EXTERNAL_FILES_MESSAGE: Final = 0x07
_STRUCTURE: Final = "external data files message"
_MAX_LENGTH: Final = (1 << 63) - 1


class ExternalFile(NamedTuple):
    """A part of the bytes of a dataset; parts follow each other.

    Attributes
    ----------
    name
        Of the file, as it is in the message.
    offset, size
        Where the part begins in that file, and how many bytes it has; None where it has no end.
    """

    name: bytes
    offset: int
    size: int | None


def read_external_files(message: bytes, superblock: Superblock) -> IndexReader[tuple[ExternalFile, ...]]:
    """The files that a message lists, whose names are in a local heap.

    Raises
    ------
    MalformedFileError
        It is too short, contradicts itself, or there is no such heap or name.
    UnsupportedFeatureError
        Its version is not known.
    """
    fields = Fields(message, _STRUCTURE)
    version = fields.take(1)
    if version != 1:
        raise UnsupportedFeatureError(f"{_STRUCTURE} of version {version}")
    fields.skip(3)
    slots, used = fields.take(2), fields.take(2)
    if used > slots:
        raise MalformedFileError(f"{_STRUCTURE}: {used} files where there is room for {slots}")
    address, n = fields.take(superblock.offset_size), superblock.length_size
    entries = [(fields.take(n), fields.take(n), fields.take(n)) for _ in range(used)]
    heap = yield from read_local_heap(superblock, address)
    endless = (1 << 8 * n) - 1
    files: list[ExternalFile] = []
    for name, offset, size in entries:
        if files and files[-1].size is None:
            raise MalformedFileError(f"{_STRUCTURE}: a file follows one without end")
        file = ExternalFile(heap.text(name), offset, None if size == endless else size)
        if not file.name or offset + (file.size or 0) > _MAX_LENGTH:
            raise MalformedFileError(f"{_STRUCTURE}: {file} where a name, and bytes that a file can have, are expected")
        files.append(file)
    return tuple(files)
