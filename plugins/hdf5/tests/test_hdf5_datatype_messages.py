"""Datatype, fill value and filter pipeline messages against what h5py says of the same objects, and against damage."""

import struct

import h5py
import numpy as np
import pytest
from examples import examples
from h5py import h5d, h5p, h5t
from hdf5_library import address_of, opened
from hypothesis import given, settings, strategies as st
from manifestry.plugin import MalformedFileError, UnsupportedFeatureError
from manifestry.testing.refusing import refusal
from manifestry_hdf5.structures.data_objects import datatype as d
from manifestry_hdf5.structures.data_objects.datatype_message import DATATYPE_MESSAGE, parse_datatype
from manifestry_hdf5.structures.data_objects.fill_value_message import (
    FILL_MESSAGE,
    OLD_FILL_MESSAGE,
    parse_fill_value,
    parse_old_fill_value,
)
from manifestry_hdf5.structures.data_objects.filter_pipeline_message import (
    FILTER_PIPELINE_MESSAGE,
    parse_filter_pipeline,
)

VERSIONS = ["earliest", ("v108", "v108"), ("v110", "v110"), ("v112", "v112"), ("v114", "v114"), "latest"]

_OTHERS = {d.Time: h5t.TIME, d.Bitfield: h5t.BITFIELD, d.Reference: h5t.REFERENCE}
_ORDERS = {h5t.ORDER_LE: "little", h5t.ORDER_BE: "big"}


def described(tid):
    """A type as libhdf5 describes it, in the terms of `describe`."""
    kind, size = tid.get_class(), tid.get_size()
    if kind == h5t.INTEGER:
        sign = tid.get_sign() == h5t.SGN_2
        return "integer", size, _ORDERS[tid.get_order()], tid.get_precision(), tid.get_offset(), sign, tid.get_pad()
    if kind == h5t.FLOAT:
        bits = (tid.get_precision(), tid.get_offset(), *tid.get_fields(), tid.get_ebias())
        return "float", size, _ORDERS[tid.get_order()], bits, tid.get_norm(), (*tid.get_pad(), tid.get_inpad())
    if kind == h5t.STRING and tid.is_variable_str():
        return "texts", tid.get_strpad(), tid.get_cset() == h5t.CSET_UTF8
    if kind == h5t.STRING:
        return "string", size, tid.get_strpad(), tid.get_cset() == h5t.CSET_UTF8
    if kind == h5t.OPAQUE:
        return "opaque", size, tid.get_tag()
    if kind == h5t.ENUM:
        members = range(tid.get_nmembers())
        values = [(tid.get_member_name(i), tid.get_member_value(i)) for i in members]
        return "enumeration", size, described(tid.get_super()), values
    if kind == h5t.COMPOUND:
        members = range(tid.get_nmembers())
        names = [tid.get_member_name(i) for i in members]
        places = size, [tid.get_member_offset(i) for i in members]
        return "compound", names, places, [described(tid.get_member_type(i)) for i in members]
    if kind == h5t.ARRAY:
        return "array", tid.get_array_dims(), described(tid.get_super())
    if kind == h5t.VLEN:
        return "sequence", described(tid.get_super())
    if kind == h5t.COMPLEX:
        return "complex", size, described(tid.get_super())
    return ("other", kind, size)


def describe(datatype):
    """One of our records in the same terms."""
    size = datatype.size
    match datatype:
        case d.FixedPoint():
            bits = datatype.precision, datatype.offset, datatype.signed, datatype.padding
            return "integer", size, datatype.order, *bits
        case d.FloatingPoint():
            fields = datatype.sign, *datatype.exponent, *datatype.mantissa, datatype.bias
            bits = datatype.precision, datatype.offset, *fields
            # h5py's numbers of the normalizations: implied 0, highest bit set 1, none 2
            return "float", size, datatype.order, bits, 2 - datatype.normalization, datatype.padding
        case d.String():
            return "string", size, datatype.padding, datatype.utf8
        case d.VariableLength() if datatype.text:
            return "texts", datatype.padding, datatype.utf8
        case d.VariableLength():
            return "sequence", describe(datatype.base)
        case d.Opaque():
            return "opaque", size, datatype.tag
        case d.Enumeration():
            values = list(zip(datatype.names, datatype.values, strict=True))
            return "enumeration", size, describe(datatype.base), values
        case d.Compound():
            members = datatype.members
            places = size, [m.offset for m in members]
            return "compound", [m.name for m in members], places, [describe(m.datatype) for m in members]
        case d.Array():
            return "array", datatype.shape, describe(datatype.base)
        case d.Complex():
            return "complex", size, describe(datatype.base)
    return "other", _OTHERS[type(datatype)], size


