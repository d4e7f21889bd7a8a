"""Datatype message → element type (HDF5 File Format Specification, section IV.A.2.d)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np
from manifestry.plugin import Codec, UnsupportedFeatureError, is_variable_length, record_layout, serializer
from numpy.lib.recfunctions import repack_fields

from manifestry_hdf5.structures.data_objects.datatype import (
    Array,
    Bitfield,
    Complex,
    Compound,
    Datatype,
    Enumeration,
    FixedPoint,
    FloatingPoint,
    Normalization,
    Opaque,
    Order,
    Reference,
    ReferenceKind,
    String,
    StringPadding,
    Time,
    VariableLength,
)

__all__ = ["LONG_DOUBLE", "ElementType", "Endian", "element_type", "is_integer"]

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
    references
        Whether elements are references to objects, which become the paths of those.
    narrowed
        Whether there are long doubles in an element, which become float64.
    """

    dtype: np.dtype[Any]
    endian: Endian | None = None
    shape: tuple[int, ...] = ()
    storage: tuple[Codec, ...] = ()
    by_value: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict, compare=False)
    texts: bool = False
    members: np.dtype[Any] | None = None
    references: bool = False
    narrowed: bool = False

    @property
    def bytes_codec(self) -> Codec:
        """The codec that makes bytes of elements."""
        return serializer(self.dtype, self.endian or "little")


def is_integer(dtype: np.dtype[Any]) -> bool:
    """Whether elements are integers; numpy has time differences among them, which are none."""
    return issubclass(dtype.type, np.integer) and not issubclass(dtype.type, np.timedelta64)


LONG_DOUBLE: Final = "long double"
"""Floats that float64 does not hold for all their values: of 80 bits, of 128, and others."""

_IEEE: Final = {
    2: (10, 5, 15, 15),
    4: (23, 8, 31, 127),
    8: (52, 11, 63, 1023),
}
"""Size → bits of mantissa and exponent, position of the sign, and the bias of the exponent."""


def element_type(datatype: Datatype) -> ElementType:
    """The element type of a datatype.

    Raises
    ------
    UnsupportedFeatureError
        Zarr has no such type; the feature names it.
    """
    return _READERS[type(datatype)](datatype)


def _endian(order: Order, size: int) -> Endian | None:
    if order == "vax":
        raise UnsupportedFeatureError("VAX byte order")
    return order if size > 1 else None


def _integer(datatype: FixedPoint | Bitfield) -> ElementType:
    """As an integer, a bitfield as one without sign."""
    size, precision, offset = datatype.size, datatype.precision, datatype.offset
    if size not in (1, 2, 4, 8):
        raise UnsupportedFeatureError(f"integers of {size} bytes", hint="repack with a type that Zarr has")
    signed = isinstance(datatype, FixedPoint) and datatype.signed
    endian, dtype = _endian(datatype.order, size), np.dtype(f"{'i' if signed else 'u'}{size}")
    if (precision, offset) == (8 * size, 0):
        return ElementType(dtype=dtype, endian=endian)
    bits = {"itemsize": size, "precision": precision, "offset": offset, "signed": signed, "order": endian or "little"}
    return ElementType(dtype=dtype, endian=endian, storage=(Codec("manifestry.bits", bits),))


def _float(datatype: FloatingPoint) -> ElementType:
    size, (low, exponent), (lowest, mantissa) = datatype.size, datatype.exponent, datatype.mantissa
    usual = (mantissa, exponent, datatype.sign, datatype.bias) == _IEEE.get(size) and (low, lowest) == (mantissa, 0)
    whole = (datatype.precision, datatype.offset) == (8 * size, 0)
    if usual and whole and datatype.normalization is Normalization.HIGHEST_BIT_IMPLIED:
        return ElementType(dtype=np.dtype(f"f{size}"), endian=_endian(datatype.order, size))
    _endian(datatype.order, size)
    dtype = _ieee_dtype(datatype)
    if dtype is None:
        return ElementType(dtype=np.dtype("f8"), by_value=LONG_DOUBLE, narrowed=True)
    return ElementType(dtype=dtype, by_value="floats that are not IEEE 754")


