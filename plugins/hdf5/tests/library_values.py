"""Values as libhdf5 itself reads them, for types that h5py has no numpy types for too, and comparing ours with them.

libhdf5 converts numbers to those of this machine; texts and sequences are followed by their pointers.
"""

import ctypes
from dataclasses import dataclass

import h5py
import manifestry as mf
import numpy as np
from h5py import h5o, h5t

from plugins.hdf5.tests.random_types import library

ADDRESS_BYTES = 8


class NoSuchTypeError(Exception):
    """numpy has nothing for the type."""


@dataclass(frozen=True)
class Memory:
    """A type in memory: libhdf5's and numpy's, what it consists of, and what it is.

    `what` is ``number``, ``bytes``, ``text``, ``sequence``, ``record``, ``opaque``, ``object`` or ``region``.
    """

    tid: h5t.TypeID
    dtype: np.dtype
    what: str = "number"
    members: object = None
    exact: bool = True  # whether each bit pattern is kept: NaN of a float with other fields are any NaN
    padded: int | None = None  # the number of bits that count, where libhdf5 leaves the others as they are


def memory_of(tid):  # noqa: PLR0912 a match over the classes of types
    """The type of this machine that a stored type is read into."""
    match tid.get_class():
        case h5t.INTEGER | h5t.BITFIELD as kind:
            if tid.get_size() not in (1, 2, 4, 8):
                raise NoSuchTypeError
            return _integer(tid, kind)
        case h5t.FLOAT:
            return _floating(tid)
        case h5t.COMPLEX:
            part = _floating(tid.get_super())
            names = {4: "NATIVE_FLOAT_COMPLEX", 8: "NATIVE_DOUBLE_COMPLEX"}
            if part.dtype.itemsize not in names:
                raise NoSuchTypeError
            return Memory(getattr(h5t, names[part.dtype.itemsize]), np.dtype(f"c{2 * part.dtype.itemsize}"))
        case h5t.STRING:
            return _string(tid)
        case h5t.OPAQUE:
            return Memory(tid, np.dtype(f"V{tid.get_size()}"), "opaque")
        case h5t.ENUM:
            base = memory_of(tid.get_super())
            if labels_of(tid) == {b"FALSE": 0, b"TRUE": 1}:
                return Memory(h5t.py_create(np.dtype("?"), logical=True), np.dtype("?"))
            return base
        case h5t.ARRAY:
            base = memory_of(tid.get_super())
            dims = tid.get_array_dims()
            tid = h5t.array_create(base.tid, dims)
            return Memory(tid, np.dtype((base.dtype, dims)), base.what, base.members, padded=base.padded)
        case h5t.COMPOUND:
            return _record(tid)
        case h5t.VLEN:
            base = memory_of(tid.get_super())
            return Memory(h5t.vlen_create(base.tid), np.dtype(("u8", (2,))), "sequence", base)
        case h5t.REFERENCE:
            region = tid.equal(h5t.STD_REF_DSETREG)
            return Memory(tid, np.dtype(f"V{tid.get_size()}"), "region" if region else "object")
    raise NoSuchTypeError


def labels_of(tid):
    """Names and values of an enumeration."""
    return {tid.get_member_name(n): tid.get_member_value(n) for n in range(tid.get_nmembers())}


def _integer(tid, kind):
    """In the order of the file: where the lowest bits count, libhdf5 swaps all bytes, or the only one, with the padding."""
    signed = kind == h5t.INTEGER and tid.get_sign() == h5t.SGN_2
    size, big = tid.get_size(), tid.get_order() == h5t.ORDER_BE
    dtype = np.dtype(f"{'>' if big else '<'}{'i' if signed else 'u'}{size}")
    bits = getattr(h5t, f"STD_B{8 * size}{'BE' if big else 'LE'}")
    low = kind == h5t.INTEGER and not tid.get_offset() and tid.get_precision() < 8 * size
    padded = tid.get_precision() if low and big and size == 1 else None
    return Memory(h5t.py_create(dtype) if kind == h5t.INTEGER else bits, dtype, padded=padded)


def _floating(tid):
    try:
        dtype = tid.dtype.newbyteorder("=")
    except (TypeError, ValueError) as error:
        raise NoSuchTypeError from error
    ieee = [h5t.py_create(np.dtype(f"{order}f{size}")) for order in "<>" for size in (2, 4, 8)]
    return Memory(h5t.py_create(dtype), dtype, exact=any(tid.equal(usual) for usual in ieee))


def _string(tid):
    if tid.is_variable_str():
        return Memory(tid, np.dtype("u8"), "text")
    memory = tid.copy()
    memory.set_strpad(h5t.STR_NULLPAD)
    return Memory(memory, np.dtype(f"S{tid.get_size()}"), "bytes")


