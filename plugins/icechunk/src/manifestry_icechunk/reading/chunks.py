"""The stored chunks of an array as a manifest: virtual references, and native chunks copied within limits."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from itertools import batched
from typing import Any, Final
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

from manifestry_icechunk.writing.nodes import Nodes, chunk_key, complete

__all__ = ["ChunkReader", "canonical_location"]

_NATIVE: Final = 1
_VIRTUAL: Final = 2
_FETCHES: Final = 64
_ALIASES: Final = {"gcs": "gs", "azure": "az", "abfs": "az", "tigris": "s3"}


def canonical_location(location: str) -> str:
    """The canonical URL of the location of a virtual reference; keys are decoded, http URLs stay as they are."""
    scheme, separator, rest = location.partition("://")
    if scheme in ("http", "https"):
        return location
    return f"{_ALIASES.get(scheme, scheme)}{separator}{unquote(rest, errors='surrogateescape')}"


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
        async for coordinates, kinds, paths, starts, sizes, inlined in self._nodes.chunks(path):
            copied = np.flatnonzero((kinds != _VIRTUAL) | inline)
            begin, count = starts.copy(), sizes.copy()
            if copied.size:
                data = await self._copy(path, coordinates, copied.tolist(), kinds, inlined, len(blob), sizes)
                ends = len(blob) + np.cumsum([len(chunk) for chunk in data], dtype="u8")
                count[copied] = [len(chunk) for chunk in data]
                begin[copied] = ends - count[copied]
                blob += b"".join(data)
                for row in copied.tolist():
                    paths[row] = ""
            where.append(coordinates)
            rows.append(table.index(paths))
            offsets.append(begin)
            lengths.append(count)
        if not where:
            return ChunkManifest.missing(grid_shape)
        columns = [np.concatenate(parts) for parts in (where, offsets, lengths, rows)]
        return ChunkManifest.from_sparse(
            grid_shape,
            FileTable(table.files),
            columns[0],
            columns[1],
            columns[2],
            file_index=columns[3],
            inline=bytes(blob),
        )

    async def _copy(
        self,
        path: str,
        coordinates: NDArray[Any],
        copied: Sequence[int],
        kinds: NDArray[np.uint8],
        inlined: Mapping[int, bytes],
        before: int,
        sizes: NDArray[np.uint64],
    ) -> list[bytes]:
        """The bytes of some chunks; those that are no part of the manifest file are fetched."""
        total = before + int(sizes[copied].sum())
        limit = self._context.limits.max_inline_bytes
        if total > limit:
            own = "chunks of the repository's own" if bool((kinds[copied] == _NATIVE).any()) else "inline chunks"
            raise UnsupportedFeatureError(
                f"{own} of more than {limit} bytes",
                path,
                "only references can be moved to another store: leave the array out, or raise limits.max_inline_bytes",
            )
        found = []
        for some in batched(copied, _FETCHES):
            found += await asyncio.gather(*(self._bytes(path, coordinates[row], inlined.get(row)) for row in some))
        return found

    async def _bytes(self, path: str, at: NDArray[Any], known: bytes | None) -> bytes:
        if known is not None:
            return known
        found = await self._nodes.store.get(chunk_key(path, at.tolist()), cpu.buffer_prototype)
        assert found is not None
        return found.to_bytes()
