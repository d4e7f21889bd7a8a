"""One file for each feature: every dataset reads exactly as h5py reads it, or is refused by name.

The table in docs/reference/hdf5.md is made of the same list: ``python plugins/hdf5/tests/test_hdf5_features.py`` writes
it, and a test compares it.
"""

import contextlib
import ctypes
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import h5py
import hdf5plugin
import manifestry as mf
import numpy as np
import pytest
import zarr
from h5py import h5d, h5p, h5s, h5t

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "hdf5.md"
LATEST = ("v114", "v114")


@dataclass
class Feature:
    section: str
    name: str
    make: object
    refused: str = ""
    how: str = "references"


FEATURES: list[Feature] = []


def feature(section, name, refused="", how="references"):
    def add(make):
        FEATURES.append(Feature(section, name, make, refused, how))
        return make

    return add


def numbers(*shape, dtype="i4"):
    return (np.arange(np.prod(shape, dtype=int)) % 251).reshape(shape).astype(dtype)


# layouts and chunk indexes

DATA = numbers(37, 23)


def dataset(name, libver=None, section="Layout", how="references", filters=None, values=DATA, **options):
    def make(path):
        with h5py.File(path, "w", libver=libver) as file:
            file.create_dataset("d", data=values, **(filters or {}), **options)

    FEATURES.append(Feature(section, name, make, "", how))


dataset("contiguous")
dataset("contiguous, version 1 headers", libver="earliest")
for label, deflate in (("", {}), (", filtered", {"compression": "gzip", "shuffle": True})):
    dataset(f"version 1 B-tree{label}", libver="earliest", chunks=(5, 4), filters=deflate)
    dataset(f"single chunk{label or ', unfiltered'}, latest format", libver=LATEST, chunks=DATA.shape, filters=deflate)
    dataset(f"fixed array{label}", libver=LATEST, chunks=(5, 4), filters=deflate)
    dataset(f"fixed array, paged{label}", libver=LATEST, chunks=(1, 1), values=numbers(50, 50), filters=deflate)
    dataset(f"extensible array{label}", libver=LATEST, chunks=(5, 4), maxshape=(None, 23), filters=deflate)
    dataset(
        f"extensible array, second dimension unlimited{label}",
        libver=LATEST, chunks=(5, 4), maxshape=(50, None), filters=deflate,
    )  # fmt: skip
    dataset(
        f"extensible array with super blocks{label}",
        libver=LATEST, chunks=(1,), maxshape=(None,), values=numbers(1500), filters=deflate,
    )  # fmt: skip
    dataset(f"version 2 B-tree{label}", libver=LATEST, chunks=(5, 4), maxshape=(None, None), filters=deflate)
    dataset(
        f"version 2 B-tree of several levels{label}",
        libver=LATEST, chunks=(1, 1), maxshape=(None, None), values=numbers(60, 60), filters=deflate,
    )  # fmt: skip


@feature("Layout", "implicit index")
def _(path):
    with h5py.File(path, "w", libver=LATEST) as file:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_chunk((5, 4))
        properties.set_alloc_time(h5d.ALLOC_TIME_EARLY)
        space = h5s.create_simple((37, 23), (50, 30))
        h5py.Dataset(h5d.create(file.id, b"d", h5t.STD_I32LE, space, properties))[...] = DATA


@feature("Layout", "compact", how="copied")
def _(path):
    with h5py.File(path, "w") as file:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_layout(h5d.COMPACT)
        h5py.Dataset(h5d.create(file.id, b"d", h5t.STD_I32BE, h5s.create_simple((37, 23)), properties))[...] = DATA


