"""Virtual references of an array in few calls, each source file with its own checksum.

One call of ``set_virtual_refs_arr`` takes a box of the chunk grid and one checksum. A run of chunks in C order is at
most ``2 * ndim - 1`` boxes, so an array costs as many calls as its files, times a small number; a call costs about as
much as ten references. Where files change with nearly every chunk, one object for each chunk is made instead, some
thousands at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import batched, pairwise
from typing import Any, Final, NamedTuple, Protocol

import icechunk
import numpy as np
from manifestry.plugin import INLINE, ChunkManifest, FileTable, WriteError
from numpy.typing import NDArray

__all__ = ["Box", "LocatedFiles", "Stage", "boxes", "checksum_groups", "set_references"]

_MAX_CALL: Final = 1 << 18
"""References of one call: bounds the list of locations."""
_MAX_OBJECTS: Final = 1 << 14
"""References of one call when each is an object."""
_MIN_BOX: Final = 8
"""References of a box, on average: boxes of fewer cost more than objects."""

type Checksum = str | datetime | None


class Box(NamedTuple):
    """A box of the chunk grid whose chunks are consecutive in C order from `start` on."""

    offset: tuple[int, ...]
    shape: tuple[int, ...]
    start: int


class Stage(Protocol):
    """Where changes are staged."""

    @property
    def store(self) -> icechunk.IcechunkStore:
        """The store to stage in; another one where what was staged has been stored in between."""
        ...

    @property
    def batch(self) -> int:
        """References to stage at most before they are counted."""
        ...

    def count_staged(self, count: int) -> None:
        """Count references that were staged."""
        ...


@dataclass(frozen=True)
class LocatedFiles:
    """The rows of a file table as icechunk wants them.

    Attributes
    ----------
    locations
        One for each row, and ``""`` at the end for chunks without a reference.
    groups
        int64, one for each row: rows of one group have one checksum.
    checksums
        The checksum of each group.
    """

    locations: Sequence[str]
    groups: NDArray[np.int64]
    checksums: Sequence[Checksum]


def checksum_groups(files: FileTable, *, wanted: bool) -> tuple[NDArray[np.int64], list[Checksum]]:
    """Group the rows of a file table by checksum: the entity tag where it works, else the time of the last change.

    Icechunk keeps times as whole seconds and asks for "unmodified since": the time is rounded up, or the file itself
    would count as modified. Entity tags are compared by the store: for local files icechunk's never match, and servers
    other than S3 differ in how they quote them.
    """
    if not wanted or not len(files):
        return np.zeros(len(files), "i8"), [None]
    seconds = np.ceil(files.modified.astype("M8[us]").view("i8") / 1e6)
    dated_rows = ~np.isnat(files.modified) & (seconds >= 0) & (seconds < 2**32)
    numbers: dict[Checksum, int] = {}
    groups = np.empty(len(files), "i8")
    for row, (url, etag, when, dated) in enumerate(
        zip(files.urls, files.etags, seconds.tolist(), dated_rows.tolist(), strict=True)
    ):
        checksum: Checksum = None
        if etag and url.startswith("s3:"):
            checksum = etag
        elif dated:
            checksum = datetime.fromtimestamp(when, UTC)
        groups[row] = numbers.setdefault(checksum, len(numbers))
    return groups, list(numbers)


def boxes(start: int, stop: int, shape: tuple[int, ...]) -> Iterator[Box]:
    """Cut the positions ``start:stop`` (C order) of a grid into boxes, in order."""
    if start >= stop:
        return
    if len(shape) <= 1:
        yield Box((start,) if shape else (), (stop - start,) if shape else (), start)
        return
    inner = math.prod(shape[1:])
    first, last = -(-start // inner), stop // inner
    if first > last:  # inside one row
        yield from _row(start // inner, start, stop, inner, shape)
        return
    yield from _row(first - 1, start, first * inner, inner, shape)
    if first < last:
        zeros = (0,) * (len(shape) - 1)
        yield Box((first, *zeros), (last - first, *shape[1:]), first * inner)
    yield from _row(last, last * inner, stop, inner, shape)


def _row(row: int, start: int, stop: int, inner: int, shape: tuple[int, ...]) -> Iterator[Box]:
    base = row * inner
    for box in boxes(start - base, stop - base, shape[1:]):
        yield Box((row, *box.offset), (1, *box.shape), base + box.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class _References:
    """The references of one array.

    Attributes
    ----------
    path
        Path of the array in the store.
    manifest
        Its chunks, or those of the part that is written.
    files
        The rows of the manifest's file table.
    offset
        Where the manifest's grid begins in the grid of the stored array.
    virtual
        Which chunks of the manifest, in C order, are stored and not inlined.
    """

    path: str
    manifest: ChunkManifest
    files: LocatedFiles
    offset: tuple[int, ...]
    virtual: NDArray[np.bool_]


def set_references(
    stage: Stage, path: str, manifest: ChunkManifest, files: LocatedFiles, offset: tuple[int, ...]
) -> None:
    """Set the references of the stored, not inlined chunks of an array.

    Parameters
    ----------
    stage
        Where changes are staged; it counts the references of each call, so that it can store what it has.
    path
        Path of the array in the store.
    offset
        Where the manifest's grid begins in the grid of the stored array.

    Raises
    ------
    WriteError
        Icechunk did not take a reference.
    """
    virtual = manifest.stored & (np.broadcast_to(manifest.file_index, (manifest.size,)) != INLINE)
    if not virtual.any():
        return
    references = _References(path=path, manifest=manifest, files=files, offset=offset, virtual=virtual)
    step = min(_MAX_CALL, stage.batch)
    pieces = [
        box
        for a, b in pairwise(_segments(references))
        for start in range(a, b, step)
        for box in boxes(start, min(start + step, b), manifest.grid_shape)
    ]
    if manifest.size < _MIN_BOX * len(pieces) and len(pieces) > 1:
        _set_objects(stage, references)
    else:
        _set_boxes(stage, references, pieces)


def _segments(references: _References) -> list[int]:
    """Positions at which the checksum changes, with both ends; chunks without a reference go with those before."""
    manifest, files = references.manifest, references.files
    if manifest.file_index.ndim == 0 or len(files.checksums) == 1:
        return [0, manifest.size]
    positions = np.flatnonzero(references.virtual)
    group = files.groups[manifest.file_index[positions]]
    changes = positions[np.flatnonzero(group[1:] != group[:-1]) + 1]
    return [0, *changes.tolist(), manifest.size]


def _set_boxes(stage: Stage, references: _References, pieces: Sequence[Box]) -> None:
    file_index, starts, lengths = references.manifest.columns()
    files, path = references.files, references.path
    nowhere = len(files.locations) - 1
    for box in pieces:
        part = slice(box.start, box.start + math.prod(box.shape))
        virtual = references.virtual[part]
        first = int(np.argmax(virtual))
        if not virtual[first]:
            continue
        rows = np.where(virtual, file_index[part], nowhere)
        failed = stage.store.set_virtual_refs_arr(
            f"/{path}",
            box.shape,
            [files.locations[row] for row in rows.tolist()],
            np.ascontiguousarray(starts[part]),
            np.ascontiguousarray(lengths[part]),
            validate_containers=False,
            arr_offset=tuple(a + b for a, b in zip(box.offset, references.offset, strict=True)),
            checksum=files.checksums[int(files.groups[rows[first]])],
        )
        _refuse_failures(path, failed)
        stage.count_staged(int(np.count_nonzero(virtual)))


def _set_objects(stage: Stage, references: _References) -> None:
    file_index, starts, lengths = references.manifest.columns()
    files, path = references.files, references.path
    for some in batched(np.flatnonzero(references.virtual).tolist(), _MAX_OBJECTS):
        at = np.array(some)
        rows = file_index[at]
        indices = np.stack(np.unravel_index(at, references.manifest.grid_shape), axis=1)
        columns = zip(
            (indices + np.array(references.offset, "i8")).tolist(),
            rows.tolist(),
            starts[at].tolist(),
            lengths[at].tolist(),
            files.groups[rows].tolist(),
            strict=True,
        )
        specs = [
            _spec(index, files.locations[row], start, length, files.checksums[group])
            for index, row, start, length, group in columns
        ]
        _refuse_failures(path, stage.store.set_virtual_refs(f"/{path}", specs, validate_containers=False))
        stage.count_staged(len(specs))


def _spec(index: list[int], location: str, offset: int, length: int, checksum: Checksum) -> icechunk.VirtualChunkSpec:
    if isinstance(checksum, datetime):
        return icechunk.VirtualChunkSpec(index, location, offset, length, last_updated_at_checksum=checksum)
    return icechunk.VirtualChunkSpec(index, location, offset, length, checksum)


def _refuse_failures(path: str, failed: Sequence[Any] | None) -> None:
    if failed:
        raise WriteError(f"{path}: icechunk refused {len(failed)} references, the first of them for {failed[0]}")
