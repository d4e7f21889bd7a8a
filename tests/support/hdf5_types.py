"""Datatypes of every class, and what a file holds for elements of them, for several tests."""

import ctypes
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
from h5py import h5a, h5d, h5s, h5t
from hdf5_library import address_of, library
from manifestry_hdf5.structures.batched_reads import read_alone
from manifestry_hdf5.structures.data_objects.object_header import read_messages
from manifestry_hdf5.structures.file_metadata.superblock import Superblock
from manifestry_hdf5.structures.infrastructure.global_heap import GlobalHeap

SUPERBLOCK = Superblock(base=0, offset_size=8, length_size=8)


def integer(code, precision, offset):
    tid = h5t.py_create(np.dtype(code))
    tid.set_precision(precision)
    tid.set_offset(offset)
    return tid


def string(size, padding):
    tid = h5t.C_S1.copy()
    tid.set_size(size)
    tid.set_strpad(padding)
    return tid


def opaque(size, tag):
    tid = h5t.create(h5t.OPAQUE, size)
    tid.set_tag(tag)
    return tid


def enumeration(base, **values):
    tid = h5t.enum_create(base)
    for name, value in values.items():
        tid.enum_insert(name.encode(), value)
    return tid


def float_of(size, *, sign, exponent, mantissa, bias, order=h5t.ORDER_LE, norm=h5t.NORM_IMPLIED):
    """A float whose fields lie anywhere in its bytes."""
    tid = h5t.IEEE_F64LE.copy()
    if size > 8:  # fields must lie in it at any time
        tid.set_size(size)
        tid.set_precision(8 * size)
    tid.set_fields(sign, *exponent, *mantissa)
    tid.set_size(size)
    tid.set_precision(8 * size)
    tid.set_ebias(bias)
    tid.set_norm(norm)
    tid.set_order(order)
    return tid


def record(*members, size):
    tid = h5t.create(h5t.COMPOUND, size)
    for name, offset, member in members:
        tid.insert(name.encode(), offset, member)
    return tid


SMALL = float_of(1, sign=7, exponent=(3, 4), mantissa=(0, 3), bias=7)
SHORT = float_of(2, sign=0, exponent=(1, 4), mantissa=(6, 9), bias=7, order=h5t.ORDER_BE)
ODD = float_of(3, sign=20, exponent=(1, 6), mantissa=(8, 11), bias=31, order=h5t.ORDER_BE)
WIDE = float_of(4, sign=31, exponent=(1, 6), mantissa=(8, 20), bias=31)
COLOUR = enumeration(h5t.STD_I16BE, red=1, green=300)
BOOLEAN = h5t.py_create(np.dtype("?"), logical=True)
PART = record(("x", 1, h5t.STD_I16BE), ("y", 4, h5t.IEEE_F32LE), size=10)

TYPES = {
    **{f"integer {code}": h5t.py_create(np.dtype(code)) for code in ("i1", "<u2", ">i4", "<i8", ">u8")},
    **{f"float {code}": h5t.py_create(np.dtype(code)) for code in ("<f2", ">f2", "<f4", ">f8")},
    "bits": integer("<i4", 12, 5),
    "bits big": integer(">u2", 9, 3),
    "bits of eight bytes": integer(">i8", 33, 30),
    "one bit": integer("u1", 1, 0),
    "bitfield": h5t.STD_B16BE,
    "small float": SMALL,
    "odd float": ODD,
    "bfloat16": float_of(2, sign=15, exponent=(7, 8), mantissa=(0, 7), bias=127),
    "float without implied bit": float_of(4, sign=31, exponent=(23, 8), mantissa=(0, 23), bias=127, norm=h5t.NORM_NONE),
    "null-terminated": string(6, h5t.STR_NULLTERM),
    "one character": string(1, h5t.STR_NULLTERM),
    "null-padded": string(6, h5t.STR_NULLPAD),
    "space-padded": string(6, h5t.STR_SPACEPAD),
    "boolean": BOOLEAN,
    "wide boolean": enumeration(h5t.STD_I16BE, FALSE=0, TRUE=1),
    "enumeration": COLOUR,
    "enumeration of bits": enumeration(integer("<i2", 6, 3), a=0, b=1),
    "raw bytes": h5t.py_create(np.dtype("V5")),
    "time": opaque(8, b"NUMPY:>M8[s]"),
    "characters": opaque(8, b"NUMPY:<U2"),
    "complex": h5t.py_create(np.dtype(">c8")),
    "complex of HDF5 2.0": h5t.COMPLEX_IEEE_F64BE,
    "odd complex": record(("r", 0, WIDE), ("i", 4, WIDE), size=8),
    "array": h5t.array_create(h5t.STD_I16BE, (2, 3)),
    "array of bits": h5t.array_create(integer("<i4", 12, 5), (2,)),
    "array of records": h5t.array_create(PART, (2,)),
    "record": record(("a", 0, h5t.STD_I32BE), ("b", 4, h5t.array_create(h5t.IEEE_F64BE, (2,))), size=20),
    "record with gaps": PART,
    "record out of order": record(("e", 4, h5t.STD_I32LE), ("d", 0, h5t.STD_I32LE), size=8),
    "record of odd numbers": record(("e", 0, integer("<i4", 12, 5)), ("f", 4, SHORT), ("b", 6, BOOLEAN), size=7),
    "record of texts": record(*((f"s{p}", 4 * p, string(4, p)) for p in (0, 1, 2)), size=12),
    "record of records": record(
        ("p", 0, PART), ("c", 10, COLOUR), ("a", 12, h5t.array_create(BOOLEAN, (2, 2))), ("h", 16, h5t.IEEE_F16BE), size=20
    ),
}  # fmt: skip


