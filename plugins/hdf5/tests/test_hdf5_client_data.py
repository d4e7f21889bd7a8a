"""Client data of filters that no codec decodes, or that is that of another chunk: refused by name while parsing."""

import struct

import h5py
import hdf5plugin
import manifestry as mf
import numpy as np
import pytest
import zarr
from h5py import h5d, h5p, h5s, h5t

VALUES = np.random.default_rng(5).normal(20, 5, (30, 40)).astype("<f4").cumsum(0)
EXPERT = {"minbits": 1, "maxbits": 16657, "maxprec": 24, "minexp": -20}


def header(shape, mode, kind=2):
    """Version and header of ZFP in two dimensions: a short mode, or the four parameters of a long one."""
    meta = kind | 1 << 2 | shape[1] - 1 << 4 | shape[0] - 1 << 28
    bits, words = int.from_bytes(b"zfp\5", "little") | meta << 32, 3
    if isinstance(mode, tuple):
        minbits, maxbits, maxprec, minexp = mode
        mode = 0xFFF | minbits - 1 << 12 | maxbits - 1 << 27 | maxprec - 1 << 42 | minexp + 16495 << 49
        words = 5
    return [0x10105111, *struct.unpack(f"<{words}I", (bits | mode << 84).to_bytes(4 * words, "little"))]


def zfp_file(path, client_data, chunk=None, kind=h5t.IEEE_F32LE):
    with h5py.File(path, "w") as file:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_chunk(VALUES.shape)
        properties.set_filter(32013, 0, tuple(client_data))
        made = h5d.create(file.id, b"v", kind, h5s.create_simple(VALUES.shape), properties)
        made.write_direct_chunk((0, 0), chunk or np.random.default_rng(3).bytes(30_000))


def read(path):
    return zarr.open_group(mf.open_store(mf.parse(path)), mode="r")["v"][...]


@pytest.mark.parametrize("mode", [{"rate": 12}, {"precision": 14}, {"reversible": True}, EXPERT], ids=str)
@pytest.mark.parametrize("shape", [(1200,), (30, 40), (5, 6, 40), (2, 3, 4, 50), (1, 30, 1, 40), (1, 1, 1, 1200)])
def test_zfp_in_every_form(tmp_path, mode, shape):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("v", data=VALUES.reshape(shape), chunks=shape, **hdf5plugin.Zfp(**mode))
    with h5py.File(path) as file:
        assert read(path).tobytes() == file["v"][...].tobytes()


@pytest.mark.parametrize("mode", [300, 2060, 2176, 3242, (200, 300, 20, -10), (1, 16658, 64, -1075)], ids=str)
@pytest.mark.parametrize("big", [False, True])
def test_zfp_with_a_header_by_hand(tmp_path, mode, big):
    path = tmp_path / "f.h5"
    words = header(VALUES.shape, mode)
    if big:
        words[1:] = np.array(words[1:], "u4").byteswap().tolist()
    zfp_file(path, words)
    with h5py.File(path) as file:
        assert read(path).tobytes() == file["v"][...].tobytes()


@pytest.mark.parametrize(
    ("client_data", "reason"),
    [
        (header((30, 44), 300), "chunks of 5280 bytes where 4800 are expected"),
        (header((30, 40), 300, kind=3), "chunks of 9600 bytes where 4800 are expected"),
        (header((30, 40), 300)[:3], "breaks off"),
        (header((30, 40), (1, 300, 20, -10))[:5], "breaks off"),
        ([*header((30, 40), (1, 300, 20, -10)), 0, 0], "7 words are more"),
        (header((30, 40), 2175), "128 bit planes"),
        (header((30, 40), (300, 200, 20, -10)), "300 to 200 bits"),
        ([0x10106111, *header((30, 40), 300)[1:]], "no header of codec 5"),
        ([0x10105111, 0x0670667A, 0, 0], "no header of codec 5"),
        ([0x10105111], "the header of zfp is missing"),
    ],
)
def test_zfp_that_nothing_decodes_is_refused(tmp_path, client_data, reason):
    path = tmp_path / "f.h5"
    zfp_file(path, client_data)
    with pytest.raises(mf.UnsupportedFeatureError, match=r"filter 32013 \(zfp\) with client data") as caught:
        mf.parse(path)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (0, 1, "no scaling of the kind 1"),
        (2, 1199, "4796 bytes where 4800 are expected"),
        (4, 3, "an element has 3 bytes"),
    ],
)
def test_scaleoffset_of_another_chunk_is_refused(tmp_path, at, value, reason):
    path = tmp_path / "f.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        dataset = file.create_dataset("v", data=VALUES, chunks=VALUES.shape, scaleoffset=3)
        words = list(dataset.id.get_create_plist().get_filter(0)[2])
    stored = path.read_bytes()
    there = struct.pack("<20I", *words)
    assert stored.count(there) == 1
    words[at] = value
    path.write_bytes(stored.replace(there, struct.pack("<20I", *words)))
    with pytest.raises(mf.UnsupportedFeatureError, match=r"filter 6 \(scaleoffset\) with client data") as caught:
        mf.parse(path)
    assert reason in str(caught.value)
