"""Types, fill values and filters of datasets: what is made of their messages is what libhdf5 makes of them."""

import ctypes
from contextlib import suppress

import h5py
import manifestry as mf
import numpy as np
import pytest
import zarr
from h5py import h5d, h5f, h5p, h5s, h5t
from hdf5_library import fill_of, library
from manifestry.plugin import MalformedFileError, UnsupportedFeatureError
from manifestry_hdf5.objects.datatypes import element_type
from manifestry_hdf5.structures.data_objects.datatype_message import parse_datatype

VERSIONS = ["earliest", ("v108", "v108"), ("v110", "v110"), ("v112", "v112"), ("v114", "v114"), "latest"]


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


def float_of(size, exponent, mantissa, bias, order=h5t.ORDER_LE, norm=h5t.NORM_IMPLIED):
    tid = h5t.IEEE_F64LE.copy()
    tid.set_order(order)
    bits = exponent + mantissa + 1
    tid.set_fields(bits - 1, mantissa, exponent, 0, mantissa)
    tid.set_precision(bits)
    tid.set_size(size)
    tid.set_ebias(bias)
    tid.set_norm(norm)
    return tid


def record(*members, size):
    tid = h5t.create(h5t.COMPOUND, size)
    for name, offset, member in members:
        tid.insert(name, offset, member)
    return tid


def logical(dtype):
    return h5t.py_create(np.dtype(dtype), logical=True)


ODD = record((b"a", 1, h5t.STD_I16BE), (b"b", 4, h5t.IEEE_F32LE), (b"c", 9, string(3, 0)), size=14)
FLOAT = float_of(4, 6, 20, 31)
TYPES = {
    "little": logical("<i4"),
    "big": logical(">u8"),
    "half": logical(">f2"),
    "double": logical(">f8"),
    "bits": integer("<i4", 12, 5),
    "bits big": integer(">u2", 9, 3),
    "bitfield": h5t.STD_B16BE,
    "one bit": integer("u1", 1, 0),
    "null-terminated": string(6, h5t.STR_NULLTERM),
    "null-padded": string(6, h5t.STR_NULLPAD),
    "space-padded": string(6, h5t.STR_SPACEPAD),
    "boolean": logical("?"),
    "enumeration": logical(h5py.enum_dtype({"a": 1, "b": 300}, ">i2")),
    "opaque": logical("V5"),
    "time": logical(h5py.opaque_dtype(np.dtype("<M8[ns]"))),
    "complex": logical(">c8"),
    "complex of HDF5 2.0": h5t.COMPLEX_IEEE_F64BE,
    "array": h5t.array_create(h5t.STD_I16BE, (2, 3)),
    "array of bits": h5t.array_create(integer("<i4", 12, 5), (2,)),
    "record": logical([("a", ">i4"), ("b", ">f8", (2,))]),
    "record with gaps": record((b"a", 1, h5t.STD_I16BE), (b"b", 4, h5t.IEEE_F32LE), size=10),
    "record that is copied": ODD,
    "float": FLOAT,
    "float without its highest bit": float_of(4, 8, 23, 127, norm=h5t.NORM_NONE),
    "odd complex": record((b"r", 0, FLOAT), (b"i", 4, FLOAT), size=8),
    "text": logical(h5py.string_dtype()),
    "sequence": logical(h5py.vlen_dtype("i2")),
}
NUMBERS = np.arange(3, 40, dtype="u1").tobytes()


def raw_fill(name, tid):
    """Bytes of a fill value; those of an array are alike."""
    if name.startswith("array"):
        size = tid.get_super().get_size()
        return NUMBERS[:size] * (tid.get_size() // size)
    return {"boolean": b"\1", "enumeration": b"\1\x2c"}.get(name, NUMBERS[: tid.get_size()])


def create(file, name, tid, *, typed=None):
    """A chunked dataset of one type, without values; `typed` where its type is another object."""
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_chunk((2,))
    if name == "text":
        properties.set_fill_value(np.array("seven", tid.dtype))
    elif name != "sequence":
        done = library().H5Pset_fill_value(
            ctypes.c_int64(properties.id), ctypes.c_int64(tid.id), ctypes.c_char_p(raw_fill(name, tid))
        )
        assert done >= 0
    h5d.create(file.id, name.encode(), typed or tid, h5s.create_simple((4,)), properties)


def expected(dataset):
    """What libhdf5 says: type and fill value."""
    tid = dataset.id.get_type()
    element = element_type(parse_datatype(tid.encode()[2:]))
    if dataset.name.endswith("/array"):  # h5py converts no fill values of array datatypes
        return element, np.frombuffer(NUMBERS, ">i2", 1).astype("i2")[0]
    if dataset.name.endswith("/array of bits"):
        return element, np.int32((int.from_bytes(NUMBERS[:4], "little") >> 5 & 0xFFF ^ 0x800) - 0x800)
    if dataset.name.endswith("/bitfield"):
        return element, np.uint16(int.from_bytes(NUMBERS[:2], "big"))
    return element, fill_of(dataset.id, element)


def same_value(one, other):
    return one == other if isinstance(one, str) else one.tobytes() == other.tobytes()


def check(path):
    """Every dataset of a file; the names of those that were compared."""
    tree = mf.parse(path, on_unsupported="skip")
    with h5py.File(path) as file:
        for name, array in tree.walk_arrays():
            element, fill = expected(file[name])
            metadata = array.metadata
            assert metadata.dtype == element.dtype or element.texts, name
            assert metadata.shape == (4, *element.shape), name
            if element.members is None and not element.texts:
                assert type(metadata.fill_value) is type(fill), name
                assert same_value(metadata.fill_value, fill), name
    return {name for name, _ in tree.walk_arrays()}


@pytest.mark.parametrize("version", VERSIONS)
def test_elements_and_fill_values(tmp_path, version):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver=version) as file:
        for name, tid in TYPES.items():
            with suppress(ValueError, OSError, KeyError):  # older versions have no complex numbers
                create(file, name, tid)
    assert check(path) >= set(TYPES) - {"complex of HDF5 2.0"}


