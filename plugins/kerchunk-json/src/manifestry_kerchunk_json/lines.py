"""The members of the ``refs`` object of one array, in batches: no Python object outlives its batch."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from manifestry.model.manifest import INLINE, ChunkManifest
from manifestry.references.layout import PreparedArray, to_strict_json
from manifestry.references.locations import reference_location
from numpy.typing import NDArray

__all__ = ["reference_lines"]

BATCH: Final = 1 << 14


def reference_lines(prepared: PreparedArray) -> Iterator[str]:
    """Texts of the form ``"key":["url",offset,length],…``, one for each batch of stored chunks.

    A chunk in the document itself is ``"key":"base64:…"``; one that is not stored has no member.
    """
    manifest = prepared.array.manifest
    index, offsets, lengths = manifest.columns()
    everything = manifest.stored_count == manifest.size
    stored = None if everything else np.flatnonzero(manifest.stored)
    total = manifest.size if stored is None else stored.size
    encoded: dict[tuple[int, int], str] = {}
    for start in range(0, total, BATCH):
        stop = min(start + BATCH, total)
        rows: Any = slice(start, stop) if stored is None else stored[start:stop]
        positions = np.arange(start, stop) if stored is None else stored[start:stop]
        keys = _chunk_keys(prepared, positions)
        ends = _ends(manifest, index[rows], offsets[rows], lengths[rows], encoded)
        yield ",".join([f'"{key}":{end}' for key, end in zip(keys, ends, strict=True)])


def _chunk_keys(prepared: PreparedArray, positions: NDArray[np.intp]) -> list[str]:
    """Keys of chunks at C-order positions, as they stand between the quotes."""
    grid = prepared.array.manifest.grid_shape
    if not grid:
        return [to_strict_json(prepared.scalar_key)[1:-1]]
    start = to_strict_json(prepared.chunk_prefix)[1:-1]
    axes = [map(str, axis.tolist()) for axis in np.unravel_index(positions, grid)]
    return [start + key for key in map(prepared.separator.join, zip(*axes, strict=True))]


def _ends(
    manifest: ChunkManifest,
    index: NDArray[np.uint32],
    offsets: NDArray[np.uint64],
    lengths: NDArray[np.uint64],
    encoded: dict[tuple[int, int], str],
) -> list[str]:
    """The values of some references."""
    heads = {
        row: f"[{to_strict_json(reference_location(manifest.files.urls[row]))},"
        for row in np.unique(index).tolist()
        if row != INLINE
    }
    columns = zip(index.tolist(), offsets.tolist(), lengths.tolist(), strict=True)
    if len(heads) == 1 and not bool((index == INLINE).any()):
        (head,) = heads.values()
        return [f"{head}{offset},{length}]" for _, offset, length in columns]
    return [
        f"{heads[row]}{offset},{length}]" if row != INLINE else _inline(manifest, offset, length, encoded)
        for row, offset, length in columns
    ]


def _inline(manifest: ChunkManifest, offset: int, length: int, encoded: dict[tuple[int, int], str]) -> str:
    """An inline chunk as text; the last one is kept, since fill chunks are many and equal."""
    at = (offset, length)
    if at not in encoded:
        encoded.clear()
        data = manifest.inline[offset : offset + length]
        encoded[at] = f'"base64:{base64.b64encode(data).decode()}"'
    return encoded[at]
