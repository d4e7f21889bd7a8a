"""Structures that contradict themselves, with checksums that are right: a refusal, never other values or a dead process."""

import json
import subprocess
import sys

import h5py
import manifestry as mf
import numpy as np
import pytest
import zarr
from h5py import h5d, h5p, h5s, h5t
from numcodecs.jenkins import jenkins_lookup3


def changed(data, at, length, where, value):
    """Bytes with others at an offset of the structure at a place, and its checksum (behind `length` bytes) anew."""
    found = bytearray(data)
    assert jenkins_lookup3(data[at : at + length]) == int.from_bytes(data[at + length : at + length + 4], "little")
    found[at + where : at + where + len(value)] = value
    found[at + length : at + length + 4] = jenkins_lookup3(bytes(found[at : at + length])).to_bytes(4, "little")
    return bytes(found)


def length_of(data, at):
    """Bytes of a structure before its checksum."""
    return next(
        n
        for n in range(8, 5000)
        if jenkins_lookup3(data[at : at + n]) == int.from_bytes(data[at + n : at + n + 4], "little")
    )


def places(data, signature):
    """Where structures begin."""
    at = -1
    while (at := data.find(signature, at + 1)) >= 0:
        yield at


def refuse(path, data, match):
    """The array `d` is refused, and the other one is not."""
    path.write_bytes(data)
    with pytest.raises(mf.MalformedFileError, match=match):
        mf.parse(path)
    tree = mf.parse(path, on_unsupported="skip")
    assert list(tree.arrays) == ["other"]
    assert {issue.path for issue in tree.issues} == {"d"}


def two(path, shape, chunks, libver, maxshape=None, dtype="i4"):
    values = np.arange(1, np.prod(shape) + 1).reshape(shape)
    with h5py.File(path, "w", libver=libver) as file:
        data = values.astype(str).astype(object) if dtype != "i4" else values
        file.create_dataset("d", data=data, dtype=dtype, chunks=chunks, maxshape=maxshape)
        file["other"] = np.arange(3)
    assert set(mf.parse(path).arrays) == {"d", "other"}
    return path.read_bytes()


@pytest.mark.parametrize("dtype", ["i4", h5py.string_dtype()], ids=["numbers", "texts"])
@pytest.mark.parametrize("maxshape", [None, (None, None)], ids=["fixed", "growing"])
def test_keys_of_a_version_1_tree(tmp_path, maxshape, dtype):
    path = tmp_path / "c.h5"
    data = two(path, (20, 4), (1, 2), "earliest", maxshape, dtype)
    [tree] = [at for at in places(data, b"TREE\x01") if data[at + 5] == 0]
    keys = tree + 24
    for entry, axis, value, match in (
        (7, 0, 1 << 58, "outside the array"),
        (39, 0, 1 << 58, "outside the array|do not ascend"),
        (39, 0, 20, "outside the array|do not ascend"),
        (7, 1, 4, "outside the array"),
        (7, 1, 3, "begins inside another"),
        (7, 0, 5, "do not ascend"),
        (7, 1, 0, "do not ascend"),
        (7, 2, 4, "begins inside an element"),
        (40, 0, 3, "do not ascend"),  # the key behind the last entry
    ):
        at = keys + entry * 40 + 8 + axis * 8
        refuse(path, data[:at] + value.to_bytes(8, "little") + data[at + 8 :], match)


def test_keys_above_the_leaves_of_a_version_1_tree(tmp_path):
    path = tmp_path / "c.h5"
    data = two(path, (400,), (1,), "earliest")
    [root] = [at for at in places(data, b"TREE\x01") if data[at + 5] == 1]
    assert data[root + 6] >= 3
    first = int.from_bytes(data[root + 24 + 32 + 8 :][:8], "little")  # keys of 24 bytes, pointers of 8
    for entry, value in ((1, first + 1), (1, first - 1), (data[root + 6], 1), (0, 1)):
        at = root + 24 + entry * 32 + 8
        refuse(path, data[:at] + value.to_bytes(8, "little") + data[at + 8 :], "ascend|after what it leads to")


@pytest.mark.parametrize("filtered", [False, True])
def test_keys_of_a_version_2_tree(tmp_path, filtered):
    path = tmp_path / "c.h5"
    with h5py.File(path, "w", libver="latest") as file:
        options = {"compression": "gzip"} if filtered else {}
        values = np.arange(1, 1001).reshape(100, 10)
        file.create_dataset("d", data=values, chunks=(1, 2), maxshape=(None, None), **options)
        file["other"] = np.arange(3)
    data = path.read_bytes()
    [header] = places(data, b"BTHD")
    size = int.from_bytes(data[header + 10 : header + 12], "little")
    assert data[header + 12] == 1
    for signature in (b"BTLF", b"BTIN"):
        node = next(places(data, signature))
        length = length_of(data, node)
        for where in (7, 8) if signature == b"BTLF" else (0,):
            row = 6 + (where + 1) * size - 16
            for value in (1 << 58, 100, 99, 0):
                refuse(path, changed(data, node, length, row, value.to_bytes(8, "little")), "outside|ascend")
    for at, width in ((26, 8), (24, 2)):
        for value in (0, 1, 1 << 14):
            refuse(path, changed(data, header, 34, at, value.to_bytes(width, "little")), "version 2 B-tree")
    for node_size in (1 << 30, 0xFFFFFFF0):
        refuse(path, changed(data, header, 34, 6, node_size.to_bytes(4, "little")), "version 2 B-tree")


def test_arrays_of_chunks(tmp_path):
    path = tmp_path / "c.h5"
    data = two(path, (40, 4), (1, 2), "latest", (50, 4))
    [header] = places(data, b"FAHD")
    for count in (0, 1, 99, 101, 1 << 20):
        refuse(path, changed(data, header, 24, 8, count.to_bytes(8, "little")), "fixed array header")
    data = two(path, (400, 4), (1, 2), "latest", (None, 4))
    [header] = places(data, b"EAHD")
    length = length_of(data, header)
    for count in (0, 1, 799):
        refuse(path, changed(data, header, length, 44, count.to_bytes(8, "little")), "extensible array")
    [index] = places(data, b"EAIB")
    length = length_of(data, index)
    for address in (1 << 63, (1 << 64) - 2, len(data) + 1):
        refuse(path, changed(data, index, length, length - 8, address.to_bytes(8, "little")), "extensible array")


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("limit", [(None, 30), (30, None), (None, None), (30, 30)])
def test_arrays_that_became_smaller_and_larger(tmp_path, libver, limit):
    rng = np.random.default_rng(0)
    path = tmp_path / "s.h5"
    with h5py.File(path, "w", libver=libver) as file:
        d = file.create_dataset("d", (20, 20), "i4", chunks=(3, 4), maxshape=limit)
        early = h5p.create(h5p.DATASET_CREATE)
        early.set_chunk((3, 4))
        early.set_alloc_time(h5d.ALLOC_TIME_EARLY)
        space = h5s.create_simple((20, 20), (30, 30))
        e = h5py.Dataset(h5d.create(file.id, b"early", h5t.STD_I32LE, space, early))
        for shape in ((20, 20), (7, 5), (25, 9), (30, 30), (1, 30), (0, 30), (13, 13)):
            for one in (d, e):
                one.resize(shape)
                one[...] = rng.integers(1, 99, shape)
        d.resize((17, 17))
        e.resize((8, 17))
        want = {"d": d[...], "early": e[...]}
    root = zarr.open_group(mf.open_store(mf.parse(path)), mode="r")
    for name, values in want.items():
        assert np.array_equal(root[name][...], values)


CHILD = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
import manifestry as mf
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
mf.parse(sys.argv[1])
with open(sys.argv[2], "rb") as file:
    data = bytearray(file.read())
