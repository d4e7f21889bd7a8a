"""Attributes of any type from their bytes: what h5py reads, in the form that attributes of arrays have."""

import tracemalloc
from contextlib import nullcontext

import h5py
import manifestry as mf
import numpy as np
import pytest
from examples import examples
from h5py import h5a, h5g, h5s, h5t
from hdf5_types import (
    SMALL,
    SUPERBLOCK,
    TYPES,
    FileBytes,
    objects,
    raw_elements,
    record,
    same,
    string,
    write_raw_attribute,
)
from hypothesis import given, settings, strategies as st
from manifestry.plugin import MalformedFileError, UnsupportedFeatureError
from manifestry.testing.refusing import refusal
from manifestry_hdf5.objects.attribute_values import attribute_value
from manifestry_hdf5.structures.data_objects.attribute_message import (
    ATTRIBUTE_MESSAGE,
    attribute_parts,
    reference_lists,
)
from manifestry_hdf5.structures.data_objects.dataspace_message import Dataspace, parse_dataspace
from manifestry_hdf5.structures.data_objects.datatype import (
    FloatingPoint,
    Normalization,
    Opaque,
    ReferenceKind,
    VariableLength,
)
from manifestry_hdf5.structures.data_objects.datatype_message import parse_datatype
from manifestry_hdf5.structures.file_metadata.superblock import Superblock
from manifestry_hdf5.structures.infrastructure.global_heap import GlobalHeap

TEXT = h5py.string_dtype()
NO_HEAP = GlobalHeap(lambda _start, _stop: b"", SUPERBLOCK)
QUADRUPLE = parse_datatype(h5t.IEEE_F128LE.encode()[2:])
TEXTS = {"null-terminated", "one character", "null-padded", "space-padded"}


def parsed(stored, thing):
    """Datatype, dataspace and data of the only attribute of an open object."""
    parts = attribute_parts(stored.message(thing, ATTRIBUTE_MESSAGE))
    assert not parts.datatype_shared
    assert not parts.dataspace_shared
    return parse_datatype(parts.datatype), parse_dataspace(parts.dataspace, SUPERBLOCK), parts.data


def value_of(stored, thing, resolve=None):
    return attribute_value(
        *parsed(stored, thing), superblock=SUPERBLOCK, heap=stored.heap, resolve=resolve or (lambda *_: None)
    )


def read_by_library(thing):
    """An attribute of fixed size in the type that h5py has for it."""
    attribute = h5a.open(thing.id, b"a")
    opaque = attribute.get_type().get_class() == h5t.OPAQUE
    shape, dtype = attribute.shape, attribute.dtype
    while dtype.subdtype is not None:
        dtype, inner = dtype.subdtype
        shape += inner
    values = np.zeros(shape, dtype)
    attribute.read(values, attribute.get_type() if opaque else h5t.py_create(attribute.dtype))
    plain = values.astype(dtype.str) if dtype.metadata else values
    return plain if shape else plain[()]


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_attributes_of_fixed_size(shape, tmp_path):
    path, rng = tmp_path / "file.h5", np.random.default_rng(1)
    types = {name: tid for name, tid in TYPES.items() if name not in TEXTS}
    with h5py.File(path, "w") as file:
        for name, tid in types.items():
            write_raw_attribute(file.create_group(name), tid, raw_elements(name, tid, int(np.prod(shape)), rng), shape)
    stored = FileBytes(path)
    with h5py.File(path) as file:
        for name, tid in types.items():
            got, expected = value_of(stored, file[name]), read_by_library(file[name])
            usual = tid.get_class() in (h5t.INTEGER, h5t.FLOAT) and name.startswith(("integer", "float "))
            if usual and shape:
                expected = expected.astype(expected.dtype.newbyteorder("="))
            assert same(got, expected), name


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        (h5t.STR_NULLTERM, ["ab", "", "a b ", "ö"]),
        (h5t.STR_NULLPAD, ["ab\0 ", "", "a b ", "ö\0 "]),
        (h5t.STR_SPACEPAD, ["ab", "", "a b", "ö"]),
    ],
)
def test_texts_of_fixed_length(padding, expected, tmp_path):
    path, tid = tmp_path / "file.h5", string(4, padding)
    octets = np.frombuffer(b"ab\0 " + bytes(4) + b"a b " + "ö\0 ".encode(), "u1").reshape(4, 4)
    with h5py.File(path, "w") as file:
        for name, shape in (("flat", (4,)), ("square", (2, 2)), ("scalar", ())):
            write_raw_attribute(file.create_group(name), tid, octets[: int(np.prod(shape))], shape)
        write_raw_attribute(file.create_group("array"), h5t.array_create(tid, (2,)), octets, (2,))
    stored = FileBytes(path)
    with h5py.File(path) as file:
        assert value_of(stored, file["flat"]) == expected
        assert value_of(stored, file["square"]) == value_of(stored, file["array"]) == [expected[:2], expected[2:]]
        assert value_of(stored, file["scalar"]) == expected[0]