def _integers(draw):
    tid = h5t.py_create(np.dtype(draw(st.sampled_from("<>")) + draw(st.sampled_from(["i1", "u2", "i4", "u8"]))))
    precision = draw(st.integers(1, 8 * tid.get_size()))
    tid.set_precision(precision)
    tid.set_offset(draw(st.integers(0, 8 * tid.get_size() - precision)))
    tid.set_pad(draw(st.sampled_from([0, 1])), draw(st.sampled_from([0, 1])))
    return tid


def _floats(draw):
    tid = draw(st.sampled_from([h5t.IEEE_F16LE, h5t.IEEE_F32BE, h5t.IEEE_F64LE, h5t.NATIVE_LDOUBLE])).copy()
    if tid.get_size() == 4:
        exponent, mantissa = draw(st.integers(2, 8)), draw(st.integers(1, 22))
        tid.set_fields(31, mantissa, exponent, 0, mantissa)
        tid.set_ebias(draw(st.integers(1, 1 << 31)))
        tid.set_norm(draw(st.sampled_from([h5t.NORM_IMPLIED, h5t.NORM_MSBSET, h5t.NORM_NONE])))
        tid.set_inpad(draw(st.sampled_from([0, 1])))
    return tid


def _strings(draw):
    tid = h5t.C_S1.copy()
    tid.set_size(draw(st.sampled_from([1, 7, 300, h5t.VARIABLE])))
    tid.set_strpad(draw(st.sampled_from([h5t.STR_NULLTERM, h5t.STR_NULLPAD, h5t.STR_SPACEPAD])))
    tid.set_cset(draw(st.sampled_from([h5t.CSET_ASCII, h5t.CSET_UTF8])))
    return tid


def _opaques(draw):
    tid = h5t.create(h5t.OPAQUE, draw(st.integers(1, 300)))
    tid.set_tag(draw(st.sampled_from([b"", b"eight ch", b"NUMPY:<M8[s]"])))
    return tid


def _enumerations(draw):
    tid = h5t.enum_create(_integers(draw))
    base = tid.get_super()
    low = -(1 << base.get_precision() - 1) if base.get_sign() == h5t.SGN_2 else 0
    high = min(low + (1 << base.get_precision()) - 1, (1 << 63) - 1)
    for i, value in enumerate(draw(st.lists(st.integers(low, high), max_size=4, unique=True))):
        tid.enum_insert(b"name" * i + b"%d" % i, value)
    return tid


def _plain(draw):
    others = [h5t.STD_REF_OBJ, h5t.STD_B16BE, h5t.UNIX_D64LE, h5t.COMPLEX_IEEE_F32BE]
    return draw(st.sampled_from(others)).copy()


_LEAVES = (_integers, _floats, _strings, _opaques, _enumerations, _plain)


@st.composite
def types(draw, depth=2):
    """Types of libhdf5, in each other."""
    kind = draw(st.integers(0, 8 if depth else 5))
    if kind < 6:
        return _LEAVES[kind](draw)
    if kind == 6:
        return h5t.vlen_create(draw(types(depth=depth - 1)))
    if kind == 7:
        return h5t.array_create(
            draw(types(depth=depth - 1)), tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
        )
    members = draw(st.lists(types(depth=depth - 1), min_size=1, max_size=4))
    gaps = [draw(st.integers(0, 3)) for _ in members]
    tid = h5t.create(h5t.COMPOUND, sum(gaps) + sum(m.get_size() for m in members))
    at = 0
    for i, (member, gap) in enumerate(zip(members, gaps, strict=True)):
        tid.insert(b"m" * (i * 5) + b"%d" % i, at + gap, member)
        at += gap + member.get_size()
    return tid