@pytest.mark.parametrize("version", VERSIONS)
def test_committed_types(tmp_path, version):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver=version) as file:
        types = file.create_group("types")
        for name, tid in TYPES.items():
            with suppress(KeyError):
                committed = tid.copy()
                committed.commit(types.id, name.encode())
                create(file, name, tid, typed=committed)
    assert check(path) >= set(TYPES) - {"complex of HDF5 2.0"}


def test_messages_in_the_heap_of_shared_messages(tmp_path):
    path = tmp_path / "file.h5"
    creation = h5p.create(h5p.FILE_CREATE)
    number = ctypes.c_int64(creation.id)
    every = sum(1 << kind for kind in (0x01, 0x03, 0x05, 0x0B))
    assert library().H5Pset_shared_mesg_nindexes(number, ctypes.c_uint(1)) >= 0
    assert library().H5Pset_shared_mesg_index(number, ctypes.c_uint(0), ctypes.c_uint(every), ctypes.c_uint(8)) >= 0
    with h5py.File(h5f.create(bytes(path), h5f.ACC_TRUNC, fcpl=creation)) as file:
        for twice in ("a", "b"):
            group = file.create_group(twice)
            for name, tid in TYPES.items():
                create(group, name, tid)
    without_arrays = set(TYPES) - {"array", "array of bits"}  # h5py converts no fill values of those
    assert check(path) >= {f"{group}/{name}" for group in "ab" for name in without_arrays}


def test_complex_numbers_of_other_floats_are_copied(tmp_path):
    path = tmp_path / "file.h5"
    values = np.array([1 + 2j, -0.5j, 3, 0], "c8")
    with h5py.File(path, "w") as file:
        create(file, "odd complex", TYPES["odd complex"])
        file["odd complex"][...] = values
        np.testing.assert_array_equal(file["odd complex"][...], values)
    array = mf.parse(path)["odd complex"]
    assert array.manifest.inlined.all()
    root = zarr.open_group(mf.open_store(mf.parse(path)), mode="r", zarr_format=3)
    np.testing.assert_array_equal(root["odd complex"][...], values)


def test_an_opaque_type_whose_tag_says_another_size_is_refused(tmp_path):
    path = tmp_path / "file.h5"
    tid = h5t.create(h5t.OPAQUE, 4)
    tid.set_tag(b"NUMPY:<M8[ns]")
    with h5py.File(path, "w") as file:
        h5d.create(file.id, b"d", tid, h5s.create_simple((4,)))
    with pytest.raises(UnsupportedFeatureError, match="opaque"):
        mf.parse(path)


def test_dimensions_are_called_the_same_whatever_is_selected(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a null", data=h5py.Empty("f4"))
        file.create_dataset("a reference", (5,), h5py.ref_dtype)
        file.create_dataset("growing", (4, 6), "f4", maxshape=(None, 6), chunks=(2, 2))
        committed = h5t.array_create(h5t.STD_I16BE, (2, 7))
        committed.commit(file.id, b"type")
        create(file, "array", committed)
        file.create_dataset("z", (9, 5), "f4")
    whole = mf.parse(path, on_unsupported="skip")
    for name, array in whole.walk_arrays():
        alone = mf.parse(path, on_unsupported="skip", include=[name])
        assert alone[name].metadata.dims == array.metadata.dims, name


@pytest.mark.parametrize("name", ["text", "sequence", "record with texts"])
@pytest.mark.parametrize("chunks", [(2,), None])
def test_elements_of_variable_length_that_are_never_filled(tmp_path, name, chunks):
    """libhdf5 makes no such dataset, and ends the process when it reads one."""
    path = tmp_path / "file.h5"
    record = np.dtype([("a", "i4"), ("s", h5py.string_dtype())])
    dtype = {"text": h5py.string_dtype(), "sequence": h5py.vlen_dtype("i2")}.get(name, record)
    with h5py.File(path, "w") as file:
        file.create_dataset("d", (4,), dtype, chunks=chunks)
    octets = bytearray(path.read_bytes())
    message = bytes([2, 3 if chunks else 2, h5d.FILL_TIME_ALLOC, 1]) + bytes(4)
    assert octets.count(message) == 1
    octets[octets.find(message) + 2] = h5d.FILL_TIME_NEVER
    path.write_bytes(octets)
    with pytest.raises(MalformedFileError, match="never written"):
        mf.parse(path)