def holds_padded(memory):
    """Whether there are integers in a type that libhdf5 leaves in their padding."""
    inside = memory.members
    members = () if inside is None else [inside] if isinstance(inside, Memory) else inside.values()
    return memory.padded is not None or any(map(holds_padded, members))


def _without_padding(values, memory):
    """Integers of one byte, declared big-endian, as libhdf5 reads them in any other order."""
    bits = memory.padded
    numbers = np.asarray(values).astype("i2") & (1 << bits) - 1
    negative = (numbers >> (bits - 1) != 0) & (values.dtype.kind == "i")
    return np.where(negative, numbers - (1 << bits), numbers).astype(values.dtype)


def _record(tid):
    names = [tid.get_member_name(n) for n in range(tid.get_nmembers())]
    members = [memory_of(tid.get_member_type(n)) for n in range(tid.get_nmembers())]
    dtype = np.dtype([(name.decode(), member.dtype) for name, member in zip(names, members, strict=True)])
    memory = h5t.create(h5t.COMPOUND, dtype.itemsize)
    for name, member in zip(names, members, strict=True):
        memory.insert(name, dtype.fields[name.decode()][1], member.tid)
    parts = [member.dtype for member in members]
    if names == [b"r", b"i"] and parts[0] == parts[1] and parts[0] in (np.dtype("f4"), np.dtype("f8")):
        stored = [tid.get_member_type(n) for n in range(2)]
        if stored[0].equal(stored[1]) and tid.get_size() == 2 * stored[0].get_size():
            return Memory(memory, np.dtype(f"c{2 * parts[0].itemsize}"), exact=members[0].exact)
    return Memory(memory, dtype, "record", dict(zip(dtype.names, members, strict=True)))


def dataset_values(dataset):
    """The elements of a dataset, and their type."""
    memory = memory_of(dataset.id.get_type())
    values = np.zeros(dataset.shape or (), memory.dtype)
    if dataset.shape is not None and values.size:
        _read("H5Dread", values, dataset.id.id, memory.tid.id, 0, 0, 0)
    return values, memory


def attribute_values(attribute):
    """The elements of an attribute, and their type."""
    memory = memory_of(attribute.get_type())
    values = np.zeros(attribute.shape or (), memory.dtype)
    if attribute.shape is not None and values.size:
        _read("H5Aread", values, attribute.id, memory.tid.id)
    return values, memory


def fill_value(dataset):
    """The fill value of a dataset in its type in memory."""
    memory = memory_of(dataset.id.get_type())
    value = np.zeros((), memory.dtype)
    properties = dataset.id.get_create_plist()
    _read("H5Pget_fill_value", value, properties.id, memory.tid.id)
    return value, memory


def _read(function, values, *identifiers):
    pointer = ctypes.c_void_p(values.ctypes.data)
    if getattr(library(), function)(*[ctypes.c_int64(number) for number in identifiers], pointer) < 0:
        raise OSError(f"{function} failed")


def _text_at(pointer):
    raw = ctypes.string_at(int(pointer)) if pointer else b""
    return decoded(raw)


