"""Reading and encoding the values of small arrays: coordinates, and chunks that have to be encoded again."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from manifestry.errors import MalformedFileError, UnsupportedFeatureError
from manifestry.formats.plugin_errors import PluginCall
from manifestry.model.codecs import Codec, is_lossless, serializer
from manifestry.model.datatypes import default_fill, has_byte_order, is_variable_length, native, same_bits
from manifestry.model.manifest import INLINE, ChunkManifest
from manifestry.model.metadata import ArrayMetadata, RegularGrid
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.storage.registry import StoreRegistry
from manifestry.storage.source import Source
from manifestry.zarr_documents.v3 import array_document

if TYPE_CHECKING:
    from zarr.abc.buffer import Buffer

__all__ = [
    "encode_values",
    "fetch_ahead",
    "inline_array",
    "plain_metadata",
    "read_many",
    "read_values",
    "stored_chunks",
]

_BATCH_BYTES: Final = 64 << 20
_NUMCODECS: Final = "numcodecs."
_CONCURRENT: Final = 32


def read_values(array: VirtualArray, stores: StoreRegistry, selection: tuple[slice, ...] | None = None) -> NDArray[Any]:
    """The elements of an array, or of a region of it, as they are stored (no CF decoding).

    Raises
    ------
    MalformedFileError
        The bytes of a chunk are not what the codecs take.
    SourceError
        They cannot be read.
    """
    if selection is None and array.metadata.ndim <= 1:
        found = decode_row(array, stores)
        if found is not None:
            return found
    import zarr  # noqa: PLC0415 slow to import, and every worker would pay for it

    from manifestry.zarr_store import ManifestStore  # noqa: PLC0415 as above

    plain = VirtualArray(array.metadata.with_(attributes={}), array.manifest)
    store = ManifestStore(VirtualGroup({"array": plain}), stores=stores)
    with _decoding_errors(array):
        opened = zarr.open_array(store, path="array", mode="r", zarr_format=3)
        return np.asarray(opened[selection if selection is not None else ...])


def _decoding_errors(array: VirtualArray) -> PluginCall:
    """A context in which whatever a codec raises is an error of the file that holds the bytes."""
    where = next(iter(array.manifest.files.urls), "a copied array")
    return PluginCall(f"{where}: decoding values", MalformedFileError)


def read_many(arrays: Sequence[VirtualArray], stores: StoreRegistry) -> list[NDArray[Any]]:
    """The elements of many one-dimensional arrays; those that decode alike are read as one.

    A chunk that is longer than its array (the coordinate of an unlimited dimension) is decoded whole, so they are
    taken in groups of bounded size.
    """
    here = [decode_row(array, stores) for array in arrays]
    if all(values is not None for values in here):
        return [values for values in here if values is not None]
    found: list[NDArray[Any]] = []
    at = 0
    while at < len(arrays):
        stop = at + 1
        width = _padded_bytes(arrays[at])
        while stop < len(arrays) and width < _BATCH_BYTES and _decode_alike(arrays[at].metadata, arrays[stop].metadata):
            width += _padded_bytes(arrays[stop])
            stop += 1
        found += _read_as_one(arrays[at:stop], stores)
        at = stop
    return found


def _padded_bytes(array: VirtualArray) -> int:
    return array.manifest.size * math.prod(array.metadata.chunk_shape) * array.dtype.itemsize


def _decode_alike(a: ArrayMetadata, b: ArrayMetadata) -> bool:
    same_storage = (a.dtype, a.chunk_grid, a.codecs) == (b.dtype, b.chunk_grid, b.codecs)
    return same_storage and same_bits(a.fill_value, b.fill_value)


def _read_as_one(arrays: Sequence[VirtualArray], stores: StoreRegistry) -> list[NDArray[Any]]:
    if len(arrays) == 1:
        return [read_values(arrays[0], stores)]
    chunk = arrays[0].metadata.chunk_shape[0]
    joined = ChunkManifest.concatenate([a.manifest for a in arrays], 0)
    metadata = arrays[0].metadata.with_(shape=(joined.grid_shape[0] * chunk,))
    try:
        values = read_values(VirtualArray(metadata, joined), stores)
    except MalformedFileError:  # one by one, to name the file
        return [read_values(array, stores) for array in arrays]
    starts = np.cumsum([0, *(a.manifest.grid_shape[0] * chunk for a in arrays)]).tolist()
    return [values[start : start + a.shape[0]] for start, a in zip(starts, arrays, strict=False)]


def stored_chunks(array: VirtualArray, stores: StoreRegistry) -> list[bytes | None]:
    """The bytes of every chunk as they are stored, in C order; None where a chunk is not stored."""
    manifest = array.manifest
    found: list[bytes | None] = [None] * manifest.size
    _, offsets, lengths = manifest.columns()
    for run in manifest.runs():
        if run.file is None:
            continue
        ends = (offsets[run.start : run.stop] + lengths[run.start : run.stop]).tolist()
        ranges = list(zip(offsets[run.start : run.stop].tolist(), ends, strict=True))
        if run.file == INLINE:
            found[run.start : run.stop] = [manifest.inline[a:b] for a, b in ranges]
        else:
            file = manifest.files[run.file]
            found[run.start : run.stop] = Source.at(file.url, stores, file).ranges(ranges)
    return found


def fetch_ahead(arrays: Sequence[VirtualArray], stores: StoreRegistry, limit: int) -> Iterator[VirtualArray]:
    """The arrays in their order, with the stored chunks of remote ones fetched concurrently, a few arrays ahead.

    Arrays of more than `limit` bytes stay where they are.
    """

    def fetch(array: VirtualArray) -> VirtualArray:
        chunks = {i: data for i, data in enumerate(stored_chunks(array, stores)) if data is not None}
        return VirtualArray(array.metadata, ChunkManifest.from_inline(array.manifest.grid_shape, chunks))

    with ThreadPoolExecutor(_CONCURRENT) as pool:
        ahead: deque[VirtualArray | Future[VirtualArray]] = deque()
        for array in arrays:
            small = max(array.metadata.nbytes, array.manifest.stored_bytes) <= limit
            ahead.append(pool.submit(fetch, array) if small and _is_remote(array, stores) else array)
            if len(ahead) > _CONCURRENT:
                yield _result(ahead.popleft())
        yield from map(_result, ahead)


def _result(array: VirtualArray | Future[VirtualArray]) -> VirtualArray:
    return array if isinstance(array, VirtualArray) else array.result()


def _is_remote(array: VirtualArray, stores: StoreRegistry) -> bool:
    return any(stores.local_path(url) is None for url in array.manifest.files.urls)


def decode_row(array: VirtualArray, stores: StoreRegistry) -> NDArray[Any] | None:
    """The elements of an array of at most one dimension whose bytes are at hand: inline, or in local files.

    None for all others: zarr fetches the chunks of remote files concurrently, and knows all codecs. Going through it
    for every coordinate of many files would take longer than everything else.
    """
    metadata, manifest = array.metadata, array.manifest
    if metadata.ndim > 1 or not isinstance(metadata.chunk_grid, RegularGrid) or is_variable_length(metadata.dtype):
        return None
    first, *others = metadata.codecs
    if first.name != "bytes":
        return None
    stored = metadata.dtype
    if has_byte_order(stored):
        stored = stored.newbyteorder(">" if first.configuration.get("endian") == "big" else "<")
    if not others and manifest.inline and manifest.size == 1 and manifest.file_index == INLINE:
        data = np.frombuffer(manifest.inline, stored, metadata.size, int(manifest.offsets))
        return data.astype(metadata.dtype, copy=False).reshape(metadata.shape)
    if not all(codec.name.startswith(_NUMCODECS) for codec in others):
        return None
    if _is_remote(array, stores):
        return None
    filters = _decoders(others)
    size = math.prod(metadata.chunk_shape)
    row = np.full(manifest.size * size, metadata.fill_value, metadata.dtype)
    for i, chunk in enumerate(stored_chunks(array, stores)):
        if chunk is not None:
            raw: Any = chunk
            with _decoding_errors(array):
                for codec in filters:
                    raw = codec.decode(raw)
                row[i * size : (i + 1) * size] = np.frombuffer(raw, stored, size)
    return row[: metadata.size].reshape(metadata.shape)


def _decoders(codecs: Sequence[Codec]) -> list[Any]:
    """The codecs of numcodecs that undo some filters, the last first."""
    if not codecs:
        return []
    from numcodecs import get_codec  # noqa: PLC0415 slow to import, and few coordinates are compressed

    return [get_codec({"id": c.name.removeprefix("numcodecs."), **c.configuration}) for c in reversed(codecs)]


def plain_metadata(
    like: ArrayMetadata, shape: tuple[int, ...], chunk_shape: tuple[int, ...] | None = None
) -> ArrayMetadata:
    """The metadata of an array that is copied: as `like`, uncompressed and little-endian, in one chunk by default."""
    chunks = tuple(max(1, n) for n in chunk_shape or shape)
    return like.with_(shape=shape, chunk_grid=RegularGrid(chunks), codecs=(serializer(like.dtype),))


def inline_array(values: Any, dims: Sequence[str], attributes: Mapping[str, Any] | None = None) -> VirtualArray:
    """An array whose values are copied into the manifest.

    Parameters
    ----------
    values
        What numpy makes an array of. Text becomes variable-length strings.
    dims
        Names of its dimensions.
    attributes
        Its attributes.
    """
    data = np.asarray(values)
    if data.dtype.type is np.str_:
        data = data.astype(np.dtypes.StringDType())
    dtype = native(data.dtype)
    like = ArrayMetadata(
        shape=data.shape,
        dtype=dtype,
        chunk_grid=RegularGrid(tuple(max(1, n) for n in data.shape)),
        codecs=(),
        fill_value=default_fill(dtype),
        dims=tuple(dims),
        attributes=dict(attributes or {}),
    )
    return encode_values(data, plain_metadata(like, data.shape))


def encode_values(values: NDArray[Any], metadata: ArrayMetadata) -> VirtualArray:
    """An array whose chunks are inline, encoded as `metadata` says.

    Raises
    ------
    UnsupportedFeatureError
        A codec can decode only, or does not give back what it is given.
    """
    shaped = metadata.with_(shape=values.shape)
    if shaped.codecs == (serializer(shaped.dtype),) and not is_variable_length(shaped.dtype) and values.ndim <= 1:
        return VirtualArray(shaped, _encode_plain(values, shaped))
    import zarr  # noqa: PLC0415 as above
    from zarr.buffer import cpu  # noqa: PLC0415 as above
    from zarr.storage import MemoryStore  # noqa: PLC0415 as above

    document, _ = array_document(shaped.with_(attributes={}))
    stored: dict[str, Buffer] = {"zarr.json": cpu.Buffer.from_bytes(json.dumps(document).encode())}
    try:
        opened = zarr.open_array(MemoryStore(stored), mode="r+", zarr_format=3, config={"write_empty_chunks": True})
        opened[...] = values
        exact = is_lossless(shaped.codecs) or _same_bytes(opened[...], values)
    except (ValueError, TypeError, RuntimeError, KeyError, AttributeError) as error:
        names = ", ".join(codec.name for codec in shaped.codecs)
        raise UnsupportedFeatureError(f"encoding with {names}", "", f"only decoding is possible: {error}") from error
    if not exact:
        names = ", ".join(codec.name for codec in shaped.codecs if not is_lossless([codec]))
        raise UnsupportedFeatureError(f"encoding with {names}", "", "values would change: the codec is lossy")
    grid = shaped.grid_shape
    chunks = {}
    for key in stored.keys() - {"zarr.json"}:
        at = tuple(int(part) for part in key.split("/")[1:])
        chunks[int(np.ravel_multi_index(at, grid)) if at else 0] = stored[key].to_bytes()
    return VirtualArray(shaped, ChunkManifest.from_inline(grid, dict(sorted(chunks.items()))))


def _same_bytes(found: Any, values: NDArray[Any]) -> bool:
    back = np.asarray(found)
    if is_variable_length(values.dtype):
        return bool(back.tolist() == values.tolist())
    return back.dtype == values.dtype and back.tobytes() == values.tobytes()


def _encode_plain(values: NDArray[Any], metadata: ArrayMetadata) -> ChunkManifest:
    """Chunks of a one-dimensional or scalar array, the last filled up."""
    data = values.astype(metadata.dtype.newbyteorder("<"), copy=False)
    if not data.ndim:
        return ChunkManifest.from_inline((), [data.tobytes()])
    (chunk,), (count,) = metadata.chunk_shape, metadata.grid_shape
    padded = np.full(count * chunk, metadata.fill_value, data.dtype)
    padded[: data.size] = data
    size = chunk * data.itemsize
    starts = np.arange(count, dtype="u8") * np.uint64(size)
    return ChunkManifest.missing((count,)).with_inline(np.arange(count), starts, size, padded.tobytes())
