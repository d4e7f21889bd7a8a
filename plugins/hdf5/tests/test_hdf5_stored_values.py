"""Elements from their stored bytes: what libhdf5 converts them to, bit for bit."""

import tracemalloc
from contextlib import suppress
from dataclasses import replace
from itertools import product

import h5py
import numpy as np
import pytest
from examples import examples
from h5py import h5t
from hdf5_types import (
    SMALL,
    SUPERBLOCK,
    TYPES,
    FileBytes,
    float_of,
    objects,
    raw_elements,
    record,
    same,
    write_raw,
)
from hypothesis import given, settings, strategies as st
from manifestry.plugin import MalformedFileError, UnsupportedFeatureError
from manifestry.testing.refusing import refusal
from manifestry_hdf5.native import model_values
from manifestry_hdf5.objects.datatypes import element_type
from manifestry_hdf5.objects.fill import fill_value
from manifestry_hdf5.objects.stored_numbers import float_dtype, floats_of
from manifestry_hdf5.objects.stored_values import TooManyBytesError, elements_of
from manifestry_hdf5.structures.data_objects.datatype import Array
from manifestry_hdf5.structures.data_objects.datatype_message import DATATYPE_MESSAGE, parse_datatype
from manifestry_hdf5.structures.infrastructure.global_heap import GlobalHeap

TEXT = h5py.string_dtype()
NO_HEAP = GlobalHeap(lambda _start, _stop: b"", SUPERBLOCK)
LIMIT = 1 << 20


def decoded(path, name="d", limit=LIMIT):
    """The elements of a contiguous dataset from the bytes of its file, and what h5py makes of them."""
    stored = FileBytes(path)
    with h5py.File(path) as file:
        dataset = file[name]
        datatype = parse_datatype(stored.message(dataset, DATATYPE_MESSAGE))
        element, at = element_type(datatype), dataset.id.get_offset()
        if element.members is not None and not dataset.shape:  # one sequence: as an array datatype
            element = replace(element, dtype=element.members, shape=(len(dataset[()]),))
        octets = np.frombuffer(stored.octets, "u1", dataset.size * datatype.size, at).reshape(-1, datatype.size)
        values = elements_of(octets, datatype, element, stored.heap, limit=limit)
        raw = dataset[()]
        return values.reshape(dataset.shape + element.shape), model_values(np.asarray(raw), element)


@pytest.mark.parametrize("name", TYPES)
def test_elements_of_fixed_size(name, tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver="latest") as file:
        write_raw(file, TYPES[name], raw_elements(name, TYPES[name], 64, np.random.default_rng(1)), (16, 4))
    got, expected = decoded(path)
    assert same(got, expected)


def random_float(rng):
    """A float with its fields anywhere in 1 to 8 bytes that h5py has a type for."""
    while True:
        size, exponent = int(rng.integers(1, 9)), int(rng.integers(1, 12))
        mantissa = min(8 * size - 1 - exponent, int(rng.integers(1, 53)))
        if mantissa < 1:
            continue
        free = 8 * size - 1 - exponent - mantissa
        gaps = rng.multinomial(free, [0.25] * 4) if rng.random() < 0.5 else [free, 0, 0, 0]
        places, at = {}, 0
        for gap, (which, bits) in zip(gaps, rng.permutation([(0, 1), (1, exponent), (2, mantissa)]), strict=False):
            places[int(which)] = at = at + int(gap)
            at += int(bits)
        bias = int(rng.choice([(1 << (exponent - 1)) - 1, rng.integers(0, 1 << exponent)])) or 1
        try:
            tid = float_of(
                size,
                sign=places[0],
                exponent=(places[1], exponent),
                mantissa=(places[2], mantissa),
                bias=bias,
                order=int(rng.choice([h5t.ORDER_LE, h5t.ORDER_BE])),
                norm=int(rng.choice([h5t.NORM_IMPLIED, h5t.NORM_NONE])),
            )
            if tid.dtype.itemsize <= 8:
                return tid
        except ValueError:  # none holds it
            continue


def float_words(tid, rng):
    """Zeros, infinities, what is not a number, the smallest and the largest, and any."""
    size, (sign, low, bits, lowest, digits) = tid.get_size(), tid.get_fields()
    words = [int.from_bytes(rng.bytes(size), "little") for _ in range(24)]
    exponents = (0, 1, (1 << bits) - 2, (1 << bits) - 1, int(rng.integers(0, 1 << bits)))
    mantissas = (0, 1, 1 << (digits - 1), (1 << digits) - 1, int(rng.integers(0, 1 << digits)))
    for exponent, mantissa in product(exponents, mantissas):
        words += [int(rng.integers(2)) << sign | exponent << low | mantissa << lowest]
    order = "big" if tid.get_order() == h5t.ORDER_BE else "little"
    return np.frombuffer(b"".join(word.to_bytes(size, order) for word in words), "u1").reshape(-1, size)


