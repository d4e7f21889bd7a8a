"""Writes trees as directories of Kerchunk references in Parquet, by pyarrow alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
from manifestry.plugin import (
    Issue,
    Mode,
    Placement,
    StagedDirectory,
    Target,
    UnsupportedFeatureError,
    VirtualGroup,
    WriteContext,
    WriteError,
)
from manifestry_kerchunk.documents import PreparedArray, to_strict_json, zarr_format_of
from manifestry_kerchunk.provenance import PROVENANCE_KEY
from manifestry_kerchunk.session import ReferenceSession

from manifestry_kerchunk_parquet.options import KerchunkParquetWriterOptions
from manifestry_kerchunk_parquet.records import record_name, record_tables, write_record
from manifestry_kerchunk_parquet.store import METADATA, is_store

__all__ = ["KerchunkParquetWriter"]

_NAME_BYTES: Final = 255


class KerchunkParquetWriter:
    """One directory for a tree: a document of all metadata, and tables of references for each array."""

    def open(
        self, target: Target, mode: Mode, options: KerchunkParquetWriterOptions, context: WriteContext
    ) -> KerchunkParquetSession:
        """Begin; the target is looked at and not touched.

        Raises
        ------
        UnsupportedFeatureError
            fsspec would not read a target of this name.
        """
        if ".json" in target.url:
            raise UnsupportedFeatureError(
                "'.json' in the path of Kerchunk Parquet", target.url, "fsspec takes it for JSON; choose another name"
            )
        staged = StagedDirectory(target, mode, METADATA)
        staged.check("store of Kerchunk Parquet and nothing else", is_store)
        return KerchunkParquetSession(target, staged, options, context)


class KerchunkParquetSession(ReferenceSession):
    """A directory that appears at its target when it is complete."""

    format_name = "kerchunk-parquet"

    def __init__(
        self, target: Target, staged: StagedDirectory, options: KerchunkParquetWriterOptions, context: WriteContext
    ) -> None:
        zarr_format = zarr_format_of(options.zarr_format)
        super().__init__(target, context, zarr_format, options.inline_below, copies_share_bytes=True)
        self._record_size = options.record_size
        self._directory = staged

    def check(self, tree: VirtualGroup, at: Placement | None = None) -> Sequence[Issue]:
        """What has no form in Zarr metadata, and names that no directory can have."""
        return [*super().check(tree, at), *_impossible_directories(tree, self._target.group)]

    def _reader_needs(self) -> Sequence[str]:
        """What fsspec reads Parquet with."""
        return ("pandas", "fastparquet")

    def abort(self) -> None:
        """Forget the directory."""
        self._directory.discard()

    def _publish(
        self, documents: Mapping[str, Any], prepared: Sequence[PreparedArray], metadata: Mapping[str, Any]
    ) -> None:
        for array in prepared:
            self._write_records(array)
            self._context.progress.advance(references=array.array.manifest.stored_count)
        self._write_json(PROVENANCE_KEY, dict(metadata))
        self._write_json(METADATA, {"metadata": documents, "record_size": self._record_size})
        self._directory.publish()

    def _write_json(self, name: str, value: Any) -> None:
        with self._directory.open(name) as handle:
            handle.write(to_strict_json(value).encode("ascii"))

    def _write_records(self, array: PreparedArray) -> None:
        for number, table in enumerate(record_tables(array.array.manifest, self._record_size, array.path)):
            with self._directory.open(f"{array.path}/{record_name(number)}") as handle:
                try:
                    write_record(table, handle)
                except pa.ArrowException as error:
                    raise WriteError(f"{self._target}: {array.path}: {error}") from error


def _impossible_directories(tree: VirtualGroup, at: str) -> Iterator[Issue]:
    for path, group in tree.walk():
        for name in (*group.arrays, *group.groups):
            if len(name.encode()) > _NAME_BYTES or "\0" in name:
                feature, reason = "name that no directory can have", f"{_NAME_BYTES} bytes at most, and no NUL"
            elif name.startswith(".z"):  # fsspec: LazyReferenceMapper._is_meta
                feature, reason = "reserved name", f"fsspec takes what is below {name!r} in Parquet for metadata"
            elif not (at or path) and name == PROVENANCE_KEY.partition("/")[0]:
                feature, reason = "reserved name", f"{name!r} holds what the output says of its sources"
            else:
                continue
            yield Issue(
                path=f"{path}/{name}".strip("/"),
                feature=feature,
                message=reason,
                hint="give it another name with tree.rename, or write another format",
            )
