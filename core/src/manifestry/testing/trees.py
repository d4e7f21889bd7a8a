"""Small named trees over real local bytes, each made to show one thing that stores get wrong.

A writer or store is right when every array of every sample reads as `SampleTree.values` and has the attributes of
`SampleTree.attributes`, through readers that know nothing of manifestry.

Examples
--------
>>> import tempfile
>>> with tempfile.TemporaryDirectory() as directory:
...     sample = make_sample("scalars", Path(directory))
>>> sample.tree
<VirtualGroup count, pi, unset: 3 arrays>
>>> sample.values["count"]
array(7, dtype=int32)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from manifestry.model.attributes import Reference
from manifestry.model.codecs import Codec, serializer
from manifestry.model.metadata import RectilinearGrid
from manifestry.model.tree import VirtualGroup
from manifestry.testing.building import TreeBuilder
from manifestry.testing.cf_trees import CF_SAMPLES
from manifestry.testing.codec_trees import CODEC_SAMPLES

__all__ = ["SAMPLES", "SampleTree", "make_sample"]

_LITTLE = serializer(np.dtype("f8"))
_BIG = serializer(np.dtype("f8"), "big")


@dataclass(frozen=True, slots=True)
class SampleTree:
    """A tree and what it must read as.

    Attributes
    ----------
    name
        As in `SAMPLES`.
    tree
        The tree, over files that exist.
    values
        Elements of each array by path, raw: no mask, no scale.
    attributes
        Attributes as strict JSON, by path (``""`` for the root) of those groups and arrays that have any. Without
        ``_FillValue``, whose form differs between formats.
    """

    name: str
    tree: VirtualGroup
    values: Mapping[str, NDArray[Any]]
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


type _Json = dict[str, dict[str, Any]]


def make_sample(name: str, directory: Path) -> SampleTree:
    """Write the files of one sample into a directory (made when absent) and return its tree.

    Raises
    ------
    KeyError
        No sample has that name.
    """
    directory.mkdir(parents=True, exist_ok=True)
    builder = TreeBuilder(directory)
    attributes = SAMPLES[name](builder) or {}
    return SampleTree(name, builder.tree(), builder.values, attributes)


def _zeros(b: TreeBuilder) -> None:
    """Data that are zeros where the fill value is zero too: a reader of ``fill_value`` must not mask them."""
    b.array("floats", np.zeros((4, 6), "f4"), (2, 3), dims=("y", "x"))
    b.array("integers", np.zeros(5, "i2"), (2,), dims=("n",))
    b.array("some", np.arange(-3, 3, dtype="i4"), (2,), dims=("m",))


def _cf_fill(b: TreeBuilder) -> None:
    """``_FillValue`` that is not the fill value: missing chunks are zeros, and -9999 is masked."""
    values = np.array([[1, -9999, 3, 0], [5, 6, -9999, 8]], "i2")
    own = {"_FillValue": np.int16(-9999)}
    b.array("counts", values, (1, 2), dims=("y", "x"), attributes=own, missing=[(0, 1)])
    floats = np.array([0.5, np.nan, -1e20, 0.0], "f4")
    b.array("floats", floats, (2,), dims=("x",), attributes={"_FillValue": np.float32(-1e20)}, missing=[(1,)])
    b.array("bytes", np.arange(4, dtype="u1"), (2,), dims=("x",), attributes={"_FillValue": np.uint8(0)}, fill=255)
    b.array("nan", np.array([np.nan, 2.0]), dims=("n",), attributes={"_FillValue": np.float64(np.nan)}, fill=-1.0)


def _sparse(b: TreeBuilder) -> None:
    """Few of many chunks, over three files, on a grid with coordinates of two digits."""
    values = np.arange(6 * 34, dtype="f8").reshape(6, 34)
    absent = [(i, j) for i in range(3) for j in range(17) if (5 * i + 3 * j) % 4]
    b.array("wide", values, (2, 2), fill=-1.5, dims=("y", "x"), missing=absent, files=("a.bin", "b.bin", "c.bin"))
    b.array("first_missing", np.arange(4.0), (2,), missing=[(0,)], files=("b.bin",), dims=("n",))


def _missing(b: TreeBuilder) -> None:
    """Arrays of which nothing is stored."""
    everything = [(i, j) for i in range(5) for j in range(5)]
    b.array("nines", np.zeros((10, 10), "i4"), (2, 2), fill=np.int32(-99), dims=("y", "x"), missing=everything)
    b.array("nans", np.zeros(3, "f8"), (3,), fill=np.nan, dims=("n",), missing=[(0,)])
    b.array("true", np.zeros(3, "?"), (3,), fill=np.True_, dims=("n",), missing=[(0,)])


def _scalars(b: TreeBuilder) -> _Json:
    """Arrays without dimensions: one chunk of key ``c`` or ``0``, and one that is missing."""
    b.array("count", np.array(7, "i4"), attributes={"units": "1"}, dims=())
    b.array("pi", np.array(3.25), codecs=(_LITTLE, Codec("numcodecs.zlib", {"level": 1})), dims=())
    b.array("unset", np.array(0, "i2"), fill=np.int16(-5), missing=[()], dims=())
    return {"count": {"units": "1"}}


def _empty(b: TreeBuilder) -> None:
    """Dimensions of length zero."""
    b.array("none", np.empty(0, "f4"), dims=("t",))
    b.array("flat", np.empty((0, 3), "i2"), (2, 3), dims=("t", "x"), fill=np.int16(4))
    b.array("thin", np.empty((3, 0), "u1"), dims=("x", "t"))


def _big_endian(b: TreeBuilder) -> None:
    """Bytes in the other order: the ``bytes`` codec says so, the data type does not."""
    for name, kind in (("f8", "f8"), ("i2", "i2"), ("u4", "u4"), ("c8", "c8"), ("f2", "f2")):
        values = (np.arange(6) - 2).astype(kind)
        b.array(name, values, (4,), codecs=(_BIG,), dims=("n",), fill=values.dtype.type(3))


def _transposed(b: TreeBuilder) -> None:
    """Chunks stored with another order of dimensions."""
    values = np.arange(24, dtype="i4").reshape(2, 3, 4)
    b.array("fortran", values[0], codecs=(Codec("transpose", {"order": [1, 0]}), _LITTLE), dims=("y", "x"))
    packed = (Codec("transpose", {"order": [2, 0, 1]}), _BIG, Codec("numcodecs.zlib", {"level": 5}))
    b.array("cycled", values, (1, 2, 3), codecs=packed, dims=("z", "y", "x"))


def _compressed(b: TreeBuilder) -> None:
    """The pipelines of netCDF-4 and others, applied to chunks with ragged edges."""
    values = np.linspace(-1, 1, 70).reshape(7, 10)
    shuffle, deflate = Codec("numcodecs.shuffle", {"elementsize": 8}), Codec("numcodecs.zlib", {"level": 4})
    b.array("shuffled", values, (4, 4), codecs=(_LITTLE, shuffle, deflate), dims=("y", "x"))
    b.array("deflated", values, (3, 10), codecs=(_BIG, deflate), dims=("y", "x"), missing=[(1, 0)], fill=np.nan)
    b.array("gzipped", values[0], (5,), codecs=(_LITTLE, Codec("gzip", {"level": 1})), dims=("x",))


def _inline(b: TreeBuilder) -> None:
    """Chunks inside the manifest: all of an array, and some among references and missing ones."""
    b.array("all", np.arange(5, dtype="i2"), (2,), inline=[(0,), (1,), (2,)], dims=("n",))
    b.array("mixed", np.arange(8, dtype="u2"), (2,), inline=[(1,), (3,)], missing=[(2,)], dims=("m",), fill=9)
    b.array("text", np.array([b"not UTF-8: \xff\x00\xfe"], "S16"), inline=[(0,)], dims=("one",))


def _groups(b: TreeBuilder) -> _Json:
    """Nested groups, one without arrays, and names that occur at every level."""
    b.group("", {"title": "root"})
    b.array("t", np.arange(3.0), dims=("time",), attributes={"level": np.int32(0)})
    b.array("g/t", np.arange(3.0) + 10, dims=("time",), attributes={"level": np.int32(1)})
    b.group("g", {"title": "child"})
    b.array("g/h/t", np.arange(4.0) + 20, (2,), dims=("step",))
    b.group("void/inner", {"title": "no arrays"})
    return {
        "": {"title": "root"},
        "t": {"level": 0},
        "g": {"title": "child"},
        "g/t": {"level": 1},
        "void/inner": {"title": "no arrays"},
    }


def _attributes(b: TreeBuilder) -> _Json:
    """Every kind of attribute that has a form in JSON."""
    typed = {
        "single": np.float32(0.1), "double": np.float64(1e300), "half": np.float16(0.1), "nan": np.float64(np.nan),
        "infinite": np.float32(-np.inf), "huge": np.uint64(2**64 - 1), "small": np.int64(-(2**63)),
        "one": np.array([3], "i2"), "many": np.array([1.5, np.nan], "f4"), "none": np.empty(0, "f8"),
        "text": 'Grüße, 世界 "quoted" \\ \n', "latin": b"\xe9t\xe9", "empty": "", "flag": np.True_,
        "words": ["a", "β"], "points": Reference("/pixels"), "units": "days since 2000-01-01",
    }  # fmt: skip
    json = {
        "single": 0.10000000149011612, "double": 1e300, "half": 0.0999755859375, "nan": "NaN",
        "infinite": "-Infinity", "huge": 2**64 - 1, "small": -(2**63), "one": [3], "many": [1.5, "NaN"], "none": [],
        "text": 'Grüße, 世界 "quoted" \\ \n', "latin": "été", "empty": "", "flag": True,
        "words": ["a", "β"], "points": "/pixels", "units": "days since 2000-01-01",
    }  # fmt: skip
    b.group("", typed)
    b.array("pixels", np.arange(3), dims=("n",), attributes=typed)
    return {"": json, "pixels": json}


def _odd_paths(b: TreeBuilder) -> None:
    """Locations and names with characters that mean something in URLs, shells or templates."""
    names = ("with space.bin", "a#b.bin", "100%25.bin", "what?.bin", "größe 世界.bin", "{{x}}.bin", "a&b=c+d;e.bin")
    b.array("values", np.arange(14.0), (2,), dims=("n",), files=names)
    b.array("größe, m²", np.arange(3), dims=("n 1",))
    b.array("a b#c%d", np.arange(3), dims=("n 1",))


def _far_offsets(b: TreeBuilder) -> None:
    """Chunks beyond 4 GiB, in a file that is mostly a hole."""
    b.array("near", np.arange(4, dtype="i4"), dims=("n",))
    b.array("far", np.arange(8, dtype="i8"), (4,), dims=("m",), gap=(2 << 30) + (300 << 20))


def _ragged(b: TreeBuilder) -> None:
    """Shapes that are no multiples of the chunk shape, and chunks larger than the array."""
    b.array("plane", np.arange(35, dtype="i4").reshape(5, 7), (2, 3), dims=("y", "x"))
    b.array("larger", np.arange(3, dtype="f4"), (10,), dims=("n",), fill=np.float32(-1))


def _fixed_strings(b: TreeBuilder) -> None:
    """Texts of fixed length: bytes and UTF-32, with a fill value and a missing chunk."""
    b.array("bytes", np.array([b"ab", b"", b"abcde", b"\xff"], "S5"), (2,), dims=("n",))
    b.array("unicode", np.array(["ä", "世界", "", "abcd"], "U4"), (2,), fill="?", missing=[(1,)], dims=("n",))


def _strings(b: TreeBuilder) -> None:
    """Texts of any length."""
    texts = np.array(["a", "", "Grüße 世界", "x" * 300, "nul\0inside"], np.dtypes.StringDType())
    b.array("texts", texts, (2,), dims=("n",), inline=[(0,)])
    b.array("unset", texts, (3,), dims=("n",), fill="missing", missing=[(1,)])


def _numbers(b: TreeBuilder) -> None:
    """Every plain number type at its extremes."""
    for kind in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"):
        info = np.iinfo(kind)
        values = np.array([info.min, 0, 1, info.max], kind)
        b.array(kind, values, (2,), dims=("n",), fill=values[3], missing=[(1,)])
    for kind in ("f2", "f4", "f8"):
        top = np.finfo(kind).max
        b.array(
            kind, np.array([np.nan, np.inf, -np.inf, -0.0, top, np.finfo(kind).smallest_subnormal], kind), dims=("m",)
        )
    b.array("bool", np.array([True, False, True]), dims=("k",))
    b.array("c16", np.array([1 - 2j, complex(np.nan, np.inf)]), dims=("l",), fill=complex(0, np.inf))


def _fills(b: TreeBuilder) -> None:
    """Fill values that JSON has no number for; half of each array is missing."""
    for name, fill in (("nan", np.nan), ("inf", np.inf), ("negative_inf", -np.inf), ("negative_zero", -0.0)):
        b.array(name, np.arange(4, dtype="f4"), (2,), fill=np.float32(fill), missing=[(0,)], dims=("n",))


def _nan_payload(b: TreeBuilder) -> None:
    """A fill value that is a NaN with a payload: bits that only Zarr v3 can say."""
    payload = np.array(0x7FC00123, "u4").view("f4")[()]
    b.array("marked", np.arange(4, dtype="f4"), (2,), fill=payload, missing=[(1,)], dims=("n",))


def _times(b: TreeBuilder) -> None:
    """Times as numpy has them, with their units, and not-a-time."""
    stamps = np.array(["2000-01-01", "NaT", "1677-09-22"], "M8[ns]")
    b.array("stamps", stamps, (2,), dims=("n",), fill=np.datetime64("NaT", "ns"))
    b.array("spans", np.array([1, -5, 7], "m8[10m]"), (2,), dims=("n",), missing=[(1,)])


def _records(b: TreeBuilder) -> None:
    """Compound elements without padding."""
    kind = np.dtype([("id", "i4"), ("xy", [("x", "f8"), ("y", "f8")]), ("tag", "S3")])
    rows = np.array([(i, (i + 0.5, -i), b"r%d" % i) for i in range(5)], kind)
    b.array("rows", rows, (2,), dims=("n",), missing=[(1,)])


def _without_dims(b: TreeBuilder) -> None:
    """Arrays whose source names no dimension, or only some."""
    b.array("nameless", np.arange(6).reshape(2, 3), (1, 3))
    b.array("half", np.arange(6).reshape(2, 3), (2, 2), dims=("y", None))


def _rectilinear(b: TreeBuilder) -> None:
    """Chunks of several lengths; readers with default settings refuse it."""
    grid = RectilinearGrid(((2, 2, 3), (4, 1)))
    b.array(
        "steps", np.arange(35, dtype="i2").reshape(7, 5), grid, dims=("y", "x"), missing=[(1, 1)], fill=np.int16(-1)
    )


def _five_dimensions(b: TreeBuilder) -> None:
    """More dimensions than maps have, one of them of one element, all ragged but that."""
    values = np.arange(3 * 1 * 4 * 5 * 3, dtype="i4").reshape(3, 1, 4, 5, 3)
    b.array("cube", values, (2, 1, 3, 2, 2), dims=("a", "b", "c", "d", "e"), missing=[(1, 0, 1, 2, 1)])


def _one_element(b: TreeBuilder) -> None:
    """One element in one chunk, of one and of two dimensions, and a chunk that is far larger than its array."""
    b.array("one", np.array([7], "i2"), dims=("n",))
    b.array("plane", np.array([[7.5]]), dims=("y", "x"))
    b.array("lonely", np.array([3], "u4"), (1000,), dims=("n",))


def _extremes(b: TreeBuilder) -> None:
    """Integers that no float holds, and masks at the ends of their types."""
    for kind in ("i8", "u8", "i1", "u2"):
        low, high = np.iinfo(kind).min, np.iinfo(kind).max
        b.array(kind, np.array([low, low + 1, 0, 1, high - 1, high], kind), (4,), dims=("n",))
    b.array("tiny", np.array([5e-324, -0.0, np.finfo("f8").max, np.finfo("f8").eps]), (3,), dims=("m",))


def _deep(b: TreeBuilder) -> None:
    """Groups in groups, some of them with nothing but groups."""
    b.array("a/b/c/d/e/x", np.arange(4.0), (3,), dims=("n",), attributes={"depth": np.int64(5)})
    b.array("a/y", np.arange(4), (3,), dims=("n",))
    b.group("z/empty", {})


def _many_files(b: TreeBuilder) -> None:
    """Chunks of one array in several files, in turn, and of two arrays in one file."""
    files = ("one.bin", "two.bin", "three.bin")
    b.array("turns", np.arange(60, dtype="f4").reshape(12, 5), (2, 5), dims=("t", "x"), files=files, missing=[(3, 0)])
    b.array("same", np.arange(12, dtype="i2"), (5,), dims=("t",), files=files[:1])


def _big_endian_records(b: TreeBuilder) -> None:
    """Records stored with their numbers the other way round, one chunk missing."""
    rows = np.array([(i, i / 3, f"r{i}".encode()) for i in range(7)], [("id", "<u2"), ("x", "<f8"), ("tag", "S3")])
    b.array("rows", rows, (3,), codecs=(_BIG,), dims=("n",), missing=[(1,)])


SAMPLES: Final[Mapping[str, Callable[[TreeBuilder], _Json | None]]] = {
    "zeros": _zeros,
    "cf-fill": _cf_fill,
    "sparse": _sparse,
    "missing": _missing,
    "scalars": _scalars,
    "empty": _empty,
    "big-endian": _big_endian,
    "transposed": _transposed,
    "compressed": _compressed,
    "inline": _inline,
    "groups": _groups,
    "attributes": _attributes,
    "odd-paths": _odd_paths,
    "far-offsets": _far_offsets,
    "ragged": _ragged,
    "fixed-strings": _fixed_strings,
    "strings": _strings,
    "numbers": _numbers,
    "fills": _fills,
    "nan-payload": _nan_payload,
    "times": _times,
    "records": _records,
    "without-dims": _without_dims,
    "rectilinear": _rectilinear,
    "five-dimensions": _five_dimensions,
    "one-element": _one_element,
    "extremes": _extremes,
    "deep": _deep,
    "many-files": _many_files,
    "big-endian-records": _big_endian_records,
    **CODEC_SAMPLES,
    **CF_SAMPLES,
}
"""The samples by name; each says in its docstring what it shows."""
