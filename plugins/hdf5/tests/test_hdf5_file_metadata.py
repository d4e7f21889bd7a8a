"""Where everything in a file begins: superblocks, drivers, and images of libhdf5's metadata cache."""

import ctypes
from contextlib import nullcontext

import h5py
import manifestry as mf
import numpy as np
import pytest
import zarr
from h5py import h5f, h5p
from hdf5_library import library, opened
from manifestry.testing.refusing import refusal
from numcodecs.jenkins import jenkins_lookup3


def write_values(file):
    file["group/numbers"] = np.arange(10)
    file["group"].attrs["text"] = "one"
    file.create_dataset("chunked", data=np.arange(24).reshape(4, 6), chunks=(2, 3))


def check_values(path):
    root = zarr.open_group(mf.open_store(mf.parse(path)), mode="r", zarr_format=3)
    assert root["group/numbers"][...].tolist() == list(range(10))
    assert root["chunked"][...].tolist() == np.arange(24).reshape(4, 6).tolist()
    assert dict(root["group"].attrs) == {"text": "one"}


@pytest.mark.parametrize("userblock", [0, 512, 2048])
@pytest.mark.parametrize("sizes", [(2, 2), (4, 4), (4, 8), (8, 4), (8, 8)])
@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_superblocks(tmp_path, version, sizes, userblock):
    path = tmp_path / "file.h5"
    creation, access = h5p.create(h5p.FILE_CREATE), h5p.create(h5p.FILE_ACCESS)
    creation.set_sizes(*sizes)
    creation.set_userblock(userblock)
    if version == 1:
        assert library().H5Pset_istore_k(ctypes.c_int64(creation.id), ctypes.c_uint(16)) == 0
    low, high = {2: (h5f.LIBVER_V18, h5f.LIBVER_V18), 3: (h5f.LIBVER_V110, h5f.LIBVER_V110)}.get(
        version, (h5f.LIBVER_EARLIEST, h5f.LIBVER_V18)
    )
    access.set_libver_bounds(low, high)
    with h5py.File(h5f.create(bytes(path), h5f.ACC_TRUNC, creation, access)) as file:
        write_values(file)
    data = path.read_bytes()
    assert data[userblock + 8] == version
    check_values(path)
    with opened(path) as (ours, theirs):
        superblock = ours.superblock
        found = (superblock.offset_size, superblock.length_size, superblock.base)
        assert found == (*theirs.id.get_create_plist().get_sizes(), userblock)
        assert superblock.end <= len(data)


def test_addresses_of_sixteen_bytes(tmp_path):
    """libhdf5 writes such files, and does not open those of the oldest version again."""
    path = tmp_path / "file.h5"
    creation = h5p.create(h5p.FILE_CREATE)
    creation.set_sizes(16, 8)
    with h5py.File(h5f.create(bytes(path), h5f.ACC_TRUNC, creation)) as file:
        write_values(file)
    tree = mf.parse(path)
    root = zarr.open_group(mf.open_store(tree), mode="r", zarr_format=3)
    assert root["group/numbers"][...].tolist() == list(range(10))
    assert root["chunked"][...].tolist() == np.arange(24).reshape(4, 6).tolist()
    assert [(issue.path, issue.message) for issue in tree.issues] == [("group@text", "addresses of 16 bytes")]


def test_lengths_of_sixteen_bytes(tmp_path):
    path = tmp_path / "file.h5"
    creation = h5p.create(h5p.FILE_CREATE)
    creation.set_sizes(8, 16)
    with h5py.File(h5f.create(bytes(path), h5f.ACC_TRUNC, creation)) as file:
        file["numbers"] = np.arange(10)
    with pytest.raises(mf.UnsupportedFeatureError, match="lengths of 16 bytes"):
        mf.parse(path)


def test_messages_that_have_to_be_known(tmp_path):
    """A type of message that nobody knows, and that forbids to open the object: the others are read."""
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("a", data=np.arange(3)).attrs["bogus"] = 1
        file["b"] = np.arange(4)
    data = bytearray(path.read_bytes())
    start = data.rindex(b"OHDR", 0, data.index(b"bogus"))
    length = next(
        n for n in range(20, 2000)
        if jenkins_lookup3(bytes(data[start : start + n])).to_bytes(4, "little") == data[start + n : start + n + 4]
    )  # fmt: skip
    at = next(i for i in range(start, start + length) if data[i] == 0x0C and data[i + 4] == 3)  # the attribute message
    for kind, flags, readable in ((0x1B, 0, True), (0x1B, 0x80, False), (0x09, 0x80, False), (0x09, 0x10, True)):
        data[at], data[at + 3] = kind, flags
        data[start + length : start + length + 4] = jenkins_lookup3(bytes(data[start : start + length])).to_bytes(
            4, "little"
        )
        path.write_bytes(data)
        tree = mf.parse(path, on_unsupported="skip")
        assert list(tree.arrays) == (["a", "b"] if readable else ["b"])
        with h5py.File(path) as file:
            opens = nullcontext() if readable else pytest.raises((KeyError, RuntimeError), match="fail if unknown")
            with opens:
                assert file["a"].shape == (3,)


