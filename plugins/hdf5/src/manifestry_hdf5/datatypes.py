"""Datatype message → element type (HDF5 File Format Specification, section IV.A.2.d)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np
from h5py import h5t
from manifestry.errors import UnsupportedFeatureError
from manifestry.model.metadata import Codec

__all__ = ["ElementType", "Endian", "element_type"]

Endian = Literal["little", "big"]


@dataclass(frozen=True, slots=True)
class ElementType:
    """What one element of a dataset is, and how the file stores it.

    Attributes
    ----------
    dtype
        numpy dtype in native byte order, without the dimensions of an array datatype.
    endian
        Byte order in the file; None where an element has single bytes only.
    shape
        Dimensions of an array datatype, which become the last dimensions of the array.
    storage
        Codecs that turn stored elements into those of `dtype`, in the order of encoding.
    by_value
        Why elements have no bytes of their own in the file, or none that a codec decodes; ``""`` where they have.
    attributes
        Attributes that the type brings along (the labels of an enumeration).
    """

    dtype: np.dtype[Any]
    endian: Endian | None = None
    shape: tuple[int, ...] = ()
    storage: tuple[Codec, ...] = ()
    by_value: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bytes_codec(self) -> Codec:
        """The codec that makes bytes of elements."""
        return Codec("bytes", {"endian": self.endian}) if self.endian else Codec("bytes")


_IEEE: Final = {2: (15, 10, 5, 0, 10, 15), 4: (31, 23, 8, 0, 23, 127), 8: (63, 52, 11, 0, 52, 1023)}
"""Size → positions and sizes of sign, exponent and mantissa in bits, and the exponent bias."""


def element_type(tid: Any) -> ElementType:
    """The element type of a datatype.

    Raises
    ------
    UnsupportedFeatureError
        Zarr has no such type; the feature names it.
    """
    reader = _READERS.get(tid.get_class())
    if reader is None:
        raise UnsupportedFeatureError(f"datatype of class {tid.get_class()}")
    element: ElementType = reader(tid)
    return element


def _order(tid: Any) -> Endian | None:
    order = tid.get_order()
    if order == h5t.ORDER_BE:
        endian: Endian = "big"
    elif order in (h5t.ORDER_LE, h5t.ORDER_NONE):
        endian = "little"
    else:
        raise UnsupportedFeatureError("VAX byte order")
    return endian if tid.get_size() > 1 else None


def _integer(tid: Any) -> ElementType:
    signed = tid.get_sign() == h5t.SGN_2
    return _fixed_point(tid.get_size(), tid.get_precision(), tid.get_offset(), _order(tid), signed=signed)


def _bitfield(tid: Any) -> ElementType:
    """As an unsigned integer. h5py does not tell its properties, so they are read from the message itself."""
    message = tid.encode()[2:]
    order: Endian | None = ("big" if message[1] & 1 else "little") if tid.get_size() > 1 else None
    offset, precision = int.from_bytes(message[8:10], "little"), int.from_bytes(message[10:12], "little")
    return _fixed_point(tid.get_size(), precision, offset, order, signed=False)


def _fixed_point(size: int, precision: int, offset: int, endian: Endian | None, *, signed: bool) -> ElementType:
    if size not in (1, 2, 4, 8):
        raise UnsupportedFeatureError(f"integers of {size} bytes", hint="repack with a type that Zarr has")
    dtype = np.dtype(f"{'i' if signed else 'u'}{size}")
    if (precision, offset) == (8 * size, 0):
        return ElementType(dtype, endian)
    bits = {"itemsize": size, "precision": precision, "offset": offset, "signed": signed, "order": endian or "little"}
    return ElementType(dtype, endian, storage=(Codec("manifestry.bits", bits),))


def _float(tid: Any) -> ElementType:
    size, fields = tid.get_size(), tid.get_fields()
    usual = (*fields, tid.get_ebias()) == _IEEE.get(size) and tid.get_precision() == 8 * size and not tid.get_offset()
    if usual and tid.get_norm() == h5t.NORM_IMPLIED:
        return ElementType(np.dtype(f"f{size}"), _order(tid))
    if fields == (15, 7, 8, 0, 7):
        raise UnsupportedFeatureError("bfloat16", hint="Zarr has no such type")
    if size > 8:
        raise UnsupportedFeatureError("long double", hint="Zarr has no such type")
    return ElementType(_holding(tid), by_value="floats that are not IEEE 754")


def _holding(tid: Any) -> np.dtype[Any]:
    """The IEEE type that holds every value of a float with other fields: the one h5py reads it into."""
    _, _, exponent, _, mantissa = tid.get_fields()
    dtype: np.dtype[Any] = tid.dtype
    room = {2: (5, 10), 4: (8, 23), 8: (11, 52)}.get(dtype.itemsize)
    if dtype.kind != "f" or room is None or exponent > room[0] or mantissa > room[1]:
        raise UnsupportedFeatureError("floats that no IEEE 754 type holds", hint="Zarr has no such type")
    return dtype.newbyteorder("=")


def _complex(tid: Any) -> ElementType:
    part = _float(tid.get_super())
    if part.dtype.itemsize == 2:
        raise UnsupportedFeatureError("complex numbers of half precision", hint="Zarr has no such type")
    return ElementType(np.dtype(f"c{2 * part.dtype.itemsize}"), part.endian)


def _string(tid: Any) -> ElementType:
    if tid.is_variable_str():
        return ElementType(np.dtypes.StringDType(), by_value="variable-length strings")
    size, padding = tid.get_size(), tid.get_strpad()
    element = ElementType(np.dtype(f"S{size}"))
    if padding == h5t.STR_SPACEPAD:
        return replace(element, storage=(_fixed_string(size, "space"),))
    if padding == h5t.STR_NULLTERM and size > 1:
        return replace(element, storage=(_fixed_string(size, "null-terminated"),))
    return element


def _fixed_string(length: int, padding: str) -> Codec:
    return Codec("manifestry.fixed_string", {"length": length, "padding": padding})


def _enumeration(tid: Any) -> ElementType:
    base = _integer(tid.get_super())
    names = [tid.get_member_name(i).decode("utf-8", "replace") for i in range(tid.get_nmembers())]
    values = np.array([tid.get_member_value(i) for i in range(len(names))], base.dtype)
    if base.dtype.itemsize == 1 and dict(zip(names, values.tolist(), strict=True)) == {"FALSE": 0, "TRUE": 1}:
        return ElementType(np.dtype("?"))  # as h5py writes booleans
    flags = {"flag_values": values, "flag_meanings": " ".join(name.replace(" ", "_") for name in names)}
    return replace(base, attributes=flags if names else {})


def _opaque(tid: Any) -> ElementType:
    try:
        dtype = tid.dtype
    except (TypeError, ValueError, SyntaxError) as error:
        raise UnsupportedFeatureError(f"opaque elements tagged {tid.get_tag()!r}") from error
    if dtype.kind == "V" and dtype.fields is None:
        return ElementType(np.dtype(f"V{tid.get_size()}"))
    if dtype.kind in "MmU":  # numpy's own types, as h5py stores them
        return ElementType(dtype.newbyteorder("="), "big" if dtype.byteorder == ">" else "little")
    if dtype.kind == "S":
        return ElementType(dtype)
    raise UnsupportedFeatureError(f"opaque elements tagged {tid.get_tag()!r}")


def _array(tid: Any) -> ElementType:
    base = element_type(tid.get_super())
    return replace(base, shape=tuple(int(n) for n in tid.get_array_dims()) + base.shape)


def _compound(tid: Any) -> ElementType:
    """A record; codecs that act on single fields cannot be chained, so their records have no reference."""
    if not tid.get_nmembers():
        raise UnsupportedFeatureError("compound without fields")
    if _is_complex(tid):
        part = _float(tid.get_member_type(0))
        return ElementType(np.dtype(f"c{2 * part.dtype.itemsize}"), part.endian)
    try:
        leaves = list(_leaves(tid, 0, ""))
        dtype = _record_dtype(tid)
    except ValueError as error:
        raise UnsupportedFeatureError("compound whose field names Zarr cannot hold", hint=str(error)) from error
    by_value = next((f"compound with {element.by_value}" for _, _, element in leaves if element.by_value), "")
    if any(element.storage for _, _, element in leaves):
        by_value = by_value or "compound with fields that need a codec"
    ends = np.cumsum([element.dtype.itemsize for _, _, element in leaves])
    packed = [position for position, _, _ in leaves] == [0, *ends[:-1].tolist()] and int(ends[-1]) == tid.get_size()
    orders = {element.endian for _, _, element in leaves} - {None}
    if packed and len(orders) <= 1:
        return ElementType(dtype, next(iter(orders), None), by_value=by_value)
    fields = [part for position, _, element in leaves for part in _parts(position, element)]
    record = Codec("manifestry.record", {"itemsize": tid.get_size(), "fields": fields})
    return ElementType(dtype, "little" if orders else None, storage=(record,), by_value=by_value)


def _is_complex(tid: Any) -> bool:
    """Whether a compound is a complex number as h5py and many others write it: two IEEE floats ``r`` and ``i``."""
    if tid.get_nmembers() != 2 or [tid.get_member_name(i) for i in (0, 1)] != [b"r", b"i"]:
        return False
    real, imaginary = tid.get_member_type(0), tid.get_member_type(1)
    if real.get_class() != h5t.FLOAT or not real.equal(imaginary) or real.get_size() not in (4, 8):
        return False
    half = real.get_size()
    return (tid.get_member_offset(0), tid.get_member_offset(1), tid.get_size()) == (0, half, 2 * half)


def _leaves(tid: Any, start: int, prefix: str) -> Iterator[tuple[int, str, ElementType]]:
    """Position, dotted name and type of every field that is no compound itself."""
    for i in range(tid.get_nmembers()):
        member, position = tid.get_member_type(i), start + tid.get_member_offset(i)
        name = prefix + tid.get_member_name(i).decode()
        if member.get_class() == h5t.COMPOUND and not _is_complex(member):
            yield from _leaves(member, position, f"{name}.")
            continue
        element = element_type(member)
        if element.shape:
            raise UnsupportedFeatureError("compound with a field that is an array", name, "Zarr's structs have none")
        if element.dtype.kind in "TO":
            raise UnsupportedFeatureError(f"compound with {element.by_value}", name, "Zarr's structs have none")
        yield position, name, element


def _record_dtype(tid: Any) -> np.dtype[Any]:
    fields = []
    for i in range(tid.get_nmembers()):
        member, name = tid.get_member_type(i), tid.get_member_name(i).decode()
        nested = member.get_class() == h5t.COMPOUND and not _is_complex(member)
        fields.append((name, _record_dtype(member) if nested else element_type(member).dtype))
    return np.dtype(fields)


def _parts(position: int, element: ElementType) -> Iterator[list[int]]:
    """The numbers of a field as the record codec takes them: a complex number is two."""
    size, swap = element.dtype.itemsize, int(element.endian == "big")
    if element.dtype.kind == "c":
        yield [position, size // 2, swap]
        yield [position + size // 2, size // 2, swap]
    else:
        yield [position, size, swap]


def _refuse(feature: str, hint: str) -> Any:
    def refuse(tid: Any) -> ElementType:  # noqa: ARG001 the signature of all readers
        raise UnsupportedFeatureError(feature, hint=hint)

    return refuse


_READERS: Final = {
    h5t.INTEGER: _integer,
    h5t.BITFIELD: _bitfield,
    h5t.FLOAT: _float,
    h5t.STRING: _string,
    h5t.ENUM: _enumeration,
    h5t.OPAQUE: _opaque,
    h5t.ARRAY: _array,
    h5t.COMPOUND: _compound,
    h5t.VLEN: _refuse("variable-length sequences", "Zarr has no such type"),
    h5t.REFERENCE: _refuse("references as elements", "they point into the file; read them with h5py"),
    h5t.TIME: _refuse("HDF5 times", "Zarr has no such type"),
}
if hasattr(h5t, "COMPLEX"):  # HDF5 2.0
    _READERS[h5t.COMPLEX] = _complex