@settings(max_examples=examples(150), deadline=None)
@given(types(), st.binary(max_size=9))
def test_types_are_what_libhdf5_says(tid, after):
    assert describe(parse_datatype(tid.encode()[2:] + after)) == described(tid)


INTEGER = bytes.fromhex("1008000004000000 0000 2000".replace(" ", ""))

FLOAT = h5t.IEEE_F32LE.encode()[2:]


def padded(name):
    return name + b"\0" * (8 - len(name) % 8)


def test_members_with_dimensions_of_their_own():
    """As HDF5 1.2 wrote them (version 1 of the message)."""
    member = padded(b"cube") + struct.pack("<IB3xIIIIII", 4, 3, 0, 0, 2, 3, 4, 0) + INTEGER
    plain = padded(b"exactly8") + struct.pack("<IB3xIIIIII", 0, 0, 0, 0, 0, 0, 0, 0) + INTEGER
    message = struct.pack("<BHxI", 0x16, 2, 100) + member + plain
    assert describe(parse_datatype(message)) == described(h5t.decode(b"\x03\0" + message))
    assert parse_datatype(message).members[0].datatype.shape == (2, 3, 4)


def test_arrays_of_version_2():
    array = struct.pack("<BHxIB3xIIII", 0x2A, 0, 24, 2, 3, 2, 0, 0) + b"\x20" + INTEGER[1:]
    message = struct.pack("<BHxI", 0x26, 1, 24) + padded(b"a") + bytes(4) + array
    assert describe(parse_datatype(message)) == described(h5t.decode(b"\x03\0" + message))
    assert parse_datatype(message).members[0].datatype.shape == (3, 2)


@pytest.mark.parametrize("size", [255, 256, 65535, 65536, 1 << 24])
def test_offsets_of_members_take_as_many_bytes_as_they_need(size):
    tid = h5t.create(h5t.COMPOUND, size)
    tid.insert(b"last", size - 4, h5t.STD_I32LE)
    tid.insert(b"first", 0, h5t.STD_I32LE)
    old = struct.pack("<BHxI", 0x26, 2, size) + padded(b"last") + struct.pack("<I", size - 4) + INTEGER
    old += padded(b"first") + bytes(4) + INTEGER
    width = (size.bit_length() + 7) // 8
    new = struct.pack("<BHxI", 0x36, 2, size) + b"last\0" + (size - 4).to_bytes(width, "little") + INTEGER
    new += b"first\0" + bytes(width) + INTEGER
    for message in (old, new):
        assert describe(parse_datatype(message)) == described(tid) == described(h5t.decode(b"\x03\0" + message))


def test_references_and_times():
    kinds = [(h5t.STD_REF_OBJ, d.ReferenceKind.OBJECT), (h5t.STD_REF_DSETREG, d.ReferenceKind.REGION)]
    for tid, kind in kinds:
        assert parse_datatype(tid.encode()[2:]).kind is kind
    new = struct.pack("<BB2xI", 0x47, 0x12, 64)  # as `H5T_STD_REF` of HDF5 1.12
    assert parse_datatype(new) == d.Reference(64, d.ReferenceKind.NEW_OBJECT)
    assert parse_datatype(h5t.UNIX_D64BE.encode()[2:]) == d.Time(8, "big", 64)


def test_byte_order_of_the_vax():
    vax = bytearray(h5t.IEEE_F32LE.encode()[2:])
    vax[0], vax[1] = 0x31, vax[1] | 0x41
    assert parse_datatype(bytes(vax)).order == "vax"
    vax[1] &= ~1
    with pytest.raises(MalformedFileError, match="byte order"):
        parse_datatype(bytes(vax))