def _ieee_dtype(datatype: FloatingPoint) -> np.dtype[Any] | None:
    """The IEEE type that holds every value of a float with other fields: the one h5py reads it into; None for none."""
    exponent, mantissa, bias = datatype.exponent[1], datatype.mantissa[1], datatype.bias
    for size, (most_mantissa, most_exponent, _, most_bias) in _IEEE.items():
        in_range = (1 << exponent) - bias - 1 <= most_bias + 1 and bias <= most_bias
        if size >= datatype.size and mantissa <= most_mantissa and in_range and exponent <= most_exponent:
            return np.dtype(f"f{size}")
    return None


def _complex(datatype: Complex) -> ElementType:
    part = _float(datatype.base)
    if part.dtype.itemsize == 2:
        raise UnsupportedFeatureError("complex numbers of half precision", hint="Zarr has no such type")
    return replace(part, dtype=np.dtype(f"c{2 * part.dtype.itemsize}"))


def _string(datatype: String) -> ElementType:
    size, padding = datatype.size, datatype.padding
    element = ElementType(dtype=np.dtype(f"S{size}"))
    if padding is StringPadding.SPACE_PADDED:
        return replace(element, storage=(_fixed_string(size, "space"),))
    if padding is StringPadding.NULL_TERMINATED and size > 1:
        return replace(element, storage=(_fixed_string(size, "null-terminated"),))
    return element


def _fixed_string(length: int, padding: str) -> Codec:
    return Codec("manifestry.fixed_string", {"length": length, "padding": padding})


def _enumeration(datatype: Enumeration) -> ElementType:
    base = _integer(datatype.base)
    names = [name.decode("utf-8", "replace") for name in datatype.names]
    if dict(zip(names, datatype.values, strict=True)) == {"FALSE": 0, "TRUE": 1}:  # as h5py writes booleans, in a byte
        plain = datatype.size == 1 and not base.storage
        return ElementType(dtype=np.dtype("?"), by_value="" if plain else f"booleans of {datatype.size} bytes")
    values = np.array(datatype.values, base.dtype)
    flags = {"flag_values": values, "flag_meanings": " ".join(name.replace(" ", "_") for name in names)}
    return replace(base, attributes=flags if names else {})


_NUMPY_ONLY: Final = (np.datetime64, np.timedelta64, np.str_)
"""Types that numpy has and HDF5 has not."""


_NUMPY_TAG: Final = b"NUMPY:"
"""How h5py's tags begin that name types of numpy."""


def _opaque(datatype: Opaque) -> ElementType:
    size, tag = datatype.size, datatype.tag
    if not tag.startswith(_NUMPY_TAG):
        return ElementType(dtype=np.dtype(f"V{size}"))
    try:
        dtype = np.dtype(tag.removeprefix(_NUMPY_TAG).decode())
    except (TypeError, ValueError, SyntaxError) as error:
        raise UnsupportedFeatureError(f"opaque elements tagged {tag!r}") from error
    if np.issubdtype(dtype, np.void) and dtype.fields is None:
        return ElementType(dtype=np.dtype(f"V{size}"))
    if issubclass(dtype.type, _NUMPY_ONLY) and dtype.itemsize == size:  # as h5py stores them
        return ElementType(dtype=dtype.newbyteorder("="), endian="big" if dtype.byteorder == ">" else "little")
    if np.issubdtype(dtype, np.bytes_) and dtype.itemsize == size:
        return ElementType(dtype=dtype)
    raise UnsupportedFeatureError(f"opaque elements tagged {tag!r}")


def _array(datatype: Array) -> ElementType:
    base = element_type(datatype.base)
    if base.members is not None:
        raise UnsupportedFeatureError(f"arrays of {base.by_value}")
    return replace(base, shape=datatype.shape + base.shape)


def _compound(datatype: Compound) -> ElementType:
    """A record; codecs that act on single fields cannot be chained, so records with such fields have no reference."""
    part = _part_of_complex(datatype)
    if part is not None:
        element = _float(part)
        return replace(element, dtype=np.dtype(f"c{2 * element.dtype.itemsize}"))
    obstacles = _Obstacles()
    try:
        stored = _stored_dtype(datatype, obstacles)
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
    return ElementType(dtype=packed, by_value=obstacles.reasons[0], texts=obstacles.texts, narrowed=obstacles.narrowed)


