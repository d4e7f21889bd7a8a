"""The file table of references that were read: every location looked at once, and what provenance knows of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from manifestry.model.files import FileTable, SourceFile
from manifestry.model.limits import Budget
from manifestry.model.manifest import ChunkManifest
from manifestry.model.provenance import Provenance
from manifestry.storage.policy import ReferencePolicy
from manifestry.storage.registry import StoreRegistry
from manifestry.storage.source import Source

__all__ = ["LocationTable", "ReferenceColumns"]

_MAX_CONCURRENT: Final = 32


@dataclass(slots=True, kw_only=True)
class LocationTable:
    """Rows of one file table by the location that a document gives; shared by all arrays of a tree.

    Attributes
    ----------
    policy
        Which locations are allowed.
    provenance
        What was known of the files when the references were made.
    urls
        Canonical URLs, row by row.
    """

    policy: ReferencePolicy
    provenance: Sequence[Provenance] = ()
    urls: list[str] = field(default_factory=list)
    _by_location: dict[str, int] = field(default_factory=dict)
    _rows: dict[str, int] = field(default_factory=dict)

    def rows(self, locations: Iterable[str]) -> list[int]:
        """The row of each location.

        Raises
        ------
        SourceError
            A location is not allowed.
        """
        return [self._row(location) for location in locations]

    def _row(self, location: str) -> int:
        row = self._by_location.get(location)
        if row is None:
            url = self.policy.resolve(location)
            row = self._rows.setdefault(url, len(self.urls))
            if row == len(self.urls):
                self.urls.append(url)
            self._by_location[location] = row
        return row

    def sizes(self, rows: Sequence[int], stores: StoreRegistry) -> list[int]:
        """Sizes of the files of some rows, asked for concurrently.

        Raises
        ------
        SourceError
            A file is not there.
        """
        with ThreadPoolExecutor(_MAX_CONCURRENT) as pool:
            return list(pool.map(lambda row: self._source(self.urls[row], stores).size, rows))

    def _source(self, url: str, stores: StoreRegistry) -> Source:
        return Source.at(url, stores, named_by=self.policy.named_by(url))

    def table(self) -> FileTable:
        """The file table of all rows."""
        files = {file.url: file for part in self.provenance for file in part.sources}
        return FileTable(files.get(url) or SourceFile(url) for url in self.urls)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceColumns:
    """The references of one array, before the file table is complete.

    Attributes
    ----------
    grid_shape
        Number of chunks along each dimension.
    positions
        C-order positions of the chunks that are listed, or None when all are, in order.
    file_index, offsets, lengths
        As in `ChunkManifest`, one row for each listed chunk.
    inline
        The bytes of inline chunks.
    """

    grid_shape: tuple[int, ...]
    positions: NDArray[np.int64] | None
    file_index: NDArray[np.uint32]
    offsets: NDArray[np.uint64]
    lengths: NDArray[np.uint64]
    inline: bytes = b""

    def manifest(self, files: FileTable, budget: Budget) -> ChunkManifest:
        """The manifest of the array.

        Raises
        ------
        UnsupportedFeatureError
            More chunks are not stored than the budget of the source has places for.
        """
        if self.positions is None:
            return ChunkManifest.from_columns(
                self.grid_shape, files, self.file_index, self.offsets, self.lengths, inline=self.inline
            )
        return ChunkManifest.from_sparse(
            self.grid_shape,
            files,
            self.positions,
            self.offsets,
            self.lengths,
            file_index=self.file_index,
            inline=self.inline,
            budget=budget,
        )
