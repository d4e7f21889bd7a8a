"""Selections, and what refers to parts of datasets by them, against what h5py says of the same objects, and damage."""

import ctypes
import struct
import tracemalloc
from itertools import product
from pathlib import Path

import h5py
import numpy as np
import pytest
from examples import examples
from h5py import h5d, h5f, h5o, h5p, h5r, h5s, h5t
from hypothesis import given, settings, strategies as st
from manifestry.plugin import MalformedFileError, ManifestryError, UnsupportedFeatureError
from manifestry.testing.refusing import refusal, refuses
from manifestry_hdf5.structures.batched_reads import read_alone
from manifestry_hdf5.structures.checksum import lookup3_of
from manifestry_hdf5.structures.data_objects.data_layout_message import VirtualLayout, parse_layout
from manifestry_hdf5.structures.data_objects.datatype import ReferenceKind
from manifestry_hdf5.structures.data_objects.external_files_message import ExternalFile, read_external_files
from manifestry_hdf5.structures.encodings.dataspace_selection import (
    AllElements,
    Boxes,
    NoElements,
    Points,
    RegularHyperslab,
    parse_selection,
)
from manifestry_hdf5.structures.encodings.references import Pointer, Region, parse_reference
from manifestry_hdf5.structures.encodings.selected_elements import (
    element_count,
    endless_axis,
    endless_extent,
    fixed_count,
    flat_positions,
    selected_box,
    selection_rank,
    slice_count,
)
from manifestry_hdf5.structures.fields import Fields
from manifestry_hdf5.structures.file_metadata.superblock import Superblock
from manifestry_hdf5.structures.infrastructure.global_heap import GlobalHeap
from manifestry_hdf5.structures.infrastructure.virtual_mappings import (
    SAME_FILE,
    parse_virtual_mappings,
)

VERSIONS = {
    "earliest": h5f.LIBVER_EARLIEST,
    "v108": h5f.LIBVER_V18,
    "v110": h5f.LIBVER_V110,
    "v112": h5f.LIBVER_V112,
    "v114": h5f.LIBVER_V114,
    "latest": h5f.LIBVER_LATEST,
}
TOO_MANY = UnsupportedFeatureError("more than fit")


@pytest.fixture(scope="module")
def libhdf5():
    """The library of h5py: h5py has no names for references of HDF5 1.12, nor for the version of an encoded selection."""
    libraries = sorted((Path(h5py.__file__).parent.parent / "h5py.libs").glob("libhdf5-*"))
    if not libraries:
        pytest.skip("the library of this h5py is somewhere else")
    library = ctypes.CDLL(str(libraries[0]))
    identifier, place, text = ctypes.c_int64, ctypes.c_void_p, ctypes.c_char_p
    library.H5Sencode2.argtypes = [identifier, place, ctypes.POINTER(ctypes.c_size_t), identifier]
    library.H5Rcreate_object.argtypes = [identifier, text, identifier, place]
    library.H5Rcreate_region.argtypes = [identifier, text, identifier, identifier, place]
    library.H5Rcreate_attr.argtypes = [identifier, text, text, identifier, place]
    library.H5Rdestroy.argtypes = [place]
    library.H5Dcreate2.argtypes, library.H5Dcreate2.restype = [identifier, text, *[identifier] * 5], identifier
    library.H5Dwrite.argtypes, library.H5Dclose.argtypes = [*[identifier] * 5, place], [identifier]
    return library


@pytest.fixture(scope="module")
def arrays():
    """Datasets of any shape, whose elements are their positions; in memory."""
    with h5py.File("arrays", "w", driver="core", backing_store=False) as file:

        def dataset(shape):
            name = str(shape)
            if name not in file:
                file[name] = np.arange(np.prod(shape)).reshape(shape)
            return file[name].id

        yield dataset


def access(version):
    properties = h5p.create(h5p.FILE_ACCESS)
    properties.set_libver_bounds(VERSIONS[version], h5f.LIBVER_LATEST)
    return properties


def encoded(libhdf5, space, version="earliest"):
    """A selection as HDF5 serializes it, without the dataspace message in front of it."""
    properties, size = access(version), ctypes.c_size_t()
    assert libhdf5.H5Sencode2(space.id, None, ctypes.byref(size), properties.id) >= 0
    buffer = ctypes.create_string_buffer(size.value)
    assert libhdf5.H5Sencode2(space.id, buffer, ctypes.byref(size), properties.id) >= 0
    return buffer.raw[7 + int.from_bytes(buffer.raw[3:7], "little") :]


def parsed(data, rank=None):
    """The selection of some bytes, which has to end where they do."""
    fields = Fields(data + b"end", "test")
    selection = parse_selection(fields, rank)
    assert fields.octets(3) == b"end"
    return selection


