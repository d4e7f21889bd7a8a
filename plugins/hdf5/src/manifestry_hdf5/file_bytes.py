"""The bytes of a file, by position: of a local one from a map of it, of a remote one through a cache of blocks."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from manifestry.plugin import Source
from numpy.typing import NDArray

from manifestry_hdf5.metadata_pages import MetadataPages
from manifestry_hdf5.structures.batched_reads import Blocks, remote_fetch

__all__ = ["FileBytes", "LocalFile", "PatchedFile", "RemoteFile"]

type _Rows = list[NDArray[np.uint8]]


class FileBytes(Protocol):
    """What structures are read from."""

    def read_range(self, start: int, stop: int) -> bytes:
        """Bytes by absolute position, fewer where the file ends."""

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Bring ranges that will be read soon, in one round trip, where that saves anything."""

    def fetch(self, wanted: Sequence[Blocks]) -> _Rows:
        """Blocks that may be asked for again, as `structures.batched_reads.Fetch`."""

    def at_hand(self, wanted: Sequence[Blocks], /) -> bool:
        """Whether nothing has to travel for some blocks."""

    def fetch_index(self, wanted: Sequence[Blocks]) -> _Rows:
        """Blocks of chunk indexes, which are many and are read once."""

    def read_by_pages(self, base: int, size: int | None) -> None:
        """Take note that metadata lies in pages of its own, from a position on, of so many bytes; None where it does not."""

    def close(self) -> None:
        """Let go of the file."""


class LocalFile:
    """A local file: mapped, or read piece by piece where there is no room for a map.

    Parameters
    ----------
    path
        Where it is.
    size
        Its bytes.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._size = size
        try:
            self._map: Any = mmap.mmap(self._file.fileno(), size, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # larger than the address space that is left, or empty
            self._map = None

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
        return self._file.read(max(0, min(stop, self._size) - start))

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Nothing: the file is here."""

    def fetch(self, wanted: Sequence[Blocks]) -> _Rows:
        """Blocks of the file."""
        return [self._gather(blocks) for blocks in wanted]

    fetch_index = fetch

    def at_hand(self, _: Sequence[Blocks], /) -> bool:
        """Always: the file is here."""
        return True

    def read_by_pages(self, base: int, size: int | None) -> None:
        """Nothing, as for `prefetch`."""

    def _gather(self, blocks: Blocks) -> NDArray[np.uint8]:
        positions, length = blocks
        if not len(positions) or not length:
            return np.zeros((len(positions), length), "u1")
        if self._map is not None and len(positions) == 1 and (start := int(positions[0])) <= self._size - length:
            return np.frombuffer(self._map, "u1", length, start).reshape(1, length)
        inside = np.full(len(positions), self._map is not None) & (positions <= self._size - length)
        if inside.all():
            return self._windows(length)[positions]
        data = np.zeros((len(positions), length), "u1")
        if inside.any():
            data[inside] = self._windows(length)[positions[inside]]
        for row in np.flatnonzero(~inside).tolist():
            start = int(positions[row])
            part = self.read_range(start, start + length) if start < self._size else b""
            data[row, : len(part)] = np.frombuffer(part, "u1")
        return data

    def _windows(self, length: int) -> NDArray[np.uint8]:
        """The `length` bytes from each position of the file on, without a copy."""
        return np.lib.stride_tricks.sliding_window_view(np.frombuffer(self._map, "u1"), length)


_PAGE_BYTES: Final = 4096
_MAX_PAGES: Final = 1 << 16
"""Pages of a remote file that are kept."""

_MOST_BYTES: Final = 1 << 20
"""A round trip brings at least as much as there has been until then, up to these bytes: it takes hardly longer for them.

They are divided among the places that are asked for, and a quarter is added where more than that is asked for.
"""

_NEAR: Final = 16 << 10
"""Places with no more bytes between them are one request."""

_MAX_KEPT_BLOCKS: Final = 4096
"""Blocks of chunk indexes that are read through the pages; more are not asked for again."""


