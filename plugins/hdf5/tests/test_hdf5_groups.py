"""Links, dense storage and shared messages as read from the bytes, against what libhdf5 says, and against damage."""

import ctypes
from contextlib import closing

import h5py
import manifestry as mf
import numpy as np
import pytest
from examples import examples
from h5py import h5g, h5l, h5p, h5t
from hdf5_library import address_of, library, opened
from hypothesis import HealthCheck, given, settings, strategies as st
from manifestry.plugin import MalformedFileError, ManifestryError, UnsupportedFeatureError
from manifestry_hdf5.file_bytes import LocalFile
from manifestry_hdf5.structures.batched_reads import read_together
from manifestry_hdf5.structures.data_objects import group_links
from manifestry_hdf5.structures.data_objects.attribute_message import attribute_parts
from manifestry_hdf5.structures.data_objects.dataspace_message import DATASPACE_MESSAGE, parse_dataspace
from manifestry_hdf5.structures.data_objects.group_links import read_links
from manifestry_hdf5.structures.data_objects.info_messages import (
    LINK_INFO_MESSAGE,
    parse_link_info,
)
from manifestry_hdf5.structures.data_objects.link_message import LinkKind, parse_link
from manifestry_hdf5.structures.data_objects.object_attributes import read_attribute_messages
from manifestry_hdf5.structures.data_objects.object_header import Message, find_message, read_messages
from manifestry_hdf5.structures.file_metadata.superblock import Superblock
from manifestry_hdf5.structures.fractal_heap import blocks, header as heap_header
from manifestry_hdf5.structures.fractal_heap.filters import parse_filters
from manifestry_hdf5.structures.fractal_heap.header import FractalHeap
from manifestry_hdf5.structures.fractal_heap.objects import read_objects
from manifestry_hdf5.structures.infrastructure import btree_v2, shared_messages
from manifestry_hdf5.structures.infrastructure.dense_storage import LINKS, read_records
from manifestry_hdf5.structures.infrastructure.shared_messages import (
    SHARED_TABLE_MESSAGE,
    SharedMessages,
    read_shared_table,
)

VERSIONS = ["earliest", "v108", "v110", "v112", "v114", "latest"]
DATATYPE_MESSAGE = 3


def run(reader, fetch):
    [result] = read_together([reader], fetch)
    if isinstance(result, ManifestryError):
        raise result
    return result


def shared_table(superblock, fetch):
    """The message of the superblock extension that says where the table of shared messages is."""
    if superblock.extension is None:
        return None
    message = find_message(run(read_messages(superblock, superblock.extension), fetch), SHARED_TABLE_MESSAGE)
    return None if message is None else message.data


def own_links(file, group):
    """The links of a group as read from the bytes: name, kind, what it leads to, creation order, character set."""
    links = []
    for link in file.objects.links(address_of(group)):
        target = {LinkKind.HARD: link.address, LinkKind.SOFT: link.target, LinkKind.EXTERNAL: (link.file, link.target)}
        links.append((link.name, int(link.kind), target[link.kind], link.order, link.utf8))
    return links


def library_links(group):
    """The links of a group as libhdf5 lists them."""
    links = []

    def add(name, info):
        order = int(info.corder) if info.corder_valid else None
        links.append([name, int(info.type), int(info.u), order, info.cset == h5t.CSET_UTF8])

    group.links.iterate(add, info=True)
    for link in links:
        if link[1] != h5l.TYPE_HARD:
            link[2] = group.links.get_val(link[0])
    return [tuple(link) for link in links]


def compare_links(path, *groups):
    """Compare the links of groups; returns the number of links."""
    count = 0
    with opened(path) as (file, other):
        for name in groups:
            group = h5g.open(other.id, name.encode())
            own = own_links(file, group)
            assert own == library_links(group)
            count += len(own)
    return count


def fill(group, count):
    """Links of all kinds."""
    for i in range(count):
        if i % 5 == 1:
            group[f"soft{i}"] = h5py.SoftLink(f"/some/where/{i}")
        elif i % 5 == 2:
            group[f"external{i}"] = h5py.ExternalLink(f"file{i}.h5", f"/in/it/{i}")
        elif i % 5 == 3:
            group[f"größe{i}"] = h5py.SoftLink("größe")
        else:
            group.create_group(f"group{i}")


