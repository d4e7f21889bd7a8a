"""Structures with a checksum that does not fit, and blocks that are not those of the structure that leads to them."""

import h5py
import manifestry as mf
import numpy as np
import pytest
import zarr
from h5py import h5d, h5p, h5s, h5t
from manifestry_hdf5.structures.checksum import lookup3_of

LATEST = ("v114", "v114")
SIGNATURES = (
    b"OHDR",
    b"OCHK",
    b"FAHD",
    b"FADB",
    b"EAHD",
    b"EAIB",
    b"EADB",
    b"EASB",
    b"BTHD",
    b"BTLF",
    b"BTIN",
    b"FRHP",
)
PAGE = 1024
"""Elements of a page of a fixed or extensible array."""


def dataset(path, shape, chunks, limit=None, rows=slice(None), *, userblock=0, **more):
    """A dataset of which some rows are written."""
    with h5py.File(path, "w", libver=LATEST, userblock_size=userblock) as file:
        data = file.create_dataset("d", shape, "<i4", chunks=chunks, maxshape=limit, fillvalue=-5, **more)
        written = np.empty(shape, bool)[rows].shape
        data[rows] = np.arange(1, np.prod(written) + 1).reshape(written)


def implicit(path):
    with h5py.File(path, "w", libver=LATEST) as file:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_chunk((3, 2))
        properties.set_alloc_time(h5d.ALLOC_TIME_EARLY)
        made = h5d.create(file.id, b"d", h5t.STD_I32LE, h5s.create_simple((20, 5), (20, 9)), properties)
        h5py.Dataset(made)[...] = np.arange(100).reshape(20, 5)


def dense(path):
    """More links and attributes than an object header holds."""
    with h5py.File(path, "w", libver=LATEST, track_order=True) as file:
        for i in range(10):
            file[f"group/d{i}"] = i
        file["d"] = np.arange(12).reshape(6, 2)
        for i in range(10):
            file["d"].attrs[f"name {i}"] = i
            file["group/d0" if i < 7 else "d"].attrs[f"long {i}"] = np.arange(30)


def old_tree(path):
    with h5py.File(path, "w", libver="earliest") as file:
        file.create_dataset("d", data=np.arange(80).reshape(20, 4), chunks=(1, 2))


FILES = {
    "single": (lambda path: dataset(path, (5, 4), (5, 4), compression="gzip"), slice(None)),
    "implicit": (implicit, slice(None)),
    "fixed": (lambda path: dataset(path, (20, 4), (1, 2)), slice(None)),
    "fixed-filtered": (lambda path: dataset(path, (20, 5), (3, 2), compression="gzip", userblock=512), slice(None)),
    "fixed-paged": (lambda path: dataset(path, (2100, 2), (1, 2), rows=slice(1020, 1030)), slice(1020, 1030)),
    "extensible": (lambda path: dataset(path, (20, 4), (1, 2), (None, 4), userblock=1024), slice(None)),
    "extensible-super": (
        lambda path: dataset(path, (450, 1), (1, 1), (None, 1), slice(436, 450), compression="gzip"),
        slice(436, 450),
    ),
    "extensible-paged": (
        lambda path: dataset(path, (150_000, 1), (1, 1), (None, 1), slice(140_000, 140_002)),
        slice(140_000, 140_002),
    ),
    "tree": (lambda path: dataset(path, (80, 3), (1, 1), (None, None), compression="gzip"), slice(0, 4)),
    "old-tree": (old_tree, slice(None)),
    "dense": (dense, slice(None)),
}
"""What makes each file, and the rows that are read of its dataset."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The bytes of a file by its name; each is made once."""
    folder, known = tmp_path_factory.mktemp("made"), {}

    def get(name):
        if name not in known:
            FILES[name][0](folder / name)
            known[name] = (folder / name).read_bytes()
        return known[name]

    return get


def fits(data, at, length):
    return lookup3_of(data[at : at + length]) == int.from_bytes(data[at + length : at + length + 4], "little")


def structures(data):
    """Name, position and length without the checksum of all structures that end with one."""
    superblock = next(at for at in (0, 512, 1024) if data.startswith(b"\x89HDF", at))
    found = [("superblock", superblock, 44)] if data[superblock + 8] > 1 else []
    for signature in SIGNATURES:
        at = -1
        while (at := data.find(signature, at + 1)) >= 0:
            length = next((n for n in range(8, min(5000, len(data) - at - 4)) if fits(data, at, n)), None)
            if length is None:
                continue
            found.append((signature.decode(), at, length))
            if signature in (b"FADB", b"EADB"):
                first, size = at + length + 4, 8 * PAGE
                pages = [first + i * (size + 4) for i in range(64)]
                found += [("page", page, size) for page in pages if page + size < len(data) and fits(data, page, size)]
    return found


def ours(path, rows):
    """Elements, attributes and names, or None where anything is refused or reported."""
    try:
        tree = mf.parse(path)
        if tree.issues:  # attributes that cannot be read are reported
            return None
        array = zarr.open_array(mf.open_store(tree), path="d", mode="r")
        return array[rows].tolist(), sorted(array.attrs), sorted(name for name, _ in tree.walk_arrays())
    except mf.PluginError:
        raise  # what no code of ours foresaw
    except mf.ManifestryError:
        return None


def theirs(path, rows):
    names = []
    try:
        with h5py.File(path) as file:
            file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            return file["d"][rows].tolist(), sorted(file["d"].attrs), sorted(names)
    except (OSError, RuntimeError, KeyError, ValueError):
        return None