def test_floats_of_any_fields():
    rng = np.random.default_rng(2)
    with h5py.File("floats", "w", driver="core", backing_store=False) as file:
        for number in range(300):
            tid = random_float(rng)
            octets = float_words(tid, rng)
            expected = write_raw(file.create_group(str(number)), tid, octets)[()]
            datatype = parse_datatype(tid.encode()[2:])
            assert float_dtype(datatype) == expected.dtype
            got = floats_of(octets, datatype)
            assert same(got, expected.astype(got.dtype)), datatype


def test_floats_whose_highest_bit_is_always_set_are_refused():
    tid = float_of(4, sign=31, exponent=(23, 8), mantissa=(0, 23), bias=127, norm=h5t.NORM_MSBSET)
    with pytest.raises(UnsupportedFeatureError, match="highest bit"):
        floats_of(np.zeros((1, 4), "u1"), parse_datatype(tid.encode()[2:]))


VARIABLE = {
    "texts": (["grüße", "", "ccc", "d" * 100], TEXT),
    "texts in dimensions": (objects(["a", "bb", "", "c"], (2, 2)), h5py.string_dtype("ascii")),
    "text": ("alone", TEXT),
    "Latin-1": ([b"stra\xdfe"], h5py.string_dtype("ascii")),
    **{
        f"sequences of {code}": (
            objects([np.array([1, 0, 2, 3][:n]).astype(code) for n in (3, 0, 1, 2)]),
            h5py.vlen_dtype(np.dtype(code)),
        )
        for code in ("<i2", ">i2", "<f8", ">f4", "?", "<c8", ">c16", "S3", "<f2", "u1")
    },
    **{
        f"sequences of records, aligned: {aligned}": (
            objects([np.array([(1, 2.5, b"x"), (3, 4.5, b"yy")], kind), np.zeros(0, kind)]),
            h5py.vlen_dtype(kind),
        )
        for aligned in (False, True)
        for kind in [np.dtype([("a", "<i2"), ("b", ">f8"), ("s", "S3")], align=aligned)]
    },
}
INNER = np.dtype([("z", ">i2"), ("t", TEXT, (2,))])
WITH_TEXTS = np.dtype([("a", ">i4"), ("s", TEXT), ("f", "S4"), ("n", "f4", (2,)), ("b", "?"), ("k", INNER)])


@pytest.mark.parametrize("name", VARIABLE)
def test_elements_of_variable_length(name, tmp_path):
    values, dtype = VARIABLE[name]
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file.create_dataset("d", data=values, dtype=dtype)
    got, expected = decoded(tmp_path / "file.h5")
    assert same(got, expected)


def test_records_with_texts(tmp_path):
    values = np.zeros(3, WITH_TEXTS)
    values["a"], values["n"], values["s"] = [1, -2, 3], 1.5, ["x", "", "the longest é"]
    values["k"]["t"] = objects(["1", "2", "", "long", "", "4"], (3, 2))
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file.create_dataset("d", data=values)
    got, expected = decoded(tmp_path / "file.h5")
    assert got.dtype["s"] == "U13"
    assert same(got, expected)


def test_arrays_of_texts_and_what_was_never_written(tmp_path):
    """The elements of a dataset of texts, taken for arrays of two: h5py does not write such arrays."""
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=["a", "b", "cc", ""], dtype=TEXT)
    stored = FileBytes(path)
    with h5py.File(path) as file:
        text = parse_datatype(stored.message(file["d"], DATATYPE_MESSAGE))
        octets = np.frombuffer(stored.octets, "u1", 4 * text.size, file["d"].id.get_offset()).reshape(2, -1)
    datatype = Array(2 * text.size, text, (2,))
    element = element_type(datatype)
    assert elements_of(octets, datatype, element, stored.heap, limit=LIMIT).tolist() == [["a", "b"], ["cc", ""]]
    assert elements_of(0 * octets, datatype, element, NO_HEAP, limit=0).tolist() == [["", ""]] * 2
    assert fill_value(octets[0].tobytes()[:16] * 2, datatype, element, stored.heap) == "a"
    with pytest.raises(UnsupportedFeatureError, match="differs inside"):
        fill_value(octets[0].tobytes(), datatype, element, stored.heap)


def test_a_single_sequence(tmp_path):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file.create_dataset("d", (), h5py.vlen_dtype(np.dtype(">i2")))[()] = np.array([1, -2, 300])
    got, expected = decoded(tmp_path / "file.h5")
    assert got.tolist() == [1, -2, 300]
    assert same(got, expected)


def test_a_record_of_two_parts_with_a_gap_is_no_complex_number():
    datatype = parse_datatype(record(("r", 0, h5t.IEEE_F32LE), ("i", 8, h5t.IEEE_F32LE), size=12).encode()[2:])
    octets = np.array([[1.5, 9, -2]], "<f4").view("u1")
    values = elements_of(octets, datatype, element_type(datatype), NO_HEAP, limit=0)
    assert values.tolist() == [(1.5, -2)]


def test_fields_that_need_more_bytes_than_they_have_in_the_file():
    """h5py makes no room for them, and writes behind its array."""
    tid = record(("f", 0, SMALL), ("b", 1, h5t.STD_I8LE), size=2)
    datatype = parse_datatype(tid.encode()[2:])
    values = elements_of(np.array([[0x38, 5], [0xC4, 6]], "u1"), datatype, element_type(datatype), NO_HEAP, limit=0)
    assert values.dtype == [("f", "f2"), ("b", "i1")]
    assert values.tolist() == [(1.0, 5), (-3.0, 6)]


