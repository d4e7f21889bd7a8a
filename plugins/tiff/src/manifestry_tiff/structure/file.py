"""Bytes of a TIFF file wherever they are: few requests, and nothing read that is not needed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from manifestry.plugin import Source

__all__ = ["LARGE_BYTES", "TiffFile"]

BLOCK_BYTES = 4 << 10
"""A directory and its small values mostly fit in one such block; files may have thousands of scattered ones."""

LARGE_BYTES = 16 << 10
"""Values from this size on are fetched exactly instead of block by block."""

LOOK_BYTES = 512 << 10
"""Compressed data of a local file that may be read while parsing, to see whether it is what the tags say."""

DECODE_BYTES = 4 << 20
"""Decoded data of a file that such looks may make: tiles without content take few bytes."""


class TiffFile:
    """Random access to the metadata of a file.

    The header that detection read already serves a small file or an ordinary COG completely. Directories elsewhere come
    in small cached blocks; large arrays of offsets come as exact ranges, several in one request when they are neighbours.

    Parameters
    ----------
    source
        The file.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._spans = [(0, source.head())]
        self.size = source.size
        self._blocks = source.blocks(block_size=BLOCK_BYTES)
        self._allowance = LOOK_BYTES if source.local_path is not None else 0
        self._decodable = DECODE_BYTES

    @property
    def head_bytes(self) -> int:
        """Bytes from the start of the file that are in memory."""
        return len(self._spans[0][1])

    def affords(self, count: int, decoded: int) -> bool:
        """Whether `count` bytes may be read and `decoded` be made of them for a look; then they count to the limits."""
        if count > self._allowance or decoded > self._decodable:
            return False
        self._allowance -= count
        self._decodable -= decoded
        return True

    def reserve_decoding(self, size: int, wanted: int) -> int:
        """How many of `wanted` chunks of a decoded size may be decoded for a look; those count towards the limit."""
        allowed = min(wanted, self._decodable // size)
        self._decodable -= allowed * size
        return allowed

    def holds(self, start: int, stop: int) -> bool:
        """Whether the bytes ``start:stop`` lie inside the file."""
        return 0 <= start <= stop <= self.size

    def read(self, start: int, count: int) -> bytes:
        """Some bytes, fewer where the file ends."""
        return bytes(self.view(start, count))

    def view(self, start: int, count: int) -> memoryview:
        """As `read`, without a copy of what is in memory already."""
        stop = min(start + count, self.size)
        for first, data in self._spans:
            if first <= start and stop <= first + len(data):
                return memoryview(data)[start - first : stop - first]
        if stop - start >= LARGE_BYTES:
            return memoryview(self.source.range(start, stop))
        return memoryview(self._blocks.read_range(start, stop))

    def read_many(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        """The bytes of ranges ``(start, stop)`` of data, in one round trip where they are not in memory."""
        missing = [(a, b) for a, b in ranges if b > self.head_bytes]
        fetched = iter(self.source.ranges(missing))
        return [next(fetched) if b > self.head_bytes else self.read(a, b - a) for a, b in ranges]

    @contextmanager
    def stream(self) -> Iterator[BinaryIO]:
        """The file for a library that reads streams; what it reads stays in memory, as what was read already does."""
        if self.source.local_path is not None:
            with self.source.open() as handle:
                yield handle
            return
        buffered = io.BufferedReader(self._blocks, BLOCK_BYTES)
        try:
            yield cast("BinaryIO", buffered)
        finally:
            buffered.detach()

    def prefetch(self, ranges: list[tuple[int, int]]) -> None:
        """Bring byte ranges ``(start, stop)`` that will be read, in one round trip."""
        missing = [
            (a, min(b, self.size))
            for a, b in ranges
            if a < self.size and not any(first <= a and b <= first + len(data) for first, data in self._spans)
        ]
        large = merge_ranges([(a, b) for a, b in missing if b - a >= LARGE_BYTES])
        self._spans += [(a, data) for (a, _), data in zip(large, self.source.ranges(large), strict=True)]
        self._blocks.prefetch([(a, b) for a, b in missing if b - a < LARGE_BYTES])


def merge_ranges(ranges: list[tuple[int, int]], gap: int = BLOCK_BYTES) -> list[tuple[int, int]]:
    """Ranges in ascending order, those with at most `gap` bytes between them made one."""
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if merged and start <= merged[-1][1] + gap:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged
