"""Datatype message → element type (HDF5 File Format Specification, section IV.A.2.d)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np
from h5py import h5t
from manifestry.plugin import Codec, UnsupportedFeatureError, is_variable_length, record_layout, serializer
from numpy.lib.recfunctions import repack_fields

__all__ = ["ElementType", "Endian", "element_type", "is_integer"]

Endian = Literal["little", "big"]


@dataclass(frozen=True, slots=True, kw_only=True)
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
    texts
        Whether records hold texts whose length is not known before they are read.
    members
        Type of the members of variable-length sequences; None where elements are no sequences. `dtype` is ``object``
        then, or in a dataset of one sequence the same.
    """

    dtype: np.dtype[Any]
    endian: Endian | None = None
    shape: tuple[int, ...] = ()
    storage: tuple[Codec, ...] = ()
    by_value: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict, compare=False)
    texts: bool = False
    members: np.dtype[Any] | None = None

    @property
    def bytes_codec(self) -> Codec:
        """The codec that makes bytes of elements."""
        return serializer(self.dtype, self.endian or "little")


def is_integer(dtype: np.dtype[Any]) -> bool:
    """Whether elements are integers; numpy has time differences among them, which are none."""
    return issubclass(dtype.type, np.integer) and not issubclass(dtype.type, np.timedelta64)


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
    """As an unsigned integer. h5py does not offer its properties, so they are read from the message itself."""
    message = tid.encode()[2:]
    order: Endian | None = ("big" if message[1] & 1 else "little") if tid.get_size() > 1 else None
    offset, precision = int.from_bytes(message[8:10], "little"), int.from_bytes(message[10:12], "little")
    return _fixed_point(tid.get_size(), precision, offset, order, signed=False)


def _fixed_point(size: int, precision: int, offset: int, endian: Endian | None, *, signed: bool) -> ElementType:
    if size not in (1, 2, 4, 8):
        raise UnsupportedFeatureError(f"integers of {size} bytes", hint="repack with a type that Zarr has")
    dtype = np.dtype(f"{'i' if signed else 'u'}{size}")
    if (precision, offset) == (8 * size, 0):
        return ElementType(dtype=dtype, endian=endian)
    bits = {"itemsize": size, "precision": precision, "offset": offset, "signed": signed, "order": endian or "little"}
    return ElementType(dtype=dtype, endian=endian, storage=(Codec("manifestry.bits", bits),))


def _float(tid: Any) -> ElementType:
    size, fields = tid.get_size(), tid.get_fields()
    usual = (*fields, tid.get_ebias()) == _IEEE.get(size) and tid.get_precision() == 8 * size and not tid.get_offset()
    if usual and tid.get_norm() == h5t.NORM_IMPLIED:
        return ElementType(dtype=np.dtype(f"f{size}"), endian=_order(tid))
    if fields == (15, 7, 8, 0, 7):
        raise UnsupportedFeatureError("bfloat16", hint="Zarr has no such type")
    if size > 8:
        raise UnsupportedFeatureError("long double", hint="Zarr has no such type")
    return ElementType(dtype=_ieee_dtype(tid), by_value="floats that are not IEEE 754")


def _ieee_dtype(tid: Any) -> np.dtype[Any]:
    """The IEEE type that holds every value of a float with other fields: the one h5py reads it into."""
    _, _, exponent, _, mantissa = tid.get_fields()
    dtype: np.dtype[Any] = tid.dtype
    room = {2: (5, 10), 4: (8, 23), 8: (11, 52)}.get(dtype.itemsize)
    if not np.issubdtype(dtype, np.floating) or room is None or exponent > room[0] or mantissa > room[1]:
        raise UnsupportedFeatureError("floats that no IEEE 754 type holds", hint="Zarr has no such type")
    return dtype.newbyteorder("=")


def _complex(tid: Any) -> ElementType:
    part = _float(tid.get_super())
    if part.dtype.itemsize == 2:
        raise UnsupportedFeatureError("complex numbers of half precision", hint="Zarr has no such type")
    return ElementType(dtype=np.dtype(f"c{2 * part.dtype.itemsize}"), endian=part.endian)


def _string(tid: Any) -> ElementType:
    if tid.is_variable_str():
        return ElementType(dtype=np.dtypes.StringDType(), by_value="variable-length strings")
    size, padding = tid.get_size(), tid.get_strpad()
    element = ElementType(dtype=np.dtype(f"S{size}"))
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
    if dict(zip(names, values.tolist(), strict=True)) == {"FALSE": 0, "TRUE": 1}:  # as h5py writes booleans, in a byte
        size = base.dtype.itemsize
        return ElementType(dtype=np.dtype("?"), by_value="" if size == 1 else f"booleans of {size} bytes")
    flags = {"flag_values": values, "flag_meanings": " ".join(name.replace(" ", "_") for name in names)}
    return replace(base, attributes=flags if names else {})


_NUMPY_ONLY: Final = (np.datetime64, np.timedelta64, np.str_)
"""Types that numpy has and HDF5 has not."""