def test_text_that_is_not_utf8(tmp_path):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        write_raw_attribute(file, string(2, h5t.STR_NULLPAD), np.frombuffer(b"a\xdf", "u1").reshape(1, 2), ())
    with h5py.File(tmp_path / "file.h5") as file:
        assert value_of(FileBytes(tmp_path / "file.h5"), file) == "aß"


RECORD = np.dtype([("a", "<i2"), ("b", ">f8"), ("s", "S3")])
MEMBERS = np.array([(1, 2.5, b"x"), (3, 4.5, b"yy")], RECORD)
WITH_TEXTS = np.dtype([("a", ">i4"), ("s", TEXT), ("f", "S4"), ("n", ">f4", (2,)), ("k", [("z", ">i2"), ("t", TEXT)])])
TWO = np.zeros(2, WITH_TEXTS)
TWO["a"], TWO["s"], TWO["f"], TWO["n"] = [1, 2], ["ä", ""], [b"q", b""], 1.5
TWO["k"]["t"] = ["x", "yy"]
AS_DICTS = [
    {
        "a": np.int32(number),
        "s": text,
        "f": fixed,
        "n": np.array([1.5, 1.5], ">f4"),
        "k": {"z": np.int16(0), "t": inner},
    }
    for number, text, fixed, inner in ((1, "ä", "q", "x"), (2, "", "", "yy"))
]
VARIABLE = {
    "text": ("grüße", TEXT, (), "grüße"),
    "texts": (["a", "", "ccc"], TEXT, (3,), ["a", "", "ccc"]),
    "texts in dimensions": (objects(list("abcd"), (2, 2)), TEXT, (2, 2), [["a", "b"], ["c", "d"]]),
    "texts called ASCII": (objects([b"stra\xdfe"]), h5py.string_dtype("ascii"), (1,), ["straße"]),
    **{
        f"sequences of {code}": (
            objects([np.array([1, 0, 2][:n]).astype(code) for n in (3, 0)]),
            h5py.vlen_dtype(np.dtype(code)),
            (2,),
            [np.array([1, 0, 2][:n]).astype(code) for n in (3, 0)],
        )
        for code in ("<i2", ">i2", ">f4", "?", ">c16", "<f2", "u1")
    },
    "sequences in dimensions": (
        objects([np.arange(n) for n in range(4)], (2, 2)),
        h5py.vlen_dtype("i8"),
        (2, 2),
        [[np.arange(0), np.arange(1)], [np.arange(2), np.arange(3)]],
    ),
    "sequences of fixed texts": (objects([np.array([b"a", b"bb"])]), h5py.vlen_dtype("S2"), (1,), [["a", "bb"]]),
    "sequences of texts": (objects([objects(["a", "bcd"]), objects([])]), h5py.vlen_dtype(TEXT), (2,), [["a", "bcd"], []]),
    "sequences of records": (objects([MEMBERS]), h5py.vlen_dtype(RECORD), (1,), [MEMBERS]),
    "sequences of sequences": (
        objects([objects([np.array([1, 2], "i4"), np.array([3], "i4")])]),
        h5py.vlen_dtype(h5py.vlen_dtype("i4")),
        (1,),
        [[[np.int32(1), np.int32(2)], [np.int32(3)]]],
    ),
    "records with texts": (TWO, WITH_TEXTS, (2,), AS_DICTS),
    "record with texts": (TWO[1], WITH_TEXTS, (), AS_DICTS[1]),
}  # fmt: skip


