"""Reads directories of Kerchunk references in Parquet, written by manifestry, kerchunk or VirtualiZarr."""

from __future__ import annotations

from typing import Any

from manifestry.plugin import (
    ArrayNode,
    Hierarchy,
    LocationTable,
    MalformedFileError,
    ParseContext,
    ReferenceColumns,
    ReferencePolicy,
    Source,
    VirtualGroup,
)
from manifestry_kerchunk.provenance import PROVENANCE_KEY, read_provenance

from manifestry_kerchunk_parquet.columns import ColumnsBuilder
from manifestry_kerchunk_parquet.records import record_name
from manifestry_kerchunk_parquet.store import read_json, read_metadata

__all__ = ["KerchunkParquetParser"]


class KerchunkParquetParser:
    """The tree that a directory of references describes."""

    def parse(self, source: Source, options: None, context: ParseContext) -> VirtualGroup:  # noqa: ARG002 has none
        """Read the metadata and the tables; nothing that they point at is opened, except for sizes of whole files."""
        if not source.is_prefix:
            raise MalformedFileError(f"{source.url}: is not a directory, as Kerchunk Parquet is")
        metadata = read_metadata(source)
        hierarchy = Hierarchy.of(metadata["metadata"], context, source.name.partition(".")[0])
        document = _provenance_document(source)
        provenance = read_provenance(document, context)
        locations = LocationTable(policy=ReferencePolicy.of(source), provenance=provenance)
        reader = _Reader(source, metadata["record_size"], locations, context, complete=document is not None)
        columns = {}
        for path, node in hierarchy.arrays.items():
            with context.isolate(path):
                columns[path] = reader.columns(node)
        return hierarchy.tree(columns, locations)


def _provenance_document(source: Source) -> Any:
    child = source.child(PROVENANCE_KEY)
    return read_json(child) if child.exists() else None


class _Reader:
    """Reads the tables of one store."""

    def __init__(
        self,
        source: Source,
        record_size: int,
        locations: LocationTable,
        context: ParseContext,
        *,
        complete: bool,
    ) -> None:
        self._source, self._record_size = source, record_size
        self._locations, self._context = locations, context
        self._complete = complete  # our own writer leaves no table out; others leave out those without references

    def columns(self, node: ArrayNode) -> ReferenceColumns:
        """The references of one array.

        Raises
        ------
        MalformedFileError
            A table is damaged, or one is missing that must be there.
        """
        builder = ColumnsBuilder(
            node=node, locations=self._locations, stores=self._source.registry, budget=self._context.budget
        )
        place = "/".join(filter(None, [self._context.group, node.path]))
        for number in range(-(-builder.size // self._record_size)):
            first = number * self._record_size
            rows = min(self._record_size, builder.size - first)
            child = self._source.child(f"{place}/{record_name(number)}")
            if child.exists():
                builder.add(child, rows)
            elif self._complete:
                raise MalformedFileError(
                    f"{child.url}: this table of references is missing; copy or write the store again"
                )
            else:
                self._context.report(node.path, "no table of references", f"{child.url}: its chunks are missing")
                builder.add_missing(rows)
        return builder.columns()