def _opaque(tid: Any) -> ElementType:
    try:
        dtype = tid.dtype
    except (TypeError, ValueError, SyntaxError) as error:
        raise UnsupportedFeatureError(f"opaque elements tagged {tid.get_tag()!r}") from error
    if np.issubdtype(dtype, np.void) and dtype.fields is None:
        return ElementType(dtype=np.dtype(f"V{tid.get_size()}"))
    if issubclass(dtype.type, _NUMPY_ONLY):  # as h5py stores them
        return ElementType(dtype=dtype.newbyteorder("="), endian="big" if dtype.byteorder == ">" else "little")
    if np.issubdtype(dtype, np.bytes_):
        return ElementType(dtype=dtype)
    raise UnsupportedFeatureError(f"opaque elements tagged {tid.get_tag()!r}")


def _array(tid: Any) -> ElementType:
    base = element_type(tid.get_super())
    if base.members is not None:
        raise UnsupportedFeatureError(f"arrays of {base.by_value}")
    return replace(base, shape=tuple(int(n) for n in tid.get_array_dims()) + base.shape)


def _compound(tid: Any) -> ElementType:
    """A record; codecs that act on single fields cannot be chained, so records with such fields have no reference."""
    if not tid.get_nmembers():
        raise UnsupportedFeatureError("compound without fields")
    if _is_complex(tid):
        part = _float(tid.get_member_type(0))
        return ElementType(dtype=np.dtype(f"c{2 * part.dtype.itemsize}"), endian=part.endian)
    obstacles = _Obstacles()
    try:
        stored = _stored_dtype(tid, obstacles)
    except ValueError as error:
        raise UnsupportedFeatureError("compound whose field names Zarr cannot hold", hint=str(error)) from error
    if not obstacles.reasons:
        try:
            layout = record_layout(stored)
        except UnsupportedFeatureError as error:  # too much for a codec
            obstacles.reasons.append(error.feature)
        else:
            return ElementType(dtype=layout.dtype, endian=layout.endian, storage=layout.codecs)
    packed = repack_fields(stored, recurse=True).newbyteorder("=")
    return ElementType(dtype=packed, by_value=obstacles.reasons[0], texts=obstacles.texts)


def _is_complex(tid: Any) -> bool:
    """Whether a compound is a complex number as h5py and many others write it: two IEEE floats ``r`` and ``i``."""
    if tid.get_nmembers() != 2 or [tid.get_member_name(i) for i in (0, 1)] != [b"r", b"i"]:
        return False
    real, imaginary = tid.get_member_type(0), tid.get_member_type(1)
    if real.get_class() != h5t.FLOAT or not real.equal(imaginary) or real.get_size() not in (4, 8):
        return False
    half = real.get_size()
    return (tid.get_member_offset(0), tid.get_member_offset(1), tid.get_size()) == (0, half, 2 * half)


@dataclass(slots=True)
class _Obstacles:
    """Why there are no references to a record, and whether texts of variable length are among the reasons."""

    reasons: list[str] = field(default_factory=list)
    texts: bool = False


def _stored_dtype(tid: Any, obstacles: _Obstacles) -> np.dtype[Any]:
    """The dtype of a record or of a field as the file has it; packed when there are obstacles to references to it.

    Variable-length strings are texts of one character here: how long they are is seen when they are copied.
    """
    if tid.get_class() == h5t.ARRAY:
        return np.dtype((_stored_dtype(tid.get_super(), obstacles), tuple(int(n) for n in tid.get_array_dims())))
    if tid.get_class() == h5t.COMPOUND and not _is_complex(tid):
        members = range(tid.get_nmembers())
        names = [tid.get_member_name(i).decode() for i in members]
        dtypes: list[Any] = [_stored_dtype(tid.get_member_type(i), obstacles) for i in members]
        if obstacles.reasons:  # fields may have another size than in the file
            return np.dtype(list(zip(names, dtypes, strict=True)))
        offsets = [tid.get_member_offset(i) for i in members]
        layout = {"names": names, "formats": dtypes, "offsets": offsets, "itemsize": tid.get_size()}
        return np.dtype(layout)  # type: ignore[call-overload,no-any-return]
    element = element_type(tid)
    if element.members is not None:
        raise UnsupportedFeatureError(f"compound with {element.by_value}", hint="Zarr's structs have none")
    if is_variable_length(element.dtype):
        obstacles.texts = True
        obstacles.reasons.append("compound with variable-length strings")
        return np.dtype("U1")
    if element.by_value:
        obstacles.reasons.append(f"compound with {element.by_value}")
    if element.storage:
        obstacles.reasons.append("compound with fields that need a codec")
    return element.dtype.newbyteorder(">" if element.endian == "big" else "<")


def _sequence(tid: Any) -> ElementType:
    """Sequences of members that have bytes of their own; how many there are differs from element to element."""
    members = element_type(tid.get_super())
    times_or_texts = is_variable_length(members.dtype) or issubclass(members.dtype.type, _NUMPY_ONLY)
    if members.shape or members.texts or times_or_texts:
        raise UnsupportedFeatureError("variable-length sequences of texts, arrays or sequences")
    return replace(
        members, dtype=np.dtype(object), storage=(), by_value="variable-length sequences", members=members.dtype
    )


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
    h5t.VLEN: _sequence,
    h5t.REFERENCE: _refuse("references as elements", "they point into the file; read them with h5py"),
    h5t.TIME: _refuse("HDF5 times", "Zarr has no such type"),
}
if hasattr(h5t, "COMPLEX"):  # HDF5 2.0
    _READERS[h5t.COMPLEX] = _complex
