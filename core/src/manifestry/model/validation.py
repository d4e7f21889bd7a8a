"""The one gate: a tree that contradicts itself, or the files it points into, goes no further.

Parsers need not check these things themselves; `manifestry.parse` and every writer send what they get through here.
All checks are vectorised over the columns.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifestry.errors import ManifestError, translated
from manifestry.model.codecs import Codec, CodecKind, codec_entry
from manifestry.model.datatypes import datatype_of, has_byte_order, is_variable_length
from manifestry.model.files import UNKNOWN_SIZE
from manifestry.model.limits import Limits
from manifestry.model.manifest import INLINE, ChunkManifest
from manifestry.model.metadata import RegularGrid
from manifestry.model.tree import VirtualArray, VirtualGroup

__all__ = ["is_node_name", "validate_array", "validate_names", "validate_tree"]


def is_node_name(name: str) -> bool:
    """Whether Zarr readers accept a name for an array or a group (Zarr v3 core specification, "Node names").

    The specification reserves names that begin with two underscores. They are let through: xarray gives an array
    without a name such a one (``__xarray_dataarray_variable__``), in netCDF as in Zarr, and every reader takes it.
    A backslash is refused beyond the specification: zarr-python takes it for a slash and does not find the node.
    """
    separators = "/" in name or "\\" in name
    surrogates = not name.isascii() and any("\ud800" <= c <= "\udfff" for c in name)
    return bool(name.strip(".")) and not separators and not surrogates and name != "zarr.json"


def validate_tree(tree: VirtualGroup, limits: Limits | None = None) -> None:
    """Check every array of a tree, and that names are single segments used once.

    Raises
    ------
    ManifestError
        Names the array and the contradiction.
    """
    validate_names(tree, limits)
    for path, array in tree.walk_arrays():
        validate_array(array, path, limits)


def validate_names(tree: VirtualGroup, limits: Limits | None = None) -> None:
    """Check that names are single segments used once, and that there are not too many of them.

    Raises
    ------
    ManifestError
        Names the group and the child.
    """
    bounds = limits or Limits()
    nodes = 0
    for path, group in tree.walk():
        nodes += 1 + len(group.arrays)
        if nodes > bounds.max_arrays:
            raise ManifestError(f"the tree has more arrays and groups than the limit of {bounds.max_arrays}")
        if path.count("/") >= bounds.max_depth:
            raise ManifestError(f"{path[:80]}…: groups are nested more deeply than the limit of {bounds.max_depth}")
        for name in (*group.arrays, *group.groups):
            if not is_node_name(name):
                raise ManifestError(f"{path or '/'}: {name!r} cannot be a name in a Zarr group")
        both = group.arrays.keys() & group.groups.keys()
        if both:
            raise ManifestError(f"{path or '/'}: {min(both)} is both an array and a group")


def validate_array(array: VirtualArray, path: str = "", limits: Limits | None = None) -> None:
    """Check one array: grid, byte ranges, sizes of uncompressed chunks, limits.

    Raises
    ------
    ManifestError
        Names the array and the contradiction.
    """
    bounds = limits or Limits()
    metadata, manifest = array.metadata, array.manifest
    where = f"{path}: " if path else ""
    if manifest.grid_shape != metadata.grid_shape:
        raise ManifestError(f"{where}the chunk grid is {manifest.grid_shape}, expected {metadata.grid_shape}")
    if manifest.size > bounds.max_chunks and manifest.lengths.ndim:
        raise ManifestError(f"{where}has {manifest.size} chunks, more than the limit of {bounds.max_chunks}")
    if len(manifest.inline) > bounds.max_inline_bytes:
        raise ManifestError(
            f"{where}has {len(manifest.inline)} bytes inline, more than the limit of {bounds.max_inline_bytes}"
        )
    fault, stored_size = _encoding(metadata.dtype, metadata.codecs, metadata.ndim)
    if fault:
        raise ManifestError(where + fault)
    _check_ranges(array, where)
    if stored_size and isinstance(metadata.chunk_grid, RegularGrid):
        expected = math.prod(metadata.chunk_shape) * stored_size
        lengths = manifest.lengths.reshape(-1)
        wrong = lengths[(lengths != 0) & (lengths != expected)]
        if wrong.size and manifest.size:
            raise ManifestError(f"{where}an uncompressed chunk has {int(wrong[0])} bytes, expected {expected}")


@lru_cache(maxsize=1024)
def _encoding(dtype: np.dtype[Any], codecs: tuple[Codec, ...], ndim: int) -> tuple[str, int]:
    """What is wrong with a data type and its codecs, or ``""``; bytes of a stored element, or 0 where these vary.

    The arrays of a file share few of them.
    """
    try:
        datatype_of(dtype).to_v3()  # refuses what Zarr cannot name
        _check_codecs(dtype, codecs, ndim)
    except ManifestError as error:
        return str(error), 0
    entries = [codec_entry(codec.name) for codec in codecs]
    fixed = not is_variable_length(dtype) and all(entry is not None and entry.keeps_size for entry in entries)
    return "", dtype.itemsize if fixed else 0


def _check_codecs(dtype: np.dtype[Any], codecs: tuple[Codec, ...], ndim: int) -> None:
    """The pipeline is array-to-array, one array-to-bytes, bytes-to-bytes; what is known of a codec fits the type."""
    kinds = [None if (entry := codec_entry(codec.name)) is None else entry.kind for codec in codecs]
    serializer = next((i for i, codec_kind in enumerate(kinds) if codec_kind is not CodecKind.ARRAY_TO_ARRAY), None)
    if serializer is None:
        raise ManifestError("no codec turns the array into bytes")
    for codec, codec_kind in zip(codecs[serializer + 1 :], kinds[serializer + 1 :], strict=True):
        if codec_kind not in (CodecKind.BYTES_TO_BYTES, None):
            raise ManifestError(
                f"the codec {codec.name} comes after {codecs[serializer].name}, which makes bytes already"
            )
    for codec in codecs:
        _check_json(codec)
    for codec in codecs[:serializer]:
        order = codec.configuration.get("order")
        if codec.name == "transpose" and not _is_permutation(order, ndim):
            raise ManifestError(f"the codec transpose has the order {order!r:.80}, not one of {ndim} dimensions")
    codec = codecs[serializer]
    if codec.name == "bytes":
        if is_variable_length(dtype):
            raise ManifestError(f"the codec bytes cannot store {dtype}")
        if has_byte_order(dtype) and codec.configuration.get("endian") not in ("little", "big"):
            raise ManifestError(f"the codec bytes needs an endian for {dtype}")
    elif codec.name in ("vlen-utf8", "vlen-bytes") and datatype_of(dtype).object_codec != codec.name:
        raise ManifestError(f"the codec {codec.name} cannot store {dtype}")


def _check_json(codec: Codec) -> None:
    """A configuration is strict JSON: what is not finite, or nested without end, is in no document."""
    with translated((TypeError, ValueError, RecursionError), ManifestError, f"the configuration of {codec.name}"):
        json.dumps(codec.to_zarr(), allow_nan=False)


def _is_permutation(order: Any, ndim: int) -> bool:
    whole = isinstance(order, Sequence) and all(type(axis) is int for axis in order)
    return whole and sorted(order) == list(range(ndim))


def _check_ranges(array: VirtualArray, where: str) -> None:
    """Every stored byte range lies inside its file (where the size is known) or inside the inline blob."""
    manifest = array.manifest
    if not manifest.stored_count or _surely_inside(manifest):
        return
    index, start, count = (np.atleast_1d(c) for c in (manifest.file_index, manifest.offsets, manifest.lengths))
    end = start + count
    if bool((end < start).any()):
        raise ManifestError(f"{where}a byte range ends beyond 2**64")
    sizes = np.append(manifest.files.sizes, len(manifest.inline)).astype("u8")  # the inline blob is the last "file"
    sizes[:-1][manifest.files.sizes == UNKNOWN_SIZE] = np.iinfo("u8").max
    rows = np.where(index == INLINE, len(manifest.files), index)
    beyond = (end > sizes[rows]) & (count != 0)
    if bool(beyond.any()):
        at = int(np.argmax(np.broadcast_to(beyond, beyond.shape)))
        row = int(np.broadcast_to(rows, beyond.shape)[at])
        last, limit = int(np.broadcast_to(end, beyond.shape)[at]), int(sizes[row])
        name = "the inline bytes" if row == len(manifest.files) else manifest.files.urls[row]
        raise ManifestError(f"{where}a chunk ends at byte {last} of {name}, which has {limit}")


def _surely_inside(manifest: ChunkManifest) -> bool:
    """Whether the largest offset and the largest length together lie inside the one file: enough for most arrays."""
    if manifest.file_index.ndim:
        return False
    row = int(manifest.file_index)
    size = len(manifest.inline) if row == INLINE else int(manifest.files.sizes[row])
    return size != UNKNOWN_SIZE and _largest(manifest.offsets) + _largest(manifest.lengths) <= size


def _largest(column: NDArray[Any]) -> int:
    return int(column.max() if column.ndim else column)
