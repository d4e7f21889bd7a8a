"""From datasets to arrays: references where the file has the bytes, copied values where it has none."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from manifestry.plugin import (
    ArrayMetadata,
    ChunkManifest,
    MalformedFileError,
    ManifestryError,
    ParseContext,
    RegularGrid,
    SourceError,
    UnsupportedFeatureError,
    VirtualArray,
)

from manifestry_hdf5.objects.datasets import Dataset, Identity
from manifestry_hdf5.objects.datatypes import LONG_DOUBLE
from manifestry_hdf5.objects.filters import Chain, codec_chain, has_image_codec
from manifestry_hdf5.objects.unlimited_dimensions import beyond
from manifestry_hdf5.objects.values import chunk_codecs
from manifestry_hdf5.open_files import OpenFiles
from manifestry_hdf5.storage.chunked import SkippedFiltersError, chunked_storage, read_tables
from manifestry_hdf5.storage.contiguous import contiguous_storage, find_raw_files
from manifestry_hdf5.storage.copying import SMALL, copy_chunks, copy_values
from manifestry_hdf5.storage.copying_ahead import read_values_ahead
from manifestry_hdf5.storage.elements import Box, read_elements
from manifestry_hdf5.storage.lengthening import complete_chunks, has_other_values, lengthen, rows_over_the_end
from manifestry_hdf5.storage.virtual import virtual_storage, virtual_values
from manifestry_hdf5.storage.virtual_sources import Part, SourceName, parts_of, source_names
from manifestry_hdf5.structures.chunk_indexes.chunks import ChunkTable
from manifestry_hdf5.structures.data_objects.data_layout_message import ChunkLayout, CompactLayout, VirtualLayout
from manifestry_hdf5.walk import Walker

__all__ = ["ArrayBuilder"]


class ArrayBuilder:
    """Makes arrays of datasets.

    Parameters
    ----------
    datasets
        All that will be asked for: their chunk indexes are read together, at once.
    shapes
        Of those that are longer as variables of netCDF-4, records among them whose fields are arrays; see
        `UnlimitedDimensions`.
    files
        The files that are open; sources of virtual datasets are opened and kept there too.
    walker
        Finds the sources of virtual datasets.
    context
        Options, limits and issues.
    """

    def __init__(
        self,
        datasets: Iterable[Dataset],
        shapes: Mapping[Identity, tuple[int, ...]],
        *,
        files: OpenFiles,
        walker: Walker,
        context: ParseContext,
    ) -> None:
        self._context = context
        self._shapes = shapes
        self._files = files
        self._walker = walker
        self._tables: dict[Identity, ChunkTable | ManifestryError] = {}
        self._built: dict[tuple[Identity, int, int], VirtualArray] = {}
        self._variables: dict[tuple[Identity, int, int], VirtualArray] = {}  # those longer than their datasets
        self._above: list[Identity] = []  # the virtual datasets whose sources are being read
        all_of_them = list(datasets)
        self._read_indexes(all_of_them)
        self._read_values_ahead(all_of_them)

    def _read_values_ahead(self, datasets: Iterable[Dataset]) -> None:
        """Fetch the values that will be copied from remote files, those of all datasets together."""
        limit = self._context.limits.max_inline_bytes
        of_file: dict[str, dict[Identity, tuple[Dataset, bool]]] = {}
        for dataset in datasets:
            if dataset.file.remote and _has_elements(dataset):
                copied = bool(_reason_to_copy(dataset))
                if dataset.nbytes <= limit if copied else dataset.identity in self._shapes:
                    of_file.setdefault(dataset.file.source.url, {})[dataset.identity] = dataset, copied
        for members in of_file.values():
            copies: list[tuple[Dataset, ChunkTable | None]] = []
            others: list[tuple[int, int]] = []
            for identity, (dataset, copied) in members.items():
                table = self._tables.get(identity)
                if isinstance(table, ManifestryError):
                    continue
                if copied:
                    copies.append((dataset, table))
                else:
                    others += self._ends(dataset, table)
            read_values_ahead(dataset.file, copies, others, limit)

    def _ends(self, dataset: Dataset, table: ChunkTable | None) -> Iterable[tuple[int, int]]:
        """The chunks of a dataset that reach over its end, where its variable goes on."""
        if table is None or (shape := self._shapes.get(dataset.identity)) is None:
            return ()
        rows = rows_over_the_end(dataset, table, shape)
        if int(table.sizes[rows].sum()) > self._context.limits.max_inline_bytes:
            return ()  # they are refused
        return zip(table.offsets[rows].tolist(), (table.offsets + table.sizes)[rows].tolist(), strict=True)

    def _read_indexes(self, datasets: Iterable[Dataset]) -> None:
        by_file: dict[str, dict[Identity, Dataset]] = {}
        for dataset in datasets:
            if _needs_index(dataset) and dataset.identity not in self._tables:
                by_file.setdefault(dataset.file.source.url, {})[dataset.identity] = dataset
        for members in by_file.values():
            tables = read_tables(list(members.values()), self._context)
            self._tables |= dict(zip(members, tables, strict=True))

    def build(self, dataset: Dataset) -> VirtualArray:
        """The array of a dataset, without dimension names; built once however many links lead to it.

        Raises
        ------
        UnsupportedFeatureError
            It cannot be expressed exactly.
        MalformedFileError
            Its chunks cannot be found.
        """
        if dataset.key not in self._built:
            array = self._build(dataset)
            if dataset.nbytes < (self._context.inline_below or 0):
                array = copy_chunks(array, dataset)
            self._built[dataset.key] = array
            self._tables.pop(dataset.identity, None)  # a manifest needs less
        return self._built[dataset.key]

    def variable(self, dataset: Dataset) -> VirtualArray:
        """The array of a dataset as netCDF has it: as long as its unlimited dimensions where it is one of netCDF-4.

        Raises
        ------
        UnsupportedFeatureError, MalformedFileError
            As `build`.
        """
        shape = self._shapes.get(dataset.identity)
        if shape is None:
            return self.build(dataset)
        if dataset.key not in self._variables:
            array = self._lengthened(dataset, shape)
            if math.prod(shape) * dataset.stored_itemsize < (self._context.inline_below or 0):
                array = copy_chunks(array, dataset)
            self._variables[dataset.key] = array
        return self._variables[dataset.key]

    def _lengthened(self, dataset: Dataset, shape: tuple[int, ...]) -> VirtualArray:
        """The array of a dataset with the elements that its variable has beyond its end."""
        if dataset.field is not None:
            hint = "leave it out with on_unsupported='skip' (--on-unsupported skip), or read it with netCDF4"
            raise UnsupportedFeatureError("record shorter than its unlimited dimension", dataset.path, hint)
        rest = beyond(dataset)
        if _needs_index(dataset):
            self._read_indexes([dataset])
        filled = replace(dataset, fill=rest.fill)
        array = self._build(filled)
        if has_other_values(array, dataset, shape, rest):
            if isinstance(dataset.layout, ChunkLayout):
                table = self._table(dataset)
                array = complete_chunks(array, dataset, shape, beyond=rest, table=table, context=self._context)
            else:
                array = self._copy(filled, "dataset shorter than its unlimited dimension")
        self._tables.pop(dataset.identity, None)
        return lengthen(array, dataset, shape, self._context.budget)

    def _build(self, dataset: Dataset) -> VirtualArray:
        if not _has_elements(dataset):
            chunk_shape = dataset.chunk_shape or tuple(max(1, n) for n in dataset.shape)
            grid = _grid(dataset, chunk_shape).grid_shape(dataset.shape + dataset.element.shape)
            return _array(dataset, ChunkManifest.missing(grid), chunk_shape, _chain_of_nothing(dataset))
        reason = _reason_to_copy(dataset)
        if reason:
            return self._copy(dataset, reason)
        if isinstance(dataset.layout, ChunkLayout):
            return self._chunked(dataset)
        if isinstance(dataset.layout, VirtualLayout):
            return self._virtual(dataset)
        return self._contiguous(dataset)

    def _copy(self, dataset: Dataset, reason: str) -> VirtualArray:
        """The array with its values in the manifest."""
        array = copy_values(dataset, lambda: self._values(dataset, Box.whole(dataset.shape)), self._context, reason)
        if dataset.element.narrowed:
            self._context.report(dataset.path, LONG_DOUBLE, "copied as float64, which holds each of the values exactly")
        return array

    def _values(self, dataset: Dataset, box: Box) -> np.ndarray[Any, Any]:
        """The elements of a box of a dataset."""
        limit = self._context.limits.max_inline_bytes
        if isinstance(dataset.layout, VirtualLayout):
            if dataset.identity in self._above:
                raise UnsupportedFeatureError("virtual dataset that is its own source", dataset.path)
            self._above.append(dataset.identity)
            try:
                return virtual_values(dataset, self._parts(dataset), self._values, limit)[box.slices]
            finally:
                self._above.pop()
        table = None
        if _needs_index(dataset):
            self._read_indexes([dataset])
            table = self._table(dataset)
        raw = find_raw_files(dataset, self._files)
        return read_elements(dataset, box, table, raw, limit)

    def _table(self, dataset: Dataset) -> ChunkTable:
        """The stored chunks of a dataset, whose index has been read."""
        table = self._tables[dataset.identity]
        if isinstance(table, ManifestryError):
            raise table
        return table

    def _virtual(self, dataset: Dataset) -> VirtualArray:
        """References to the chunks of the sources, or copied values where there are none."""
        parts = self._parts(dataset)
        self._read_indexes(part.dataset for part in parts if part.dataset.key not in self._built)
        try:
            storage = virtual_storage(dataset, parts, self.build, self._context.budget)
        except UnsupportedFeatureError as error:
            return self._copy(dataset, error.feature)
        return _array(dataset, storage.manifest, storage.chunk_shape, Chain(storage.codecs, replaces_bytes=True))

    def _parts(self, dataset: Dataset) -> list[Part]:
        """What a virtual dataset shows of its sources.

        Raises
        ------
        UnsupportedFeatureError
            A source is missing, or the file may not point at it.
        """
        assert isinstance(dataset.layout, VirtualLayout)
        mappings = dataset.file.virtual_mappings(dataset.layout, len(dataset.shape))
        sources: dict[SourceName, Dataset] = {}
        names = list(source_names(mappings, dataset.shape))
        self._walker.begin_source_files(dataset.file, names, dataset.path)
        for name in names:
            try:
                file = self._walker.source_file(dataset.file, name, dataset.path)
                sources[name] = self._walker.describe(file, name.dataset, dataset.path)
            except (MalformedFileError, SourceError) as error:
                raise UnsupportedFeatureError(
                    "virtual dataset with a source that is missing", dataset.path, str(error)
                ) from error
        return parts_of(dataset, mappings, sources)

    def _chunked(self, dataset: Dataset) -> VirtualArray:
        assert dataset.chunk_shape is not None
        try:
            manifest, chain = chunked_storage(dataset, self._table(dataset), self._context)
        except SkippedFiltersError as error:
            return self._copy(dataset, error.feature)
        return _array(dataset, manifest, dataset.chunk_shape, chain)

    def _contiguous(self, dataset: Dataset) -> VirtualArray:
        try:
            manifest, chunk_shape = contiguous_storage(dataset, self._files, self._context)
        except SourceError as error:
            raise UnsupportedFeatureError("external raw file that cannot be read", dataset.path, str(error)) from error
        return _array(dataset, manifest, chunk_shape)


def _has_elements(dataset: Dataset) -> bool:
    return not dataset.null and math.prod(dataset.shape + dataset.element.shape) > 0


def _reason_to_copy(dataset: Dataset) -> str:
    """Why a dataset has no references: what its refusal is called when there is too much to copy."""
    if dataset.element.by_value:
        return dataset.element.by_value
    if isinstance(dataset.layout, CompactLayout):
        return "compact layout"
    if dataset.element.storage and dataset.nbytes <= SMALL and not has_image_codec(dataset.filters):
        return "elements that need a codec"
    return ""


def _chain_of_nothing(dataset: Dataset) -> Chain:
    """The codecs of a dataset without elements: as others like it have them, whose chunks it may be joined with."""
    with suppress(UnsupportedFeatureError):
        if dataset.chunk_shape is not None and not dataset.element.by_value:
            return codec_chain(dataset.filters, dataset.element, dataset.chunk_bytes, dataset.ndim)
    return Chain(chunk_codecs(dataset.element, dataset.element.dtype), replaces_bytes=True)


def _needs_index(dataset: Dataset) -> bool:
    return isinstance(dataset.layout, ChunkLayout) and _has_elements(dataset)


def _grid(dataset: Dataset, chunk_shape: Sequence[int]) -> RegularGrid:
    """The chunk grid; the dimensions of an array datatype are never divided."""
    return RegularGrid(tuple(chunk_shape) + tuple(max(1, n) for n in dataset.element.shape))


def _array(
    dataset: Dataset, manifest: ChunkManifest, chunk_shape: Sequence[int], chain: Chain | None = None
) -> VirtualArray:
    element = dataset.element
    front = () if chain and chain.replaces_bytes else (element.bytes_codec, *element.storage)
    metadata = ArrayMetadata(
        shape=dataset.shape + element.shape,
        dtype=element.dtype,
        chunk_grid=_grid(dataset, chunk_shape),
        codecs=front + (chain.codecs if chain else ()),
        fill_value=dataset.fill,
        attributes=dict(element.attributes) | dataset.attributes,
    )
    return VirtualArray(metadata, manifest)