class RemoteFile:
    """A remote file, whose pages are kept.

    Structures that belong together mostly follow each other: with each come the bytes behind it.

    Parameters
    ----------
    source
        Where it is.
    """

    def __init__(self, source: Source) -> None:
        self._brought = len(source.head())
        self._size = source.size
        self._pages = source.blocks(block_size=_PAGE_BYTES, max_blocks=_MAX_PAGES)
        self._fetch_many = remote_fetch(source)
        self._metadata: MetadataPages | None = None

    def read_by_pages(self, base: int, size: int | None) -> None:
        """Read whole pages from here on: what else is in them will be asked for."""
        self._metadata = None if size is None else MetadataPages(base, size, self._size)

    def read_range(self, start: int, stop: int) -> bytes:
        """Bytes by absolute position, fewer where the file ends."""
        self.prefetch([(start, stop)])
        return self._pages.read_range(start, stop)

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Bring ranges that will be read soon, and some of what follows them, in one round trip."""
        missing = _joined(self._pages.missing(ranges), _NEAR)
        if not missing:
            return
        pages = self._metadata.around(missing) if self._metadata is not None else None
        if pages:
            self._pages.prefetch(_joined(self._pages.missing(pages), _NEAR))
            return
        wanted = _total(missing)
        more = max(min(self._brought, _MOST_BYTES) - wanted, wanted // 4) // len(missing)
        ranges = self._pages.missing([(start, min(stop + more, self._size)) for start, stop in missing])
        joined = _joined(ranges, _NEAR)
        self._brought += _total(joined)
        self._pages.prefetch(joined)

    def fetch(self, wanted: Sequence[Blocks]) -> _Rows:
        """Blocks of the file, all that are missing in one round trip."""
        self.prefetch(_ranges(wanted))
        parts = []
        for blocks in wanted:
            parts.append(np.zeros((len(blocks.positions), blocks.length), "u1"))
            for row, start in zip(parts[-1], blocks.positions.tolist(), strict=True):
                part = self._pages.read_range(start, start + blocks.length)
                row[: len(part)] = np.frombuffer(part, "u1")
        return parts

    def at_hand(self, wanted: Sequence[Blocks], /) -> bool:
        """Whether the pages of some blocks are kept."""
        return not self._pages.missing(_ranges(wanted))

    def fetch_index(self, wanted: Sequence[Blocks]) -> _Rows:
        """Blocks of chunk indexes: few are read like others, many past the pages."""
        few = sum(len(blocks.positions) for blocks in wanted) <= _MAX_KEPT_BLOCKS
        return self.fetch(wanted) if few else self._fetch_many(wanted)

    def close(self) -> None:
        """Nothing: no connection is kept."""


def _ranges(wanted: Sequence[Blocks]) -> list[tuple[int, int]]:
    return [(start, start + blocks.length) for blocks in wanted for start in blocks.positions.tolist() if blocks.length]


def _total(ranges: Sequence[tuple[int, int]]) -> int:
    return sum(stop - start for start, stop in ranges)


def _joined(ranges: Sequence[tuple[int, int]], gap: int) -> list[tuple[int, int]]:
    """Ranges, ascending, of which those with no more than `gap` bytes between them are one."""
    joined: list[tuple[int, int]] = []
    for start, stop in ranges:
        if joined and start <= joined[-1][1] + gap:
            joined[-1] = joined[-1][0], max(stop, joined[-1][1])
        else:
            joined.append((start, stop))
    return joined


class PatchedFile:
    """A file of which some parts are newer elsewhere: those of a metadata cache image.

    Parameters
    ----------
    octets
        The file.
    patches
        Absolute positions and the bytes that count there.
    """

    def __init__(self, octets: FileBytes, patches: Sequence[tuple[int, bytes]]) -> None:
        self._octets = octets
        self._patches = patches
        self.prefetch = octets.prefetch
        self.read_by_pages = octets.read_by_pages
        self.at_hand = octets.at_hand
        self.close = octets.close

    def read_range(self, start: int, stop: int) -> bytes:
        """Bytes by absolute position, fewer where the file ends."""
        data = np.frombuffer(self._octets.read_range(start, stop), "u1").copy()
        self._patch(data, start)
        return data.tobytes()

    def fetch(self, wanted: Sequence[Blocks]) -> _Rows:
        """Blocks of the file."""
        return self._patch_all(wanted, self._octets.fetch(wanted))

    def fetch_index(self, wanted: Sequence[Blocks]) -> _Rows:
        """Blocks of chunk indexes."""
        return self._patch_all(wanted, self._octets.fetch_index(wanted))

    def _patch_all(self, wanted: Sequence[Blocks], parts: _Rows) -> _Rows:
        copies = [part.copy() for part in parts]
        for blocks, part in zip(wanted, copies, strict=True):
            for row, start in zip(part, blocks.positions.tolist(), strict=True):
                self._patch(row, start)
        return copies

    def _patch(self, data: NDArray[np.uint8], start: int) -> None:
        """Put the newer bytes into those that begin at a position."""
        stop = start + len(data)
        for at, octets in self._patches:
            low, high = max(at, start), min(at + len(octets), stop)
            if low < high:
                data[low - start : high - start] = np.frombuffer(octets, "u1", high - low, low - at)