@feature("Layout", "nothing written, contiguous and chunked")
def _(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("contiguous", (4, 5), "f4", fillvalue=-1)
        file.create_dataset("chunked", (4, 5), ">f8", chunks=(2, 2), fillvalue=np.nan)
        file.create_dataset("zero", (0, 5), "i2", chunks=(2, 2), maxshape=(None, 5))


@feature("Layout", "some chunks not written")
def _(path):
    for libver, maximum in (("earliest", None), (LATEST, (None, 40)), (LATEST, (None, None)), (LATEST, None)):
        with h5py.File(path, "a", libver=libver) as file:
            name = f"d{len(file)}"
            file.create_dataset(name, (40, 40), "i2", chunks=(3, 7), maxshape=maximum, fillvalue=7, compression="gzip")
            file[name][5:9, 20:30] = 1
            file[name][39, 39] = 2


@feature("Layout", "chunks larger than the array, grown and shrunk arrays")
def _(path):
    for libver in ("earliest", LATEST):
        with h5py.File(path, "a", libver=libver) as file:
            n = len(file)
            file.create_dataset(f"a{n}", data=numbers(3, 4), chunks=(10, 10), maxshape=(None, None))
            grown = file.create_dataset(f"b{n}", data=numbers(10, 10), chunks=(4, 4), maxshape=(None, 30))
            grown.resize((12, 20))
            shrunk = file.create_dataset(f"c{n}", data=numbers(20, 20), chunks=(3, 3), maxshape=(None, None))
            shrunk.resize((7, 8))


@feature("Layout", "external raw files")
def _(path):
    first, second = path.parent / "one.raw", path.parent / "two.raw"
    first.write_bytes(b"\0" * 8 + numbers(4, 5).tobytes())
    second.write_bytes(numbers(6, 5, dtype="<i4").tobytes())
    with h5py.File(path, "w") as file:
        file.create_dataset("d", (10, 5), "<i4", external=[("one.raw", 8, 80), ("two.raw", 0, h5py.h5f.UNLIMITED)])


@feature("Layout", "virtual dataset of contiguous and of chunked sources")
def _(path):
    virtual = h5py.VirtualLayout((3, 40), "f8")
    chunked = h5py.VirtualLayout((60, 8), "i2")
    for i in range(3):
        name = f"source{i}.h5"
        with h5py.File(path.parent / name, "w") as file:
            file["x"] = numbers(40, dtype="f8") + i
            file.create_dataset("y", data=numbers(20, 8, dtype="i2") + i, chunks=(5, 4), compression="gzip")
        virtual[i] = h5py.VirtualSource(name, "x", (40,))
        chunked[20 * i : 20 * i + 20] = h5py.VirtualSource(name, "y", (20, 8))
    with h5py.File(path, "w", libver="latest") as file:
        file.create_virtual_dataset("contiguous", virtual, fillvalue=0)
        file.create_virtual_dataset("chunked", chunked, fillvalue=0)


@feature("Layout", "virtual dataset whose parts are not aligned", how="copied")
def _(path):
    layout = h5py.VirtualLayout((30,), "i2")
    with h5py.File(path.parent / "source.h5", "w") as file:
        file.create_dataset("x", data=numbers(20, dtype="i2"), chunks=(7,))
    layout[3:18] = h5py.VirtualSource("source.h5", "x", (20,))[2:17]
    with h5py.File(path, "w", libver="latest") as file:
        file.create_virtual_dataset("d", layout, fillvalue=5)


@feature("Layout", "virtual dataset whose selections have no end")
def _(path):
    with h5py.File(path.parent / "source.h5", "w") as file:
        file.create_dataset("x", data=numbers(5, 4, dtype="i8"), chunks=(1, 4), maxshape=(None, 4))
    layout = h5py.VirtualLayout((3, 4), "i8", maxshape=(None, 4))
    source = h5py.VirtualSource("source.h5", "x", (3, 4), maxshape=(None, 4))
    layout[: h5s.UNLIMITED] = source[: h5s.UNLIMITED]
    with h5py.File(path, "w", libver="latest") as file:
        file.create_virtual_dataset("d", layout)


@feature("Layout", "virtual dataset of every second row, and of a series of files")
def _(path):
    space, virtual = h5s.create_simple((6, 4)), {}
    with h5py.File(path.parent / "part0.h5", "w") as file:
        file["x"] = numbers(3, 4)
    with h5py.File(path, "w", libver="latest") as file:
        for name, source in (("second", b"part0.h5"), ("series", b"part%b.h5")):
            virtual[name] = h5p.create(h5p.DATASET_CREATE)
            endless = name == "series"
            here = h5s.create_simple((6, 4), (h5s.UNLIMITED, 4) if endless else None)
            count = h5s.UNLIMITED if endless else 3
            here.select_hyperslab((0, 0), (count, 1), (3 if endless else 2, 4), (3 if endless else 1, 4))
            virtual[name].set_virtual(here, b"part0.h5" if not endless else source, b"x", h5s.create_simple((3, 4)))
            h5d.create(file.id, name.encode(), h5t.STD_I32LE, here if endless else space, virtual[name])


# filters


def filtered(name, how="references", values=None, **options):
    def make(path):
        with h5py.File(path, "w") as file:
            for kind in ("<i2", ">i4", "<f4", "<f8"):
                data = (numbers(40, 30) if values is None else values).astype(kind)
                file.create_dataset(kind, data=data, chunks=(16, 16), **options)

    FEATURES.append(Feature("Filter", name, make, "", how))


filtered("deflate (1)", compression="gzip", compression_opts=6)
filtered("shuffle (2)", shuffle=True)
filtered("fletcher32 (3)", fletcher32=True)
filtered("shuffle, deflate, fletcher32", shuffle=True, compression="gzip", fletcher32=True)
filtered("szip (4)", compression="szip")
filtered("lzf (32000)", compression="lzf")
filtered("lzf after shuffle, some chunks incompressible", values=None, compression="lzf", shuffle=True)
filtered("blosc (32001)", compression=hdf5plugin.Blosc("zstd", shuffle=2))
filtered("blosc with snappy", compression=hdf5plugin.Blosc("snappy"))
filtered("lz4 (32004)", compression=hdf5plugin.LZ4())
filtered("bitshuffle (32008)", compression=hdf5plugin.Bitshuffle(cname="none"))
filtered("bitshuffle with lz4", compression=hdf5plugin.Bitshuffle(cname="lz4"))
filtered("bitshuffle with zstd", compression=hdf5plugin.Bitshuffle(cname="zstd"))
filtered("zstd (32015)", compression=hdf5plugin.Zstd())
filtered("bzip2 (307)", compression=hdf5plugin.BZip2())
filtered("blosc2 (32026)", compression=hdf5plugin.Blosc2("lz4", filters=1))


@feature("Filter", "zfp (32013)")
def _(path):
    with h5py.File(path, "w") as file:
        for kind in ("<f4", ">f8"):
            data = np.sin(np.arange(1200.0)).reshape(40, 30).astype(kind)
            file.create_dataset(kind, data=data, chunks=(16, 16), compression=hdf5plugin.Zfp(accuracy=0.01))


@feature("Filter", "scaleoffset (6)")
def _(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("i", data=numbers(40, 30), chunks=(16, 16), scaleoffset=0)
        file.create_dataset("full", data=numbers(40, 30, dtype=">i2"), chunks=(16, 16), scaleoffset=16)
        file.create_dataset("u", data=numbers(40, 30, dtype=">u2"), chunks=(16, 16), scaleoffset=0, fillvalue=3)
        file.create_dataset("f", data=np.linspace(-3, 9, 1200).reshape(40, 30), chunks=(16, 16), scaleoffset=3)


@feature("Filter", "nbit (5), integers of reduced precision")
def _(path):
    with h5py.File(path, "w") as file:
        for order, whole in (("le", h5t.STD_I32LE), ("be", h5t.STD_I32BE)):
            kind = whole.copy()
            kind.set_precision(13)
            kind.set_offset(3)
            properties = h5p.create(h5p.DATASET_CREATE)
            properties.set_chunk((16, 16))
            properties.set_filter(h5py.h5z.FILTER_NBIT)
            d = h5py.Dataset(h5d.create(file.id, order.encode(), kind, h5s.create_simple((200, 200)), properties))
            d[...] = numbers(200, 200) - 100


@feature("Filter", "filter skipped for all chunks")
def _(path):
    with h5py.File(path, "w") as file:
        d = file.create_dataset("d", (20,), "<i4", chunks=(10,), compression="gzip", shuffle=True)
        for start in (0, 10):
            d.id.write_direct_chunk((start,), numbers(10, dtype="<i4").tobytes(), filter_mask=3)


@feature("Filter", "filter skipped for some chunks", how="references, those chunks encoded anew")
def _(path):
    with h5py.File(path, "w") as file:
        d = file.create_dataset("d", data=numbers(40), chunks=(10,), compression="gzip", shuffle=True)
        d.id.write_direct_chunk((10,), numbers(10, dtype="<i4").tobytes(), filter_mask=3)


@feature("Filter", "filter skipped for many large chunks it would not have made smaller")
def _(path):
    noise = np.random.default_rng(0).integers(0, 1 << 62, (64, 1024))
    noise[::3] = 0
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=noise, chunks=(1, 1024), compression="lzf", shuffle=True)


def unfiltered_edges(properties):
    """The option of libhdf5 that h5py does not offer: chunks that reach over an edge are stored without filters."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    library = ctypes.CDLL(next(line.split()[-1] for line in maps if "h5py.libs/libhdf5-" in line))
    library.H5Pset_chunk_opts.argtypes = [ctypes.c_int64, ctypes.c_uint]
    assert library.H5Pset_chunk_opts(properties.id, 2) == 0


def edges(shape, chunk, filters):
    def make(path):
        with h5py.File(path, "w", libver=LATEST) as file:
            for name, maximum in (("fixed", None), ("extensible", (None, shape[1])), ("tree", (None, None))):
                properties = h5p.create(h5p.DATASET_CREATE)
                properties.set_chunk(chunk)
                for number in filters:
                    properties.set_filter(number, h5py.h5z.FLAG_MANDATORY, (1,) if number == 1 else ())
                unfiltered_edges(properties)
                most = maximum and tuple(h5s.UNLIMITED if n is None else n for n in maximum)
                space = h5s.create_simple(shape, most)
                d = h5py.Dataset(h5d.create(file.id, name.encode(), h5t.IEEE_F64LE, space, properties))
                d[...] = numbers(*shape, dtype="f8")
                if name == "tree":  # what was an edge is none any more
                    d.resize((shape[0] + chunk[0], shape[1] + 1))
                    d[-2:] = 7
                    d.resize((shape[0] - 1, shape[1]))

    return make


if sys.platform == "linux":
    some = "references, the edges encoded anew"
    FEATURES.append(Feature("Filter", "chunks at the edges unfiltered", edges((37, 23), (5, 4), (2, 1)), how=some))
    FEATURES.append(Feature("Filter", "large chunks at the edges unfiltered", edges((200, 300), (64, 64), (1,))))
    FEATURES.append(
        Feature(
            "Filter", "large chunks at the edges without two filters", edges((200, 300), (64, 64), (2, 1)), how=some
        )
    )


@feature("Filter", "sz3 (32024)", refused="filter 32024 (sz3)")
def _(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=np.linspace(0, 1, 1000), chunks=(500,), compression=hdf5plugin.SZ3(absolute=0.1))


# types


def typed(name, values, how="references", refused="", **options):
    def make(path):
        with h5py.File(path, "w") as file:
            file.create_dataset("contiguous", data=values, **options)
            if np.ndim(values):
                file.create_dataset("chunked", data=values, chunks=True, compression="gzip", **options)

    FEATURES.append(Feature("Type", name, make, refused, how))


def records(kind, count=9):
    """Records in which no byte is that of another."""
    kind = np.dtype(kind)
    found = np.zeros(count, kind)
    for name in kind.names:
        column = found[name]
        if column.dtype.names:
            column["x"] = np.arange(column.size).reshape(column.shape)
            column["y"] = np.arange(column["y"].size).reshape(column["y"].shape) / 8
        else:
            column[...] = (np.arange(column.size) % 97).reshape(column.shape).astype(column.dtype)
    return found


for code in ("i1", "u1", "<i2", ">i2", "<u4", ">u4", "<i8", ">u8", "<f2", ">f4", "<f8"):
    typed(f"{np.dtype(code).name}{' big-endian' if code[0] == '>' else ''}", numbers(12, 10, dtype=code))
typed("complex64, complex128 big-endian", (numbers(20) * (1 + 2j)).astype(">c16"))
typed("scalar", np.float32(2.5))
typed("boolean", numbers(30) % 2 == 0)
typed("enumeration", numbers(30, dtype="u1") % 3, dtype=h5py.enum_dtype({"a": 0, "b": 1, "c": 2}, "u1"))
typed(
    "boolean of 4 bytes", numbers(30, dtype="i4") % 2, "copied", dtype=h5py.enum_dtype({"FALSE": 0, "TRUE": 1}, "<i4")
)
typed("fixed strings, null-padded", np.array([b"one", b"twenty", b""] * 5))
typed("variable-length strings", np.array(["one", "zwölf", ""] * 5, object), "copied", dtype=h5py.string_dtype())
typed("compound, packed", np.array([(1, 2.5, b"x")] * 9, [("a", "<i4"), ("b", "<f8"), ("c", "S3")]))
typed("compound, big-endian", np.array([(1, 2.5)] * 9, [("a", ">i4"), ("b", ">f8")]))
typed("compound, padded", np.array([(1, 2.5)] * 9000, np.dtype([("a", "i1"), ("b", "<f8")], align=True)))
typed(
    "compound, small and padded", np.array([(1, 2.5)] * 9, np.dtype([("a", "i1"), ("b", "<f8")], align=True)), "copied"
)
typed("compound of both byte orders", np.array([(1, 2.5)] * 9000, [("a", ">i4"), ("b", "<f8")]))
typed("array datatype", np.zeros(5, "i2"), dtype="i2")
typed("opaque", np.array([b"abc"] * 7, "V3"))
typed("numpy times", np.arange(9).astype(h5py.opaque_dtype(np.dtype("<M8[s]"))))
typed("long double", np.arange(4, dtype="g") / 4, "copied")
typed("long double of more digits", np.arange(4, dtype="g") / 3, refused="long double that float64 does not hold")
typed("compound with long doubles", np.array([(1, 0.5)] * 3, [("a", "i4"), ("b", "g")]), "copied")
typed("complex of long doubles", (np.arange(4) * 0.25j).astype("G"), "copied")
typed("compound with fields that are arrays", records([("a", "<i4", (2,)), ("b", "<f8", (2, 3)), ("c", "S3", (2,))]))
typed("compound with arrays, big-endian", records([("a", ">i4", (2,)), ("b", ">c8", (3,))]))
typed(
    "compound with arrays, padded",
    records(np.dtype([("a", "i1", (3,)), ("b", "<f8", (2,)), ("c", "i1")], align=True), 9000),
)
typed("compound with arrays of both byte orders", records([("a", ">i4", (2,)), ("b", "<f8", (3,))], 9000))
typed(
    "compound nested, with arrays of compounds",
    records([("n", [("x", "<i2"), ("y", "<f4", (2,))], (2,)), ("b", "<u8")]),
)


@feature("Type", "references to objects, as their paths", how="copied")
def _(path):
    with h5py.File(path, "w") as file:
        cells = file.create_dataset("d", (3,), h5py.ref_dtype)
        cells[0], cells[2] = file.create_group("group/inner").ref, cells.ref


@feature("Type", "references to regions", refused="references to regions as elements")
def _(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("d", (3,), h5py.regionref_dtype)


def sequences(kind):
    def make(path):
        with h5py.File(path, "w") as file:
            for name, shape, options in (
                ("contiguous", (4,), {}),
                ("chunked", (3, 4), {"chunks": (2, 3), "compression": "gzip"}),
                ("one", (), {}),
                ("none", (), {}),
            ):
                d = file.create_dataset(name, shape, h5py.vlen_dtype(np.dtype(kind)), **options)
                if name == "none":
                    continue
                members = np.zeros(3, kind)
                if members.dtype.names is None:
                    members[:] = [1, 2, 3]
                else:
                    members["a"] = [4, 5, 6]
                for at, count in ((0, 3), (-1, 2)) if shape else (((), 3),):
                    d[(at,) * len(shape) if shape else ()] = members[:count]

    return make


for label, kind in (
    ("integers", "<i4"), ("floats", "<f8"), ("records", [("a", "<i4"), ("b", "<f8", (2,))]), ("fixed strings", "S3"),
    ("complex numbers", "<c16"),
):  # fmt: skip
    FEATURES.append(Feature("Type", f"variable-length sequences of {label}", sequences(kind), how="copied"))


@feature(
    "Type", "variable-length sequences of sequences", refused="variable-length sequences of texts, arrays or sequences"
)
def _(path):
    with h5py.File(path, "w") as file:
        inner = h5t.vlen_create(h5t.STD_I32LE)
        h5d.create(file.id, b"d", h5t.vlen_create(inner), h5s.create_simple((4,)))


@feature("Type", "compound with variable-length strings", how="copied")
def _(path):
    kind = np.dtype([("a", h5py.string_dtype()), ("b", ">i4"), ("c", h5py.string_dtype(), (2,))])
    with h5py.File(path, "w") as file:
        for name, options in (("contiguous", {}), ("chunked", {"chunks": (2,), "compression": "gzip"})):
            file.create_dataset(name, (3,), kind, **options)[1] = ("zwölf", 7, ("", "x"))


@feature("Type", "compound with variable-length sequences", refused="compound with variable-length sequences")
def _(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("d", (3,), [("a", h5py.vlen_dtype("i4")), ("b", "i4")])


@feature("Type", "bfloat16", how="copied")
def _(path):
    with h5py.File(path, "w") as file:
        kind = h5t.IEEE_F32LE.copy()
        kind.set_fields(15, 7, 8, 0, 7)
        kind.set_precision(16)
        kind.set_size(2)
        h5d.create(file.id, b"d", kind, h5s.create_simple((4,)))


@feature("Type", "array datatype of two dimensions")
def _(path):
    with h5py.File(path, "w") as file:
        kind = np.dtype(("<i2", (2, 3)))
        for name, options in (
            ("contiguous", {}),
            ("chunked", {"chunks": (4,), "compression": "gzip", "shuffle": True}),
        ):
            file.create_dataset(name, (10,), kind, **options)[...] = numbers(10, 2, 3, dtype="i2")


def padded_strings(padding, count):
    def make(path):
        with h5py.File(path, "w") as file:
            kind = h5t.FORTRAN_S1.copy() if padding == h5t.STR_SPACEPAD else h5t.C_S1.copy()
            kind.set_size(6)
            kind.set_strpad(padding)
            for name, chunk in ((b"contiguous", None), (b"chunked", (max(3, count // 50),))):
                properties = h5p.create(h5p.DATASET_CREATE)
                if chunk:
                    properties.set_chunk(chunk)
                    properties.set_deflate(1)
                d = h5d.create(file.id, name, kind, h5s.create_simple((count,)), properties)
                raw = np.array([b"ab\0de ", b" x    ", b"      "] * (count // 3), "S6")
                d.write(h5s.ALL, h5s.ALL, raw, kind)

    return make


for text, padding in (("space-padded", h5t.STR_SPACEPAD), ("null-terminated", h5t.STR_NULLTERM)):
    FEATURES.append(Feature("Type", f"fixed strings, {text}", padded_strings(padding, 15000)))
    FEATURES.append(Feature("Type", f"fixed strings, {text}, few", padded_strings(padding, 9), how="copied"))


def integer(size, precision, offset, count, signed=True):
    def make(path):
        with h5py.File(path, "w") as file:
            kind = getattr(h5t, f"STD_{'I' if signed else 'U'}{size * 8}BE").copy()
            kind.set_precision(precision)
            kind.set_offset(offset)
            values = numbers(count, dtype="i4") - (100 if signed else 0)
            h5py.Dataset(h5d.create(file.id, b"d", kind, h5s.create_simple((count,))))[...] = values

    return make


FEATURES.append(Feature("Type", "integers of reduced precision", integer(2, 12, 2, 40000)))
FEATURES.append(Feature("Type", "unsigned integers of reduced precision", integer(4, 20, 5, 40000, signed=False)))
FEATURES.append(Feature("Type", "integers of reduced precision, few", integer(2, 12, 2, 40), how="copied"))


@feature("Type", "null dataspace")
def _(path):
    with h5py.File(path, "w") as file:
        file["d"] = h5py.Empty("f4")


# fill values, links, files


@feature("Fill value", "chosen, default, never written")
def _(path):
    with h5py.File(path, "w") as file:
        for name, kind, fill in (
            ("i", "i4", -9), ("f", ">f4", 1.5), ("inf", "f8", -np.inf), ("u", "u8", 2**64 - 1),
            ("s", "S5", b"none"), ("c", "c8", 1 + 2j), ("b", "?", True),
        ):  # fmt: skip
            file.create_dataset(name, (7, 3), kind, chunks=(2, 2), fillvalue=fill)[0, 0] = fill
        file.create_dataset("record", (3,), [("a", "i4"), ("b", "f4")], fillvalue=np.array((1, 2.5), "i4,f4")[()])
        file.create_dataset("text", (3,), h5py.string_dtype(), fillvalue="nothing")


@feature("Link", "hard, soft and external links, cycles")
def _(path):
    with h5py.File(path.parent / "other.h5", "w") as file:
        file["group/x"] = numbers(9)
        file["back"] = h5py.ExternalLink(path.name, "/a/d")
    with h5py.File(path, "w") as file:
        file["a/d"] = numbers(10)
        file["there_and_back"] = h5py.ExternalLink("other.h5", "/back")
        file["a/detour"] = h5py.SoftLink("/other/x")
        file["again"] = file["a/d"]
        file["a/up"] = h5py.SoftLink("/")
        file["soft"] = h5py.SoftLink("/a/d")
        file["a/loop"] = file["a"]
        file["other"] = h5py.ExternalLink("other.h5", "/group")
        file["otherx"] = h5py.ExternalLink("other.h5", "/group/x")


for where, link in (("soft", h5py.SoftLink("/nothing")), ("external", h5py.ExternalLink("missing.h5", "/x"))):

    @feature("Link", f"{where} links that lead nowhere", refused=f"{where} link that leads nowhere")
    def _(path, link=link):
        with h5py.File(path, "w") as file:
            file["lost"] = link


@feature("Link", "names that no Zarr node can have", refused="name that no Zarr node can have")
def _(path):
    with h5py.File(path, "w") as file:
        file["zarr.json"] = 1


for block in (512, 4096):

    @feature("File", f"user block of {block} bytes")
    def _(path, block=block):
        with h5py.File(path, "w", userblock_size=block) as file:
            file["contiguous"] = DATA
            file.create_dataset("unwritten", (7, 5), "f8", fillvalue=2)
            file.create_dataset("unwritten_texts", (3,), h5py.string_dtype())
            file.create_dataset("chunked", data=DATA, chunks=(5, 5), compression="gzip")


for sizes in ((2, 2), (4, 4), (8, 8)):

    @feature("File", f"addresses of {sizes[0]} bytes")
    def _(path, sizes=sizes):
        properties = h5p.create(h5p.FILE_CREATE)
        properties.set_sizes(*sizes)
        with h5py.File(h5py.h5f.create(str(path).encode(), h5py.h5f.ACC_TRUNC, properties)) as file:
            file["contiguous"] = DATA
            file.create_dataset("texts", data=np.array(["one", "zwölf"], object), dtype=h5py.string_dtype())
            file["contiguous"].attrs["texts"] = ["three", "vier", ""]
            for kind, maximum in (("fixed", None), ("extensible", (None, 23)), ("tree", (None, None))):
                file.create_dataset(kind, data=DATA, chunks=(9, 9), compression="gzip", maxshape=maximum)


def members(values):
    native = [v.astype(v.dtype.newbyteorder("=")) for v in values.reshape(-1)]
    return [(v.dtype, v.tobytes()) for v in native]


def texts(values):
    return [v.decode() if isinstance(v, bytes) else str(v) for v in np.asarray(values, object).reshape(-1).tolist()]


def assert_equal(got, expected, name):
    expected = np.asarray(expected)
    if expected.dtype in (np.longdouble, np.clongdouble):  # exact in float64, or refused
        expected = expected.astype(got.dtype)
    assert got.shape == expected.shape, name
    if got.dtype.kind == "O":
        assert members(got) == members(expected), name
    elif expected.dtype.kind == "O" or got.dtype.kind == "T":
        assert texts(got) == texts(expected), name
    elif expected.dtype.fields:
        for field in expected.dtype.names:
            assert_equal(got[field], expected[field], f"{name}.{field}")
    else:
        assert got.dtype == expected.dtype.newbyteorder("="), name
        assert got.astype(expected.dtype).tobytes() == expected.tobytes() or np.array_equal(
            got, expected, equal_nan=True
        )


def outcome(made, folder):
    """Make the file, parse it, compare it; returns what happened to its datasets."""
    path = folder / "file.h5"
    made.make(path)
    tree = mf.parse(path, on_unsupported="skip")
    refused = {issue.feature for issue in tree.issues if issue.severity == "refused"}
    if refused:
        assert not list(tree.walk_arrays())
        return f"refused: {', '.join(sorted(refused))}"
    root = zarr.open_group(mf.open_store(tree), mode="r", zarr_format=3)
    copied = []
    with contextlib.chdir(folder), h5py.File(path) as file:  # where libhdf5 looks for raw files
        for name, array in tree.walk_arrays():
            values = file[name][()]
            if h5py.check_ref_dtype(file[name].dtype) is not None:
                values = np.array([file[v].name if v else "" for v in values.reshape(-1)], object).reshape(values.shape)
            assert_equal(root[name][...], np.empty(0, "f4") if isinstance(values, h5py.Empty) else values, name)
            if array.manifest.stored_count:
                copied.append(bool(array.manifest.inlined.all()))
    return "exact, copied" if copied and all(copied) else "exact"


@pytest.mark.parametrize("made", FEATURES, ids=lambda f: f"{f.section}: {f.name}")
def test_feature(made, tmp_path):
    expected = f"refused: {made.refused}" if made.refused else "exact, copied" if made.how == "copied" else "exact"
    found = outcomes_elsewhere()[made.name] if "blosc" in made.name else outcome(made, tmp_path)
    assert found == expected


@cache
def outcomes_elsewhere():
    """As `outcome` of all with Blosc, in a process without the plugin path that importing netCDF4 leaves in the environment.

    With it, libhdf5 finds netCDF4's Blosc, which belongs to another libhdf5, instead of hdf5plugin's.
    """
    clean = {name: value for name, value in os.environ.items() if name != "HDF5_PLUGIN_PATH"}
    command = [sys.executable, __file__, "blosc"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=clean)
    assert done.returncode == 0, done.stderr
    return dict(row.split("\t") for row in done.stdout.splitlines())


def page(features):
    """The page of the reference."""
    head = PAGE.read_text().split("<!-- table -->")[0]
    rows = [f"{head}<!-- table -->", "", "| | feature | result |", "|---|---|---|"]
    last = ""
    for f in features:
        result = f"refused: `{f.refused}`" if f.refused else f"exact, {f.how}"
        rows.append(f"| {f.section if f.section != last else ''} | {f.name} | {result} |")
        last = f.section
    return "\n".join(rows) + "\n"


def test_the_page_of_the_reference_has_this_table():
    ordered = sorted(
        FEATURES, key=lambda f: ["Layout", "Filter", "Type", "Fill value", "Link", "File"].index(f.section)
    )
    assert PAGE.read_text() == page(ordered)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        for f in FEATURES:
            if sys.argv[1] in f.name:
                with tempfile.TemporaryDirectory() as folder:
                    sys.stdout.write(f"{f.name}\t{outcome(f, Path(folder))}\n")
        sys.exit()
    for f in FEATURES:
        with tempfile.TemporaryDirectory() as folder:
            sys.stdout.write(f"{f.section}: {f.name}: {outcome(f, Path(folder))}\n")
    PAGE.write_text(
        page(
            sorted(FEATURES, key=lambda f: ["Layout", "Filter", "Type", "Fill value", "Link", "File"].index(f.section))
        )
    )
