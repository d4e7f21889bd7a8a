"""ZFP against H5Z-ZFP: every mode, type and number of dimensions, headers made by hand, chunks that break off."""

import itertools

import h5py
import hdf5plugin
import numcodecs
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t
from manifestry_codecs.base import DecodeError

SHAPES = {1: (101,), 2: (13, 22), 3: (6, 7, 9), 4: (5, 4, 3, 6)}
KINDS = {"i4": h5t.STD_I32LE, "i8": h5t.STD_I64LE, "f4": h5t.IEEE_F32LE, "f8": h5t.IEEE_F64LE}
MODES = {
    "rate": {"rate": 9},
    "precision": {"precision": 13},
    "accuracy": {"accuracy": 0.1},
    "reversible": {"reversible": True},
    "expert": {"minbits": 1, "maxbits": 16657, "maxprec": 24, "minexp": -20},
    "expert, limited": {"minbits": 40, "maxbits": 400, "maxprec": 30, "minexp": -1074},
    "expert, fixed": {"minbits": 64, "maxbits": 64, "maxprec": 20, "minexp": -30},
}
CASES = [
    case for case in itertools.product(SHAPES, KINDS, MODES) if not (case[1][0] == "i" and case[2] == "accuracy")
]  # ZFP has no accuracy of integers
VERSION = 0x10105111


def values(ndim, kind):
    count = np.prod(SHAPES[ndim])
    noise = np.random.default_rng(count).normal(size=count)
    return (1000 * np.sin(np.arange(count) / 3) + noise).reshape(SHAPES[ndim]).astype(kind)


def written(ndim, kind, mode):
    """A chunk that H5Z-ZFP wrote, the client data that it wrote, and the elements that it reads."""
    with h5py.File("written", "w", driver="core", backing_store=False) as file:
        data = values(ndim, kind)
        dataset = file.create_dataset("d", data=data, chunks=data.shape, **hdf5plugin.Zfp(**MODES[mode]))
        file.flush()
        mask, chunk = dataset.id.read_direct_chunk((0,) * ndim)
        assert mask == 0
        return bytes(chunk), [int(v) for v in dataset.id.get_create_plist().get_filter(0)[2]], dataset[()].tobytes()


def by_the_plugin(ndim, kind, client_data, chunk):
    """What H5Z-ZFP reads with other client data, as it stands there; None where it fails."""
    with h5py.File("read", "w", driver="core", backing_store=False) as file:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_chunk(SHAPES[ndim])
        properties.set_filter(32013, 0, tuple(client_data))
        made = h5d.create(file.id, b"d", KINDS[kind], h5s.create_simple(SHAPES[ndim]), properties)
        dataset = h5py.Dataset(made)
        assert dataset.id.get_create_plist().get_filter(0)[2] == tuple(client_data)
        dataset.id.write_direct_chunk((0,) * ndim, chunk)
        try:
            return dataset[()].tobytes()
        except OSError:
            return None


def decoded(client_data, chunk, order="little"):
    codec = numcodecs.get_codec({"id": "manifestry.zfp", "client_data": client_data, "order": order})
    return bytes(codec.decode(chunk))


def header(ndim, kind, mode, *, codec=5):
    """The bits of a header (`zfp.h`) and how many they are: magic, type and shape, mode in 12 or 64 bits."""
    shape, width = SHAPES[ndim], 48 // ndim
    meta = list(KINDS).index(kind) | ndim - 1 << 2
    for place, length in enumerate(reversed(shape)):
        meta |= length - 1 << 4 + place * width
    bits = int.from_bytes(b"zfp" + bytes([codec]), "little") | meta << 32
    if isinstance(mode, int):
        return bits | mode << 84, 96
    minbits, maxbits, maxprec, minexp = mode
    long = 0xFFF | minbits - 1 << 12 | maxbits - 1 << 27 | maxprec - 1 << 42 | minexp + 16495 << 49
    return bits | long << 84, 148