@pytest.mark.parametrize("libver", VERSIONS)
@pytest.mark.parametrize(("track_order", "userblock"), [(False, 0), (True, 1024)])
def test_links_of_all_kinds(tmp_path, libver, track_order, userblock):
    path = tmp_path / "file.h5"
    counts = {"few": 6, "many": 40, "most": 700, "empty": 0, "fewer": 60}
    strategy = {"fs_strategy": "page", "fs_page_size": 512} if libver in ("v112", "latest") else {}
    with h5py.File(path, "w", libver=libver, userblock_size=userblock, track_order=track_order, **strategy) as file:
        for name, count in counts.items():
            fill(file.create_group(name, track_order=track_order), count)
        for i in range(3, 58, 2):
            del file["fewer"][list(file["fewer"])[i % len(file["fewer"])]]
        file["same"] = file["few"]
    assert compare_links(path, "/", *counts) > 770


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_names(tmp_path, data):
    path = tmp_path / "file.h5"
    alphabet = st.characters(blacklist_characters="/.\0", blacklist_categories=["Cs"])
    names = data.draw(st.sets(st.text(alphabet, min_size=1, max_size=300), max_size=25))
    with h5py.File(path, "w", libver=data.draw(st.sampled_from(VERSIONS))) as file:
        group = file.create_group("g", track_order=data.draw(st.booleans()))
        for name in names:
            group[name] = h5py.SoftLink(name)
        for name in data.draw(st.sets(st.sampled_from(sorted(names)))) if names else ():
            del group[name]
    compare_links(path, "g")


@pytest.mark.parametrize("filtered", [False, True])
def test_heaps_of_many_levels(tmp_path, filtered):
    """Tables in tables, objects too large for blocks, and all of them filtered."""
    path = tmp_path / "file.h5"
    properties = h5p.create(h5p.GROUP_CREATE)
    properties.set_link_creation_order(h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED)
    if filtered:
        assert library().H5Pset_deflate(ctypes.c_int64(properties.id), 1) == 0
    random = np.random.default_rng(1).integers(97, 123, (1400, 3900), "u1")
    with h5py.File(path, "w", libver="latest") as file:
        group = h5py.Group(h5g.create(file.id, b"g", gcpl=properties))
        for i, letters in enumerate(random):
            group[f"link{i}"] = h5py.SoftLink("/" + letters.tobytes().decode())
        for i in range(12):
            group[f"huge{i}"] = h5py.SoftLink("/" + f"{i}x" * (2500 * (i + 1)))
    assert compare_links(path, "g") == 1412
    data = path.read_bytes()
    assert data.count(b"FHIB") > 5
    with opened(path) as (file, other):
        header = file.objects.header(address_of(other.id, b"g"))
        [info] = [parse_link_info(m.data, file.superblock) for m in header if m.kind == LINK_INFO_MESSAGE]
        heap, records = run(read_records(file.superblock, info, LINKS), file.fetch_index)
        messages = run(read_objects(file.superblock, heap, records[:, 4:]), file.fetch_index)
        links = [parse_link(message, file.superblock) for message in messages]
    assert sorted(link.order for link in links) == list(range(1412))
    assert {link.name for link in links} == {f"link{i}".encode() for i in range(1400)} | {
        f"huge{i}".encode() for i in range(12)
    }
    # only what is asked for is read
    read = 0

    def counted(wanted):
        nonlocal read
        read += sum(len(some.positions) * some.length for some in wanted)
        return file.fetch_index(wanted)

    with opened(path) as (file, _):
        assert run(read_objects(file.superblock, heap, records[700:701, 4:]), counted) == messages[700:701]
    assert read < 200_000