def raw_elements(name, tid, count, rng):
    """Bytes of elements, any that their type allows."""
    octets = rng.integers(0, 256, (count, tid.get_size()), dtype="u1")
    if "boolean" in name:
        octets &= np.frombuffer(b"\0" * (tid.get_size() - 1) + b"\1", "u1")
    if name == "characters":
        octets[:] = np.frombuffer("ab".encode("utf-32-le"), "u1")
    if name == "record of odd numbers":
        octets[:, 6] &= 1
    if name == "record of records":
        octets[:, 12:16] &= 1
    texts = [slice(None)] if "padded" in name or "term" in name else [slice(0, 12)] if name == "record of texts" else []
    for columns in texts:  # with much padding
        octets[:, columns] = rng.choice(np.frombuffer(b"ab\0 ", "u1"), octets[:, columns].shape)
    return octets


def write_raw(location, tid, octets, shape=None):
    """A contiguous dataset with the bytes of its elements."""
    dataset = h5d.create(location.id, b"d", tid, h5s.create_simple(shape or (len(octets),)))
    elements = np.ascontiguousarray(octets).view(f"V{tid.get_size()}").reshape(shape or len(octets))
    dataset.write(h5s.ALL, h5s.ALL, elements, tid)
    return h5py.Dataset(dataset)


def write_raw_attribute(location, tid, octets, shape):
    attribute = h5a.create(location.id, b"a", tid, h5s.create_simple(shape) if shape else h5s.create(h5s.SCALAR))
    number, kind = ctypes.c_int64(attribute.id), ctypes.c_int64(tid.id)
    assert library().H5Awrite(number, kind, ctypes.c_char_p(octets.tobytes())) >= 0


class FileBytes:
    """A closed or flushed file, by its bytes."""

    def __init__(self, path):
        self.octets = Path(path).read_bytes()
        self.heap = GlobalHeap(self.read, SUPERBLOCK)

    def read(self, start, stop):
        return self.octets[start:stop]

    def message(self, thing, kind):
        """The first message of a kind in the header of an open object."""
        superblock = replace(SUPERBLOCK, size=len(self.octets))
        messages = read_alone(read_messages(superblock, address_of(thing.id)), self.fetch)
        return next(message.data for message in messages if message.kind == kind)

    def fetch(self, wanted):
        return [
            np.stack([np.frombuffer(self.octets, "u1", blocks.length, at) for at in blocks.positions.tolist()])
            for blocks in wanted
        ]


def objects(items, shape=None):
    """An array of objects; numpy would make one of several dimensions of lists of one length."""
    array = np.empty(len(items), object)
    for i, item in enumerate(items):
        array[i] = item
    return array.reshape(shape or len(items))


def same(one, other):
    """Whether values are equal in every bit and of the same types."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if not isinstance(one, np.ndarray | np.generic):
        return one == other
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype.names:
        return all(same(one[name], other[name]) for name in one.dtype.names)
    if one.dtype == object:
        return all(map(same, one.reshape(-1).tolist(), other.reshape(-1).tolist()))
    if one.dtype == np.longdouble:  # some of their bytes mean nothing
        return np.array_equal(one, other, equal_nan=True)
    return one.tobytes() == other.tobytes()