def _part_of_complex(datatype: Datatype) -> FloatingPoint | None:
    """The type of both parts of a complex number as h5py and many others write it: two floats ``r`` and ``i``."""
    if not isinstance(datatype, Compound) or [m.name for m in datatype.members] != [b"r", b"i"]:
        return None
    real, imaginary = datatype.members
    part = real.datatype
    if not isinstance(part, FloatingPoint) or part != imaginary.datatype or part.size < 4:
        return None
    tight = (real.offset, imaginary.offset, datatype.size) == (0, part.size, 2 * part.size)
    return part if tight else None


_AS_GROUPS: Final = "compounds='groups' makes a group of it, with an array for each field"
"""What helps where structs of Zarr cannot hold a field."""


@dataclass(slots=True)
class _Obstacles:
    """Why there are no references to a record, and whether texts of variable length or long doubles are among the reasons."""

    reasons: list[str] = field(default_factory=list)
    texts: bool = False
    narrowed: bool = False


def _stored_dtype(datatype: Datatype, obstacles: _Obstacles) -> np.dtype[Any]:
    """The dtype of a record or of a field as the file has it; packed when there are obstacles to references to it.

    Variable-length strings are texts of one character here: how long they are is seen when they are copied.
    """
    if isinstance(datatype, Array):
        return np.dtype((_stored_dtype(datatype.base, obstacles), datatype.shape))
    if isinstance(datatype, Compound) and _part_of_complex(datatype) is None:
        names = [member.name.decode() for member in datatype.members]
        dtypes: list[Any] = [_stored_dtype(member.datatype, obstacles) for member in datatype.members]
        if obstacles.reasons:  # fields may have another size than in the file
            return np.dtype(list(zip(names, dtypes, strict=True)))
        offsets = [member.offset for member in datatype.members]
        layout = {"names": names, "formats": dtypes, "offsets": offsets, "itemsize": datatype.size}
        return np.dtype(layout)  # type: ignore[call-overload,no-any-return]
    element = element_type(datatype)
    if element.members is not None or element.references:
        raise UnsupportedFeatureError(f"compound with {element.by_value}", hint=_AS_GROUPS)
    if is_variable_length(element.dtype):
        obstacles.texts = True
        obstacles.reasons.append(f"compound with {element.by_value}")
        return np.dtype("U1")
    obstacles.narrowed |= element.narrowed
    if element.by_value:
        obstacles.reasons.append(f"compound with {element.by_value}")
    if element.storage:
        obstacles.reasons.append("compound with fields that need a codec")
    return element.dtype.newbyteorder(">" if element.endian == "big" else "<")


def _variable_length(datatype: VariableLength) -> ElementType:
    """Texts, or sequences of members that have bytes of their own: how many differs from element to element."""
    if datatype.text:
        return ElementType(dtype=np.dtypes.StringDType(), by_value="variable-length strings")
    members = element_type(datatype.base)
    times_or_texts = is_variable_length(members.dtype) or issubclass(members.dtype.type, _NUMPY_ONLY)
    if members.shape or members.texts or times_or_texts:
        raise UnsupportedFeatureError("variable-length sequences of texts, arrays or sequences")
    return replace(
        members, dtype=np.dtype(object), storage=(), by_value="variable-length sequences", members=members.dtype
    )


def _reference(datatype: Reference) -> ElementType:
    if datatype.kind not in (ReferenceKind.OBJECT, ReferenceKind.NEW_OBJECT):
        kind = "regions" if datatype.kind is not ReferenceKind.ATTRIBUTE else "attributes"
        raise UnsupportedFeatureError(f"references to {kind} as elements", hint="read them with h5py")
    return ElementType(dtype=np.dtypes.StringDType(), by_value="references as elements", references=True)


def _time(_: Time) -> ElementType:
    raise UnsupportedFeatureError("HDF5 times", hint="Zarr has no such type")


_READERS: Final[dict[type, Callable[[Any], ElementType]]] = {
    FixedPoint: _integer,
    Bitfield: _integer,
    FloatingPoint: _float,
    String: _string,
    Enumeration: _enumeration,
    Opaque: _opaque,
    Array: _array,
    Compound: _compound,
    VariableLength: _variable_length,
    Complex: _complex,
    Reference: _reference,
    Time: _time,
}
