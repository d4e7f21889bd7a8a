"""Chunks that break off, are empty, or are something else: arrays with any codec of ours raise, or read what was stored."""

import json
import zlib

import h5py
import hdf5plugin
import imagecodecs
import numcodecs
import numpy as np
import pytest
import zarr
from h5py import h5d, h5p, h5s, h5t
from manifestry_codecs.base import DecodeError
from zarr.core.buffer import cpu
from zarr.core.sync import sync
from zarr.storage import MemoryStore

NOISE = np.random.default_rng(11)
INTEGERS = NOISE.integers(0, 1000, (40, 50)).astype("<i4")
FLOATS = NOISE.normal(20, 5, (40, 50)).astype("<f4")
STEPS = np.repeat(np.arange(40, dtype="<i4"), 50).reshape(40, 50)


def chunk_of(values, number, **options):
    """A chunk as libhdf5 writes it, the client data of a filter, and the values that it reads."""
    with h5py.File("chunk", "w", driver="core", backing_store=False) as file:
        dataset = file.create_dataset("d", data=values, chunks=values.shape, **options)
        file.flush()
        plist = dataset.id.get_create_plist()
        client_data = next(f[2] for f in map(plist.get_filter, range(plist.get_nfilters())) if f[0] == number)
        mask, chunk = dataset.id.read_direct_chunk((0,) * values.ndim)
        assert mask == 0
        return bytes(chunk), [int(v) for v in client_data], dataset[()]


def nbit_chunk():
    kind = h5t.STD_I32LE.copy()
    kind.set_precision(29)
    with h5py.File("chunk", "w", driver="core", backing_store=False) as file:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_chunk(INTEGERS.shape)
        properties.set_filter(5)
        dataset = h5py.Dataset(h5d.create(file.id, b"d", kind, h5s.create_simple(INTEGERS.shape), properties))
        dataset[...] = INTEGERS
        file.flush()
        return bytes(dataset.id.read_direct_chunk((0, 0))[1]), list(dataset.id.get_create_plist().get_filter(0)[2])


def filters():
    """Name, configuration, chunk and values of what HDF5 writes."""
    for label, values, number, name, options in [
        ("scaleoffset of integers", INTEGERS, 6, "scaleoffset", {"scaleoffset": 0}),
        ("scaleoffset with a fill value", INTEGERS, 6, "scaleoffset", {"scaleoffset": 0, "fillvalue": 7}),
        ("scaleoffset of floats", FLOATS, 6, "scaleoffset", {"scaleoffset": 3}),
        ("bitshuffle", INTEGERS, 32008, "bitshuffle", hdf5plugin.Bitshuffle(cname="none")),
        ("bitshuffle with LZ4", INTEGERS, 32008, "bitshuffle", hdf5plugin.Bitshuffle(cname="lz4")),
        ("bitshuffle with Zstandard", INTEGERS, 32008, "bitshuffle", hdf5plugin.Bitshuffle(cname="zstd")),
        ("blosc2", INTEGERS, 32026, "blosc2", hdf5plugin.Blosc2()),
        ("blosc2 of one dimension", STEPS.reshape(-1), 32026, "blosc2", hdf5plugin.Blosc2(cname="zstd")),
        ("zfp of a rate", FLOATS, 32013, "zfp", hdf5plugin.Zfp(rate=10)),
        ("zfp of a precision", FLOATS, 32013, "zfp", hdf5plugin.Zfp(precision=14)),
        ("zfp, long header", FLOATS, 32013, "zfp", hdf5plugin.Zfp(minbits=1, maxbits=16657, maxprec=24, minexp=-20)),
    ]:
        chunk, client_data, truth = chunk_of(values, number, **options)
        yield label, f"manifestry.{name}", {} if name == "blosc2" else {"client_data": client_data}, chunk, truth
    chunk, client_data = nbit_chunk()
    yield "nbit", "manifestry.nbit", {"client_data": [int(v) for v in client_data]}, chunk, INTEGERS
    chunk, _, truth = chunk_of(STEPS, 32000, compression="lzf")
    yield "lzf", "manifestry.lzf", {"size": STEPS.nbytes}, chunk, truth