def positions(selection, shape, slices=None):
    return flat_positions(selection, shape, slices, limit=1 << 20, refusal=TOO_MANY)


def random_hyperslab(rng, shape):
    """Start, count, stride and block of a hyperslab inside of a shape, in the order of `select_hyperslab`."""
    start = [int(rng.integers(0, n)) for n in shape]
    block = [int(rng.integers(1, n - first + 1)) for first, n in zip(start, shape, strict=True)]
    stride = [int(rng.integers(length, length + 3)) for length in block]
    room = zip(start, stride, block, shape, strict=True)
    count = [int(rng.integers(1, (n - first - length) // step + 2)) for first, step, length, n in room]
    return tuple(start), tuple(count), tuple(stride), tuple(block)


def random_space(rng, shape):
    space = h5s.create_simple(shape)
    kind = rng.choice(["all", "none", "points", "one", "several", "several"])
    if kind == "none":
        space.select_none()
    elif kind == "points":
        count = int(rng.integers(1, 20))
        space.select_elements(np.stack([rng.integers(0, n, count) for n in shape], axis=1).astype("u8"))
    elif kind in ("one", "several"):
        space.select_hyperslab(*random_hyperslab(rng, shape))
        for _ in range(0 if kind == "one" else int(rng.integers(1, 5))):
            operation = int(rng.choice([h5s.SELECT_OR, h5s.SELECT_XOR, h5s.SELECT_NOTB]))
            space.select_hyperslab(*random_hyperslab(rng, shape), op=operation)
    return space


def box_of(flat, shape):
    """Start and lengths of the box that some positions are in C order, None where they are none."""
    if not len(flat):
        return (0,) * len(shape), (0,) * len(shape)
    corners = np.stack(np.unravel_index(flat, shape))
    low, high = corners.min(axis=1), corners.max(axis=1) + 1
    box = np.arange(np.prod(shape)).reshape(shape)[tuple(map(slice, low, high))].reshape(-1)
    return (tuple(low), tuple(high - low)) if np.array_equal(box, flat) else None


@pytest.mark.parametrize("version", VERSIONS)
def test_selections_are_what_hdf5_serialized(libhdf5, arrays, version):
    rng = np.random.default_rng(len(version))
    kinds = set()
    for _ in range(400):
        shape = tuple(map(int, rng.integers(1, 7, rng.integers(1, 5))))
        space = random_space(rng, shape)
        selection = parsed(encoded(libhdf5, space, version), len(shape) if rng.integers(2) else None)
        kinds.add(type(selection))
        count = space.get_select_npoints()
        expected = np.empty(count, "i8")
        if count:
            arrays(shape).read(h5s.create_simple((count,)), space, expected)
        assert element_count(selection, shape) == count
        assert fixed_count(selection) == (None if isinstance(selection, AllElements) else count)
        assert selection_rank(selection) in (len(shape), None)
        assert positions(selection, shape).tolist() == expected.tolist()
        assert selected_box(selection, shape) == box_of(expected, shape)
        assert endless_axis(selection) is None
    assert kinds == {AllElements, NoElements, Points, Boxes, RegularHyperslab}


@pytest.mark.parametrize("version", VERSIONS)
def test_selections_without_end_follow_the_shape(libhdf5, version):
    rng = np.random.default_rng(len(version))
    for _ in range(100):
        shape = tuple(map(int, rng.integers(1, 7, rng.integers(1, 4))))
        axis = int(rng.integers(len(shape)))
        parts = [list(part) for part in random_hyperslab(rng, shape)]
        start, count, stride, block = parts
        if rng.integers(2):
            count[axis] = h5s.UNLIMITED
        else:
            count[axis], block[axis] = 1, h5s.UNLIMITED
        space = h5s.create_simple(shape, tuple(h5s.UNLIMITED if i == axis else n for i, n in enumerate(shape)))
        space.select_hyperslab(*map(tuple, parts))
        selection = parsed(encoded(libhdf5, space, version), len(shape))
        indices = []
        for i, n in enumerate(shape):
            room = np.arange(start[i], n)
            number, inside = np.divmod(room - start[i], stride[i])
            there = count[i] == h5s.UNLIMITED or number < count[i]
            indices.append(room[there & (inside < block[i])] if block[i] != h5s.UNLIMITED else room)
        expected = np.arange(np.prod(shape)).reshape(shape)[np.ix_(*indices)]
        slices = expected.shape[axis]
        assert (endless_axis(selection), slice_count(selection, shape)) == (axis, slices)
        assert element_count(selection, shape) == expected.size
        assert fixed_count(selection) is None
        assert positions(selection, shape).tolist() == expected.reshape(-1).tolist()
        assert endless_extent(selection, slices) == (indices[axis][-1] + 1 if slices else 0)
        for fewer in range(slices):
            part = expected[tuple(slice(fewer) if i == axis else slice(None) for i in range(len(shape)))].reshape(-1)
            assert positions(selection, shape, fewer).tolist() == part.tolist()
            assert element_count(selection, shape, fewer) == part.size
            if fewer:
                assert selected_box(selection, shape, fewer) == box_of(part, shape)


@pytest.mark.parametrize("regular", [True, False])
@pytest.mark.parametrize("version", ["earliest", "v110", "latest"])
def test_coordinates_of_every_width(libhdf5, version, regular):
    for far in (5, 300, (1 << 16) - 2, (1 << 16) + 5, (1 << 32) - 2, (1 << 32) + 5, (1 << 40) + 1):
        space = h5s.create_simple((far + 9, 4))
        space.select_hyperslab((far, 0), (3, 2), (3, 2), (1, 1))
        if not regular:
            space.select_hyperslab((far + 1, 0), (1, 1), op=h5s.SELECT_OR)
        selection = parsed(encoded(libhdf5, space, version), 2)
        expected = [4 * far + n for n in ((0, 2, 12, 14, 24, 26) if regular else (0, 2, 4, 12, 14, 24, 26))]
        assert positions(selection, (far + 9, 4)).tolist() == expected
        space.select_elements(np.array([[far, 1], [0, 3]], "u8"))
        points = parsed(encoded(libhdf5, space, version), 2)
        assert positions(points, (far + 9, 4)).tolist() == [4 * far + 1, 3]


def hyperslab(version, *numbers, flags=1, width=8, rank=1):
    """A serialized hyperslab."""
    form = {2: "H", 4: "I", 8: "Q"}[width]
    middle = {1: bytes(8), 2: bytes([flags]) + bytes(4), 3: bytes([flags, width])}[version]
    return struct.pack("<II", 2, version) + middle + struct.pack(f"<I{len(numbers)}{form}", rank, *numbers)


ENDLESS = (1 << 64) - 1
WRONG = {
    "a kind": (struct.pack("<6I", 4, 1, 0, 0, 1, 1), "selection of kind 4"),
    "a version of all": (struct.pack("<4I", 3, 2, 0, 0), "kind 3 in version 2"),
    "a version of points": (struct.pack("<7I", 1, 3, 0, 0, 1, 1, 0), "kind 1 in version 3"),
    "a version of hyperslabs": (struct.pack("<8I", 2, 4, 0, 0, 1, 1, 0, 0), "kind 2 in version 4"),
    "boxes in version 2": (hyperslab(2, 1, 0, 0, flags=0), "boxes in version 2"),
    "flags": (hyperslab(3, 0, 1, 1, 1, flags=3), "flags 0x3"),
    "a width": (struct.pack("<IIBBI", 2, 3, 1, 3, 1) + bytes(12), "coordinates of 3 bytes"),
    "no dimensions": (hyperslab(3, rank=0), "0 dimensions"),
    "many dimensions": (hyperslab(3, rank=33), "33 dimensions"),
    "other dimensions": (hyperslab(3, *(0, 1, 1, 1) * 2, rank=2), "2 dimensions, and 1"),
    "an end before the start": (hyperslab(3, 1, 5, 4, flags=0), "ends before it begins"),
    "one of two": (hyperslab(3, 2, 0, 1, 5, 4, flags=0), "ends before it begins"),
    "no boxes": (hyperslab(1, 0, width=4), "no boxes"),
    "no points": (struct.pack("<6I", 1, 1, 0, 0, 1, 0), "no points"),
    "the same box twice": (hyperslab(3, 2, 1, 3, 1, 3, flags=0), "overlapping boxes"),
    "a box over another": (hyperslab(3, 2, 1, 3, 3, 4, flags=0), "overlapping boxes"),
    "a stride of none": (hyperslab(3, 0, 0, 2, 1), "a stride of 0"),
    "overlapping blocks": (hyperslab(3, 0, 2, 2, 3), "overlap"),
    "two without end": (hyperslab(3, *(0, 1, ENDLESS, 1) * 2, rank=2), "more than one dimension without end"),
    "endless blocks": (hyperslab(3, 0, 9, 2, ENDLESS), "2 blocks without end"),
    "count and block without end": (hyperslab(3, 0, 1, ENDLESS, ENDLESS), "more than one dimension without end"),
    "beyond all": (hyperslab(3, 1 << 62, 1 << 62, 2, 1), "no dataset reaches"),
    "a far corner": (hyperslab(3, 1, 0, 1 << 63, flags=0), "no dataset reaches"),
    "a far corner of two": (hyperslab(3, 2, 0, 1, 5, 1 << 63, flags=0), "no dataset reaches"),
    "many boxes": (hyperslab(3, 1 << 60, 0, 0, flags=0), "too short"),
    "many points": (struct.pack("<IIBIQQ", 1, 2, 8, 1, 1 << 60, 0), "too short"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_selections_are_refused(what):
    data, said = WRONG[what]
    tracemalloc.start()
    with pytest.raises((MalformedFileError, UnsupportedFeatureError), match=said):
        parsed(data, 1 if what == "other dimensions" else None)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_every_selection_that_is_cut_off_is_refused(libhdf5):
    rng = np.random.default_rng(3)
    for version in VERSIONS:
        for _ in range(10):
            data = encoded(libhdf5, random_space(rng, (4, 3)), version)
            for length in range(len(data)):
                with refuses():
                    parse_selection(Fields(data[:length], "test"))


def test_selections_that_do_not_fit_a_shape_are_refused():
    selections = {
        "regular": RegularHyperslab(start=(1,), stride=(3,), count=(2,), block=(2,)),  # ends at 6
        "points": Points(np.array([[5], [0]])),
        "boxes": Boxes(np.array([[0], [4]]), np.array([[1], [5]])),
    }
    for selection in selections.values():
        assert element_count(selection, (6,)) in (2, 4)
        for use in (element_count, selected_box, positions):
            with pytest.raises(UnsupportedFeatureError, match="reaches beyond its dataset"):
                use(selection, (5,))
            with pytest.raises(MalformedFileError, match="1 dimensions"):
                use(selection, (6, 6))


def test_many_elements_are_counted_and_not_listed():
    shape = (1 << 40, 1 << 40)
    everything = Boxes(np.array([[0, 0]]), np.array([[(1 << 40) - 1, (1 << 40) - 1]]))
    for selection in (AllElements(), everything):
        assert element_count(selection, shape) == 1 << 80
        assert selected_box(selection, shape) == ((0, 0), shape)
        with pytest.raises(UnsupportedFeatureError, match="more than fit"):
            positions(selection, shape)
    with pytest.raises(UnsupportedFeatureError, match="have no numbers"):
        positions(Points(np.array([[1, 1]])), shape)
    assert positions(NoElements(), shape).tolist() == []


@given(st.data())
@settings(max_examples=examples(300), deadline=None)
def test_damaged_selections_end_in_named_errors(libhdf5, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    good = bytearray(encoded(libhdf5, random_space(rng, (5, 4)), data.draw(st.sampled_from(list(VERSIONS)))))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.sampled_from([0, 1, 2, 4, 8, 127, 128, 255]))
    try:
        selection = parse_selection(Fields(bytes(good), "test"), 2)
        flat = positions(selection, (5, 4))
        assert len(flat) == element_count(selection, (5, 4))
        if not isinstance(selection, Points):
            assert (np.diff(flat) > 0).all()
        if box := selected_box(selection, (5, 4)):
            assert np.prod(box[1]) == len(flat)
    except ManifestryError:
        pass


def of_file(path, sizes=8):
    """What readers need of a file without a user block: its superblock, its global heap and its bytes."""
    data = path.read_bytes()
    superblock = Superblock(base=0, offset_size=sizes, length_size=sizes, size=len(data))
    return superblock, GlobalHeap(superblock=superblock, read=lambda start, stop: data[start:stop]), data


def heap_object(path):
    """The only object of the only global heap of a file, by the data layout message that names it."""
    superblock, heap, data = of_file(path)
    identifier = struct.pack("<QI", data.index(b"GCOL\1"), 1)
    message = data[data.index(identifier) - 2 :]
    assert message[0] in (4, 5)
    assert parse_layout(message[:14], superblock) == VirtualLayout(identifier)
    return superblock, heap.object(identifier)


def spaces_with_mappings():
    """Mappings: file, dataset, space of the virtual dataset, space of the source; for a virtual dataset of (∞, 6)."""
    unlimited = h5s.UNLIMITED
    virtual = lambda: h5s.create_simple((8, 6), (unlimited, 6))  # noqa: E731
    source = lambda: h5s.create_simple((4, 6), (unlimited, 6))  # noqa: E731
    finite = [
        (((0, 0), (1, 1), None, (2, 6)), ((1, 0), (1, 1), None, (2, 6))),
        (((2, 0), (2, 3), (2, 2), (1, 1)), ((0, 1), (2, 3), (2, 2), (1, 1))),
        (((7, 0), (1, 6), None, None), ((0, 0), (3, 2), (1, 3), (1, 1))),
    ]
    names = [("a" * 20, "d" * 20), ("a" * 20, "group/d"), (".", "d" * 20), ("b", "d" * 20), (".", "e"), ("a" * 20, "e")]
    for (file, dataset), (first, second) in zip(names, finite * 2, strict=True):
        spaces = virtual(), source()
        spaces[0].select_hyperslab(*first)
        spaces[1].select_hyperslab(*second)
        yield file, dataset, *spaces
    irregular = virtual(), source()
    irregular[0].select_hyperslab((4, 0), (1, 1), None, (1, 3))
    irregular[0].select_hyperslab((5, 2), (1, 1), None, (2, 2), op=h5s.SELECT_OR)
    irregular[1].select_hyperslab((0, 0), (1, 1), None, (1, 6))
    irregular[1].select_hyperslab((3, 2), (1, 1), op=h5s.SELECT_OR)
    yield "a" * 20, "group/d", *irregular


def endless_mappings():
    unlimited = h5s.UNLIMITED
    rows = lambda n: h5s.create_simple((n, 6), (unlimited, 6))  # noqa: E731
    spaces = [rows(8), rows(4), rows(8), h5s.create_simple((2, 3))]
    spaces[0].select_hyperslab((0, 0), (unlimited, 1), (4, 1), (1, 6))
    spaces[1].select_hyperslab((1, 0), (unlimited, 1), (1, 1), (1, 6))
    spaces[2].select_hyperslab((2, 0), (unlimited, 1), (4, 1), (1, 6))
    yield "a.h5", "d", spaces[0], spaces[1]
    yield "block %b of 100%%.h5", "number/%b", spaces[2], spaces[3]


@pytest.mark.parametrize("version", ["earliest", "v110", "v112", "v114", "latest"])
@pytest.mark.parametrize("mappings", [spaces_with_mappings, endless_mappings])
def test_virtual_datasets_are_mapped_as_h5py_says(libhdf5, tmp_path, version, mappings):
    path = tmp_path / "virtual.h5"
    with h5py.File(h5f.create(bytes(path), fapl=access(version))) as file:
        properties = h5p.create(h5p.DATASET_CREATE)
        for name, dataset, virtual, source in mappings():
            properties.set_virtual(virtual, name.encode(), dataset.encode(), source)
        space = h5s.create_simple((8, 6), (h5s.UNLIMITED, 6))
        stored = h5d.create(file.id, b"virtual", h5t.STD_I32LE, space, properties).get_create_plist()
        names = [
            (stored.get_virtual_filename(i), stored.get_virtual_dsetname(i)) for i in range(stored.get_virtual_count())
        ]
        spaces = [
            [encoded(libhdf5, get(i), "latest") for get in (stored.get_virtual_srcspace, stored.get_virtual_vspace)]
            for i in range(len(names))
        ]
    superblock, data = heap_object(path)
    assert data[0] == (version == "latest" and mappings is spaces_with_mappings)
    found = parse_virtual_mappings(data, superblock, 2)
    assert [(m.file.decode(), m.dataset.decode()) for m in found] == names
    assert [m.file == SAME_FILE for m in found] == [name == "." for name, _ in names]
    for mapping, expected in zip(found, spaces, strict=True):
        for selection, other in zip((mapping.source, mapping.virtual), map(parsed, expected), strict=True):
            shape = (9, 6)[: selection_rank(selection)]
            assert endless_axis(selection) == endless_axis(other)
            assert positions(selection, shape).tolist() == positions(other, shape).tolist()


def test_damaged_mappings_end_in_named_errors(tmp_path):
    path = tmp_path / "virtual.h5"
    with h5py.File(path, "w", libver="latest") as file:
        layout = h5py.VirtualLayout((8, 6), "i4")
        for row in range(4):
            layout[row] = h5py.VirtualSource("some file.h5", "dataset", (4, 6))[row]
        file.create_virtual_dataset("virtual", layout)
    superblock, data = heap_object(path)
    assert data[0] == 1

    def repaired(body):
        return bytes(body) + lookup3_of(bytes(body)).to_bytes(4, "little")

    def refused(body, said):
        with pytest.raises((MalformedFileError, UnsupportedFeatureError), match=said):
            parse_virtual_mappings(repaired(body), superblock, 2)

    body = data[:-4]
    assert len(parse_virtual_mappings(repaired(body), superblock, 2)) == 4
    for at, length in product(range(0, len(data), 7), (0, 3)):
        with pytest.raises(MalformedFileError, match="checksum"):
            parse_virtual_mappings(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 : len(data) - length], superblock, 2)
    refused(b"\2" + body[1:], "of version 2")
    refused(body[:1] + (1 << 60).to_bytes(8, "little") + body[9:], "too short|without end")
    refused(body[:9] + b"\x08" + body[10:], "flags 0x8")
    refused(body[:9] + b"\x01" + body[10:], "mapping 0 shares a name with mapping")
    wide = parse_virtual_mappings(data, superblock)[0].virtual
    assert isinstance(wide, RegularHyperslab)
    with pytest.raises(MalformedFileError, match="2 dimensions, and 3"):
        parse_virtual_mappings(data, superblock, 3)
    last = body[:-2] + struct.pack("<H", 5)  # a row of five elements for one of six
    refused(last, "5 elements are mapped to 6")
    rng = np.random.default_rng(5)
    for _ in range(1500):
        mutant = bytearray(body)
        for _ in range(rng.integers(1, 4)):
            mutant[rng.integers(len(body))] = rng.choice([0, 1, 2, 4, 127, 255])
        with refusal():
            parse_virtual_mappings(repaired(mutant), superblock, 2)


def test_layout_messages_of_virtual_datasets():
    superblock = Superblock(base=0, offset_size=4, length_size=4)
    identifier = bytes([1, 2, 3, 4, 5, 0, 0, 0])
    assert parse_layout(b"\4\3" + identifier, superblock) == VirtualLayout(identifier)
    assert parse_layout(b"\4\3" + b"\xff" * 4 + bytes(4), superblock) == VirtualLayout(None)
    for message, said in {
        b"\4\3\1\2": "too short",
        b"\3\3" + bytes(8): "class 3 of version 3",
        b"\6\3" + bytes(8): "of version 6",
    }.items():
        with pytest.raises((MalformedFileError, UnsupportedFeatureError), match=said):
            parse_layout(message, superblock)


@pytest.mark.parametrize("version", ["earliest", "latest"])
def test_external_files_are_those_of_h5py(tmp_path, version):
    path, files = (
        tmp_path / "external.h5",
        [("first.raw", 0, 40), ("directory/second", 7, 16), ("ünï", 1, h5f.UNLIMITED)],
    )
    with h5py.File(path, "w", libver=version) as file:
        dataset = file.create_dataset("d", (30,), "i4", external=files, maxshape=(None,))
        stored = [dataset.id.get_create_plist().get_external(i) for i in range(3)]
        address = h5o.get_info(dataset.id).addr
    superblock, _, data = of_file(path)
    heap = data.rindex(b"HEAP\0")
    at = data.index(struct.pack("<Q", heap), address) - 8
    message = data[at : at + 16 + 3 * 24]

    def read(message):
        def fetch(blocks):
            rows = [[np.frombuffer(data[p : p + b.length], "u1") for p in b.positions.tolist()] for b in blocks]
            return [np.array(r).reshape(-1, b.length) for r, b in zip(rows, blocks, strict=True)]

        return read_alone(read_external_files(message, superblock), fetch)

    expected = [(name, offset, None if size == h5f.UNLIMITED else size) for name, offset, size in stored]
    assert list(read(message)) == [ExternalFile(*file) for file in expected]
    assert read(message[:6] + bytes(2) + message[8:]) == ()
    for wrong, said in {
        b"\2" + message[1:]: "of version 2",
        message[:-1]: "too short",
        message[:4] + b"\1\0" + message[6:]: "3 files where there is room for 1",
        message[:16] + struct.pack("<Q", 1 << 40) + message[24:]: "no text at offset",
        message[:16] + bytes(8) + message[24:]: "a name, and bytes",
        message[:24] + b"\xff" * 8 + message[32:]: "a name, and bytes",
        message[:32] + b"\xff" * 8 + message[40:]: "follows one without end",
        message[:8] + struct.pack("<Q", 1 << 40) + message[16:]: "beyond the end",
        message[:8] + struct.pack("<Q", 0) + message[16:]: "not a local heap",
    }.items():
        with pytest.raises((MalformedFileError, UnsupportedFeatureError), match=said):
            read(wrong)


@pytest.mark.parametrize("sizes", [8, 4, 2])
@pytest.mark.parametrize("version", ["earliest", "latest"])
def test_references_of_h5py(tmp_path, version, sizes):
    path = tmp_path / "references.h5"
    creation = h5p.create(h5p.FILE_CREATE)
    creation.set_sizes(sizes, sizes)
    with h5py.File(h5f.create(bytes(path), fcpl=creation, fapl=access(version))) as file:
        target = file.create_dataset("target", data=np.arange(24).reshape(4, 6))
        selections = [np.s_[1:3, 2:5], np.s_[::2, 1], np.s_[[0, 3]], np.s_[...], target[...] % 5 == 0]
        regions = [target.regionref[selection] for selection in selections]
        spaces = [h5r.get_region(region, target.id) for region in regions]
        objects = [target.ref, file.ref, h5py.Reference()]
        stored = [(one, h5py.ref_dtype) for one in objects]
        stored += [(one, h5py.regionref_dtype) for one in [*regions, h5py.RegionReference()]]
        for number, (one, dtype) in enumerate(stored):  # HDF5 2.0 writes several of fewer than 8 bytes wrongly
            file[str(number)] = np.array([one], dtype)
        addresses = [h5o.get_info(target.id).addr, h5o.get_info(file.id).addr]
        places = [file[str(number)].id.get_offset() for number in range(len(stored))]
        counts = [space.get_select_npoints() for space in spaces]
        bounds = [space.get_select_bounds() for space in spaces]
    superblock, heap, data = of_file(path, sizes)

    def read(element, kind):
        return parse_reference(element, kind, superblock, heap)

    objects = [data[start:][:sizes] for start in places[:3]]
    stored = [data[start:][: sizes + 4] for start in places[3:]]
    found = [read(element, ReferenceKind.OBJECT) for element in objects]
    assert found == [Pointer(addresses[0]), Pointer(addresses[1]), None]
    *found, null = [read(element, ReferenceKind.REGION) for element in stored]
    assert null is None
    for pointer, count, (low, high) in zip(found, counts, bounds, strict=True):
        assert pointer[0] == addresses[0]
        rank, selection = pointer.region
        assert rank == (None if isinstance(selection, AllElements) else 2)
        corners = np.unravel_index(positions(selection, (4, 6)), (4, 6))
        assert element_count(selection, (4, 6)) == count
        assert (*map(min, corners),) == low
        assert (*map(max, corners),) == high
    assert read(b"\xff" * sizes, ReferenceKind.OBJECT) is None
    for element, kind in ((objects[0] + b"\0", ReferenceKind.OBJECT), (stored[0][:-1], ReferenceKind.REGION)):
        with pytest.raises(MalformedFileError, match="bytes where"):
            read(element, kind)
    with pytest.raises(MalformedFileError, match="has no object 999"):
        read(stored[0][:sizes] + struct.pack("<I", 999), ReferenceKind.REGION)


@pytest.mark.parametrize("sizes", [8, 4])
def test_references_of_hdf5_1_12(libhdf5, tmp_path, sizes):
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["o"] = [1, 2]
    path, creation = tmp_path / "references.h5", h5p.create(h5p.FILE_CREATE)
    creation.set_sizes(sizes, sizes)
    buffer = ctypes.create_string_buffer(7 * 64)
    place = [ctypes.byref(buffer, 64 * i) for i in range(7)]
    fapl = access("v112")
    with h5py.File(other) as elsewhere, h5py.File(h5f.create(bytes(path), fcpl=creation, fapl=fapl)) as file:
        file["d"] = np.zeros((4, 5))
        file["d"].attrs["name"] = 1
        part, everything, points = h5s.create_simple((4, 5)), h5s.create_simple((4, 5)), h5s.create_simple((2,))
        part.select_hyperslab((1, 2), (2, 1), (2, 1), (1, 2))
        points.select_elements(np.array([[1], [0]], "u8"))
        results = [
            libhdf5.H5Rcreate_object(file.id.id, b"/d", 0, place[0]),
            libhdf5.H5Rcreate_region(file.id.id, b"/d", part.id, 0, place[1]),
            libhdf5.H5Rcreate_region(file.id.id, b"/d", everything.id, 0, place[2]),
            libhdf5.H5Rcreate_attr(file.id.id, b"/d", b"name", 0, place[3]),
            libhdf5.H5Rcreate_object(elsewhere.id.id, b"/o", 0, place[4]),
            libhdf5.H5Rcreate_region(elsewhere.id.id, b"/o", points.id, 0, place[5]),
        ]
        assert results == [0] * 6
        datatype = ctypes.c_int64.in_dll(libhdf5, "H5T_STD_REF_g").value
        seven = h5s.create_simple((7,))
        stored = libhdf5.H5Dcreate2(file.id.id, b"references", datatype, seven.id, 0, 0, 0)
        assert libhdf5.H5Dwrite(stored, datatype, 0, 0, 0, buffer) == 0  # the last reference is null
        assert libhdf5.H5Dclose(stored) == 0
        assert [libhdf5.H5Rdestroy(one) for one in place[:6]] == [0] * 6
        address, far = h5o.get_info(file["d"].id).addr, h5o.get_info(elsewhere["o"].id).addr
        start, width = file["references"].id.get_offset(), file["references"].id.get_storage_size() // 7
    superblock, heap, data = of_file(path, sizes)
    elements = [data[start + width * i :][:width] for i in range(7)]

    def read(element, heap=heap):
        return parse_reference(element, ReferenceKind.NEW_OBJECT, superblock, heap)

    found = [read(element) for element in elements]
    slab = RegularHyperslab(start=(1, 2), stride=(2, 1), count=(2, 1), block=(1, 2))
    assert found[:5] == [
        Pointer(address),
        Pointer(address, region=Region(2, slab)),
        Pointer(address, region=Region(2, AllElements())),
        Pointer(address, attribute=b"name"),
        Pointer(far, file=bytes(other)),
    ]
    assert found[5].region.selection.coordinates.tolist() == [[1], [0]]
    assert found[5][::3] == (far, bytes(other))
    assert found[6] is None
    for element, said in {
        elements[1][:-1]: "bytes where",
        b"\7" + elements[0][1:]: "of kind 7",
        elements[0][:1] + b"\2" + elements[0][2:]: "flags 0x2",
        elements[0][:2] + b"\3" + elements[0][3:]: "by 3 bytes",
        elements[1][:2] + b"\xff" * 4 + elements[1][6:]: "no heap object of 4294967295 bytes",
        elements[1][:6] + bytes(width - 6): "no heap object",
        b"\0" + elements[1][1:]: "of no kind",
    }.items():
        with pytest.raises((MalformedFileError, UnsupportedFeatureError), match=said):
            read(element)

    class Damaged:
        def __init__(self, rng):
            self._rng = rng

        def object(self, identifier):
            mutant = bytearray(heap.object(identifier))
            for _ in range(self._rng.integers(1, 4)):
                mutant[self._rng.integers(len(mutant))] = self._rng.choice([0, 1, 2, 4, 8, 127, 255])
            return bytes(mutant)

    rng = np.random.default_rng(7)
    for _ in range(1000):
        with refusal():
            read(elements[rng.integers(1, 6)], Damaged(rng))


def mapped(path, source, virtual, length):
    """Write a virtual dataset of one mapping, of a source of so many elements, which are their positions from 1 on.

    Returns what h5py reads of it, and the selections of the mapping.
    """
    with h5py.File(path.with_name("source.h5"), "w", libver="latest") as file:
        file.create_dataset("d", data=np.arange(1, length + 1), maxshape=(None,))
    with h5py.File(path, "w", libver="latest") as file:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_virtual(virtual, b"source.h5", b"d", source)
        h5d.create(file.id, b"virtual", h5t.NATIVE_INT64, virtual, properties)
    superblock, data = heap_object(path)
    [mapping] = parse_virtual_mappings(data, superblock)
    with h5py.File(path) as file:
        return file["virtual"][...], mapping


def test_elements_of_a_mapping_stand_for_each_other_in_order(tmp_path):
    rng = np.random.default_rng(11)
    for _ in range(40):
        shape = tuple(map(int, rng.integers(2, 6, rng.integers(1, 4))))
        virtual = h5s.create_simple(shape)
        for number in range(3):
            slab = random_hyperslab(rng, shape)
            virtual.select_hyperslab(*slab, op=h5s.SELECT_OR if number else h5s.SELECT_SET)
        count = virtual.get_select_npoints()
        source = h5s.create_simple((2 * count + 1,), (h5s.UNLIMITED,))
        source.select_hyperslab((1,), (count,), (2,), (1,))
        values, mapping = mapped(tmp_path / "virtual.h5", source, virtual, 2 * count + 1)
        expected = np.zeros(shape, "i8")
        expected.reshape(-1)[positions(mapping.virtual, shape)] = positions(mapping.source, (2 * count + 1,)) + 1
        assert values.tolist() == expected.tolist()


def test_mappings_without_end_give_a_virtual_dataset_its_length(tmp_path):
    rng = np.random.default_rng(13)

    def endless(length):
        """A space with a selection without end, and the indices that its first block has."""
        first, block = int(rng.integers(0, 3)), int(rng.integers(1, 4))
        space = h5s.create_simple((length,), (h5s.UNLIMITED,))
        if rng.integers(3):
            space.select_hyperslab((first,), (h5s.UNLIMITED,), (block + int(rng.integers(0, 3)),), (block,))
        else:
            space.select_hyperslab((first,), (1,), (1,), (h5s.UNLIMITED,))
        return space, range(first, first + block)

    tried = 0
    for _ in range(60):
        length = int(rng.integers(1, 14))
        path, (source, block), (virtual, _) = tmp_path / "virtual.h5", endless(length), endless(3)
        try:
            values, mapping = mapped(path, source, virtual, length)
        except OSError:
            # HDF5 2.0 takes a source that ends inside of its first block for one that has the whole block
            if length - 1 in block[:-1]:
                continue
            raise
        tried += 1
        slices = slice_count(mapping.source, (length,))
        extent = endless_extent(mapping.virtual, slices)
        expected = np.zeros(extent, "i8")
        expected[positions(mapping.virtual, (extent,), slices)] = positions(mapping.source, (length,)) + 1
        assert values.tolist() == expected.tolist()
    assert tried > 30
