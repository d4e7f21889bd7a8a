"""A seekable reader over a remote object with a random-access block cache."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable, Sequence

__all__ = ["BlockReader"]


class BlockReader(io.RawIOBase):
    """Reads any part of an object through blocks that are fetched when first touched, wherever they lie.

    Parameters
    ----------
    fetch
        ``fetch([(start, stop), ...])`` returns the bytes of each range; called once for all missing blocks of a read.
    size
        Length of the object in bytes.
    block_size
        Bytes of a block.
    max_blocks
        Blocks kept; the one untouched for longest goes first.

    Notes
    -----
    Neighbouring blocks that are missing are fetched as one range. `prefetch` brings the blocks of many ranges at once,
    so a parser that knows what it will read pays one round trip.
    """

    def __init__(
        self,
        fetch: Callable[[Sequence[tuple[int, int]]], Sequence[bytes]],
        size: int,
        *,
        block_size: int = 64 << 10,
        max_blocks: int = 4096,
    ) -> None:
        super().__init__()
        self._fetch = fetch
        self._size = size
        self._block_size = block_size
        self._max_blocks = max_blocks
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Position of the next read, in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position; beyond the end is allowed and reads nothing."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError(f"seek to {base + offset}: positions must not be negative")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` from the position on; returns the number of bytes, less than asked only at the end."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._size - self._position))
        view[:count] = self.read_range(self._position, self._position + count)
        self._position += count
        return count

    def read_range(self, start: int, stop: int) -> bytes:
        """The bytes ``start:stop``, cut at the end of the object."""
        start, stop = max(start, 0), min(stop, self._size)
        if start >= stop:
            return b""
        size = self._block_size
        first, last = start // size, (stop - 1) // size
        blocks = self._take(range(first, last + 1))
        data = blocks[0] if first == last else b"".join(blocks)
        return data[start - first * size : stop - first * size]

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Bring all blocks that the ranges touch, in one call of `fetch`."""
        self._load(self._missing(ranges))

    def missing(self, ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """What `prefetch` would fetch of the ranges: runs of blocks, ascending."""
        return self._runs(self._missing(ranges))

    def _missing(self, ranges: Sequence[tuple[int, int]]) -> list[int]:
        size = self._block_size
        inside = ((max(start, 0), min(stop, self._size)) for start, stop in ranges)
        wanted = {b for start, stop in inside if start < stop for b in range(start // size, (stop - 1) // size + 1)}
        return sorted(b for b in wanted if b not in self._blocks)

    def preload(self, start: int, data: bytes) -> None:
        """Take bytes that are known already (a header that was read to detect the format) into the cache."""
        size = self._block_size
        for block in range(-(-start // size), (start + len(data)) // size + 1):
            low = block * size - start
            piece = data[low : low + size]
            if len(piece) == min(size, max(0, self._size - block * size)) and piece:
                self._blocks.setdefault(block, piece)

    def _take(self, wanted: range) -> list[bytes]:
        """The blocks asked for; held here while others are evicted, so a read may be larger than the cache."""
        missing = [b for b in wanted if b not in self._blocks]
        fresh = dict(zip(missing, self._read(missing), strict=True)) if missing else {}
        taken = [fresh[b] if b in fresh else self._blocks[b] for b in wanted]
        self._keep(fresh)
        for block in wanted:
            if block in self._blocks:
                self._blocks.move_to_end(block)
        return taken

    def _load(self, missing: list[int]) -> None:
        if missing:
            self._keep(dict(zip(missing, self._read(missing), strict=True)))

    def _keep(self, fresh: dict[int, bytes]) -> None:
        self._blocks.update(fresh)
        while len(self._blocks) > self._max_blocks:
            self._blocks.popitem(last=False)

    def _runs(self, blocks: list[int]) -> list[tuple[int, int]]:
        """The bytes of blocks (ascending), those of neighbours as one range."""
        size = self._block_size
        runs: list[list[int]] = []
        for block in blocks:
            if runs and runs[-1][1] == block:
                runs[-1][1] = block + 1
            else:
                runs.append([block, block + 1])
        return [(a * size, min(b * size, self._size)) for a, b in runs]

    def _read(self, missing: list[int]) -> list[bytes]:
        """Fetch blocks (ascending), runs of neighbours as one range."""
        size, parts = self._block_size, self._fetch(self._runs(missing))
        return [bytes(part[i : i + size]) for part in parts for i in range(0, max(len(part), 1), size)]
