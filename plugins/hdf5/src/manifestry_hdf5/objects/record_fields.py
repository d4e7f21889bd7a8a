"""Fields of records as arrays of their own (HDF5 File Format Specification, section IV.A.2.d, class 6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from manifestry.plugin import UnsupportedFeatureError

from manifestry_hdf5.objects.datatypes import ElementType, element_type
from manifestry_hdf5.structures.data_objects.data_layout_message import Layout, VirtualLayout
from manifestry_hdf5.structures.data_objects.dataspace_message import Dataspace
from manifestry_hdf5.structures.data_objects.datatype import Compound, Datatype

__all__ = ["RecordField", "check_field", "field_element", "fields_of", "is_for_groups"]


class RecordField(NamedTuple):
    """A field of the records of a dataset, or of records in these.

    Attributes
    ----------
    names
        Its name as the file has it, after those of the fields that it is in.
    offset
        Bytes from the beginning of the record of the dataset.
    datatype
        Its type.
    record_size
        Bytes of the record of the dataset.
    """

    names: tuple[bytes, ...]
    offset: int
    datatype: Datatype
    record_size: int


def is_for_groups(datatype: Datatype) -> bool:
    """Whether elements are records that an array of structs cannot hold as they are: some of their fields have any length."""
    if not isinstance(datatype, Compound):
        return False
    try:
        return element_type(datatype).texts
    except UnsupportedFeatureError:
        return True


def fields_of(datatype: Compound) -> Iterator[RecordField]:
    """The fields of a record; in place of a field that is a record itself, the fields of that. Complex numbers are none."""
    for names, offset, member in _fields(datatype, (), 0):
        yield RecordField(names, offset, member, datatype.size)


def _fields(
    datatype: Compound, above: tuple[bytes, ...], start: int
) -> Iterator[tuple[tuple[bytes, ...], int, Datatype]]:
    for member in datatype.members:
        names, offset = (*above, member.name), start + member.offset
        if isinstance(member.datatype, Compound) and not _is_complex(member.datatype):
            yield from _fields(member.datatype, names, offset)
        else:
            yield names, offset, member.datatype


def _is_complex(datatype: Compound) -> bool:
    try:
        return element_type(datatype).dtype.names is None
    except UnsupportedFeatureError:
        return False


def check_field(layout: Layout, element: ElementType, space: Dataspace, path: str) -> None:
    """Make sure that the elements of a field are to be had one by one.

    Raises
    ------
    UnsupportedFeatureError
        They are in other datasets, or a sequence is the only one.
    """
    if isinstance(layout, VirtualLayout):
        raise UnsupportedFeatureError("fields of records of a virtual dataset", path, "read them from its sources")
    if element.members is not None and not space.shape and not space.null:
        raise UnsupportedFeatureError("single record with a variable-length sequence", path, "read it with h5py")


def field_element(datatype: Datatype) -> ElementType:
    """The element type of a field, whose values are copied.

    Raises
    ------
    UnsupportedFeatureError
        As `element_type`.
    """
    element = element_type(datatype)
    return replace(element, storage=(), by_value=element.by_value or "field of a record")