@pytest.mark.parametrize("name", VARIABLE)
def test_attributes_of_variable_length(name, tmp_path):
    values, dtype, shape, expected = VARIABLE[name]
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file.attrs.create("a", values, shape, dtype)
    with h5py.File(tmp_path / "file.h5") as file:
        assert same(value_of(FileBytes(tmp_path / "file.h5"), file), expected)


@pytest.fixture
def references(tmp_path):
    """A file with references of both kinds, alone and inside other types, and what they lead to."""
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        group, data = file.create_group("g"), file.create_dataset("g/d", (4,), "i4")
        pair = np.zeros(2, [("r", h5py.ref_dtype), ("i", "i4")])
        pair["r"], pair["i"] = objects([group.ref, h5py.Reference()]), [5, 6]
        lists = objects([objects([group.ref, data.ref]), objects([])])
        for name, values, dtype, shape in (
            ("one", group.ref, h5py.ref_dtype, ()),
            ("some", objects([data.ref, h5py.Reference()]), h5py.ref_dtype, (2,)),
            ("square", objects([group.ref, data.ref] * 2, (2, 2)), h5py.ref_dtype, (2, 2)),
            ("region", data.regionref[1:3], h5py.regionref_dtype, ()),
            ("lists", lists, h5py.vlen_dtype(h5py.ref_dtype), (2,)),
            ("records", pair, pair.dtype, (2,)),
        ):
            file.create_group(name).attrs.create("a", values, shape, dtype)
        addresses = {h5g.get_objinfo(thing.id, b".").objno[0]: thing.name for thing in (group, data)}
    stored = FileBytes(path)

    def resolve(octets, datatype):
        if not any(octets):
            return None
        octets = stored.heap.object(octets) if datatype.kind is ReferenceKind.REGION else octets
        return mf.Reference(addresses[int.from_bytes(octets[:8], "little")])

    with h5py.File(path) as file:
        yield stored, file, resolve


def test_references_are_resolved(references):
    stored, file, resolve = references
    group, data = mf.Reference("/g"), mf.Reference("/g/d")
    for name, expected in {
        "one": group,
        "some": [data, None],
        "square": [[group, data], [group, data]],
        "region": data,
        "lists": [[group, data], []],
        "records": [{"r": group, "i": np.int32(5)}, {"r": None, "i": np.int32(6)}],
    }.items():
        assert same(value_of(stored, file[name], resolve), expected), name


def test_lists_of_references_as_addresses(references):
    stored, file, _ = references
    datatype, space, data = parsed(stored, file["lists"])
    by = {"superblock": SUPERBLOCK, "heap": stored.heap}
    address = [h5g.get_objinfo(file.id, name).objno[0] for name in (b"g", b"g/d")]
    assert reference_lists(datatype, space, data, **by) == (tuple(address), ())
    for other in ("one", "some", "region", "records"):
        assert reference_lists(*parsed(stored, file[other]), **by) == ()
    with pytest.raises(UnsupportedFeatureError, match="region"):
        reference_lists(parse_datatype(h5t.vlen_create(h5t.STD_REF_DSETREG).encode()[2:]), space, data, **by)
    with pytest.raises(MalformedFileError, match="do not hold"):
        reference_lists(datatype, space, data[:20], **by)
    with pytest.raises(MalformedFileError, match="does not fit"):
        reference_lists(datatype, space, b"\3" + data[1:], **by)


@pytest.mark.parametrize("name", [*TYPES, "sequence", "reference", "text"])
def test_attributes_without_elements(name, tmp_path):
    path, more = tmp_path / "file.h5", {"sequence": h5py.vlen_dtype("i2"), "reference": h5py.ref_dtype, "text": TEXT}
    tid = TYPES[name] if name in TYPES else h5t.py_create(more[name], logical=True)
    with h5py.File(path, "w") as file:
        for number, space in enumerate((h5s.create(h5s.NULL), h5s.create_simple((0, 3)), h5s.create_simple((2, 0)))):
            h5a.create(file.create_group(str(number)).id, b"a", tid, space)
        dtype = h5a.open(file["0"].id, b"a").dtype
    stored = FileBytes(path)
    with h5py.File(path) as file:
        null, none, two = (value_of(stored, file[str(number)]) for number in range(3))
    if name in TEXTS or name == "text":
        assert (null, none, two) == ("", [], [[], []])
    elif name in more:
        assert same(null, np.empty(0))
        assert (none, two) == ([], [[], []])
    else:
        plain = np.dtype(dtype.str) if dtype.metadata else dtype
        assert same(null, np.empty(0, plain))
        assert same(none, np.empty((0, 3), plain))
        assert same(two, np.empty((2, 0), plain))