@pytest.mark.parametrize("name", FILES)
def test_a_bit_that_does_not_fit_the_checksum(made, tmp_path, name):
    """Nothing is given that h5py would not give. The first version of the B-tree has no checksum, but a form."""
    data, rows, path = made(name), FILES[name][1], tmp_path / "x.h5"
    parts = structures(data)
    if name == "old-tree":
        parts = [("TREE", at, 24 + 4 * 32) for at in range(len(data)) if data.startswith(b"TREE\1", at)]
    chosen = {part: (part, at, length) for part, at, length in parts}  # one of each
    for seed, (part, at, length) in enumerate(chosen.values()):
        for place in np.linspace(0, length + (0 if name == "old-tree" else 3), 6).astype(int).tolist():
            changed = bytearray(data)
            changed[at + place] ^= 1 << (place + seed) % 8
            path.write_bytes(changed)
            found = ours(path, rows)
            assert found is None or found == theirs(path, rows), (part, at, place)
            assert found is None or name == "old-tree", (part, place)
    expected = {
        "fixed": {"FAHD", "FADB"},
        "fixed-paged": {"FAHD", "FADB", "page"},
        "extensible": {"EAHD", "EAIB", "EADB"},
        "extensible-paged": {"EAHD", "EAIB", "EADB", "EASB", "page"},
        "tree": {"BTHD", "BTIN", "BTLF"},
        "old-tree": {"TREE"},
        "dense": {"superblock", "OHDR", "OCHK", "FRHP", "BTHD", "BTLF"},
    }
    assert chosen.keys() >= expected.get(name, {"superblock", "OHDR"})


@pytest.mark.parametrize("name", ["fixed", "fixed-filtered"])
def test_every_byte_of_a_block_counts(made, tmp_path, name):
    """Of a block without pages, whose checksum says all that there is to say of the addresses in it."""
    data, path = made(name), tmp_path / "x.h5"
    [(at, length)] = [(at, length) for part, at, length in structures(data) if part == "FADB"]
    for place in range(14, length + 4, 5):
        changed = bytearray(data)
        changed[at + place] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(mf.MalformedFileError, match=f"fixed array data block at byte {at}: its checksum"):
            mf.parse(path)


BLOCKS = [
    ("fixed", "FADB"), ("fixed-filtered", "FADB"), ("fixed-paged", "FADB"), ("extensible", "EAIB"),
    ("extensible", "EADB"), ("extensible-super", "EAIB"), ("extensible-super", "EASB"), ("extensible-super", "EADB"),
    ("extensible-paged", "EASB"), ("extensible-paged", "EADB"),
]  # fmt: skip


def with_checksum(data, at, length):
    data[at + length : at + length + 4] = lookup3_of(bytes(data[at : at + length])).to_bytes(4, "little")
    return data


@pytest.mark.parametrize(("name", "part"), BLOCKS)
def test_blocks_of_another_array(made, tmp_path, name, part):
    """Version, kind and header address: with a checksum that fits."""
    data, path = made(name), tmp_path / "x.h5"
    for _, at, length in [found for found in structures(data) if found[0] == part]:
        for place in (4, 5, *range(6, 14)):
            changed = bytearray(data)
            changed[at + place] ^= 1
            path.write_bytes(with_checksum(changed, at, length))
            with pytest.raises(mf.MalformedFileError, match=rf"block at byte {at}: not one of this .* array"):
                mf.parse(path)


@pytest.mark.parametrize(
    ("part", "place"),
    [("BTHD", 4), ("BTHD", 5), ("BTHD", 12), *((node, at) for node in ("BTIN", "BTLF") for at in (3, 4, 5))],
)
def test_nodes_of_another_tree(made, tmp_path, part, place):
    """Signature, version, kind, and the depth that the header says."""
    data, path = made("tree"), tmp_path / "x.h5"
    at, length = next((at, length) for found, at, length in structures(data) if found == part)
    changed = bytearray(data)
    changed[at + place] ^= 1
    if place == 3:
        changed[at : at + 4] = {"BTIN": b"BTLF", "BTLF": b"BTIN"}[part]
    path.write_bytes(with_checksum(changed, at, length))
    with pytest.raises(mf.MalformedFileError, match="version 2 B-tree"):
        mf.parse(path)


@pytest.mark.parametrize(
    ("name", "part", "place"),
    [("fixed-paged", "FADB", 14), ("extensible-paged", "EASB", 14 + 4)],
)
def test_pages_that_are_not_there(made, tmp_path, name, part, place):
    """Bits of a bitmap behind the last page."""
    data, path = made(name), tmp_path / "x.h5"
    [(at, length)] = [(at, length) for found, at, length in structures(data) if found == part]
    changed = bytearray(data)
    pointers = 0 if part == "FADB" else (length - place) // 9 * 8  # a byte of bitmap and an address for each block
    last = at + length - pointers - 1
    assert not changed[last] & 1
    changed[last] |= 1
    path.write_bytes(with_checksum(changed, at, length))
    with pytest.raises(mf.MalformedFileError, match=f"block at byte {at}: it lists more pages than it has"):
        mf.parse(path)


@pytest.mark.parametrize(("name", "part"), [("fixed", "FAHD"), ("extensible", "EAHD"), ("fixed-filtered", "FAHD")])
def test_elements_of_the_other_kind(made, tmp_path, name, part):
    """An array with a filter whose elements hold no size, and the other way round."""
    data, path = made(name), tmp_path / "x.h5"
    changed = bytearray(data)
    for signature in (part, "FADB", "EAIB", "EADB"):
        for _, at, length in [found for found in structures(data) if found[0] == signature]:
            changed[at + 5] ^= 1
            with_checksum(changed, at, length)
    path.write_bytes(changed)
    with pytest.raises(mf.MalformedFileError, match="elements of"):
        mf.parse(path)
