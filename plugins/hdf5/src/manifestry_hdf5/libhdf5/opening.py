"""Opening files: each once, as long as a parse goes on, and where they may point."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Final, Self

import h5py
from h5py import h5f, h5p
from manifestry.plugin import (
    ReferencePolicy,
    Source,
    SourceError,
    UnsupportedFeatureError,
)

from manifestry_hdf5.libhdf5.file_bytes import LocalFile, RemoteFile
from manifestry_hdf5.libhdf5.files import OpenFile, library_errors
from manifestry_hdf5.linked_files import PointsBy, find_linked_file
from manifestry_hdf5.structures.superblock import (
    OPEN_FOR_SWMR,
    OPEN_FOR_WRITING,
    consistency_flags,
)

__all__ = ["OpenFiles"]

_HEAD_BYTES: Final = 256 << 10
"""Bytes from the start of a remote file that are fetched at once: most files keep their metadata there."""

_CHUNK_SLOTS: Final = 7
"""Places in the chunk cache of an open dataset. Values are read once if at all, and a table of the usual size for each
of thousands of open datasets takes more memory than all references."""


class OpenFiles:
    """The files that one parse has open, each once; a context that closes them all.

    Parameters
    ----------
    allow
        URL prefixes that they may point at, in place of the rule of `ReferencePolicy`.
    """

    def __init__(self, allow: Sequence[str] | None = None) -> None:
        self._stack = ExitStack()
        self._open: dict[str, OpenFile] = {}
        self._allow = allow

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

    def link_target(self, file: OpenFile, name: str, points_by: PointsBy, where: str) -> Source:
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
                    for document in (file, *self._open.values())[:2]:
                        ReferencePolicy.of(document.source, self._allow, public_hosts=True).permit(source.url)
            except SourceError as error:
                raise UnsupportedFeatureError(f"{points_by} that is not allowed", where, str(error)) from error

        return find_linked_file(file.source, name, points_by, permit)

    def being_written(self) -> list[OpenFile]:
        """The open files to which other programs write."""
        return [file for file in self._open.values() if file.being_written]

    @property
    def restricted(self) -> bool:
        """Whether the caller says where files may point: libhdf5, which does not ask, may follow nothing then."""
        return self._allow is not None


@contextmanager
def _open_file(source: Source, *, first: bool) -> Iterator[OpenFile]:
    """Open a file for reading: a local one by its path, a remote one through the block cache of its source.

    Closing the first file closes every object in it. Others may be opened once more by libhdf5 itself, as sources of
    virtual datasets, and that fails unless they have its default way of closing.
    """
    size = source.size  # a missing file is said to be missing, not malformed
    with library_errors(source.url):
        octets = RemoteFile(source) if source.local_path is None else LocalFile(source.local_path)
    with octets:
        with library_errors(source.url):
            if isinstance(octets, RemoteFile):
                octets.prefetch([(0, min(size, _HEAD_BYTES))])
            flags = consistency_flags(octets.read_range, size)
            _refuse_unclosed(source, flags)
            being_written = bool(flags & OPEN_FOR_WRITING)
            if isinstance(octets, RemoteFile):
                wrapper = h5py.File(octets, "r", rdcc_nslots=_CHUNK_SLOTS)
                fid = wrapper.id
            else:
                wrapper = None
                fid = _open_local(os.fsencode(str(source.local_path)), first=first, swmr=being_written)
        try:
            yield OpenFile(source, fid, octets, being_written=being_written)
        finally:
            with library_errors(f"{source.url}: closing it"):
                if wrapper is not None:
                    wrapper.close()
                elif fid.valid:
                    fid.close()


def _refuse_unclosed(source: Source, flags: int) -> None:
    """Refuse a file that a program has not closed, unless that program lets others read meanwhile (SWMR).

    Raises
    ------
    UnsupportedFeatureError
        It cannot be said what of it is on the disk.
    """
    swmr = bool(flags & OPEN_FOR_SWMR)
    if flags & OPEN_FOR_WRITING and not (swmr and source.local_path is not None):
        remedy = (
            "copy it to this machine"
            if swmr
            else "close it, or mark it as closed with h5clear -s if its writer has died"
        )
        raise UnsupportedFeatureError("file that is still open for writing", source.url, remedy)


def _open_local(path: bytes, *, first: bool, swmr: bool) -> Any:
    """A file by its path. One that this process has open already, through h5py say, is opened as it was there."""
    mode = h5f.ACC_RDONLY | (h5f.ACC_SWMR_READ if swmr else 0)
    access = h5p.create(h5p.FILE_ACCESS)
    elements, _, size, preemption = access.get_cache()
    access.set_cache(elements, _CHUNK_SLOTS, size, preemption)
    access.set_fclose_degree(h5f.CLOSE_STRONG if first else h5f.CLOSE_DEFAULT)
    try:
        return h5f.open(path, mode, fapl=access)
    except OSError as error:
        if "close degree" not in str(error):
            raise
    access.set_fclose_degree(h5f.CLOSE_DEFAULT)
    return h5f.open(path, mode, fapl=access)