WRONG = {
    "a version that does not exist": (b"\x60" + INTEGER[1:], UnsupportedFeatureError),
    "a class that does not exist": (b"\x1f" + INTEGER[1:], UnsupportedFeatureError),
    "no bytes": (INTEGER[:4] + bytes(4) + INTEGER[8:], MalformedFileError),
    "too short": (INTEGER[:-1], MalformedFileError),
    "more bits than bytes": (INTEGER[:8] + struct.pack("<HH", 1, 32), MalformedFileError),
    "no bits": (INTEGER[:8] + struct.pack("<HH", 0, 0), MalformedFileError),
    "a member over the end": (struct.pack("<BHxI", 0x36, 1, 4) + b"m\0\1" + INTEGER, MalformedFileError),
    "members in one place": (struct.pack("<BHxI", 0x36, 2, 8) + 2 * (b"m\0\0" + INTEGER), MalformedFileError),
    "no members": (struct.pack("<BHxI", 0x36, 0, 4), MalformedFileError),
    "a name without end": (struct.pack("<BHxI", 0x36, 1, 4) + b"m" * 20, MalformedFileError),
    "an array of another size": (struct.pack("<BHxIBI", 0x3A, 0, 12, 1, 2) + INTEGER, MalformedFileError),
    "an enumeration of another size": (struct.pack("<BHxI", 0x38, 0, 2) + INTEGER, MalformedFileError),
    "an enumeration of floats": (struct.pack("<BHxI", 0x38, 0, 4) + h5t.IEEE_F32LE.encode()[2:], MalformedFileError),
    "fewer values than names": (struct.pack("<BHxI", 0x38, 2, 4) + INTEGER + b"a\0b\0" + bytes(7), MalformedFileError),
    "an unknown variable-length type": (struct.pack("<BHxI", 0x39, 2, 16) + INTEGER, MalformedFileError),
    "an unknown reference": (struct.pack("<BHxI", 0x37, 5, 8), MalformedFileError),
    "a name twice": (struct.pack("<BHxI", 0x36, 2, 8) + b"m\0\0" + INTEGER + b"m\0\4" + INTEGER, MalformedFileError),
    "a value without a name": (struct.pack("<BHxI", 0x38, 1, 4) + INTEGER + bytes(5), MalformedFileError),
    "an odd tag": (struct.pack("<BHxI", 0x35, 3, 4) + bytes(8), MalformedFileError),
    "a new reference of another version": (struct.pack("<BHxI", 0x47, 0x22, 64), MalformedFileError),
    "a sign in the mantissa": (FLOAT[:2] + b"\5" + FLOAT[3:], MalformedFileError),
    "polar complex numbers": (struct.pack("<BHxI", 0x5B, 3, 8) + FLOAT, UnsupportedFeatureError),
    "nested deeply": (struct.pack("<BHxIBI", 0x3A, 0, 4, 1, 1) * 200 + INTEGER, UnsupportedFeatureError),
}


@pytest.mark.parametrize("problem", WRONG)
def test_contradictions_are_refused(problem):
    message, error = WRONG[problem]
    with pytest.raises(error):
        parse_datatype(message)


@settings(max_examples=examples(300), deadline=None)
@given(types(), st.data())
def test_damaged_types(tid, data):
    message = bytearray(tid.encode()[2:])
    for at in data.draw(st.lists(st.integers(0, len(message) - 1), min_size=1, max_size=4)):
        message[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0xFF, message[at] ^ 0x10]))
    with refusal():
        parse_datatype(bytes(message[: data.draw(st.integers(0, len(message)))]))


def messages_of(path):
    """What our reader and what h5py say of each dataset of a file."""
    with opened(path) as (file, other):
        for name in other:
            dataset = h5d.open(other.id, name.encode())
            header = {m.kind: m.data for m in file.objects.header(address_of(dataset))}
            yield header, dataset.get_type(), dataset.get_create_plist()


def fill_of(header):
    if FILL_MESSAGE in header:
        return parse_fill_value(header[FILL_MESSAGE])
    return parse_old_fill_value(header[OLD_FILL_MESSAGE])


