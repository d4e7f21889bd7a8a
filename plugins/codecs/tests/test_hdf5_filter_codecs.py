"""The codecs against libhdf5: a chunk as the file holds it decodes to what libhdf5 reads."""

import h5py
import hdf5plugin
import numcodecs
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t
from manifestry_codecs.base import DecodeError
from manifestry_codecs.hdf5_filters import NBit, ScaleOffset

NOISE = np.random.default_rng(0)


def encoded(tmp_path, values, number, kind=None, **options):
    """The stored bytes of a dataset of one chunk, the client data of a filter, and its elements as bytes."""
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        if kind is None:
            dataset = file.create_dataset("d", data=values, chunks=values.shape, **options)
        else:
            properties = h5p.create(h5p.DATASET_CREATE)
            properties.set_chunk(values.shape)
            properties.set_filter(number)
            dataset = h5py.Dataset(h5d.create(file.id, b"d", kind, h5s.create_simple(values.shape), properties))
            dataset[...] = values
        file.flush()
        mask, data = dataset.id.read_direct_chunk((0,) * values.ndim)
        assert mask == 0
        plist = dataset.id.get_create_plist()
        filters = [plist.get_filter(i) for i in range(plist.get_nfilters())]
        client_data = next(list(f[2]) for f in filters if f[0] == number)
        raw = np.zeros(values.shape, f"V{dataset.id.get_type().get_size()}")
        dataset.id.read(h5s.ALL, h5s.ALL, raw, dataset.id.get_type())
        return bytes(data), client_data, raw.tobytes()


def decode(name, data, **configuration):
    return bytes(np.ascontiguousarray(numcodecs.get_codec({"id": name, **configuration}).decode(data)))


INTEGERS = [NOISE.integers(-50, 50, 1000).astype(kind) for kind in ("i1", "<i2", ">i2", "<i4", ">i4", "<i8", ">i8")] + [
    NOISE.integers(3, 90, 1000).astype(kind) for kind in ("u1", "<u2", ">u4", "<u8")
]


@pytest.mark.parametrize("values", INTEGERS, ids=lambda v: v.dtype.str)
@pytest.mark.parametrize("fill", [None, 7])
def test_scaleoffset_integers(tmp_path, values, fill):
    data, client_data, raw = encoded(tmp_path, values, 6, scaleoffset=0, fillvalue=fill)
    assert decode("manifestry.scaleoffset", data, client_data=client_data) == raw


@pytest.mark.parametrize("values", [np.full(500, 9, "i4"), np.array([-(2**31), 2**31 - 1] * 50, "i4")])
def test_scaleoffset_of_constants_and_of_full_width(tmp_path, values):
    data, client_data, raw = encoded(tmp_path, values, 6, scaleoffset=0)
    assert decode("manifestry.scaleoffset", data, client_data=client_data) == raw


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("digits", [1, 4])
def test_scaleoffset_floats(tmp_path, kind, digits):
    values = NOISE.normal(20, 5, 1000).astype(kind)
    data, client_data, raw = encoded(tmp_path, values, 6, scaleoffset=digits, fillvalue=-99.0)
    assert decode("manifestry.scaleoffset", data, client_data=client_data) == raw


@pytest.mark.parametrize("base", [h5t.STD_I32LE, h5t.STD_U16BE, h5t.STD_I64BE, h5t.STD_U8LE])
@pytest.mark.parametrize(("unused", "offset"), [(3, 0), (3, 2), (0, 0)])
def test_nbit_and_bits(tmp_path, base, unused, offset):
    kind = base.copy()
    precision = 8 * kind.get_size() - unused
    kind.set_precision(precision)
    kind.set_offset(offset)
    values = NOISE.integers(0, 15, 999)
    data, client_data, raw = encoded(tmp_path, values, 5, kind)
    stored = decode("manifestry.nbit", data, client_data=client_data)
    size, signed = kind.get_size(), kind.get_sign() == h5t.SGN_2
    big = kind.get_order() == h5t.ORDER_BE
    configuration = {"itemsize": size, "precision": precision, "offset": offset, "signed": signed}
    order = "big" if big else "little"
    plain = decode("manifestry.bits", stored, **configuration, order=order)
    assert np.frombuffer(plain, f"{'>' if big else '<'}{'i' if signed else 'u'}{size}").tolist() == values.tolist()
    assert decode("manifestry.bits", raw, **configuration, order=order) == plain


def test_nbit_of_records_and_arrays(tmp_path):
    short = h5t.STD_I16LE.copy()
    short.set_precision(9)
    record = h5t.create(h5t.COMPOUND, 16)
    record.insert(b"a", 0, short)
    record.insert(b"b", 4, h5t.IEEE_F32BE)
    record.insert(b"c", 8, h5t.array_create(short, (3,)))
    memory = np.dtype({"names": ["a", "b", "c"], "formats": ["i2", "f4", ("i2", 3)]})
    values = np.zeros(50, memory)
    values["a"], values["b"] = np.arange(50), np.linspace(0, 1, 50)
    values["c"] = np.arange(150).reshape(50, 3)
    data, client_data, raw = encoded(tmp_path, values, 5, record)
    got = np.frombuffer(decode("manifestry.nbit", data, client_data=client_data), "u1").reshape(50, 16)
    want = np.frombuffer(raw, "u1").reshape(50, 16)
    for where in ([0, 1], [4, 5, 6, 7], [8, 9, 10, 11, 12, 13]):
        assert np.array_equal(got[:, where], want[:, where])