def test_fill_values(tmp_path):
    rng = np.random.default_rng(3)
    for name in TYPES:
        octets = raw_elements(name, TYPES[name], 1, rng)
        datatype = parse_datatype(TYPES[name].encode()[2:])
        element = element_type(datatype)
        values = elements_of(octets, datatype, element, NO_HEAP, limit=0).reshape(-1)
        if len(values) > 1:
            with pytest.raises(UnsupportedFeatureError, match="differs inside"):
                fill_value(octets.tobytes(), datatype, element, NO_HEAP)
            part = octets.tobytes()[: datatype.base.size]
            octets = np.frombuffer(part * len(values), "u1").reshape(1, -1)
        fill = fill_value(octets.tobytes(), datatype, element, NO_HEAP)
        assert same(fill, values[0]), name
        if datatype.size > 1:
            with pytest.raises(MalformedFileError, match="too few"):
                fill_value(octets.tobytes()[:-1], datatype, element, NO_HEAP)


def long_texts(path, pointers):
    """A file in which many texts are the same long one; the bytes of its elements, their type, and the file."""
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=["x" * 50_000], dtype=TEXT)
    stored = FileBytes(path)
    with h5py.File(path) as file:
        datatype = parse_datatype(stored.message(file["d"], DATATYPE_MESSAGE))
        at = file["d"].id.get_offset()
    octets = np.frombuffer(stored.octets, "u1", datatype.size, at)
    return np.broadcast_to(octets, (pointers, datatype.size)), datatype, stored


def test_many_pointers_to_one_long_text_take_no_memory(tmp_path):
    octets, datatype, stored = long_texts(tmp_path / "file.h5", 20_000)
    tracemalloc.start()
    with pytest.raises(TooManyBytesError):
        elements_of(octets, datatype, element_type(datatype), stored.heap, limit=LIMIT)
    assert tracemalloc.get_traced_memory()[1] < 4 * LIMIT
    tracemalloc.stop()
    assert (
        elements_of(octets[:2], datatype, element_type(datatype), stored.heap, limit=LIMIT).tolist()
        == ["x" * 50_000] * 2
    )


def test_one_long_text_in_a_field_of_many_records_takes_no_memory(tmp_path):
    path = tmp_path / "file.h5"
    values = np.zeros(20_000, [("s", TEXT)])
    values["s"] = ["x" * 50_000] + [""] * 19_999
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=values)
    with pytest.raises(TooManyBytesError):
        decoded(path)


@pytest.mark.parametrize("count", [4, 50_001, 0xFFFFFFFF])
def test_lengths_are_compared_with_the_heap(count, tmp_path):
    octets, datatype, stored = long_texts(tmp_path / "file.h5", 1)
    element = element_type(datatype)
    octets = octets.copy()
    octets[:, :4] = np.frombuffer(count.to_bytes(4, "little"), "u1")
    if count < 50_000:
        assert elements_of(octets, datatype, element, stored.heap, limit=LIMIT).tolist() == ["xxxx"]
    else:
        with pytest.raises(MalformedFileError, match="do not fit"):
            elements_of(octets, datatype, element, stored.heap, limit=LIMIT)


def test_arrays_inside_each_other_have_few_dimensions():
    tid = h5t.STD_I8LE
    for _ in range(3):
        tid = h5t.array_create(tid, (1,) * 31)
    datatype = parse_datatype(tid.encode()[2:])
    with pytest.raises(UnsupportedFeatureError, match="dimensions"):
        elements_of(np.zeros((1, 1), "u1"), datatype, element_type(datatype), NO_HEAP, limit=LIMIT)


@pytest.fixture(scope="module")
def variable(tmp_path_factory):
    """Bytes, types and files of elements of variable length."""
    samples = []
    for values, dtype in (
        *VARIABLE.values(),
        (np.array([(1, "a", b"b", [1, 2], True, (3, ["c", "d"]))], WITH_TEXTS), None),
    ):
        path = tmp_path_factory.mktemp("variable") / "file.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("d", data=values, dtype=dtype)
        stored = FileBytes(path)
        with h5py.File(path) as file:
            datatype = parse_datatype(stored.message(file["d"], DATATYPE_MESSAGE))
            octets = stored.octets[file["d"].id.get_offset() :][: file["d"].size * datatype.size]
        samples.append((octets, datatype, element_type(datatype), stored))
    return samples


@settings(max_examples=examples(300), deadline=None)
@given(data=st.data())
def test_damaged_elements_are_refused_by_name(data, variable):
    octets, datatype, element, stored = data.draw(st.sampled_from(variable))
    damaged = np.frombuffer(octets, "u1").copy()
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.sampled_from([0, 1, 2, 127, 255]))
    with suppress(TooManyBytesError), refusal():
        elements_of(damaged.reshape(-1, datatype.size), datatype, element, stored.heap, limit=LIMIT)
