"""Attribute messages → typed attributes (HDF5 File Format Specification, section IV.A.2.m)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import h5py
import numpy as np
from h5py import h5a, h5i, h5r, h5t
from manifestry import Reference
from manifestry.plugin import MalformedFileError, ParseContext, UnsupportedFeatureError, first_line

from manifestry_hdf5.libhdf5.files import LIBRARY_ERRORS, OpenFile
from manifestry_hdf5.libhdf5.sequences import in_file_order
from manifestry_hdf5.objects.attribute_values import attribute_value
from manifestry_hdf5.objects.texts import decode_text
from manifestry_hdf5.structures.attribute_message import (
    ATTRIBUTE_INFO_MESSAGE,
    AttributeParts,
    attribute_parts,
    is_dense,
    reference_lists,
)
from manifestry_hdf5.structures.dataspace import parse_dataspace
from manifestry_hdf5.structures.messages.datatype_message import parse_datatype
from manifestry_hdf5.structures.object_header import Message

__all__ = ["decode_text", "read_attributes", "visible_attributes"]

_SCALE_PLUMBING: Final = frozenset({"CLASS", "NAME"})
_FORWARD, _BACKWARD = "DIMENSION_LIST", "REFERENCE_LIST"
_REFERENCE_LISTS: Final = frozenset({_FORWARD, _BACKWARD})
_NETCDF_PLUMBING: Final = frozenset({"_Netcdf4Dimid", "_Netcdf4Coordinates", "_NCProperties", "_nc3_strict"})

_PLUMBING: Final = _SCALE_PLUMBING | _REFERENCE_LISTS | {"DIMENSION_LABELS"} | _NETCDF_PLUMBING
"""Attributes that only the dimension scale interface and netCDF-4 use: no attributes of the model."""


def read_attributes(
    file: OpenFile,
    identifier: Any,
    path: str,
    context: ParseContext,
    *,
    header: Sequence[Message],
    only: frozenset[str] | None = None,
) -> dict[str, Any]:
    """The attributes of an object by name, in HDF5's types; one that cannot be read is reported and left out.

    Parameters
    ----------
    header
        The messages of the object header; none where libhdf5 alone can read them.
    only
        The names that are wanted, when not all are.

    Returns
    -------
    dict
        ``DIMENSION_LIST`` as addresses of object headers, a tuple for each dimension; ``REFERENCE_LIST`` is left out.
    """
    values, others = _from_messages(file, path, header, context, only)
    if others is None:
        others = _names(identifier, path, only, context)
    for which in others:
        values.update(_from_library(file, identifier, which, path, context))
    if len(values) > 1 and _is_dense(header, file):  # sorted by name, as libhdf5 lists them
        return dict(sorted(values.items(), key=lambda item: item[0].encode()))
    return values


def _is_dense(header: Sequence[Message], file: OpenFile) -> bool:
    """Whether the attributes of an object are in dense storage."""
    return any(message.kind == ATTRIBUTE_INFO_MESSAGE and is_dense(message.data, file.superblock) for message in header)


def _names(identifier: Any, path: str, only: frozenset[str] | None, context: ParseContext) -> list[bytes | int]:
    """The attributes that are wanted; all of them by number, since some have names that libhdf5 does not find again."""
    try:
        if only is not None:
            return [name for name in map(str.encode, only) if h5a.exists(identifier, name)]
        return list(range(h5a.get_num_attrs(identifier)))
    except LIBRARY_ERRORS as error:
        context.report(path, "attributes that cannot be read", first_line(error))
        return []


def _from_messages(
    file: OpenFile, path: str, header: Sequence[Message], context: ParseContext, only: frozenset[str] | None
) -> tuple[dict[str, Any], Sequence[bytes | int] | None]:
    """Attributes of the usual types, and the others by name, or by number in dense storage; None where only libhdf5 knows them.

    A damaged one is reported and not left to libhdf5.
    """
    values: dict[str, Any] = {}
    others: list[bytes | int] = []
    if not header:
        return values, None
    try:
        messages = file.contents.attribute_messages(header)
    except (MalformedFileError, UnsupportedFeatureError) as error:
        context.report(path, "attributes that cannot be read", first_line(error))
        return values, others
    for number, message in enumerate(messages):
        where = path
        try:
            parts = attribute_parts(message)
            name = decode_text(parts.name)
            if name == _BACKWARD or (only is not None and name not in only):
                continue
            where = f"{path}@{name}"
            values[name] = _value_of(file, parts, lists=name == _FORWARD)
        except _ReferencesError:
            others.append(number if _is_dense(header, file) else parts.name)
        except (MalformedFileError, UnsupportedFeatureError, IndexError, ValueError) as error:
            context.report(where, "attribute that cannot be read", str(error))
    return values, others


class _ReferencesError(Exception):
    """An attribute holds references: libhdf5 has to find what they lead to."""


def _unresolved(_stored: bytes, _datatype: Any) -> Reference | None:
    raise _ReferencesError


def _value_of(file: OpenFile, parts: AttributeParts, *, lists: bool) -> Any:
    datatype_message, space_message = parts.datatype, parts.dataspace
    if not parts.plain:
        datatype_message, space_message = map(file.contents.message_data, parts.messages())
    datatype, space = parse_datatype(datatype_message), parse_dataspace(space_message, file.superblock)
    if lists:
        return reference_lists(datatype, space, parts.data, superblock=file.superblock, heap=file.heap)
    return attribute_value(datatype, space, parts.data, superblock=file.superblock, heap=file.heap, resolve=_unresolved)


def _from_library(
    file: OpenFile, identifier: Any, which: bytes | int, path: str, context: ParseContext
) -> dict[str, Any]:
    """One attribute by name as libhdf5 reads it; none where it cannot be read."""
    name = decode_text(which) if isinstance(which, bytes) else f"attribute {which}"
    try:
        attribute = h5a.open(identifier, which) if isinstance(which, bytes) else h5a.open(identifier, index=which)
        name = decode_text(attribute.get_name())
        if name == _BACKWARD:
            return {}
        if attribute.dtype.hasobject:
            file.check_values(attribute.get_type())
        value = _read_dimension_list(file, attribute) if name == _FORWARD else _value(attribute, file.source.size)
    except (MalformedFileError, UnsupportedFeatureError, *LIBRARY_ERRORS) as error:
        context.report(f"{path}@{name}", "attribute that cannot be read", first_line(error))
        return {}
    return {name: value}


def _read_dimension_list(file: OpenFile, attribute: Any) -> tuple[tuple[int, ...], ...]:
    """The scales of each dimension by the address of their headers; a reference whose target is gone is left out."""
    if attribute.shape is None or len(attribute.shape) != 1 or attribute.dtype != object:
        return ()
    values = np.zeros(attribute.shape, attribute.dtype)
    attribute.read(values)
    axes = []
    for references in values:
        addresses = []
        for reference in references if isinstance(references, np.ndarray) else ():
            try:
                addresses.append(file.identity(h5r.dereference(reference, attribute))[1])
            except (MalformedFileError, *LIBRARY_ERRORS):
                continue
        axes.append(tuple(addresses))
    return tuple(axes)


def visible_attributes(attributes: Mapping[str, Any], *, scale: bool, netcdf: bool) -> dict[str, Any]:
    """Attributes without the plumbing of dimension scales and netCDF-4.

    Parameters
    ----------
    scale
        Whether the object is a dimension scale, so that ``CLASS`` and ``NAME`` are plumbing.
    netcdf
        Whether netCDF-4 wrote the file: every name of the plumbing is reserved, and attributes of one number are
        scalars, because netCDF knows no difference.
    """
    hidden = _PLUMBING if netcdf else _REFERENCE_LISTS | _NETCDF_PLUMBING | (_SCALE_PLUMBING if scale else frozenset())
    visible = {name: value for name, value in attributes.items() if name not in hidden}
    return dict(_first_elements(visible)) if netcdf else visible


def _first_elements(attributes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Attributes with the only element in place of an array or list of one."""
    for name, value in attributes.items():
        if isinstance(value, np.ndarray) and value.ndim and value.size == 1:
            yield name, value.reshape(-1)[0]
        elif isinstance(value, list) and len(value) == 1:
            yield name, value[0]
        else:
            yield name, value


