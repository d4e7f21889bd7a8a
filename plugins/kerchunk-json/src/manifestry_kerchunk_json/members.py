"""The members of the ``refs`` object of one array, in batches: no Python object outlives its batch."""

from __future__ import annotations

import base64
import itertools
import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from manifestry.plugin import INLINE, ChunkManifest
from manifestry_kerchunk.documents import PreparedArray, to_strict_json
from numpy.typing import NDArray

__all__ = ["reference_lines"]

_BATCH: Final = 1 << 14
_MAX_LABELS: Final = 1 << 14
"""Texts that are kept for the last dimensions of a grid, since they come again and again."""


def reference_lines(prepared: PreparedArray) -> Iterator[str]:
    """Texts of the form ``"key":["url",offset,length],…``, one for each batch of stored chunks.

    A chunk in the document itself is ``"key":"base64:…"``; one that is not stored has no member.
    """
    manifest = prepared.array.manifest
    index, offsets, lengths = manifest.columns()
    stored = None if manifest.stored_count == manifest.size else np.flatnonzero(manifest.stored)
    keys, values = _Keys(prepared), _Values(manifest)
    for start in range(0, manifest.stored_count, _BATCH):
        stop = min(start + _BATCH, manifest.stored_count)
        rows: Any = slice(start, stop) if stored is None else stored[start:stop]
        positions = np.arange(start, stop) if stored is None else stored[start:stop]
        yield ",".join(values.members(keys.of(positions), index[rows], offsets[rows], lengths[rows]))


class _Keys:
    """Keys of the chunks of one array, as JSON texts with the colon, made of two parts each."""

    def __init__(self, prepared: PreparedArray) -> None:
        grid = prepared.array.manifest.grid_shape
        self._separator = prepared.separator
        inner = next(axis for axis in range(len(grid) + 1) if math.prod(grid[axis:]) <= _MAX_LABELS)
        self._outer_grid, self._inner_size = grid[:inner], math.prod(grid[inner:])
        self._start = to_strict_json(prepared.chunk_prefix if grid else prepared.scalar_key)[:-1]
        coordinates = itertools.product(*(range(n) for n in grid[inner:]))
        self._inner = [self._separator.join(map(str, at)) + '":' for at in coordinates]

    def of(self, positions: NDArray[np.intp]) -> Iterator[str]:
        """The keys at ascending C-order positions."""
        outer, which = np.unique(positions // self._inner_size, return_inverse=True)
        heads, tails = self._heads(outer), self._inner
        return (
            heads[a] + tails[b] for a, b in zip(which.tolist(), (positions % self._inner_size).tolist(), strict=True)
        )

    def _heads(self, outer: NDArray[np.intp]) -> list[str]:
        if not self._outer_grid:
            return [self._start] * outer.size
        axes = [map(str, axis.tolist()) for axis in np.unravel_index(outer, self._outer_grid)]
        end = self._separator if self._inner != ['":'] else ""
        return [self._start + text + end for text in map(self._separator.join, zip(*axes, strict=True))]


class _Values:
    """References of one manifest, as JSON texts."""

    def __init__(self, manifest: ChunkManifest) -> None:
        self._manifest = manifest
        self._encoded: tuple[tuple[int, int], str] = ((0, 0), "")

    def members(
        self,
        keys: Iterator[str],
        index: NDArray[np.uint32],
        offsets: NDArray[np.uint64],
        lengths: NDArray[np.uint64],
    ) -> list[str]:
        """Members of a batch: keys with their references."""
        rows, which = np.unique(index, return_inverse=True)
        heads = [self._head(row) for row in rows.tolist()]
        columns = zip(keys, which.tolist(), offsets.tolist(), lengths.tolist(), strict=True)
        if INLINE not in rows:
            return [f"{key}{heads[row]}{offset},{length}]" for key, row, offset, length in columns]
        return [
            f"{key}{heads[row]}{offset},{length}]" if heads[row] else key + self._inline(offset, length)
            for key, row, offset, length in columns
        ]

    def _head(self, row: int) -> str:
        """A reference up to its offset; nothing for what is inline."""
        return "" if row == INLINE else f"[{to_strict_json(self._manifest.files.urls[row])},"

    def _inline(self, offset: int, length: int) -> str:
        """An inline chunk as text; the last one is kept, since fill chunks are many and equal."""
        if self._encoded[0] != (offset, length):
            data = self._manifest.inline[offset : offset + length]
            self._encoded = ((offset, length), f'"base64:{base64.b64encode(data).decode()}"')
        return self._encoded[1]