@pytest.mark.parametrize("length", [8, 18, 19, 40])
def test_objects_without_blocks(tmp_path, length):
    """Objects that are in their IDs, and those whose IDs say where in the file they are; links and attributes are neither."""
    path = tmp_path / "octets"
    path.write_bytes(bytes(1000) + b"somewhere in the file" + bytes(100))
    heap = FractalHeap(
        address=0, identifier_length=length, filters=(), checksummed=True, max_managed=4096, huge_tree=(1 << 64) - 1,
        huge_count=0, width=4, start=512, largest=65536, bits=32, root=(1 << 64) - 1, rows=0, root_size=0, root_mask=0,
    )  # fmt: skip
    superblock = Superblock(base=1000, offset_size=8, length_size=8, size=1121)
    tiny = b"a text of many octets"[: length - (1 if length <= 18 else 2)][: 16 if length <= 18 else None]
    said = bytes([0x20 | len(tiny) - 1]) if length <= 18 else bytes([0x20, len(tiny) - 1])
    wanted, expected = [said + tiny], [tiny]
    if length > 17:
        wanted.append(b"\x10" + (13).to_bytes(8, "little") + (8).to_bytes(8, "little"))
        expected.append(b"the file")
    rows = np.frombuffer(b"".join(one.ljust(length, b"\0") for one in wanted), "u1").reshape(-1, length)
    with closing(LocalFile(path, path.stat().st_size)) as file:
        assert run(read_objects(superblock, heap, rows), file.fetch) == expected
        for first, message in (
            (0x10, "huge object"),
            (0x00, "no blocks"),
            (0x30, "type that does not"),
            (0x60, "type"),
        ):
            changed = np.full((1, length), 255, "u1")
            changed[0, 0] = first
            if first == 0:
                changed[0, 1:] = [9, 0, 0, 0, 1, 0, *bytes(length - 7)]
            with pytest.raises(MalformedFileError, match=message):
                run(read_objects(superblock, heap, changed), file.fetch)


def attributes_by_library(thing):
    return {name: np.asarray(thing.attrs[name]).tolist() for name in thing.attrs}


@pytest.mark.parametrize("libver", ["v108", "v112", "latest"])
@pytest.mark.parametrize("track_order", [False, True])
def test_dense_attributes(tmp_path, libver, track_order):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver=libver) as file:
        for name, count in (("few", 3), ("many", 30), ("most", 400)):
            group = file.create_group(name, track_order=track_order)
            for i in range(count):
                group.attrs[f"größe{i}"] = [np.int32(i), f"text {i}", np.arange(i, dtype=">f4"), 1.5j][i % 4]
            if libver != "v108":
                group.attrs["large"] = np.arange(9000)  # larger than what a block of the heap holds
        file["type"] = np.dtype("<i2")
        for i in range(12):
            group.attrs.create(f"typed{i}", i, dtype=file["type"])
    tree = mf.parse(path)
    with h5py.File(path) as file:
        for name in ("few", "many", "most"):
            attributes = dict(tree.groups[name].attributes)
            expected = attributes_by_library(file[name])
            assert sorted(attributes) == sorted(expected)
            for key, value in expected.items():
                assert np.array_equal(np.asarray(attributes[key]).tolist(), value), key
    with opened(path) as (file, other):
        group = h5g.open(other.id, b"most")
        messages = file.objects.attribute_messages(address_of(group))
        names = [h5py.h5a.open(group, index=i).name for i in range(h5py.h5a.get_num_attrs(group))]
        assert [attribute_parts(message).name for message in messages] == names