def others():
    """The same of what numpy and imagecodecs write, with the name of the codec for a label."""
    plain = INTEGERS.tobytes()
    shuffled = bytes(numcodecs.Shuffle(4).encode(plain))
    optional = {"size": len(plain), "codec": {"id": "zlib", "level": 1}}
    bits = {"itemsize": 4, "precision": 12, "offset": 0, "signed": True, "order": "little"}
    words = np.diff(INTEGERS, axis=1, prepend=0).astype("<i4").tobytes()
    parts = np.stack([INTEGERS, -INTEGERS], axis=-1).astype("<i2")
    chain = {"filters": [], "compressor": {"id": "zlib", "level": 1}, "dtype": "<i4"}
    for name, configuration, chunk, truth in [
        ("shuffle", {"elementsize": 4}, shuffled, INTEGERS),
        ("optional", optional, zlib.compress(plain), INTEGERS),
        ("bits", bits, plain, INTEGERS),
        ("record", {"itemsize": 4, "fields": [[0, 4, 0]]}, plain, INTEGERS),
        ("fixed_string", {"length": 8, "padding": "space"}, plain, INTEGERS),
        ("bitorder", {}, bytes(imagecodecs.bitorder_encode(plain)), INTEGERS),
        ("trim", {"nbytes": len(plain)}, plain + b"more", INTEGERS),
        ("horizontal_difference", {"elementsize": 4, "endian": "little", "row": 50, "distance": 1}, words, INTEGERS),
        ("complex_integer", {"bits": 16, "endian": "little"}, parts.tobytes(), (INTEGERS - 1j * INTEGERS).astype("c8")),
        ("inflate", {"nbytes": len(plain)}, zlib.compress(plain + bytes(1000)), INTEGERS),
        ("libtiff", {"rows": 40, "columns": 50, "tags": LOG_L}, LOG_ROWS, np.full((40, 50), 0x0507, "<i2")),
        ("logluv", {"rows": 40, "columns": 50, "bits": 24}, bytes(6000), LOG_ZEROS),
        ("lerc", {"samples": 1}, bytes(imagecodecs.lerc_encode(FLOATS, level=0.0)), FLOATS),
        ("numcodecs", chain, zlib.compress(plain), INTEGERS),
    ]:
        yield name, f"manifestry.{name}", configuration, chunk, truth


LOG_L = {"258": [16], "259": [34676], "262": [32844], "277": [1], "339": [2]}
LOG_ROWS = bytes([126 + 50, 5, 126 + 50, 7]) * 40
LOG_ZEROS = np.dstack(
    [
        np.full((40, 50), value, "<i2")
        for value in numcodecs.get_codec({"id": "manifestry.logluv", "rows": 1, "columns": 1, "bits": 24})
        .decode(bytes(3))
        .ravel()
    ]
)
CASES = {label: case for label, *case in [*filters(), *others()]}
OF_ARRAYS = tuple(f"manifestry.{name}" for name in ("complex_integer", "lerc", "libtiff", "logluv", "numcodecs"))
ANYTHING_GOES = ("manifestry.scaleoffset", "manifestry.zfp", "manifestry.logluv")
"""Formats in which any bytes, if they are enough, mean something."""


class Stored:
    """An array of one chunk, in Zarr v3 or v2, whose chunk can be anything."""

    def __init__(self, version, name, configuration, truth):
        self.store = MemoryStore()
        fill = [0, 0] if truth.dtype.kind == "c" else 0
        common = {"zarr_format": version, "shape": truth.shape, "fill_value": fill}
        if version == 3:
            codec = {"name": name, "configuration": configuration}
            grid = {"name": "regular", "configuration": {"chunk_shape": truth.shape}}
            separated = {"name": "default", "configuration": {"separator": "/"}}
            codecs = [codec] if name in OF_ARRAYS else [{"name": "bytes", "configuration": {"endian": "little"}}, codec]
            kind = {"data_type": truth.dtype.name, "node_type": "array", "attributes": {}}
            document = common | kind | {"chunk_grid": grid, "chunk_key_encoding": separated, "codecs": codecs}
            self.put("zarr.json", json.dumps(document).encode())
        else:
            kind = {"dtype": truth.dtype.str, "chunks": truth.shape, "order": "C", "filters": None}
            self.put(".zarray", json.dumps(common | kind | {"compressor": {"id": name} | configuration}).encode())
        self.key = "c/" + "/".join("0" * truth.ndim) if version == 3 else ".".join("0" * truth.ndim)

    def put(self, key, data):
        sync(self.store.set(key, cpu.Buffer.from_bytes(data)))

    def read(self, chunk):
        self.put(self.key, chunk)
        return zarr.open_array(self.store, mode="r")[...]