@pytest.mark.parametrize("version", VERSIONS)
def test_messages_of_files(tmp_path, version):
    space = h5py.h5s.create_simple((10,))
    chunked = {"chunks": (10,)}
    with h5py.File(tmp_path / "file.h5", "w", libver=version) as file:
        record = np.dtype([("id", ">i2"), ("where", "<f8", (2, 2))])
        file.create_dataset("record", (10,), record, fletcher32=True, fillvalue=np.ones((), record), **chunked)
        file.create_dataset("labels", (10,), h5py.enum_dtype({"a": 1, "bc": -2}, "i2"), fillvalue=1)
        file.create_dataset("zip", (10,), "<f4", compression="gzip", shuffle=True, fillvalue=2.5, **chunked)
        file.create_dataset("lzf", (10,), "<i8", compression="lzf", **chunked)
        file.create_dataset("scaled", (10,), "<i8", scaleoffset=3, **chunked)
        undefined = h5p.create(h5p.DATASET_CREATE)
        undefined.set_fill_time(h5d.FILL_TIME_NEVER)
        h5d.create(file.id, b"never", h5t.STD_I32BE, space, undefined)
    for header, tid, properties in messages_of(tmp_path / "file.h5"):
        assert describe(parse_datatype(header[DATATYPE_MESSAGE])) == described(tid)
        filters = parse_filter_pipeline(header[FILTER_PIPELINE_MESSAGE]) if FILTER_PIPELINE_MESSAGE in header else ()
        listed = [properties.get_filter(i) for i in range(properties.get_nfilters())]
        assert [(f.number, f.flags, f.client_data) for f in filters] == [f[:3] for f in listed]
        assert all(f.name in (b"", name) for f, (*_, name) in zip(filters, listed, strict=True))
        fill = fill_of(header)
        assert (fill.allocation, fill.writing) == (properties.get_alloc_time(), properties.get_fill_time())
        defined = properties.fill_value_defined()
        assert bool(fill.value) == (defined == h5d.FILL_VALUE_USER_DEFINED)
        if fill.value:
            expected = np.zeros((), tid.dtype)
            properties.get_fill_value(expected)
            assert expected.tobytes() == fill.value


@pytest.mark.parametrize(("version", "sizes"), [(1, (0, 8, 24)), (2, (0, 3, 20))])
def test_filters_with_names_and_odd_client_data(version, sizes):
    message = bytes([version, 3, *bytes(6 if version == 1 else 0)])
    for number, size in enumerate(sizes):
        name = b"abc"[: size and 2].ljust(size, b"\0")
        message += struct.pack("<HHHH", 300 + number, size, 1, number) + name
        message += struct.pack(f"<{number}I", *range(number)) + bytes(4 if version == 1 and number % 2 else 0)
    filters = parse_filter_pipeline(message)
    assert [f.number for f in filters] == [300, 301, 302]
    assert [f.client_data for f in filters] == [(), (0,), (0, 1)]
    assert [f.name for f in filters] == [b"", b"ab", b"ab"]
    for end in range(len(message) - 4):
        with pytest.raises(MalformedFileError):
            parse_filter_pipeline(message[:end])


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"\1\1\2\0\4\0\0\0abcd", (b"", True, 1, 2)),
        (b"\1\1\2\1\4\0\0\0abcd", (b"abcd", False, 1, 2)),
        (b"\2\1\2\0", (b"", True, 1, 2)),
        (b"\2\1\2\1\0\0\0\0", (b"", False, 1, 2)),
        (b"\2\1\2\1\xff\xff\xff\xff", (b"", True, 1, 2)),
        (b"\3\x0a", (b"", False, 2, 2)),
        (b"\3\x1a", (b"", True, 2, 2)),
        (b"\3\x2a\2\0\0\0ab", (b"ab", False, 2, 2)),
    ],
)
def test_fill_values_of_all_versions(message, expected):
    assert parse_fill_value(message) == expected


def test_old_fill_values():
    assert parse_old_fill_value(b"\2\0\0\0ab") == (b"ab", False, 0, 0)
    assert parse_old_fill_value(bytes(8)) == (b"", True, 0, 0)
    with pytest.raises(MalformedFileError):
        parse_old_fill_value(b"\2\0\0\0a")


@pytest.mark.parametrize("message", [b"\3\x30\1\0\0\0a", b"\3\x20\0\0\0\0", b"\3\x40", b"\4\0", b"\2\1\2\1\4\0\0\0abc"])
def test_fill_values_that_contradict_themselves(message):
    with pytest.raises(MalformedFileError):
        parse_fill_value(message)
