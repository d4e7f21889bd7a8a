"""Random datatypes of HDF5, and elements of them as they are in memory.

An element is made as bytes in the form of its own type, so that libhdf5 converts nothing when it is written: bits that
are padding, signalling NaN and the ends of texts get to the file as they are.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from h5py import h5t

ORDERS = (h5t.ORDER_LE, h5t.ORDER_BE)
POINTER = 8


@cache
def library():
    """The libhdf5 that h5py has loaded, for what h5py does not offer."""
    with Path("/proc/self/maps").open() as maps:
        return ctypes.CDLL(next(line.split()[-1] for line in maps if "h5py.libs/libhdf5-" in line))


def call(function, *arguments):
    """Call a function of libhdf5: identifiers and numbers as 64-bit integers, bytes as a pointer to them."""
    converted = [argument if isinstance(argument, bytes) else ctypes.c_int64(argument) for argument in arguments]
    if getattr(library(), function)(*converted) < 0:
        raise OSError(function)


@dataclass(frozen=True)
class Kind:
    """A datatype and how an element of it is made: ``element(rng, keep)``, what it points at being kept in `keep`."""

    tid: h5t.TypeID
    element: Callable
    pointers: bool = False

    def elements(self, rng, count, keep):
        """The bytes of some elements, one after the other."""
        return b"".join(self.element(rng, keep) for _ in range(count))


def _random_bytes(tid):
    size = tid.get_size()
    return Kind(tid, lambda rng, keep: rng.randbytes(size))


def integer(rng):
    """Of 1, 2, 4 or 8 bytes, rarely of 3, of either order; some have padding."""
    size = rng.choice((1, 2, 4, 8))
    tid = h5t.py_create(np.dtype(f"{rng.choice('iu')}{size}")).copy()
    tid.set_order(rng.choice(ORDERS))
    if rng.random() < 0.2:
        precision = rng.randint(1, 8 * size)
        tid.set_precision(precision)
        tid.set_offset(rng.randint(0, 8 * size - precision))
    elif rng.random() < 0.03:
        tid.set_size(size + 1)
    return _random_bytes(tid)


def floating(rng):
    """IEEE 754 of 2, 4 and 8 bytes, and others."""
    chance = rng.random()
    if chance < 0.1:
        return _random_bytes(other_float(rng))
    if chance < 0.14:
        tid = h5t.IEEE_F32LE.copy()
        tid.set_fields(15, 7, 8, 0, 7)
        tid.set_precision(16)
        tid.set_size(2)
        return _random_bytes(tid)
    if chance < 0.17:
        return Kind(h5t.NATIVE_LDOUBLE, lambda rng, keep: np.longdouble(rng.random()).tobytes())
    dtype = np.dtype(rng.choice("<>") + rng.choice(("f2", "f4", "f8")))

    def element(rng, keep):
        if rng.random() < 0.2:
            return rng.randbytes(dtype.itemsize)
        return np.array(rng.choice((0.0, -0.0, np.inf, -np.inf, np.nan, rng.gauss(0, 100))), dtype).tobytes()

    return Kind(h5t.py_create(dtype), element)


def other_float(rng):
    """A float with fields of its own that an IEEE type holds."""
    tid = h5t.IEEE_F64LE.copy()
    exponent, mantissa = rng.choice(((4, 3), (5, 2), (6, 9), (6, 20), (8, 15), (8, 23), (9, 30), (10, 45)))
    bits, order = exponent + mantissa + 1, rng.choice(ORDERS)
    tid.set_order(order)
    tid.set_fields(bits - 1, mantissa, exponent, 0, mantissa)
    tid.set_precision(bits)
    tid.set_size(rng.choice([size for size in (1, 2, 3, 4, 6, 8) if 8 * size >= bits]))
    tid.set_ebias((1 << (exponent - 1)) - 1)
    tid.set_norm(rng.choice((h5t.NORM_IMPLIED, h5t.NORM_IMPLIED, h5t.NORM_NONE)))
    return tid


def complex_number(rng):
    """Two floats in a compound, or HDF5 2.0's own."""
    native = (h5t.COMPLEX_IEEE_F32LE, h5t.COMPLEX_IEEE_F64LE, h5t.COMPLEX_IEEE_F32BE, h5t.COMPLEX_IEEE_F16LE)
    if rng.random() < 0.3:
        return _random_bytes(rng.choice(native))
    part = h5t.py_create(np.dtype(rng.choice("<>") + rng.choice(("f4", "f8"))))
    tid = h5t.create(h5t.COMPOUND, 2 * part.get_size())
    tid.insert(b"r", 0, part)
    tid.insert(b"i", part.get_size(), part)
    return _random_bytes(tid)