def extended(size, order):
    """The long double of x86."""
    return FloatingPoint(
        size=size,
        order=order,
        precision=80,
        offset=0,
        sign=79,
        exponent=(64, 15),
        mantissa=(0, 64),
        bias=16383,
        normalization=Normalization.NONE,
        padding=(0, 0, 0),
    )


@pytest.mark.parametrize("form", ["extended", "extended, 12 bytes", "extended, big-endian", "quadruple"])
def test_long_doubles(form):
    numbers = [0.0, -0.0, 1.5, -(2.0**-1000), 2.0**1000, np.inf, -np.inf, 1 / 3, 5e-324]
    words = []
    for number in numbers:
        mantissa, exponent = np.frexp(abs(number))
        sign = int(np.signbit(number))
        if not np.isfinite(number):
            words.append(sign << 127 | 0x7FFF << 112 if form == "quadruple" else sign << 79 | 0x7FFF << 64 | 1 << 63)
        elif not number:
            words.append(sign << 127 if form == "quadruple" else sign << 79)
        elif form == "quadruple":
            words.append(sign << 127 | int(exponent) + 16382 << 112 | int(mantissa * 2**53) - (1 << 52) << 60)
        else:
            words.append(sign << 79 | int(exponent) + 16382 << 64 | int(mantissa * 2**53) << 11)
    size, order = 12 if "12" in form else 16, "big" if "big" in form else "little"
    data = b"".join(word.to_bytes(size, order) for word in words)
    datatype = QUADRUPLE if form == "quadruple" else extended(size, order)
    space = Dataspace((len(numbers),), (len(numbers),))
    by = {"superblock": SUPERBLOCK, "heap": NO_HEAP, "resolve": lambda *_: None}
    values = attribute_value(datatype, space, data, **by)
    assert np.issubdtype(values.dtype, np.longdouble)
    assert values.tolist() == numbers
    assert np.signbit(values).tolist() == np.signbit(numbers).tolist()


def test_digits_that_no_long_double_has_are_refused():
    space = Dataspace((), ())
    word = 16383 << 112 | 1  # 1 + 2**-112
    with pytest.raises(UnsupportedFeatureError, match="longdouble"):
        attribute_value(
            QUADRUPLE, space, word.to_bytes(16, "little"), superblock=SUPERBLOCK, heap=NO_HEAP, resolve=lambda *_: None
        )


@pytest.mark.parametrize(
    ("tid", "expected"),
    [
        (h5t.array_create(h5t.array_create(h5t.STD_I16BE, (2,)), (3,)), np.arange(6).reshape(3, 2).astype(">i2")),
        (record(("f", 0, SMALL), ("b", 1, h5t.STD_I8LE), size=2), np.void((1.0, 5), [("f", "f2"), ("b", "i1")])),
    ],
    ids=["arrays in arrays", "fields that need more bytes than they have in the file"],
)
def test_what_h5py_reads_wrong(tid, expected):
    data = np.arange(6).astype(">i2").tobytes() if tid.get_class() == h5t.ARRAY else b"\x38\x05"
    datatype, space = parse_datatype(tid.encode()[2:]), Dataspace((), ())
    value = attribute_value(
        datatype, space, data, superblock=SUPERBLOCK, heap=NO_HEAP, resolve=lambda *_: None
    )  # fmt: skip
    assert same(value, expected)


@pytest.mark.parametrize(
    ("tid", "feature"),
    [
        (h5t.UNIX_D32LE, "time"),
        (record(("t", 0, h5t.UNIX_D32LE), size=4), "time"),
        (h5t.COMPLEX_IEEE_F16LE, "half precision"),
    ],
)
def test_types_without_values(tid, feature):
    by = {"superblock": SUPERBLOCK, "heap": NO_HEAP, "resolve": lambda *_: None}
    for space in (Dataspace((2,), (2,)), Dataspace((0,), (0,)), Dataspace((), (), null=True)):
        with pytest.raises(UnsupportedFeatureError, match=feature):
            attribute_value(parse_datatype(tid.encode()[2:]), space, bytes(16), **by)