@pytest.mark.parametrize("count", [1, 7, 8, 1000, 40_003])
@pytest.mark.parametrize("name", ["none", "lz4", "zstd"])
@pytest.mark.parametrize("kind", ["u1", "<i4", "<f8"])
def test_bitshuffle(tmp_path, count, name, kind):
    values = NOISE.integers(0, 100, count).astype(kind)
    data, client_data, raw = encoded(tmp_path, values, 32008, **hdf5plugin.Bitshuffle(cname=name))
    assert decode("manifestry.bitshuffle", data, client_data=client_data) == raw


@pytest.mark.parametrize("name", ["blosclz", "lz4", "zlib", "zstd"])
@pytest.mark.parametrize("shape", [(1000,), (30, 40)])
def test_blosc2(tmp_path, name, shape):
    values = NOISE.integers(0, 100, shape).astype("<i4")
    data, _, raw = encoded(tmp_path, values, 32026, **hdf5plugin.Blosc2(cname=name, filters=1))
    assert decode("manifestry.blosc2", data) == raw


@pytest.mark.parametrize("shape", [(1000,), (300_000,), (30, 40)])
@pytest.mark.parametrize("value", [0, 7, np.nan])
def test_blosc2_of_one_value(tmp_path, shape, value):
    data, _, raw = encoded(tmp_path, np.full(shape, value, "<f4"), 32026, **hdf5plugin.Blosc2(cname="lz4"))
    assert decode("manifestry.blosc2", data) == raw


@pytest.mark.parametrize("mode", [{"rate": 10.0}, {"precision": 12}, {"accuracy": 0.01}, {"reversible": True}])
@pytest.mark.parametrize("kind", ["<f4", "<f8", "<i4"])
def test_zfp(tmp_path, mode, kind):
    if kind == "<i4" and "accuracy" in mode:
        return  # ZFP has no accuracy for integers
    values = (1000 * np.sin(np.arange(1200.0))).reshape(30, 40).astype(kind)
    data, client_data, raw = encoded(tmp_path, values, 32013, **hdf5plugin.Zfp(**mode))
    assert decode("manifestry.zfp", data, client_data=client_data, order="little") == raw


@pytest.mark.parametrize("count", [0, 3, 10, 41])
def test_shuffle_leaves_the_tail(count):
    codec = numcodecs.get_codec({"id": "manifestry.shuffle", "elementsize": 4})
    plain = bytes(range(count))
    shuffled = bytes(codec.encode(plain)) if count else b""
    assert bytes(codec.decode(shuffled)) == plain
    if count == 10:
        assert shuffled == bytes([0, 4, 1, 5, 2, 6, 3, 7, 8, 9])


def test_lzf_and_optional(tmp_path):
    zeros = np.zeros(5000, "i4")
    data, _, raw = encoded(tmp_path, zeros, 32000, compression="lzf")
    assert decode("manifestry.lzf", data, size=20_000) == raw
    assert decode("manifestry.lzf", raw, size=20_000) == raw  # skipped
    packed = numcodecs.Zlib().encode(raw)
    codec = {"id": "zlib", "level": 1}
    assert decode("manifestry.optional", packed, size=20_000, codec=codec) == raw
    assert decode("manifestry.optional", raw, size=20_000, codec=codec) == raw
    with pytest.raises(DecodeError):
        decode("manifestry.optional", packed, size=19_999, codec=codec)


def test_fixed_strings():
    text = b"ab\0d  " + b" x    " + b"      " + b"abcdef"
    assert decode("manifestry.fixed_string", text, length=6, padding="space") == (
        b"ab\0d\0\0" + b" x\0\0\0\0" + bytes(6) + b"abcdef"
    )
    assert decode("manifestry.fixed_string", text, length=6, padding="null-terminated") == (
        b"ab\0\0\0\0" + b" x    " + b"      " + b"abcdef"
    )


def test_records():
    stored = np.zeros(3, np.dtype({"names": ["a", "b"], "formats": [">i2", "<f4"], "offsets": [1, 4], "itemsize": 12}))
    stored["a"], stored["b"] = [1, 2, 3], [0.5, 1.5, 2.5]
    packed = decode("manifestry.record", stored.tobytes(), itemsize=12, fields=[[1, 2, 1], [4, 4, 0]])
    got = np.frombuffer(packed, [("a", "<i2"), ("b", "<f4")])
    assert got["a"].tolist() == [1, 2, 3]
    assert got["b"].tolist() == [0.5, 1.5, 2.5]


@pytest.mark.parametrize(
    ("name", "configuration"),
    [
        ("manifestry.scaleoffset", {"client_data": [2, 0, 100, 0, 4, 1, 0, 0]}),
        ("manifestry.nbit", {"client_data": [8, 0, 100, 1, 2, 0, 12, 0]}),
        ("manifestry.bitshuffle", {"client_data": [0, 2, 4, 0, 2]}),
        ("manifestry.record", {"itemsize": 16, "fields": [[0, 4, 0]]}),
    ],
)
def test_cut_chunks_are_said_to_be_so(name, configuration):
    with pytest.raises(DecodeError):
        decode(name, b"\x05\0\0", **configuration)


@pytest.mark.parametrize(("codec", "least"), [(ScaleOffset, 8), (NBit, 5)])
def test_parameters_that_are_too_few_are_refused(codec, least):
    for count in range(least):
        with pytest.raises(ValueError, match=f"client_data has {count} values: must have at least {least}"):
            codec([1] * count)