def shared_file(path, cutoff):
    """A file whose objects share messages; indexes of more than `cutoff` messages are B-trees."""
    properties = h5p.create(h5p.FILE_CREATE)
    identifier, hdf5 = ctypes.c_int64(properties.id), library()
    assert hdf5.H5Pset_shared_mesg_nindexes(identifier, 2) == 0
    assert hdf5.H5Pset_shared_mesg_index(identifier, 0, 1 << 1 | 1 << 3, 1) == 0  # dataspaces and datatypes
    assert hdf5.H5Pset_shared_mesg_index(identifier, 1, 1 << 12, 1) == 0  # attributes
    assert hdf5.H5Pset_shared_mesg_phase_change(identifier, cutoff, max(cutoff - 1, 0)) == 0
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_LATEST, h5py.h5f.LIBVER_LATEST)
    with h5py.File(h5py.h5f.create(bytes(path), h5py.h5f.ACC_TRUNC, properties, access)) as file:
        for i in range(30):
            dataset = file.create_dataset(
                f"d{i}", data=np.zeros((i // 2 + 1, 3), [("a", "<i4"), (f"b{i // 3}", ">f8")])
            )
            dataset.attrs["same"] = "a text that all objects have"
            dataset.attrs["own"] = np.arange(i)
            for n in range(20 if i == 7 else 0):
                dataset.attrs[f"dense{n}"] = f"value {n % 3}"


@pytest.mark.parametrize("cutoff", [0, 5000])
def test_shared_messages(tmp_path, cutoff):
    path = tmp_path / "file.h5"
    shared_file(path, cutoff)
    with opened(path) as (file, library_file):
        table = shared_table(file.superblock, file.fetch_index)
        shared = SharedMessages(file.superblock, table, file.objects.read_header)
        seen = 0
        for name, dataset in library_file.items():
            for message in file.objects.header(address_of(dataset.id)):
                data = run(shared.read(message), file.fetch_index)
                seen += message.shared
                if message.kind == DATASPACE_MESSAGE:
                    assert parse_dataspace(data, file.superblock).shape == dataset.shape
                elif message.kind == DATATYPE_MESSAGE:
                    encoded = dataset.id.get_type().encode()[2:]
                    assert data[: len(encoded)] == encoded, name
        assert seen > 60
        indexes = run(read_shared_table(file.superblock, table), file.fetch_index)
        assert [index.kinds for index in indexes] == [1 << 1 | 1 << 3, 1 << 12]
    assert (path.read_bytes().count(b"SMLI") == 0) == (cutoff == 0)
    tree = mf.parse(path)
    assert len(tree.arrays) == 30
    with h5py.File(path) as file:
        for name, array in tree.arrays.items():
            expected = attributes_by_library(file[name])
            assert {k: np.asarray(v).tolist() for k, v in array.attributes.items()} == expected
    assert len(tree.arrays["d7"].attributes) == 22


def known(messages):
    """A reader that needs no bytes."""
    yield from ()
    return messages


def test_versions_of_shared_messages():
    superblock = Superblock(base=0, offset_size=8, length_size=8, size=4096)
    target = Message(DATATYPE_MESSAGE, 0, b"the type")
    where = (800).to_bytes(8, "little")
    shared = SharedMessages(superblock, None, lambda address: known([target] if address == 800 else []))
    forms = [b"\1\0" + bytes(6 + 8) + where, b"\2\0" + where, b"\3\2" + where]
    for form in forms:
        assert run(shared.read(Message(DATATYPE_MESSAGE, 2, form)), None) == b"the type"
        with pytest.raises(MalformedFileError, match="too short"):
            run(shared.read(Message(DATATYPE_MESSAGE, 2, form[:-1])), None)
        with pytest.raises(MalformedFileError, match="no message of type 0x5"):
            run(shared.read(Message(5, 2, form)), None)
    with pytest.raises(MalformedFileError, match="the file has no shared messages"):
        run(shared.read(Message(DATATYPE_MESSAGE, 2, b"\3\1" + bytes(8))), None)
    with pytest.raises(MalformedFileError, match="unknown version"):
        run(shared.read(Message(DATATYPE_MESSAGE, 2, b"\4\2" + where)), None)


def test_a_filter_of_metadata_that_is_not_known():
    message = bytes([2, 1]) + (32001).to_bytes(2, "little") + (6).to_bytes(2, "little") + bytes(4) + b"blosc\0"
    with pytest.raises(UnsupportedFeatureError, match=r"filter 32001 \(blosc\) of metadata"):
        parse_filters(message, "heap")


def test_user_defined_links(tmp_path):
    """libhdf5 does not make them without the program that knows their class: the bytes of a soft link are changed."""
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file["soft"] = h5py.SoftLink("/somewhere")
        file["d"] = 1
    with opened(path) as (file, _):
        header = file.objects.header(file.superblock.root)
        [message] = [m.data for m in header if m.kind == 6 and b"soft" in m.data]
        superblock = file.superblock
    assert parse_link(message, superblock).target == b"/somewhere"
    changed = message[:2] + b"\xbb" + message[3:]
    link = parse_link(changed, superblock)
    assert (link.kind, link.target) == (LinkKind.USER_DEFINED, b"/somewhere")
    for length in range(len(message)):
        with pytest.raises(MalformedFileError, match="link message"):
            parse_link(message[:length], superblock)
    with pytest.raises(MalformedFileError, match="links of kind 7 do not exist"):
        parse_link(message[:2] + b"\7" + message[3:], superblock)


class _AnyNumber(int):
    """A checksum that is always right."""

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    __hash__ = int.__hash__


@pytest.fixture
def right_checksums(monkeypatch):
    """Every checksum is right, as if whoever changed the bytes had made it anew."""
    for module in (heap_header, blocks, group_links, shared_messages):
        monkeypatch.setattr(module, "lookup3_of", lambda _: _AnyNumber())
    for module in (btree_v2, blocks):
        monkeypatch.setattr(module, "check_blocks", lambda *_: None)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Files of each kind of storage, and where the headers of their groups are."""
    directory = tmp_path_factory.mktemp("samples")
    made = []
    for kind in ("earliest", "latest", "filtered", "shared"):
        path = directory / f"{kind}.h5"
        if kind == "shared":
            shared_file(path, 5000)
        else:
            with h5py.File(path, "w", libver="earliest" if kind == "earliest" else "latest") as file:
                properties = h5p.create(h5p.GROUP_CREATE)
                if kind == "filtered":
                    library().H5Pset_deflate(ctypes.c_int64(properties.id), 1)
                group = h5py.Group(h5g.create(file.id, b"g", gcpl=properties))
                for i in range(60):
                    group[f"link{i}"] = h5py.SoftLink("/" + f"{i}" * 80)
                    if kind == "latest" and i < 20:
                        group.attrs[f"attribute{i}"] = i
                if kind != "earliest":
                    group["huge"] = h5py.SoftLink("/" + "huge" * 2000)
        with opened(path) as (file, other):
            addresses = [file.superblock.root, address_of(other.id, b"d7" if kind == "shared" else b"g")]
            made.append((bytearray(path.read_bytes()), file.superblock, addresses))
    return made


@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_bytes(samples, tmp_path, right_checksums, data):
    """Bytes changed anywhere, checksums right: an answer, or an error of ours."""
    octets, superblock, addresses = data.draw(st.sampled_from(samples))
    octets = bytearray(octets)
    structures = [at for name in STRUCTURES for at in places(octets, name)]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(structures)) + data.draw(st.integers(4, 160))
        value = data.draw(st.sampled_from([0, 1, 7, 0x7F, 0x80, 0xFE, 0xFF]))
        octets[min(at, len(octets) - 1)] = value
    path = tmp_path / "changed.h5"
    path.write_bytes(octets)
    with closing(LocalFile(path, path.stat().st_size)) as file:
        for address in addresses:
            try:
                header = run(read_messages(superblock, address), file.fetch)
                table = shared_table(superblock, file.fetch)
            except ManifestryError:
                continue
            shared = SharedMessages(superblock, table, lambda _: known([]))
            readers = [read_links(header, superblock), read_attribute_messages(header, superblock, shared)]
            for result in read_together(readers, file.fetch):
                assert isinstance(result, list | ManifestryError)


STRUCTURES = [
    b"FRHP",
    b"FHDB",
    b"FHIB",
    b"BTHD",
    b"BTIN",
    b"BTLF",
    b"HEAP",
    b"TREE",
    b"SNOD",
    b"SMTB",
    b"SMLI",
    b"OHDR",
]


def places(octets, signature):
    at = octets.find(signature)
    while at >= 0:
        yield at
        at = octets.find(signature, at + 1)


@pytest.mark.parametrize("signature", [b"FRHP", b"FHDB", b"FHIB", b"BTHD", b"BTLF", b"SMTB"])
def test_checksums_are_compared(samples, tmp_path, signature):
    """One changed bit in the middle of a structure: the links or attributes in it are refused, and the structure is named."""
    octets, superblock, addresses = samples[3 if signature == b"SMTB" else 1]
    octets = bytearray(octets)
    for at in places(octets, signature):
        octets[at + 14] ^= 4
    path = tmp_path / "changed.h5"
    path.write_bytes(octets)
    with closing(LocalFile(path, path.stat().st_size)) as file:
        header = run(read_messages(superblock, addresses[1]), file.fetch)
        table = shared_table(superblock, file.fetch)
        shared = SharedMessages(superblock, table, lambda _: known([]))
        reader = read_attribute_messages(header, superblock, shared)
        if signature != b"SMTB":
            reader = read_links(header, superblock)
        with pytest.raises(MalformedFileError, match=r"at (0x|byte )"):
            run(reader, file.fetch)