def test_shapes_that_the_file_has_no_room_for():
    text, by = parse_datatype(string(1, 0).encode()[2:]), {"heap": NO_HEAP, "resolve": lambda *_: None}
    small = Superblock(base=0, offset_size=8, length_size=8, size=1 << 30)
    for shape, error in (((1 << 40, 0), MalformedFileError), ((1 << 20, 0), UnsupportedFeatureError)):
        with pytest.raises(error, match="shape"):
            attribute_value(text, Dataspace(shape, shape), b"", superblock=small, **by)
    with pytest.raises(MalformedFileError, match="3 bytes where 4"):
        attribute_value(text, Dataspace((4,), (4,)), b"abc", superblock=small, **by)


@pytest.mark.parametrize("order", ["<", ">"])
def test_texts_of_numpy_consist_of_characters(order):
    datatype, by = Opaque(4, f"NUMPY:{order}U1".encode()), {"superblock": SUPERBLOCK, "heap": NO_HEAP}
    for number in (0x10FFFF, 0x110000, 0xFFFFFFFF):
        data = np.array(number, f"{order}u4").tobytes()
        with pytest.raises(MalformedFileError, match="character") if number > 0x10FFFF else nullcontext():
            value = attribute_value(datatype, Dataspace((), ()), data, resolve=lambda *_: None, **by)
    assert value == "\U0010ffff"


@pytest.mark.parametrize("code", ["S1", "i1"])
def test_many_pointers_to_one_long_sequence_take_little_memory(code, tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file.attrs.create("a", objects([np.ones(2_000_000, "i1").view(code)]), (1,), h5py.vlen_dtype(np.dtype(code)))
    stored = FileBytes(path)
    with h5py.File(path) as file:
        datatype, _, data = parsed(stored, file)
    assert isinstance(datatype, VariableLength)
    many = Dataspace((3000,), (3000,))
    stored.heap.object(data[4:16])
    tracemalloc.start()
    with pytest.raises(UnsupportedFeatureError, match="attribute of more than"):
        attribute_value(
            datatype, many, data[:16] * 3000, superblock=SUPERBLOCK, heap=stored.heap, resolve=lambda *_: None
        )
    assert tracemalloc.get_traced_memory()[1] < 100 << 20
    tracemalloc.stop()


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Attributes of all kinds: their datatype messages, dataspaces and data, and their files."""
    path = tmp_path_factory.mktemp("samples") / "file.h5"
    rng = np.random.default_rng(5)
    with h5py.File(path, "w") as file:
        for name, (values, dtype, shape, _) in VARIABLE.items():
            file.create_group(f"v {name}").attrs.create("a", values, shape, dtype)
        for name, tid in TYPES.items():
            write_raw_attribute(file.create_group(f"f {name}"), tid, raw_elements(name, tid, 2, rng), (2,))
    stored = FileBytes(path)
    with h5py.File(path) as file:
        return stored, [attribute_parts(stored.message(group, ATTRIBUTE_MESSAGE)) for group in file.values()]


@settings(max_examples=examples(400), deadline=None)
@given(data=st.data())
def test_damaged_attributes_are_refused_by_name(data, samples):
    stored, attributes = samples
    parts = data.draw(st.sampled_from(attributes))
    damaged = {name: bytearray(getattr(parts, name)) for name in ("datatype", "dataspace", "data")}
    for _ in range(data.draw(st.integers(1, 3))):
        octets = damaged[data.draw(st.sampled_from(list(damaged)))]
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.sampled_from([0, 1, 2, 16, 127, 128, 255]))
    with refusal():
        attribute_value(
            parse_datatype(bytes(damaged["datatype"])),
            parse_dataspace(bytes(damaged["dataspace"]), SUPERBLOCK),
            bytes(damaged["data"]),
            superblock=SUPERBLOCK,
            heap=stored.heap,
            resolve=lambda *_: None,
        )
