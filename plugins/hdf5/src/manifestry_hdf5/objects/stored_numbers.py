"""Stored bytes → numbers: integers of some bits, floats of any fields (specification, section IV.A.2.d, classes 0, 1, 4).

Floats become the IEEE 754 type, or numpy's ``longdouble``, that holds each of them exactly; those that need more than any
has are looked at one by one.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from manifestry.plugin import UnsupportedFeatureError
from numpy.typing import NDArray

from manifestry_hdf5.structures.data_objects.datatype import Bitfield, FixedPoint, FloatingPoint, Normalization
from manifestry_hdf5.structures.fields import integers

__all__ = ["float_dtype", "floats_of", "integer_dtype", "integers_of", "is_ieee", "narrowed"]

type Octets = NDArray[np.uint8]
"""Bytes of elements, ``(n, size)``."""

_IEEE: Final = {2: (10, 5, 15), 4: (23, 8, 127), 8: (52, 11, 1023)}
"""Size → bits of mantissa and exponent, and the bias of the exponent."""

_EXTENDED: Final = (79, (64, 15), (0, 64), 16383, Normalization.NONE)
"""Sign, exponent, mantissa, bias and normalization of the extended precision of x86."""

_MARKS: Final = {"little": "<", "big": ">"}


def integer_dtype(datatype: FixedPoint | Bitfield) -> np.dtype[Any]:
    """The type that numpy has for integers, in the byte order of the file; a bitfield has no sign.

    Raises
    ------
    UnsupportedFeatureError
        numpy has none of this size.
    """
    if datatype.size not in (1, 2, 4, 8):
        raise UnsupportedFeatureError(f"integers of {datatype.size} bytes", hint="repack with a type that Zarr has")
    signed = isinstance(datatype, FixedPoint) and datatype.signed
    return np.dtype(f"{_mark(datatype)}{'i' if signed else 'u'}{datatype.size}")


def integers_of(octets: Octets, datatype: FixedPoint | Bitfield) -> NDArray[Any]:
    """Integers in native byte order, ``(n,)``; of those that do not take all bits, the highest is the sign."""
    stored = integer_dtype(datatype)
    numbers = _view(octets, stored)
    above = 8 * datatype.size - datatype.precision - datatype.offset
    if above or datatype.offset:
        numbers <<= numbers.dtype.type(above)
        numbers >>= numbers.dtype.type(above + datatype.offset)
    return numbers


def float_dtype(datatype: FloatingPoint) -> np.dtype[Any]:
    """The smallest type of numpy that holds every value of a type, in the byte order of the file; else ``longdouble``."""
    mark, exponent, mantissa, bias = _mark(datatype), datatype.exponent[1], datatype.mantissa[1], datatype.bias
    for size, (most_mantissa, _, most_bias) in _IEEE.items():
        in_range = (1 << exponent) - bias - 1 <= most_bias + 1 and bias <= most_bias
        if size >= datatype.size and mantissa <= most_mantissa and in_range:
            return np.dtype(f"{mark}f{size}")
    return np.dtype(np.longdouble).newbyteorder("<" if mark == "<" else ">")


def floats_of(octets: Octets, datatype: FloatingPoint) -> NDArray[Any]:
    """Floats in native byte order, ``(n,)``, of the type that `float_dtype` says.

    Raises
    ------
    UnsupportedFeatureError
        One has more digits than numpy's ``longdouble``, or libhdf5 does not read floats of this form either.
    """
    dtype = float_dtype(datatype)
    native = dtype.newbyteorder("=")
    if is_ieee(datatype):
        return _view(octets, dtype)
    if datatype.normalization is Normalization.HIGHEST_BIT_SET:
        raise UnsupportedFeatureError("floats whose highest bit of the mantissa is always set", hint="repack them")
    little = octets[:, ::-1] if datatype.order == "big" else octets
    if _is_extended(datatype, native):
        return _extended(little, native)
    if native != np.longdouble or native.itemsize <= 8:
        return _from_fields(integers(little), datatype, native)
    words = [int.from_bytes(row, "little") for row in map(bytes, little)]
    return np.array([_wide_float(word, datatype) for word in words], native)


def narrowed(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Floats or complex numbers as another type, which has to hold each of them exactly.

    Raises
    ------
    UnsupportedFeatureError
        It does not; the first that it does not hold is named.
    """
    if values.dtype.newbyteorder("=") not in (np.longdouble, np.clongdouble) or dtype.itemsize >= values.dtype.itemsize:
        return values.astype(dtype, copy=False)
    with np.errstate(all="ignore"):
        narrow = values.astype(dtype)
        same = [
            (part == wide) | (np.isnan(part) & np.isnan(wide))
            for part, wide in ((narrow.real, values.real), (narrow.imag, values.imag))
        ]
    inexact = np.flatnonzero(~(same[0] & same[1]))
    if inexact.size:
        first = f"the first of {inexact.size} is {values[inexact[0]]!s}; read them with h5py"
        raise UnsupportedFeatureError(f"long double that {dtype.name} does not hold", hint=first)
    return narrow