def enumeration(rng):
    """Booleans as h5py writes them, also of 2 bytes, and others."""
    if rng.random() < 0.5:
        base = h5t.STD_I8LE if rng.random() < 0.8 else rng.choice((h5t.STD_I16BE, h5t.STD_U16LE))
        members = {b"FALSE": 0, b"TRUE": 1}
    else:
        base = h5t.py_create(np.dtype(rng.choice("<>") + rng.choice(("i1", "u2", "i4", "u8"))))
        names = (b"a", b"with space", "ä".encode(), b"LONG_NAME_OF_A_MEMBER", b"e")
        members = dict(zip(names, rng.sample(range(120), rng.randint(1, 5)), strict=False))
    tid = h5t.enum_create(base)
    for name, value in members.items():
        tid.enum_insert(name, value)
    size, order = base.get_size(), "big" if base.get_order() == h5t.ORDER_BE else "little"
    numbers = list(members.values())
    return Kind(tid, lambda rng, keep: rng.choice(numbers).to_bytes(size, order))


TEXTS = ("", "a", "text", "two words", "ends in blanks  ", "größer", "日本", "x" * 40)


def fixed_string(rng):
    """Of each padding; a text may end before or with the last byte."""
    size, padding = rng.randint(1, 12), rng.choice((h5t.STR_NULLTERM, h5t.STR_NULLPAD, h5t.STR_SPACEPAD))
    tid = h5t.C_S1.copy()
    tid.set_size(size)
    tid.set_strpad(padding)
    tid.set_cset(rng.choice((h5t.CSET_ASCII, h5t.CSET_UTF8)))
    fill = b" " if padding == h5t.STR_SPACEPAD else b"\0"

    def element(rng, keep):
        text = rng.choice(TEXTS).encode()[: size - (padding == h5t.STR_NULLTERM)]
        return text.decode(errors="ignore").encode().ljust(size, fill)

    return Kind(tid, element)


def text(rng):
    """Strings of variable length, some of them null."""
    tid = h5t.C_S1.copy()
    tid.set_size(h5t.VARIABLE)
    tid.set_strpad(rng.choice((h5t.STR_NULLTERM, h5t.STR_NULLTERM, h5t.STR_NULLPAD, h5t.STR_SPACEPAD)))
    tid.set_cset(rng.choice((h5t.CSET_ASCII, h5t.CSET_UTF8)))

    def element(rng, keep):
        if rng.random() < 0.1:
            return bytes(POINTER)
        return _pointer(rng.choice(TEXTS).encode() + b"\0", keep)

    return Kind(tid, element, pointers=True)


def _pointer(data, keep):
    buffer = ctypes.create_string_buffer(data, len(data))
    keep.append(buffer)
    return ctypes.addressof(buffer).to_bytes(POINTER, "little")


def opaque(rng):
    """With a tag."""
    tid = h5t.create(h5t.OPAQUE, rng.randint(1, 9))
    tid.set_tag(rng.choice((b"", b"tag", b"a longer tag, with a comma")))
    return _random_bytes(tid)


def bitfield(rng):
    """Of 1 to 8 bytes."""
    names = [f"STD_B{bits}{order}" for bits in (8, 16, 32, 64) for order in ("LE", "BE")]
    return _random_bytes(getattr(h5t, rng.choice(names)))


def array(rng, depth):
    """Of one to three dimensions."""
    base = random_kind(rng, depth - 1)
    dims = tuple(rng.randint(1, 3) for _ in range(rng.randint(1, 3)))
    count = int(np.prod(dims))
    return Kind(
        h5t.array_create(base.tid, dims), lambda rng, keep: base.elements(rng, count, keep), pointers=base.pointers
    )


def compound(rng, depth):
    """With gaps in places."""
    members, offset = [], rng.choice((0, 0, 0, 2))
    names = ("a", "b", "c", "größe", "with space")
    for name in rng.sample(names, rng.randint(1, 4)):
        kind = random_kind(rng, depth - 1)
        if kind.pointers:
            offset = -(-offset // POINTER) * POINTER
        members.append((name, offset, kind))
        offset += kind.tid.get_size() + rng.choice((0, 0, 0, 1, 4))
    tid = h5t.create(h5t.COMPOUND, offset)
    for name, at, kind in members:
        tid.insert(name.encode(), at, kind.tid)

    def element(rng, keep):
        image = bytearray(offset)
        for _, at, kind in members:
            part = kind.element(rng, keep)
            image[at : at + len(part)] = part
        return bytes(image)

    return Kind(tid, element, pointers=any(kind.pointers for _, _, kind in members))


def sequence(rng, depth):
    """Sequences of variable length, some of them without members."""
    base = random_kind(rng, depth - 1) if rng.random() < 0.3 else rng.choice((integer, floating, complex_number))(rng)

    def element(rng, keep):
        count = rng.choice((0, 1, 2, 5))
        where = _pointer(base.elements(rng, count, keep), keep) if count else bytes(POINTER)
        return count.to_bytes(8, "little") + where

    return Kind(h5t.vlen_create(base.tid), element, pointers=True)


_SIMPLE = (integer, integer, floating, floating, complex_number, enumeration, fixed_string, text, opaque, bitfield)
_NESTED = (array, compound, compound, sequence)


def random_kind(rng, depth=2):
    """A datatype of any class but references and times."""
    if depth > 0 and rng.random() < 0.35:
        return rng.choice(_NESTED)(rng, depth)
    return rng.choice(_SIMPLE)(rng)
