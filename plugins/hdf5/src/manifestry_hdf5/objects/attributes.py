"""Attribute messages → typed attributes (HDF5 File Format Specification, section IV.A.2.m)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from manifestry import Reference
from manifestry.plugin import MalformedFileError, ParseContext, UnsupportedFeatureError, first_line

from manifestry_hdf5.objects.attribute_values import attribute_value
from manifestry_hdf5.objects.texts import decode_text
from manifestry_hdf5.structures.data_objects.attribute_message import AttributeParts, attribute_parts, reference_lists
from manifestry_hdf5.structures.data_objects.dataspace_message import DATASPACE_MESSAGE
from manifestry_hdf5.structures.data_objects.datatype import Reference as ReferenceType
from manifestry_hdf5.structures.data_objects.datatype_message import DATATYPE_MESSAGE, parse_datatype
from manifestry_hdf5.structures.data_objects.object_header import Message

if TYPE_CHECKING:
    from manifestry_hdf5.open_files import Hdf5File

__all__ = ["read_attributes", "visible_attributes"]

_SCALE_PLUMBING: Final = frozenset({"CLASS", "NAME"})
_FORWARD, _BACKWARD = "DIMENSION_LIST", "REFERENCE_LIST"
_REFERENCE_LISTS: Final = frozenset({_FORWARD, _BACKWARD})
_NETCDF_PLUMBING: Final = frozenset({"_Netcdf4Dimid", "_Netcdf4Coordinates", "_NCProperties", "_nc3_strict"})

_PLUMBING: Final = _SCALE_PLUMBING | _REFERENCE_LISTS | {"DIMENSION_LABELS"} | _NETCDF_PLUMBING
"""Attributes that only the dimension scale interface and netCDF-4 use: no attributes of the model."""


def read_attributes(
    file: Hdf5File, address: int, path: str, context: ParseContext, *, only: frozenset[str] | None = None
) -> dict[str, Any]:
    """The attributes of an object by name, in HDF5's types; one that cannot be read is reported and left out.

    Parameters
    ----------
    address
        Of the object header.
    only
        The names that are wanted, when not all are.

    Returns
    -------
    dict
        ``DIMENSION_LIST`` as addresses of object headers, a tuple for each dimension; ``REFERENCE_LIST`` is left out.
    """
    values: dict[str, Any] = {}
    try:
        messages = file.objects.attribute_messages(address)
    except (MalformedFileError, UnsupportedFeatureError) as error:
        context.report(path, "attributes that cannot be read", first_line(error))
        return values
    for message in messages:
        where = path
        if (known := file.attributes.get(message)) is not None and only is None:
            values[known[0]] = known[1]
            continue
        try:
            parts = attribute_parts(message)
            name = decode_text(parts.name)
            if name == _BACKWARD or (only is not None and name not in only):
                continue
            where = f"{path}@{name}"
            value = values[name] = _value(parts, file, lists=name == _FORWARD)
            if isinstance(value, str | np.number):  # what nobody can change
                file.attributes[message] = name, value
        except (MalformedFileError, UnsupportedFeatureError) as error:
            context.report(where, "attribute that cannot be read", first_line(error))
    return values


def _value(parts: AttributeParts, file: Hdf5File, *, lists: bool) -> Any:
    """The value of an attribute; `lists` for one that holds lists of references."""
    datatype, dataspace = parts.datatype, parts.dataspace
    if parts.flags and parts.datatype_shared:
        datatype = file.objects.message_data(Message.to_shared(DATATYPE_MESSAGE, datatype))
    if parts.flags and parts.dataspace_shared:
        dataspace = file.objects.message_data(Message.to_shared(DATASPACE_MESSAGE, dataspace))
    kind, space = parse_datatype(datatype), file.dataspace(dataspace)
    if lists:
        return reference_lists(kind, space, parts.data, superblock=file.superblock, heap=file.heap)

    def resolve(element: bytes, reference: ReferenceType) -> Reference | None:
        path = file.target_of(element, reference.kind)
        return None if path is None else Reference(path)

    return attribute_value(kind, space, parts.data, superblock=file.superblock, heap=file.heap, resolve=resolve)


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
