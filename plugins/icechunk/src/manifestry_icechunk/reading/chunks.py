"""The stored chunks of an array as a manifest: virtual references, and native chunks copied within limits."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from itertools import batched
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import numpy as np
from manifestry.plugin import (
    INLINE,
    ChunkManifest,
    FileTable,
    ParseContext,
    ReferencePolicy,
    SourceFile,
    UnsupportedFeatureError,
)
from numpy.typing import NDArray
from zarr.buffer import cpu

from manifestry_icechunk.repository.nodes import Nodes, chunk_key, complete

__all__ = ["ChunkReader", "canonical_location"]

_NATIVE: Final = 1
_VIRTUAL: Final = 2
_MAX_REQUESTS: Final = 64
_ALIASES: Final = {"gcs": "gs", "azure": "az", "abfs": "az", "tigris": "s3"}


def canonical_location(location: str) -> str:
    """The canonical URL of the location of a virtual reference; keys are decoded, http URLs stay as they are."""
    scheme, separator, rest = location.partition("://")
    if scheme in ("http", "https"):
        return location
    return f"{_ALIASES.get(scheme, scheme)}{separator}{unquote(rest, errors='surrogateescape')}"


class _Batch(NamedTuple):
    """Some stored chunks as icechunk gives them: columns, and the bytes of those in the manifest file itself by row."""

    coordinates: NDArray[Any]
    kinds: NDArray[np.uint8]
    locations: list[str]
    offsets: NDArray[np.uint64]
    lengths: NDArray[np.uint64]
    inlined: Mapping[int, bytes]


class _Rows:
    """The file table while it grows: one row for each distinct location, of all arrays of a repository."""

    def __init__(self, known: Mapping[str, SourceFile], policy: ReferencePolicy) -> None:
        self._known = known
        self._policy = policy
        self._rows: dict[str, int] = {"": INLINE}
        self.files: list[SourceFile] = []

    def index(self, locations: Sequence[str]) -> NDArray[np.uint32]:
        """The rows of some locations; those without one are inline."""
        rows = self._rows
        for location in dict.fromkeys(locations):
            if location not in rows:
                url = self._policy.permit(canonical_location(location))
                rows[location] = len(self.files)
                self.files.append(self._known.get(url, SourceFile(url)))
        return np.fromiter(map(rows.__getitem__, locations), "u4", len(locations))


class ChunkReader:
    """Reads the chunks of arrays.

    Parameters
    ----------
    nodes
        The store.
    known
        What is known of the source files, by canonical URL.
    policy
        Which sources the repository may point at.
    context
        Limits and what is to be inlined.
    """

    def __init__(
        self, nodes: Nodes, known: Mapping[str, SourceFile], policy: ReferencePolicy, context: ParseContext
    ) -> None:
        self._nodes = nodes
        self._known = known
        self._policy = policy
        self._context = context

    def manifest(self, path: str, grid_shape: tuple[int, ...], *, inline: bool) -> ChunkManifest:
        """The manifest of the array at a path.

        Parameters
        ----------
        inline
            Copy virtual chunks too.

        Raises
        ------
        UnsupportedFeatureError
            The array has more bytes in chunks of the repository's own than may be copied.
        SourceError
            A chunk cannot be read, or a reference points where it may not.
        """
        if math.prod(grid_shape) > self._context.limits.max_chunks:
            limit = self._context.limits.max_chunks
            raise UnsupportedFeatureError(
                f"{math.prod(grid_shape)} chunks, more than {limit}", path, "raise the limits"
            )
        return complete(self._collect(path, grid_shape, inline=inline))

    async def _collect(self, path: str, grid_shape: tuple[int, ...], *, inline: bool) -> ChunkManifest:
        table = _Rows(self._known, self._policy)
        where: list[NDArray[Any]] = []
        rows: list[NDArray[np.uint32]] = []
        offsets: list[NDArray[np.uint64]] = []
        lengths: list[NDArray[np.uint64]] = []
        blob = bytearray()
        async for columns in self._nodes.chunks(path):
            batch = _Batch._make(columns)
            copied = np.flatnonzero((batch.kinds != _VIRTUAL) | inline)
            if inline:
                await asyncio.to_thread(self._check_permitted, batch)
            begin, count = batch.offsets.copy(), batch.lengths.copy()
            if copied.size:
                data = await self._copy(path, batch, copied, len(blob))
                ends = len(blob) + np.cumsum([len(chunk) for chunk in data], dtype="u8")
                count[copied] = [len(chunk) for chunk in data]
                begin[copied] = ends - count[copied]
                blob += b"".join(data)
                for row in copied.tolist():
                    batch.locations[row] = ""
            where.append(batch.coordinates)
            rows.append(table.index(batch.locations))
            offsets.append(begin)
            lengths.append(count)
        if not where:
            return ChunkManifest.missing(grid_shape)
        return ChunkManifest.from_sparse(
            grid_shape,
            FileTable(table.files),
            np.concatenate(where),
            np.concatenate(offsets),
            np.concatenate(lengths),
            file_index=np.concatenate(rows),
            inline=bytes(blob),
            budget=self._context.budget,
        )

    def _check_permitted(self, batch: _Batch) -> None:
        """Make sure that the virtual chunks of a batch may be read: icechunk, which reads them, asks nobody."""
        rows = np.flatnonzero(batch.kinds == _VIRTUAL).tolist()
        for location in dict.fromkeys(batch.locations[row] for row in rows):
            url = self._policy.permit(canonical_location(location))
            self._policy.registry.destination(url, self._policy.named_by(url))

    async def _copy(self, path: str, batch: _Batch, copied: NDArray[np.intp], before: int) -> list[bytes]:
        """The bytes of some chunks of a batch, of which `before` were copied from others already.

        Those that are not in the manifest file are fetched.
        """
        total = before + int(batch.lengths[copied].sum())
        limit = self._context.limits.max_inline_bytes
        if total > limit:
            native = bool((batch.kinds[copied] == _NATIVE).any())
            what = "chunks of the repository's own" if native else "inline chunks"
            raise UnsupportedFeatureError(
                f"{what} of more than {limit} bytes",
                path,
                "only references can be moved to another store: leave the array out, or raise limits.max_inline_bytes",
            )
        data: list[bytes] = []
        for some in batched(copied.tolist(), _MAX_REQUESTS):
            data += await asyncio.gather(*(self._bytes(path, batch, row) for row in some))
        return data

    async def _bytes(self, path: str, batch: _Batch, row: int) -> bytes:
        inlined = batch.inlined.get(row)
        if inlined is not None:
            return inlined
        data = await self._nodes.store.get(chunk_key(path, batch.coordinates[row].tolist()), cpu.buffer_prototype)
        assert data is not None
        return data.to_bytes()
