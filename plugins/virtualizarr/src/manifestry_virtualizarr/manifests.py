"""Chunk manifests, both ways: whole columns at a time, no Python object for a chunk that is stored in a file.

VirtualiZarr keeps three arrays over the chunk grid: paths (text, once for every chunk), offsets and lengths. Two paths
name no file: ``""`` is a chunk that is not stored, ``"__inlined__"`` one whose bytes are in a dictionary next to them.
Where a chunk is not stored, offset and length may hold anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlparse

import numpy as np
from manifestry.plugin import INLINE, ChunkManifest, ManifestError, SourceFile, UnsupportedFeatureError
from numpy.typing import NDArray
from virtualizarr.manifests import ChunkManifest as PeerManifest

__all__ = ["from_peer_manifest", "to_peer_manifest"]

_MISSING_PATH: Final = ""
_INLINED_PATH: Final = "__inlined__"
_MISSING: Final = 0xFFFF_FFFE  # no table has this row

type _Inlined = dict[tuple[int, ...], bytes]


def from_peer_manifest(manifest: PeerManifest, describe: Callable[[str], SourceFile]) -> ChunkManifest:
    """The references of a VirtualiZarr manifest.

    Parameters
    ----------
    describe
        What is known of the file at a path of the manifest; called once for each distinct path.

    Raises
    ------
    ManifestError
        A path says that a chunk is inlined, and its bytes are not there.
    """
    paths, offsets, lengths, inlined = _columns(manifest)
    grid = tuple(int(n) for n in paths.shape)
    files, index = _rows(paths.reshape(-1), describe)
    starts, counts = offsets.reshape(-1), lengths.reshape(-1)
    if index.size and int(index.max()) >= _MISSING:
        counts = np.where(index == _MISSING, np.uint64(0), counts)
        index = np.where(index == _MISSING, np.uint32(0), index)
    blob = b""
    if inlined:
        at = np.array([np.ravel_multi_index(place, grid) if grid else 0 for place in inlined], "i8")
        sizes = np.fromiter(map(len, inlined.values()), "u8", len(inlined))
        starts, counts, index = starts.copy(), counts.copy(), index.copy()
        index[at], starts[at], counts[at] = INLINE, np.cumsum(sizes) - sizes, sizes
        blob = b"".join(inlined.values())
    if int(np.count_nonzero(index == INLINE)) != len(inlined):
        raise ManifestError("a chunk is said to be inlined: its bytes are not there")
    return ChunkManifest.from_columns(grid, files, index, starts, counts, inline=blob)


def _columns(manifest: PeerManifest) -> tuple[NDArray[Any], NDArray[np.uint64], NDArray[np.uint64], _Inlined]:
    """Paths, offsets and lengths over the grid, and inlined bytes by their place.

    VirtualiZarr 2.8 has no public way to them that does not make a Python object for each chunk (8 µs a reference).
    """
    return manifest._paths, manifest._offsets, manifest._lengths, manifest._inlined  # noqa: SLF001 see above


def _rows(paths: NDArray[Any], describe: Callable[[str], SourceFile]) -> tuple[list[SourceFile], NDArray[np.uint32]]:
    """The distinct files, and for each path its row, `INLINE` or `_MISSING`; a run of equal paths is looked up once."""
    if not paths.size:
        return [], np.empty(0, "u4")
    starts = np.concatenate([[0], np.flatnonzero(paths[1:] != paths[:-1]) + 1])
    row_of = {_MISSING_PATH: _MISSING, _INLINED_PATH: INLINE}
    files: dict[str, tuple[int, SourceFile]] = {}
    for path in paths[starts].tolist():
        if path not in row_of:
            file = describe(path)
            row_of[path] = files.setdefault(file.url, (len(files), file))[0]
    rows = np.fromiter((row_of[path] for path in paths[starts].tolist()), "u4", starts.size)
    return [file for _, file in files.values()], np.repeat(rows, np.diff(starts, append=paths.size))


def to_peer_manifest(manifest: ChunkManifest) -> PeerManifest:
    """The references as VirtualiZarr keeps them. Sizes, entity tags and times of the files have no place there.

    Raises
    ------
    UnsupportedFeatureError
        VirtualiZarr would read another object than the one that a URL names.
    """
    for url in manifest.files.urls:
        _check_url(url)
    index, offsets, lengths = manifest.columns()
    count = len(manifest.files)
    table: Any = np.array([*manifest.files.urls, _MISSING_PATH, _INLINED_PATH], np.dtypes.StringDType())
    inline = manifest.inlined
    rows = np.where(lengths == 0, count, np.where(inline, count + 1, index))
    grid = manifest.grid_shape
    return PeerManifest.from_arrays(
        paths=np.asarray(table[rows]).reshape(grid),
        offsets=np.where(inline, np.uint64(0), offsets).reshape(grid),
        lengths=np.array(lengths).reshape(grid),
        validate_paths=False,
        inlined={
            tuple(int(i) for i in np.unravel_index(at, grid)) if grid else (): data
            for at, data in manifest.inline_chunks().items()
        },
    )


def _check_url(url: str) -> None:
    """VirtualiZarr takes the path of a URL as urllib splits it, and forgets the rest of it."""
    parts = urlparse(url)
    if url.startswith("http"):
        whole = not (parts.params or parts.query or parts.fragment)
    else:
        whole = parts.path.lstrip("/") == url.partition("://")[2].partition("/")[2].lstrip("/")
    if not whole:
        raise UnsupportedFeatureError(
            f"the URL {url} in VirtualiZarr",
            "",
            "it would read the object of another name there; write the tree with manifestry itself",
        )