def damaged(name, chunk):
    size = len(chunk)
    for length in sorted({0, 1, 8, 16, 40, size // 4, size // 2, 3 * size // 4, size - 9, *range(size - 4, size)}):
        yield f"the first {length} of {size} bytes", chunk[:length]
    if name in ANYTHING_GOES:
        return
    for length in (1, 20, 87, size // 2):
        yield f"{length} bytes of noise", np.random.default_rng(length).bytes(length)
        yield f"{length} zeros", bytes(length)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("label", CASES)
def test_arrays_raise_or_read_what_was_stored(label, version):
    name, configuration, chunk, truth = CASES[label]
    array = Stored(version, name, configuration, truth)
    assert array.read(chunk).tobytes() == truth.tobytes()
    refused = 0
    for what, part in damaged(name, chunk):
        try:
            read = array.read(part)
        except (ValueError, RuntimeError, TypeError, zlib.error):
            refused += 1
        else:
            assert read.tobytes() == truth.tobytes(), what
    assert refused > 7


@pytest.mark.parametrize("at", [0, 10, 100, -1])
def test_checksums_are_looked_at(at):
    for name, configuration, chunk, _ in (CASES["lerc"], CASES["optional"], CASES["numcodecs"]):
        flipped = bytearray(chunk)
        flipped[at] ^= 0x10
        with pytest.raises((ValueError, RuntimeError, zlib.error)):
            numcodecs.get_codec({"id": name} | configuration).decode(bytes(flipped))


@pytest.mark.parametrize("at", [20, 31, 36])
def test_sizes_of_blosc2_frames_are_looked_at(at):
    chunk = bytearray(CASES["blosc2 of one dimension"][2])
    chunk[at] ^= 1
    for damaged_chunk in (bytes(chunk), bytes(chunk) + b"more"):
        with pytest.raises(DecodeError):
            numcodecs.get_codec({"id": "manifestry.blosc2"}).decode(damaged_chunk)


def test_elements_of_another_type_or_shape_are_not_cast():
    for values in (FLOATS.astype("f8"), FLOATS.reshape(50, 40), FLOATS[:20], FLOATS.astype("i4")):
        array = Stored(3, "manifestry.lerc", {"samples": 1}, FLOATS)
        with pytest.raises(DecodeError, match=r"the elements have the (type|shape) .*, expected"):
            array.read(bytes(imagecodecs.lerc_encode(np.ascontiguousarray(values), level=0.0)))


def test_out_is_of_the_same_elements():
    codec = numcodecs.get_codec({"id": "manifestry.lerc", "samples": 1})
    chunk, truth = CASES["lerc"][2:]
    for dtype in ("<f4", "u1"):
        out = np.zeros(truth.nbytes // np.dtype(dtype).itemsize, dtype)
        assert codec.decode(chunk, out=out).tobytes() == truth.tobytes()
    for out in (np.zeros(truth.shape, ">f4"), np.zeros(truth.shape, "i4"), np.zeros(7, "f4"), np.zeros(1, "u1")):
        with pytest.raises(ValueError):
            codec.decode(chunk, out=out)
    objects = numcodecs.get_codec({"id": "manifestry.sequences", "dtype": "<i2"})
    with pytest.raises(DecodeError, match=r"the elements have the shape \(1,\), expected \(3,\)"):
        objects.decode(np.array([b"\1\0"], object), out=np.empty(3, object))
    with pytest.raises(DecodeError, match="3 bytes are not a whole number"):
        objects.decode(np.array([b"\1\0\0"], object))


@pytest.mark.parametrize(
    ("name", "client_data"),
    [
        ("scaleoffset", [1, 3, 400, 1, 4, 0, 0, *[0] * 13]),  # the kind of scaling that HDF5 does not have
        ("scaleoffset", [0, 0, 400, 0, 4, 1, 0, *[0] * 13]),
        ("scaleoffset", [2, 33, 400, 0, 4, 1, 0, *[0] * 13]),
        ("scaleoffset", [2, 0, 400, 0, 4, 1, 0, 0]),
        ("nbit", [8, 0, 400, 1, 16, 0, 80, 0]),
        ("nbit", [8, 0, 400, 1, 4, 0, 0, 0]),
    ],
)
def test_client_data_that_the_filter_does_not_take(name, client_data):
    with pytest.raises(ValueError):
        numcodecs.get_codec({"id": f"manifestry.{name}", "client_data": client_data}).decode(bytes(5000))