def client_data(bits, size, *, version=VERSION, big=False, more=()):
    words = -(-size // 32)
    return [version, *np.frombuffer(bits.to_bytes(4 * words, "little"), ">u4" if big else "<u4").tolist(), *more]


@pytest.mark.parametrize(("ndim", "kind", "mode"), CASES)
def test_every_mode_type_and_shape(ndim, kind, mode):
    chunk, words, truth = written(ndim, kind, mode)
    long = "expert" in mode or (mode, ndim) == ("rate", 4)  # a block of more than 2048 bits has no short form
    assert len(words) == (6 if long else 4)
    assert decoded(words, chunk) == truth
    assert decoded(words, chunk + b"more") == truth
    assert decoded([*words, 0xFFFFFFFF], chunk) == truth
    swapped = [words[0], *np.array(words[1:], "u4").byteswap().tolist()]
    assert decoded(swapped, chunk, "big") == by_the_plugin(ndim, kind, swapped, chunk)


@pytest.mark.parametrize(("ndim", "kind", "mode"), CASES)
def test_chunks_that_break_off(ndim, kind, mode):
    chunk, words, truth = written(ndim, kind, mode)
    for length in {0, 1, len(chunk) // 3, len(chunk) // 2, *range(len(chunk) - 9, len(chunk))}:
        try:
            assert decoded(words, chunk[:length]) == truth, length  # what is missing is padding
        except DecodeError:
            continue
    with pytest.raises(DecodeError, match="ends before its last block"):
        decoded(words, chunk[: len(chunk) // 2])


HEADERS = {"rate": 200, "precision": 2048 + 12, "reversible": 2176, "accuracy": 2177 + 1065}
LONG = {
    "as a rate": (200, 200, 64, -1074),
    "as a precision": (1, 16658, 13, -1074),
    "as reversible": (1, 16658, 64, -1075),
    "limited": (17, 300, 20, -10),
    "most of it": (1, 32768, 64, -1074),
}


@pytest.mark.parametrize("mode", [*HEADERS.values(), *LONG.values()], ids=[*HEADERS, *LONG])
@pytest.mark.parametrize(("ndim", "kind"), [*itertools.product(SHAPES, KINDS)])
def test_headers_by_hand(ndim, kind, mode):
    """The bits of another stream: both decode them alike, where the header says that they are enough."""
    if kind[0] == "i" and mode == HEADERS["accuracy"]:
        return  # ZFP has no accuracy of integers
    chunk = np.random.default_rng(7).bytes(300_000)
    bits, size = header(ndim, kind, mode)
    for big in (False, True):
        words = client_data(bits, size, big=big)
        truth = by_the_plugin(ndim, kind, words, chunk)
        assert truth is not None
        assert decoded(words, chunk, "big" if big else "little") == truth


@pytest.mark.parametrize(
    "version", [0, 0x00400010, 0x00550101, 0x02350030, 0x10005110, VERSION, 0x10106111, 0x2000F111, 0xFFFFFFFF]
)
@pytest.mark.parametrize("codec", [4, 5, 6])
def test_versions_that_the_plugin_knows(version, codec):
    chunk = written(2, "f4", "rate")[0]
    words = client_data(*header(2, "f4", 200, codec=codec), version=version)
    truth = by_the_plugin(2, "f4", words, chunk + bytes(1000))
    if truth is None:
        with pytest.raises(DecodeError, match="the client data has no header of codec 5"):
            decoded(words, chunk + bytes(1000))
    else:
        assert decoded(words, chunk + bytes(1000)) == truth


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        (header(2, "f4", 2048 + 64), None),  # 65 bit planes
        (header(2, "f4", 2175), None),
        (header(2, "f4", 7), None),  # fewer bits than an exponent has
        (header(2, "f8", (1, 11, 64, -1074)), None),
        (header(2, "f4", (1, 12, 64, -1075)), None),
        (header(2, "f4", (300, 200, 64, -1074)), None),
        (header(2, "f4", (1, 200, 65, -1074)), None),
        (header(2, "f4", 200), 2),
        (header(2, "f4", 200), 0),
        (header(2, "f4", (1, 200, 64, -1074)), 4),
        (header(2, "f4", (1, 200, 64, -1074)), 3),
        ((0, 96), None),
    ],
)
def test_headers_that_nothing_decodes(bits, words):
    made = client_data(*bits)
    with pytest.raises(DecodeError):
        decoded(made if words is None else made[: 1 + words], bytes(100_000))


def test_more_words_than_a_long_header_has():
    bits, size = header(2, "f4", (17, 300, 20, -10))
    chunk = np.random.default_rng(7).bytes(10_000)
    for more, fits in (([0], True), ([0, 0], False)):
        words = client_data(bits, size, more=more)
        truth = by_the_plugin(2, "f4", words, chunk)
        assert (truth is not None) == fits
        if fits:
            assert decoded(words, chunk) == truth
        else:
            with pytest.raises(DecodeError, match="7 words are more"):
                decoded(words, chunk)