def _value(attribute: Any, max_bytes: int) -> Any:
    """The value of an attribute, which takes no more than `max_bytes` in the file."""
    shape, dtype = attribute.shape, attribute.dtype
    if shape is not None and math.prod(max(n, 1) for n in shape) * attribute.get_type().get_size() > max_bytes:
        raise ValueError(f"shape {shape}: the value is larger than the file")
    text = h5t.check_string_dtype(dtype)
    if shape is None:  # null dataspace: an attribute without a value
        return "" if text else np.empty(0, "f8" if np.issubdtype(dtype, np.object_) else dtype)
    opaque = np.issubdtype(dtype, np.void) and not dtype.fields and dtype.subdtype is None
    memory = attribute.get_type() if opaque else h5t.py_create(dtype)  # h5py's own choice knows no tags and no arrays
    if dtype.subdtype is not None:
        dtype, inner = dtype.subdtype
        shape += inner
    values = np.zeros(shape, dtype)
    attribute.read(values, memory)
    if dtype.metadata is None and not issubclass(dtype.type, (np.object_, np.bytes_, np.void)):
        return values if values.ndim else values[()]
    if np.issubdtype(dtype, np.bytes_):
        values = _strip_padding(values, attribute.get_type())
    return _to_plain(values, dtype, attribute)


