"""Arrays read by libhdf5 itself: what references are checked against. Nothing else imports h5py."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from typing import Any, Final

import h5py
import numpy as np
from h5py import h5d, h5f, h5g, h5p, h5r
from manifestry.plugin import (
    MalformedFileError,
    ParseContext,
    Source,
    UnsupportedFeatureError,
    is_variable_length,
    translated,
)

from manifestry_hdf5.link_follower import LinkFollower
from manifestry_hdf5.objects.datasets import Dataset
from manifestry_hdf5.objects.datatypes import ElementType, Endian
from manifestry_hdf5.objects.texts import decode_text
from manifestry_hdf5.objects.unlimited_dimensions import beyond
from manifestry_hdf5.open_files import OpenFiles
from manifestry_hdf5.structures.data_objects.data_layout_message import VirtualLayout
from manifestry_hdf5.walk import Walker

with suppress(ImportError):  # where it is installed, libhdf5 finds the filters that it has not built in
    import hdf5plugin  # noqa: F401

__all__ = ["NativeHdf5", "model_values"]

type Values = np.ndarray[Any, Any]

_LIBRARY_ERRORS: Final = (
    OSError,
    RuntimeError,
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    OverflowError,
    MemoryError,
)
"""What h5py raises when libhdf5 reports an error, by the kind of its call."""


class NativeHdf5:
    """The datasets of a file through h5py, in the types of the parsed tree.

    Parameters
    ----------
    source
        The file.

    Raises
    ------
    MalformedFileError
        libhdf5 cannot open it.
    SourceError
        It cannot be read.
    """

    def __init__(self, source: Source) -> None:
        self._files = OpenFiles(source)
        self._file = self._files.open(source)
        self._walker = Walker(self._files, ParseContext(), follow_external=False)
        self._links = LinkFollower(self._files, follow_external=False)
        with translated(_LIBRARY_ERRORS, MalformedFileError, source.url):
            self._id = (
                h5py.File(source.blocks(), "r")
                if source.local_path is None
                else h5py.File(_open(os.fsencode(source.local_path), swmr=self._file.being_written))
            )

    def read(self, path: str, selection: tuple[slice, ...]) -> Values:
        """The elements of a region of the dataset at `path`.

        Raises
        ------
        MalformedFileError
            libhdf5 cannot read them.
        UnsupportedFeatureError
            They are in other files, and libhdf5 would look for them elsewhere or may not look there.
        """
        path = self._links.link_path(self._file, path)
        described, place, names = self._described(path)
        elsewhere = isinstance(described.layout, VirtualLayout) or described.external is not None
        if elsewhere and (self._file.remote or self._files.restricted):  # libhdf5 asks nobody where it may look
            raise UnsupportedFeatureError("values in other files", path, f"{self._file.source.url} is read alone")
        with translated(_LIBRARY_ERRORS, MalformedFileError, path):
            dataset = h5py.Dataset(h5d.open(self._id.id, place.encode()))
            if dataset.shape is None:
                return np.empty(0, described.element.dtype)[selection]
            rank = len(dataset.shape)
            values = np.asarray(dataset[selection[:rank]])
            for name in names:
                values = values[name]
        inside = (slice(None),) * rank + selection[rank:]
        if described.element.references:
            with translated(_LIBRARY_ERRORS, MalformedFileError, path):
                paths = (self._path(value, dataset.id) for value in values.reshape(-1).tolist())
                values = _objects(paths, values.shape)
        return _up_to(selection, model_values(values, described.element)[inside], described)

    def _described(self, path: str) -> tuple[Dataset, str, list[str]]:
        """A dataset and its path, or the field of records at a path, with the path of their dataset and the names in it."""
        field = self._walker.describe_field(self._file, path)
        if field is None or field.field is None:
            return self._walker.describe(self._file, path, path), path, []
        parts = path.split("/")
        depth = len(parts) - len(field.field.names)
        return field, "/".join(parts[:depth]), parts[depth:]

    def _path(self, value: Any, dataset: Any) -> Any:
        """The path of the object that a reference points at."""
        if not value:
            return ""
        number = h5g.get_objinfo(h5r.dereference(value, dataset), b".").objno
        return self._file.paths.find(int(number[0]) | int(number[1]) << 64)

    def close(self) -> None:
        """Close the file."""
        self._id.close()
        self._files.close()


def _up_to(selection: Sequence[slice], values: Values, dataset: Dataset) -> Values:
    """The elements of a selection that goes beyond the end of a dataset, as variables of netCDF-4 do."""
    lengths = (n if s.stop is None else s.stop - (s.start or 0) for s, n in zip(selection, values.shape, strict=False))
    shape = (*lengths, *values.shape[len(selection) :])
    if shape == values.shape:
        return values
    whole = np.full(shape, beyond(dataset).fill, values.dtype)
    whole[tuple(slice(n) for n in values.shape)] = values
    return whole


def _open(path: bytes, *, swmr: bool) -> Any:
    """A local file; one that this process has open already, through another library say, is opened as it was there."""
    mode = h5f.ACC_RDONLY | (h5f.ACC_SWMR_READ if swmr else 0)
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    try:
        return h5f.open(path, mode, fapl=access)
    except OSError as error:
        if "close degree" not in str(error):
            raise
    access.set_fclose_degree(h5f.CLOSE_DEFAULT)
    return h5f.open(path, mode, fapl=access)


def model_values(values: Values, element: ElementType) -> Values:
    """Values as h5py gives them in the element type of the array; texts as objects."""
    if element.dtype == object:
        return _objects((_members(v, element) for v in values.reshape(-1)), values.shape)
    if element.members is not None:  # the only sequence of a dataset without dimensions
        return _members(values, element)
    if is_variable_length(element.dtype):  # texts
        return _objects(map(_text, values.reshape(-1).tolist()), values.shape)
    if element.dtype.names is None:
        return values.astype(element.dtype, copy=False)
    packed = np.zeros(values.shape, _with_lengths(values, element.dtype) if element.texts else element.dtype)
    _assign(packed, values)
    return packed


def _objects(items: Iterable[Any], shape: tuple[int, ...]) -> Values:
    elements = list(items)
    objects = np.empty(len(elements), object)
    for i, one in enumerate(elements):  # numpy would make one array of several of the same length
        objects[i] = one
    return objects.reshape(shape)


def _text(value: Any) -> str:
    return decode_text(value) if isinstance(value, bytes) else str(value or "")


def _members(value: Any, element: ElementType) -> Values:
    """One sequence; h5py gives None or an empty array for one that was never written."""
    dtype = element.members
    assert dtype is not None
    if value is None:
        return np.zeros(0, dtype)
    if dtype.names is None:
        return _in_file_order(np.asarray(value), element.endian).astype(dtype, copy=False)
    packed = np.zeros(len(value), dtype)
    _assign(packed, value)
    return packed


def _with_lengths(values: Values, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """A record type with room for the longest text of each field."""
    fields: list[tuple[str, np.dtype[Any]]] = []
    for name in dtype.names or ():
        member, column = dtype[name], values[name]
        base = member.base
        if base.names is not None:
            base = _with_lengths(column, base)
        elif column.dtype == object:
            base = np.dtype(f"U{max((len(_text(v)) for v in column.reshape(-1).tolist()), default=1) or 1}")
        fields.append((name, np.dtype((base, member.shape))))
    return np.dtype(fields)


def _assign(target: Values, values: Values) -> None:
    """Copy records field by field: those in memory have gaps."""
    for name in target.dtype.names or ():
        column = values[name]
        if target.dtype[name].base.names is not None:
            _assign(target[name], column)
        elif column.dtype == object:
            target[name] = _objects(map(_text, column.reshape(-1).tolist()), column.shape)
        else:
            target[name] = column


def _in_file_order(members: Values, endian: Endian | None) -> Values:
    """The members of one sequence, in the byte order that they really have.

    h5py (3.16 and before) reads the members of big-endian sequences as the file has them, and calls them native: 1.0 comes
    out as 4.6e-41. Those of records are right. Whether the installed h5py does so is tried once, on a file in memory.
    """
    if endian is None or members.dtype.itemsize == 1 or members.dtype.names is not None or not _order_is_lost():
        return members
    return members.view(members.dtype.newbyteorder(endian))


@cache
def _order_is_lost() -> bool:
    with h5py.File("manifestry-probe", "w", driver="core", backing_store=False) as file:
        dtype = h5py.vlen_dtype(np.dtype(">i2"))
        file.create_dataset("probe", (1,), dtype)[0] = np.array([1], ">i2")
        return int(file["probe"][0][0]) != 1
