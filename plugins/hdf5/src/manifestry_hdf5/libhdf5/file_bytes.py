"""The bytes of a file, by position: of a local one from a map of it, of a remote one through a cache of blocks."""

from __future__ import annotations

import io
import mmap
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from manifestry.plugin import MalformedFileError, Source
from numpy.typing import NDArray

from manifestry_hdf5.structures.batched_reads import Blocks, Fetch, remote_fetch
from manifestry_hdf5.structures.global_heap import SIGNATURE, check_collection

__all__ = ["LocalFile", "RemoteFile"]


class LocalFile:
    """A local file: mapped, or read piece by piece where there is no room for a map. A context that closes it.

    Parameters
    ----------
    path
        Where it is.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = Path(path).open("rb", buffering=0)  # noqa: SIM115 closed by `close`
        self.size = os.fstat(self._file.fileno()).st_size
        try:
            self._map: Any = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # larger than the address space that is left, or empty
            self._map = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Arrays made from it keep the map for as long as they live."""
        self._map = None
        self._file.close()

    def read_range(self, start: int, stop: int) -> bytes:
        """Bytes by absolute position, fewer where the file ends."""
        if self._map is not None:
            data: bytes = self._map[start:stop]
            return data
        self._file.seek(start)
        return self._file.read(max(0, min(stop, self.size) - start))

    def fetch(self, wanted: Sequence[Blocks]) -> list[NDArray[np.uint8]]:
        """Blocks of the file, as `structures.batched_reads.Fetch`."""
        return [self._gather(blocks) for blocks in wanted]

    def find(self, signature: bytes) -> Iterator[int]:
        """Where a signature is in the file; nothing is found in a file that is not mapped."""
        at = -1 if self._map is None else self._map.find(signature)
        while at >= 0:
            yield at
            at = self._map.find(signature, at + 1)

    def _gather(self, blocks: Blocks) -> NDArray[np.uint8]:
        positions, length = blocks
        if not len(positions) or not length:
            return np.zeros((len(positions), length), "u1")
        if self._map is not None and len(positions) == 1 and (start := int(positions[0])) <= self.size - length:
            return np.frombuffer(self._map, "u1", length, start).reshape(1, length)
        if self._map is not None and int(positions.max()) <= self.size - length:
            file = np.frombuffer(self._map, "u1")
            return np.lib.stride_tricks.sliding_window_view(file, length)[positions]
        data = np.zeros((len(positions), length), "u1")
        for row, start in enumerate(positions.tolist()):
            part = self.read_range(start, start + length) if start < self.size else b""
            data[row, : len(part)] = np.frombuffer(part, "u1")
        return data


class RemoteFile(io.RawIOBase):
    """A remote file as libhdf5 reads it: block by block, each checked for damage that would keep libhdf5 in an endless loop.

    Parameters
    ----------
    source
        Where it is.
    """

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._blocks = source.blocks()
        self.prefetch = self._blocks.prefetch
        self.read_range = self._blocks.read_range
        self.fetch: Fetch = remote_fetch(source)
        self.length_size = 8

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def seekable(self) -> bool:
        """Whether it can be sought: always."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Where the next read begins."""
        return self._blocks.seek(offset, whence)

    def tell(self) -> int:
        """Where the next read begins."""
        return self._blocks.tell()

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer from the present position on."""
        count = self._blocks.readinto(buffer)
        view = memoryview(buffer).cast("B")[:count]
        if bytes(view[: len(SIGNATURE)]) == SIGNATURE:
            try:
                check_collection(view, self.length_size, "a remote file")
            except MalformedFileError as error:
                raise OSError(str(error)) from error  # h5py's own kind
        return count