before, refused = peak(), 0
for at, old, new in json.loads(sys.stdin.read()):
    path = sys.argv[1] + ".changed"
    mutant = bytearray(data)
    for place, text in new:
        mutant[place : place + len(text) // 2] = bytes.fromhex(text)
    with open(path, "wb") as file:
        file.write(mutant)
    print(at, old, flush=True)
    try:
        tree = mf.parse(path, on_unsupported="skip")
        refused += bool(tree.issues)
    except mf.PluginError:
        raise
    except mf.ManifestryError:
        refused += 1
print("end", refused, (peak() - before) >> 10)
"""

HEADER = {"type": (5, 1), "node": (6, 4), "record": (10, 2), "depth": (12, 2), "split": (14, 1), "merge": (15, 1),
          "root": (16, 8), "records": (24, 2), "total": (26, 8)}  # fmt: skip
HEAP = {"identifier": (5, 2), "filters": (7, 2), "managed": (10, 4), "next": (14, 8), "huge": (22, 8), "free": (38, 8),
        "iterator": (62, 8), "count": (70, 8), "huge count": (86, 8), "width": (110, 2), "start": (112, 8),
        "largest": (120, 8), "bits": (128, 2), "rows": (130, 2), "root": (132, 8), "current": (140, 2)}  # fmt: skip


def mutants(data):
    """Each field of the headers, and each byte of the first records, with values that are not right."""
    for signature, length, fields in ((b"BTHD", 34, HEADER), (b"FRHP", 142, HEAP)):
        for at in places(data, signature):
            for name, (where, size) in fields.items():
                full = (1 << 8 * size) - 1
                old = int.from_bytes(data[at + where : at + where + size], "little")
                for value in sorted({0, 7, old * 2, old + 1, full - 15, full >> 2} - {old}):
                    yield signature, name, value, at, length, where, (value & full).to_bytes(size, "little")
    for signature in (b"BTLF", b"BTIN"):
        for at in places(data, signature):
            length = length_of(data, at)
            for where in range(4, min(length, 20)):
                for value in (0x7F, 0xFF):
                    yield signature, where, value, at, length, where, bytes([value])


@pytest.mark.parametrize("kind", ["links", "attributes"])
def test_dense_storage(tmp_path, kind):
    path = tmp_path / "dense.h5"
    with h5py.File(path, "w", libver="latest") as file:
        group = file.create_group("g", track_order=True)
        for i in range(50):
            if kind == "links":
                group.create_group(f"g{i}")
            else:
                group.attrs[f"a{i}"] = i
    data = path.read_bytes()
    assert not mf.parse(path).issues
    orders = []
    for signature, name, value, at, length, where, new in mutants(data):
        other = changed(data, at, length, where, new)
        pieces = [(at + where, new.hex()), (at + length, other[at + length : at + length + 4].hex())]
        orders.append((f"{signature} {name}", value, pieces))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), str(path)],
        input=json.dumps(orders), capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.returncode, done.stdout.splitlines()[-1:], done.stderr[-500:])
    end, refused, grown = done.stdout.splitlines()[-1].split()
    assert end == "end"
    assert int(refused) > len(orders) // 3
    assert int(grown) < 200


def test_the_type_of_a_tree_of_links(tmp_path):
    path = tmp_path / "dense.h5"
    with h5py.File(path, "w", libver="latest") as file:
        group = file.create_group("g")
        for i in range(12):
            group[f"d{i}"] = i
        file["other"] = np.arange(3)
    data = path.read_bytes()
    [header] = places(data, b"BTHD")
    path.write_bytes(changed(data, header, 34, 5, b"\x07"))
    with pytest.raises(mf.MalformedFileError, match="version 2 B-tree header at byte"):
        mf.parse(path)
    assert list(mf.parse(path, on_unsupported="skip").arrays) == ["other"]


def key_of_leaf(node, entry, axis, ndim=2):
    """Where in a leaf of a version 1 B-tree the key of an entry says where its chunk begins along an axis."""
    return node + 24 + entry * (8 + 8 * (ndim + 1) + 8) + 8 + 8 * axis


@pytest.mark.parametrize(
    ("entry", "axis", "value", "match"),
    [
        (0, 0, 100, "begins inside another|lies outside|not ascend"),
        (1, 1, 1, "begins inside another"),
        (2, 2, 4, "begins inside an element"),
        (3, 0, 0, "not ascend"),
        (4, 0, 0, "not ascend"),
    ],
)
def test_one_of_many_small_trees(tmp_path, entry, axis, value, match):
    """Trees of one leaf are read together: one that contradicts itself costs its own dataset."""
    path = tmp_path / "many.h5"
    values = np.arange(16).reshape(4, 4)
    with h5py.File(path, "w", libver="earliest") as file:
        for i in range(5):
            file.create_dataset(f"d{i}", data=values + i, chunks=(2, 2))
        file.create_dataset("line", data=np.arange(4), chunks=(2,))
        file.create_dataset("empty", shape=(4, 4), dtype="i4", chunks=(2, 2))
    data = path.read_bytes()
    trees = [at for at in places(data, b"TREE\1\0") if int.from_bytes(data[at + 6 : at + 8], "little") == 4]
    assert len(trees) == 5
    broken = bytearray(data)
    at = key_of_leaf(trees[2], entry, axis)
    broken[at : at + 8] = value.to_bytes(8, "little")
    path.write_bytes(broken)
    with pytest.raises(mf.MalformedFileError, match=match):
        mf.parse(path)
    tree = mf.parse(path, on_unsupported="skip")
    assert len(tree.issues) == 1
    assert sorted([*tree.arrays, tree.issues[0].path]) == ["d0", "d1", "d2", "d3", "d4", "empty", "line"]
    root = zarr.open_group(mf.open_store(tree), mode="r", zarr_format=3)
    for name in tree.arrays.keys() - {"line", "empty"}:
        assert np.array_equal(root[name][...], values + int(name[1:]))


def _nothing(data, at):
    """Leave an index as it is."""


def _other_signature(data, at):
    data[at] ^= 1


def _other_checksum(data, at):
    data[at + 24] ^= 1


def _more_elements(data, at):
    data[at + 8] += 1
    repair_header(data, at)


def _wider_elements(data, at):
    data[at + 6] += 1
    repair_header(data, at)


def _other_kind(data, at):
    data[at + 5] ^= 1
    repair_header(data, at)


def _block_beyond_the_end(data, at):
    data[at + 16 : at + 24] = (len(data) - 8).to_bytes(8, "little")
    repair_header(data, at)


def _block_of_another(data, at):
    data[at + 16 : at + 24] = data[data.find(b"FAHD") + 16 : data.find(b"FAHD") + 24]
    repair_header(data, at)


def _other_element(data, at):
    block = int.from_bytes(data[at + 16 : at + 24], "little")
    data[block + 14] ^= 1


def repair_header(data, at):
    data[at + 24 : at + 28] = jenkins_lookup3(bytes(data[at : at + 24])).to_bytes(4, "little")


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (_nothing, ""),
        (_other_signature, "not a fixed array"),
        (_other_checksum, "checksum"),
        (_more_elements, "do not match 4 chunks"),
        (_wider_elements, "checksum|do not fit"),
        (_other_kind, "data block"),
        (_block_beyond_the_end, "data block"),
        (_block_of_another, "not one of this fixed array"),
        (_other_element, "checksum"),
    ],
)
def test_one_of_many_small_arrays(tmp_path, filtered, damage, match):
    """Fixed arrays without pages are read together: one that is damaged costs its own dataset."""
    path = tmp_path / "many.h5"
    values = np.arange(16).reshape(4, 4)
    more = {"compression": "gzip"} if filtered else {}
    with h5py.File(path, "w", libver="latest") as file:
        for i in range(5):
            file.create_dataset(f"d{i}", data=values + i, chunks=(2, 2), **more)
        file.create_dataset("line", data=np.arange(40), chunks=(2,), **more)
        file.create_dataset("wide", data=np.arange(40, dtype="i2"), chunks=(20,), compression="lzf")
        file.create_dataset("sparse", shape=(9, 9), chunks=(2, 2), dtype="i4", **more)[2:4, 4:8] = 7
        file.create_dataset("grows", shape=(4, 4), maxshape=(8, 8), chunks=(2, 2), dtype="i4", **more)[1:3, :3] = 8
        file.create_dataset("empty", shape=(4, 4), dtype="i4", chunks=(2, 2), **more)
        file.create_dataset("pages", data=np.arange(1500, dtype="i4"), chunks=(1,), **more)
        truth = {name: file[name][...] for name in file}
    data = bytearray(path.read_bytes())
    headers = list(places(data, b"FAHD"))
    assert len(headers) >= len(truth) - 1  # an empty one may have none
    damage(data, headers[2])
    path.write_bytes(data)
    tree = mf.parse(path, on_unsupported="skip")
    refused = [issue.path for issue in tree.issues if issue.path in truth]
    if match:
        with pytest.raises(mf.MalformedFileError, match=match):
            mf.parse(path)
        assert refused == ["d2"]
    assert sorted([*tree.arrays, *refused]) == sorted(truth)
    root = zarr.open_group(mf.open_store(tree), mode="r", zarr_format=3)
    for name in tree.arrays:
        assert np.array_equal(root[name][...], truth[name])