def decoded(raw):
    """UTF-8, or else Latin-1."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _members_at(descriptor, members):
    count, pointer = map(int, descriptor)
    data = ctypes.string_at(pointer, count * members.dtype.itemsize) if count else b""
    return np.frombuffer(data, members.dtype, count)


LONG = {np.dtype(np.longdouble): np.dtype("f8"), np.dtype(np.clongdouble): np.dtype("c16")}
"""Types wider than any of Zarr, and those as which their elements are copied."""


def same_elements(got, values, memory):
    """Whether elements of an array of ours are those that libhdf5 reads."""
    if memory.what == "record":
        names = memory.members
        return got.dtype.names == tuple(names) and all(same_elements(got[n], values[n], names[n]) for n in names)
    if memory.what == "text":
        return got.shape == values.shape and [*map(str, got.flat)] == [*map(_text_at, values.flat)]
    if memory.what == "sequence":
        if values.ndim == 1:
            return same_elements(got, _members_at(values, memory.members), memory.members)
        rows = values.reshape(-1, 2)
        return got.shape == values.shape[:-1] and all(
            same_elements(one, _members_at(row, memory.members), memory.members)
            for one, row in zip(got.reshape(-1), rows, strict=True)
        )
    got, values = np.asarray(got), np.asarray(values)
    if (got.dtype, values.dtype) == (np.dtype("?"), np.dtype("?")):
        got, values = got.view("u1") != 0, values.view("u1") != 0  # some are neither, which counts as true
    if memory.padded:
        values = _without_padding(values, memory)
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype in LONG and got.dtype.newbyteorder("=") == LONG[values.dtype]:  # copied, where every value fits
        return np.array_equal(got.astype(values.dtype), values, equal_nan=True)
    if (got.dtype.newbyteorder("="), got.shape) != (values.dtype, values.shape):
        return False
    if not memory.exact or values.dtype == np.longdouble:
        return np.array_equal(got, values, equal_nan=True)
    return got.astype(values.dtype, copy=False).tobytes() == values.tobytes()


def same_attribute(got, values, memory, at_address):
    """Whether the value of an attribute of ours is what libhdf5 reads; `at_address` gives the object at an address.

    It gives a text where libhdf5 cannot open the object: the path that it has.
    """
    if memory.what == "sequence" and values.ndim == 1:
        return same_attribute(got, _members_at(values, memory.members), memory.members, at_address)
    if values.ndim:
        if memory.what == "number" and memory.exact:
            got = (
                np.array(got, np.asarray(got[0]).dtype if len(got) else values.dtype) if isinstance(got, list) else got
            )
            return same_elements(got, values, memory)
        return len(got) == len(values) and all(
            same_attribute(one, row, memory, at_address) for one, row in zip(got, values, strict=True)
        )
    match memory.what:
        case "text":
            return got == _text_at(values)
        case "bytes":
            stored = np.asarray(values).item()
            return got in (stored, decoded(stored))  # as numpy has it in records
        case "opaque":
            return bytes(got) == values.tobytes()
        case "object":
            address = int.from_bytes(values.tobytes()[:ADDRESS_BYTES], "little")
            return same_object(got, at_address(address)) if address else got is None
        case "region":
            return isinstance(got, mf.Reference) or (got is None and not any(values.tobytes()))
        case "record":
            members = memory.members
            names = tuple(got) if isinstance(got, dict) else got.dtype.names
            return names == tuple(members) and all(
                same_attribute(got[n], values[n], members[n], at_address) for n in members
            )
    return np.ndim(got) == 0 and same_elements(np.asarray(got), values, memory)


def has_references(memory):
    """Whether elements, or fields of them, are references to objects."""
    return memory.what == "object" or (memory.what == "record" and any(map(has_references, memory.members.values())))


def same_paths(got, values, memory, at_address):
    """Whether elements of ours are what libhdf5 reads, with paths in place of references to objects."""
    if memory.what == "record":
        return all(same_paths(got[n], values[n], member, at_address) for n, member in memory.members.items())
    if memory.what != "object":
        return same_elements(got, values, memory)
    paths, elements = np.asarray(got, object).reshape(-1).tolist(), np.asarray(values).reshape(-1)
    addresses = [int.from_bytes(element.tobytes()[:ADDRESS_BYTES], "little") for element in elements]
    return len(paths) == len(addresses) and all(
        same_object(mf.Reference(path), at_address(address)) if address else not path
        for path, address in zip(map(str, paths), addresses, strict=True)
    )


def same_object(got, target):
    """Whether a reference of ours leads to an object, None where it is gone."""
    if target is None:
        return got is None
    if isinstance(target, str):
        return isinstance(got, mf.Reference)
    if not isinstance(got, mf.Reference):
        return False
    found = target.file["/"].id
    for name in filter(None, got.path.split("/")):
        try:
            found = h5o.open(found, name.encode())
        except KeyError:
            found = h5o.open(found, name.encode("latin-1"))  # as names are that are not UTF-8
    return h5o.get_info(found).addr == h5o.get_info(target.id).addr


def object_at(file, unopened):
    """Gives the object whose header is at an address; its path from `unopened` where libhdf5 cannot open it."""
    counts = (1 << 8 * file.id.get_create_plist().get_sizes()[0]) - 1  # what follows is not cleared by libhdf5

    def at(address):
        address &= counts
        if address in unopened:
            return unopened[address]
        try:
            reference = np.frombuffer(address.to_bytes(ADDRESS_BYTES, "little"), "u1")
            number = library().H5Rdereference2
            number.restype = ctypes.c_int64
            found = number(
                ctypes.c_int64(file.id.id), ctypes.c_int64(0), ctypes.c_int(0), ctypes.c_void_p(reference.ctypes.data)
            )
            return _wrapped(found) if found > 0 else None
        except (ValueError, OSError):
            return None

    return at


def _wrapped(number):
    """h5py's object of an identifier."""
    kind = library().H5Iget_type(ctypes.c_int64(number))
    wrap = {
        2: lambda: h5py.Group(h5py.h5g.GroupID(number)),
        3: lambda: h5py.Datatype(h5t.TypeID(number)),
        5: lambda: h5py.Dataset(h5py.h5d.DatasetID(number)),
    }
    return wrap[kind]()
