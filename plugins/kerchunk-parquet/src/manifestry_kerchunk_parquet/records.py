"""The tables of references: ``<array>/refs.<n>.parq``, row by row the chunks of an array in C order.

Columns are path, offset, size and raw. A chunk in the table itself has `raw`; one that is not stored has neither path
nor raw. What other readers need (tried with fsspec and pandas): `path` must be dictionary-encoded, or nulls come
back as NaN; `offset` and `size` need column statistics, or they come back as floats.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from manifestry.plugin import INLINE, ChunkManifest, UnsupportedFeatureError
from numpy.typing import NDArray

__all__ = ["record_name", "record_tables", "write_record"]

_SCHEMA: Final = pa.schema(
    [
        pa.field("path", pa.dictionary(pa.int32(), pa.string())),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("raw", pa.dictionary(pa.int32(), pa.binary())),
    ]
)


def record_name(number: int) -> str:
    """The name of a table by its number."""
    return f"refs.{number}.parq"


def record_tables(manifest: ChunkManifest, record_size: int, where: str = "") -> Iterator[Any]:
    """The references of an array as Arrow tables of `record_size` rows; the last one is not padded.

    Raises
    ------
    UnsupportedFeatureError
        An offset has no place in 63 bits.
    """
    index, offsets, lengths = manifest.columns()
    for start in range(0, manifest.size, record_size):
        rows = slice(start, start + record_size)
        yield _table(manifest, index[rows], offsets[rows], lengths[rows], where)


def _table(
    manifest: ChunkManifest,
    index: NDArray[np.uint32],
    offsets: NDArray[np.uint64],
    lengths: NDArray[np.uint64],
    where: str,
) -> Any:
    stored = lengths != 0
    inline = stored & (index == INLINE)
    elsewhere = stored & ~inline
    if int(offsets.max(initial=0)) > np.iinfo("i8").max:
        raise UnsupportedFeatureError("offset beyond 2**63 in Kerchunk Parquet", where, "write Kerchunk JSON")
    files, rows = np.unique(index[elsewhere], return_inverse=True)
    urls = [_encode(manifest.files.urls[row], where) for row in files.tolist()]
    path = _dictionary(elsewhere, rows, _texts(urls, pa.string()))
    chunks, rows = _inline_chunks(manifest, offsets[inline], lengths[inline])
    raw = _dictionary(inline, rows, _texts(chunks, pa.binary()))
    offset = _numbers(np.where(elsewhere, offsets, np.uint64(0)))
    size = _numbers(np.where(elsewhere, lengths, np.uint64(0)))
    return pa.Table.from_arrays([path, offset, size, raw], schema=_SCHEMA)


def _encode(url: str, where: str) -> bytes:
    try:
        return url.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UnsupportedFeatureError(f"path {url!r} in Kerchunk Parquet", where, "it is not Unicode text") from error


def _texts(values: Sequence[bytes], arrow_type: Any) -> Any:
    """A column of texts or bytes. From buffers: `pyarrow.array` would import pandas where it is installed."""
    ends = np.cumsum([0, *map(len, values)], dtype="i8")
    offsets, data = pa.py_buffer(ends.astype("i4")), pa.py_buffer(b"".join(values))
    assert ends[-1] <= np.iinfo("i4").max, "the limits on copied bytes are far below"
    return pa.Array.from_buffers(arrow_type, len(values), [None, offsets, data])


def _numbers(values: NDArray[np.uint64]) -> Any:
    """An int64 column, from buffers as well."""
    return pa.Array.from_buffers(pa.int64(), values.size, [None, pa.py_buffer(values.astype("i8"))])


def _dictionary(present: NDArray[np.bool_], rows: NDArray[np.intp], values: Any) -> Any:
    """A dictionary-encoded column with `rows` of `values` where `present`, and nulls elsewhere."""
    indices = np.zeros(present.size, "i4")
    indices[present] = rows
    validity = pa.py_buffer(np.packbits(present, bitorder="little"))
    column = pa.Array.from_buffers(pa.int32(), present.size, [validity, pa.py_buffer(indices)])
    return pa.DictionaryArray.from_arrays(column, values)


def _inline_chunks(
    manifest: ChunkManifest, offsets: NDArray[np.uint64], lengths: NDArray[np.uint64]
) -> tuple[list[bytes], NDArray[np.intp]]:
    """The distinct inline chunks, and which of them each reference means: fill chunks are many and equal."""
    pairs, rows = np.unique(np.stack([offsets, lengths], axis=1), axis=0, return_inverse=True)
    return [_raw(manifest.inline[start : start + count]) for start, count in pairs.tolist()], rows.reshape(-1)


def _raw(chunk: bytes) -> bytes:
    """A chunk as a table holds it: readers would decode one that looks like base64, so that is what it becomes."""
    return b"base64:" + base64.b64encode(chunk) if chunk.startswith(b"base64:") else chunk


def write_record(table: Any, handle: BinaryIO) -> None:
    """Write one table as other readers need it."""
    pq.write_table(
        table,
        handle,
        compression="zstd",
        use_dictionary=["path", "raw"],
        column_encoding={"offset": "DELTA_BINARY_PACKED", "size": "DELTA_BINARY_PACKED"},
        write_statistics=["offset", "size"],
        store_schema=False,
        dictionary_pagesize_limit=1 << 30,
    )
