"""From datasets to arrays: references where the file has the bytes, copied values where it has none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from h5py import h5d
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

from manifestry_hdf5.file_dependencies import check_dependencies, check_extent
from manifestry_hdf5.libhdf5.files import Identity, OpenFile, library_errors
from manifestry_hdf5.libhdf5.opening import OpenFiles
from manifestry_hdf5.objects.datasets import Dataset, read_dataset, read_space
from manifestry_hdf5.objects.filters import Chain
from manifestry_hdf5.objects.values import chunk_codecs
from manifestry_hdf5.storage.chunked import chunked_storage, read_tables
from manifestry_hdf5.storage.contiguous import contiguous_storage
from manifestry_hdf5.storage.copying import SMALL, copy_chunks, copy_values
from manifestry_hdf5.storage.virtual import open_sources, read_mappings, virtual_storage
from manifestry_hdf5.structures.chunks import ChunkTable
from manifestry_hdf5.structures.layout import LayoutClass

__all__ = ["ArrayBuilder"]

type Follow = Callable[[OpenFile, bytes, str], tuple[OpenFile, Any]]


class ArrayBuilder:
    """Makes arrays of datasets.

    Parameters
    ----------
    datasets
        All that will be asked for: their chunk indexes are read together, at once.
    files
        The files that are open; sources of virtual datasets are opened and kept there too.
    follow
        Gives the object that a path in a file leads to, and the file that it is in (`Walker.follow`).
    context
        Options, limits and issues.
    """

    def __init__(self, datasets: Iterable[Dataset], files: OpenFiles, follow: Follow, context: ParseContext) -> None:
        self._context = context
        self._files = files
        self._follow = follow
        self._tables: dict[Identity, ChunkTable | ManifestryError] = {}
        self._built: dict[Identity, VirtualArray] = {}
        self._read_indexes(datasets)

    def _read_indexes(self, datasets: Iterable[Dataset]) -> None:
        by_file: dict[str, dict[Identity, Dataset]] = {}
        for dataset in datasets:
            if _needs_index(dataset) and dataset.identity not in self._built:
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
        if dataset.identity not in self._built:
            array = self._build(dataset)
            if dataset.nbytes < (self._context.inline_below or 0):
                array = copy_chunks(array, dataset)
            self._built[dataset.identity] = array
            self._tables.pop(dataset.identity, None)  # a manifest needs less
        return self._built[dataset.identity]

    def _build(self, dataset: Dataset) -> VirtualArray:
        if dataset.layout == LayoutClass.VIRTUAL:
            check_extent(dataset, self._files)
        if not _has_elements(dataset):
            chunk_shape = dataset.chunk_shape or tuple(max(1, n) for n in dataset.shape)
            grid = _grid(dataset, chunk_shape).grid_shape(dataset.shape + dataset.element.shape)
            codecs = chunk_codecs(dataset.element, dataset.element.dtype)  # nothing is stored, so nothing needs more
            return _array(dataset, ChunkManifest.missing(grid), chunk_shape, Chain(codecs, replaces_bytes=True))
        reason = _reason_to_copy(dataset)
        if reason:
            table = self._tables.get(dataset.identity)
            if isinstance(table, MalformedFileError):  # libhdf5 may not survive what is wrong with it
                raise table
            check_dependencies(dataset, self._files, self._sources)
            return copy_values(dataset, self._context, reason)
        if dataset.layout == LayoutClass.CHUNKED:
            return self._chunked(dataset)
        if dataset.layout == LayoutClass.CONTIGUOUS:
            return self._contiguous(dataset)
        return self._virtual(dataset)

    def _virtual(self, dataset: Dataset) -> VirtualArray:
        """References to the chunks of the sources, or copied values where there are none."""
        sources = self._sources(dataset)
        self._read_indexes(filter(None, sources))
        try:
            storage = virtual_storage(dataset, read_mappings(dataset, sources), self.build)
        except UnsupportedFeatureError as error:
            try:
                check_dependencies(dataset, self._files, self._sources)
            except UnsupportedFeatureError as unreadable:
                raise error from unreadable
            return copy_values(dataset, self._context, error.feature)
        return _array(dataset, storage.manifest, storage.chunk_shape, Chain(storage.codecs, replaces_bytes=True))

    def _sources(self, dataset: Dataset) -> list[Dataset | None]:
        """The sources of a virtual dataset; see `open_sources`."""
        return open_sources(dataset, self._files, self._describe)

    def _describe(self, file: OpenFile, path: str, where: str) -> Dataset:
        """The dataset at a path of a file."""
        target, identifier = self._follow(file, path.encode(), where)
        if not isinstance(identifier, h5d.DatasetID):
            raise MalformedFileError(f"{where}: {path} is not a dataset")
        identity = target.identity(identifier)
        header = target.header(identity[1])
        with library_errors(where):
            space = read_space(target, identifier, header)
        return read_dataset(
            target,
            identifier,
            where,
            self._context,
            identity=identity,
            attributes={},
            header=header,
            space=space,
        )

    def _chunked(self, dataset: Dataset) -> VirtualArray:
        table = self._tables[dataset.identity]
        if isinstance(table, ManifestryError):
            raise table
        assert dataset.chunk_shape is not None
        manifest, chain = chunked_storage(dataset, table, self._context)
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
    if dataset.layout == LayoutClass.COMPACT:
        return "compact layout"
    if dataset.element.storage and dataset.nbytes <= SMALL and dataset.properties.all_filters_avail():
        return "elements that need a codec"
    return ""


def _needs_index(dataset: Dataset) -> bool:
    return dataset.layout == LayoutClass.CHUNKED and _has_elements(dataset)


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