def test_a_file_behind_other_bytes(tmp_path):
    """Addresses count from the superblock on, also where the file says that there was nothing before it."""
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        write_values(file)
    path.write_bytes(bytes(1024) + path.read_bytes())
    check_values(path)


def test_files_that_are_cut_off(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        write_values(file)
    data = path.read_bytes()
    for length in (0, 7, 8, 60, 96, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(mf.MalformedFileError, match="superblock") as raised:
            mf.parse(path, format="hdf5")
        assert str(path) in str(raised.value)


def test_superblocks_with_wrong_fields(tmp_path):
    path = tmp_path / "file.h5"
    for libver, at, value, message in (
        ("earliest", 8, 9, "version 9 where 0 to 3"),
        ("earliest", 9, 1, "a version of its parts"),
        ("earliest", 13, 3, "addresses of 3"),
        ("latest", 9, 7, "addresses of 7"),
        ("latest", 40, 1, "its checksum does not match"),
    ):
        with h5py.File(path, "w", libver=libver) as file:
            write_values(file)
        data = bytearray(path.read_bytes())
        data[at] = value
        path.write_bytes(data)
        with pytest.raises(mf.MalformedFileError, match=message):
            mf.parse(path, format="hdf5")


def test_one_file_of_a_family(tmp_path):
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fapl_family(1 << 20)
    name = tmp_path / "part%d.h5"
    for latest in (False, True):
        if latest:
            access.set_libver_bounds(h5f.LIBVER_LATEST, h5f.LIBVER_LATEST)
        with h5py.File(h5f.create(bytes(name), h5f.ACC_TRUNC, fapl=access)) as file:
            write_values(file)
        with pytest.raises(mf.UnsupportedFeatureError, match=r"one of several \(family driver\).*h5repart"):
            mf.parse(tmp_path / "part0.h5")


class _ImageConfiguration(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_int),
        ("generate", ctypes.c_bool),
        ("save_resize_status", ctypes.c_bool),
        ("entry_ageout", ctypes.c_int),
    )


def write_with_image(path):
    """A file whose structures are partly in an image of the metadata cache alone."""
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_libver_bounds(h5f.LIBVER_LATEST, h5f.LIBVER_LATEST)
    configuration = _ImageConfiguration(1, True, False, -1)
    assert library().H5Pset_mdc_image_config(ctypes.c_int64(access.id), ctypes.byref(configuration)) == 0
    with h5py.File(h5f.create(bytes(path), h5f.ACC_TRUNC, fapl=access)) as file:
        write_values(file)


def test_a_metadata_cache_image(tmp_path):
    path = tmp_path / "file.h5"
    write_with_image(path)
    data = path.read_bytes()
    assert b"MDCI" in data
    check_values(path)
    assert b"OHDR" not in data[: data.index(b"MDCI")].replace(b"OHDR\2", b"", 1)  # they are in the image alone
    damaged = bytearray(data)
    damaged[data.index(b"MDCI") + 40] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(mf.MalformedFileError, match=r"metadata cache image at .*checksum"):
        mf.parse(path)


def test_a_metadata_cache_image_with_impossible_numbers(tmp_path):
    path = tmp_path / "file.h5"
    write_with_image(path)
    data = path.read_bytes()
    start = data.index(b"MDCI")
    end = start + int.from_bytes(data[start + 6 : start + 14], "little")
    lengths = [
        n
        for n in range(40, len(data) - start)
        if jenkins_lookup3(data[start : start + n]).to_bytes(4, "little") == data[start + n : start + n + 4]
    ]
    assert lengths, end
    length = lengths[0]
    for at in range(start + 6, start + min(length, 200)):
        changed = bytearray(data)
        changed[at] = 0xFF
        changed[start + length : start + length + 4] = jenkins_lookup3(bytes(changed[start : start + length])).to_bytes(
            4, "little"
        )
        path.write_bytes(changed)
        with refusal():
            mf.parse(path, on_unsupported="skip")