def _mark(datatype: FixedPoint | Bitfield | FloatingPoint) -> str:
    if datatype.order == "vax":
        raise UnsupportedFeatureError("VAX byte order")
    return _MARKS[datatype.order]


def _view(octets: Octets, stored: np.dtype[Any]) -> NDArray[Any]:
    """Elements of a type that numpy has, in native byte order and in memory of their own."""
    return np.ascontiguousarray(octets).view(stored)[:, 0].astype(stored.newbyteorder("="))


def is_ieee(datatype: FloatingPoint) -> bool:
    """Whether numpy has the type as it is."""
    if datatype.size not in _IEEE or datatype.normalization is not Normalization.HIGHEST_BIT_IMPLIED:
        return False
    mantissa, exponent, bias = _IEEE[datatype.size]
    fields = datatype.sign, datatype.exponent, datatype.mantissa, datatype.bias
    return fields == (mantissa + exponent, (mantissa, exponent), (0, mantissa), bias)


def _is_extended(datatype: FloatingPoint, native: np.dtype[Any]) -> bool:
    """Whether a type is the ``longdouble`` of this machine, and that the one of x86."""
    fields = datatype.sign, datatype.exponent, datatype.mantissa, datatype.bias, datatype.normalization
    return fields == _EXTENDED and native == np.longdouble and np.finfo(np.longdouble).nmant == 63


def _extended(little: Octets, native: np.dtype[Any]) -> NDArray[Any]:
    """Numbers of extended precision: ten bytes, and others that pad them."""
    padded = np.zeros((len(little), native.itemsize), "u1")
    padded[:, :10] = little[:, :10]
    return padded.view(native)[:, 0]


def _from_fields(words: NDArray[np.uint64], datatype: FloatingPoint, native: np.dtype[Any]) -> NDArray[Any]:
    """Numbers from their fields, as libhdf5 puts them together (``H5T__conv_f_f``)."""
    (low, bits), (lowest, digits) = datatype.exponent, datatype.mantissa
    exponent, mantissa = _field(words, low, bits), _field(words, lowest, digits)
    implied = datatype.normalization is Normalization.HIGHEST_BIT_IMPLIED
    special, small = exponent == (1 << bits) - 1, exponent == 0
    power = exponent.astype("i8") - (datatype.bias + digits) + (small if implied else 1)  # what the last bit is worth
    infinite = mantissa == 0
    if implied:
        whole = np.where(small, mantissa, mantissa | np.uint64(1 << digits))
    else:  # libhdf5 takes a mantissa of zero for a 1 below its last bit
        hollow = infinite & ~small
        whole, power = np.where(hollow, np.uint64(1), mantissa), power - hollow
        infinite |= mantissa == 1 << (digits - 1)
    values: NDArray[Any] = np.ldexp(np.where(special, 0, whole).astype("f8"), power).astype(native)
    values[special & infinite] = np.inf
    integer = np.dtype(f"u{native.itemsize}")
    values.view(integer)[special & ~infinite] = np.iinfo(integer).max >> 1  # a NaN as libhdf5 writes it
    return np.where(_field(words, datatype.sign, 1) != 0, -values, values)


def _field(words: NDArray[np.uint64], low: int, bits: int) -> NDArray[np.uint64]:
    field: NDArray[np.uint64] = words >> np.uint64(low) & np.uint64((1 << bits) - 1)
    return field


def _wide_float(word: int, datatype: FloatingPoint) -> Any:
    """One number of more than eight bytes."""
    (low, bits), (lowest, digits) = datatype.exponent, datatype.mantissa
    exponent, mantissa = word >> low & ((1 << bits) - 1), word >> lowest & ((1 << digits) - 1)
    sign = np.longdouble(-1 if word >> datatype.sign & 1 else 1)
    implied = datatype.normalization is Normalization.HIGHEST_BIT_IMPLIED
    if exponent == (1 << bits) - 1:
        infinite = not mantissa or (not implied and mantissa == 1 << (digits - 1))
        return np.copysign(np.longdouble(np.inf if infinite else np.nan), sign)
    if implied and exponent:
        mantissa |= 1 << digits
    power = exponent - datatype.bias - digits + (0 if implied and exponent else 1)
    if exponent and not mantissa and not implied:
        mantissa, power = 1, power - 1  # as above
    zeros = (mantissa & -mantissa).bit_length() - 1 if mantissa else 0
    mantissa, power = mantissa >> zeros, power + zeros
    limits = np.finfo(np.longdouble)
    most = int(limits.maxexp) - mantissa.bit_length()
    if mantissa.bit_length() > limits.nmant + 1 or (mantissa and not limits.minexp - limits.nmant <= power <= most):
        first = f"the first is {'-' if sign < 0 else ''}{mantissa:#x} * 2**{power}; read them with h5py"
        raise UnsupportedFeatureError("floats that numpy's longdouble does not hold", hint=first)
    return sign * np.ldexp(np.longdouble(mantissa), power)