def _strip_padding(values: np.ndarray[Any, Any], tid: Any) -> np.ndarray[Any, Any]:
    """Fixed strings without the blanks that their type calls padding."""
    padded = tid.get_class() == h5t.STRING and tid.get_strpad() == h5t.STR_SPACEPAD
    return np.strings.rstrip(values, b" ") if padded else values


def _to_plain(values: Any, dtype: np.dtype[Any], origin: Any) -> Any:
    """Strings as text, references as paths, sequences as lists; numbers, enumerations and records as they are."""
    if isinstance(values, np.ndarray) and values.dtype != object and (members := h5t.check_vlen_dtype(dtype)):
        dtype = members  # one variable-length sequence
        values = in_file_order(values, "big" if dtype.byteorder == ">" else "little")
    if isinstance(values, np.ndarray) and values.ndim:
        if np.issubdtype(dtype, np.bytes_) or dtype.hasobject:
            return [_to_plain(row, dtype, origin) for row in values]
        return values.astype(_base_type(dtype), copy=False)
    item = values[()] if isinstance(values, np.ndarray | np.void) and not dtype.fields else values
    if isinstance(item, h5py.Reference | h5py.RegionReference):
        return _reference(item, origin)
    if isinstance(item, bytes):
        return decode_text(item)
    if isinstance(item, np.ndarray) and item.ndim:
        return _to_plain(item, dtype, origin)
    if dtype.fields and dtype.hasobject:
        return {name: _to_plain(item[name], dtype[name], origin) for name in dtype.names or ()}
    if dtype.fields:
        return item[()] if isinstance(item, np.ndarray) else item
    real = issubclass(dtype.type, (np.bool_, np.integer, np.floating))
    return np.asarray(item).astype(_base_type(dtype), copy=False)[()] if real else item


def _base_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """A dtype without the notes that h5py attaches to it."""
    return np.dtype(dtype.str) if dtype.fields is None and dtype.metadata is not None else dtype


def _reference(reference: Any, origin: Any) -> Reference | None:
    """What a reference points to, by path; None for a null reference or one whose target is gone."""
    if not reference:
        return None
    path = h5i.get_name(h5r.dereference(reference, origin))
    return Reference(decode_text(path)) if path else None
