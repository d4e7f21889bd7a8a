"""Every layout and chunk index, with every filter, for every type: each dataset reads exactly, or is refused by name.

The tables in docs/reference/hdf5.md are made of the outcomes: ``python plugins/hdf5/tests/test_hdf5_matrix.py`` writes
them, and a test compares them. A cell without a mark is a combination that libhdf5 itself does not make.
"""

import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import h5py
import hdf5plugin
import manifestry as mf
import numpy as np
import pytest
import zarr
from h5py import h5d, h5p, h5s, h5t, h5z

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "hdf5.md"
START, END = "<!-- matrix -->", "<!-- table -->"
LATEST = ("v114", "v114")
SHAPE, CHUNK = (10, 12), (4, 8)

INDEXES = {  # name: format, dimensions at most, chunk, space allocated early
    "contiguous": ("earliest", None, None, False),
    "compact": ("earliest", None, None, False),
    "v1 B-tree": ("earliest", None, CHUNK, False),
    "single chunk": (LATEST, None, SHAPE, False),
    "implicit": (LATEST, (13, 17), CHUNK, True),
    "fixed array": (LATEST, None, CHUNK, False),
    "extensible array": (LATEST, (None, 12), CHUNK, False),
    "extensible array, 2nd": (LATEST, (11, None), CHUNK, False),
    "v2 B-tree": (LATEST, (None, None), CHUNK, False),
}


def builtin(*numbers):
    def apply(properties):
        for number in numbers:
            properties.set_filter(number, h5z.FLAG_OPTIONAL, (4,) if number == h5z.FILTER_DEFLATE else ())

    return apply


def plugin(made):
    return lambda properties: properties.set_filter(made.filter_id, h5z.FLAG_OPTIONAL, tuple(made.filter_options))


FILTERS = {
    "none": lambda properties: None,
    "deflate": builtin(h5z.FILTER_DEFLATE),
    "shuffle, deflate": builtin(h5z.FILTER_SHUFFLE, h5z.FILTER_DEFLATE),
    "deflate, shuffle": builtin(h5z.FILTER_DEFLATE, h5z.FILTER_SHUFFLE),
    "fletcher32": builtin(h5z.FILTER_FLETCHER32),
    "lzf": lambda properties: properties.set_filter(h5z.FILTER_LZF, h5z.FLAG_OPTIONAL),
    "szip": lambda properties: properties.set_szip(h5z.SZIP_NN_OPTION_MASK, 4),
    "nbit": builtin(h5z.FILTER_NBIT),
    "scaleoffset": lambda properties: properties.set_scaleoffset(h5z.SO_INT, 0),
    "bzip2": plugin(hdf5plugin.BZip2()),
    "lz4": plugin(hdf5plugin.LZ4()),
    "zstd": plugin(hdf5plugin.Zstd()),
    "bitshuffle": plugin(hdf5plugin.Bitshuffle(cname="lz4")),
    "blosc": plugin(hdf5plugin.Blosc("lz4")),
    "blosc2": plugin(hdf5plugin.Blosc2("lz4")),
}


ENDS_THE_PROCESS = {"nbit", "scaleoffset", "blosc", "blosc2"}
"""Filters through which libhdf5 cannot write elements that are pointers: those datasets stay empty."""


PACKED = np.dtype([("a", "<i2"), ("b", "<f8"), ("c", "S3"), ("d", "<f4", (2,))])
PADDED = np.dtype([("a", "<i2"), ("b", ">f8"), ("c", "S3"), ("d", "<f4", (2,))], align=True)

TYPES = {
    "int8": np.dtype("i1"),
    "uint16, big-endian": np.dtype(">u2"),
    "int32": np.dtype("<i4"),
    "uint64, big-endian": np.dtype(">u8"),
    "float16": np.dtype("<f2"),
    "float32, big-endian": np.dtype(">f4"),
    "float64": np.dtype("<f8"),
    "complex64": np.dtype("<c8"),
    "complex128, big-endian": np.dtype(">c16"),
    "boolean": np.dtype("?"),
    "enumeration": h5py.enum_dtype({"a": 0, "b": 1, "c": 2}, "<i2"),
    "fixed strings": np.dtype("S5"),
    "opaque": np.dtype("V3"),
    "array": np.dtype(("<i2", (3,))),
    "compound": PACKED,
    "compound, padded, of both byte orders": PADDED,
    "variable-length strings": h5py.string_dtype(),
    "variable-length sequences": h5py.vlen_dtype(np.dtype("<i4")),
    "references": h5py.ref_dtype,
}


def values(kind):
    """Elements of a type, none like its neighbour."""
    size = SHAPE[0] * SHAPE[1]
    count = np.arange(size).reshape(SHAPE)
    if kind.names:
        found = np.zeros(SHAPE, kind)
        found["a"], found["b"], found["c"], found["d"][..., 1] = count, count / 4, b"x", count
        return found
    if kind.subdtype:
        return np.arange(3 * size).reshape((*SHAPE, 3)).astype(kind.base)
    if kind.kind == "V":
        return np.array([bytes([n, n + 1, 0]) for n in range(size)], kind).reshape(SHAPE)
    if kind.kind == "S":
        return np.char.add(b"t", count.astype("S3")).astype(kind)
    if kind.kind == "O":
        found = np.empty(size, object)
        texts = h5py.check_string_dtype(kind) is not None
        found[:] = [f"ö{n}" if texts else np.arange(n % 4, dtype="i4") for n in range(size)]
        return found.reshape(SHAPE)
    return (count % 3 if h5py.check_enum_dtype(kind) else count % 2 if kind.kind == "b" else count).astype(kind)


def make(file, name, kind, index, apply):
    """Make one dataset; False when libhdf5 does not combine the two."""
    _, maximum, chunk, early = INDEXES[index]
    properties = h5p.create(h5p.DATASET_CREATE)
    if index == "compact":
        properties.set_layout(h5d.COMPACT)
    if chunk:
        properties.set_chunk(chunk)
    if early:
        properties.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    most = tuple(h5s.UNLIMITED if n is None else n for n in maximum) if maximum else None
    stored = h5t.py_create(kind, logical=True)
    try:
        apply(properties)
        identifier = h5d.create(file.id, name.encode(), stored, h5s.create_simple(SHAPE, most), properties)
        dataset = h5py.Dataset(identifier)
        if kind.kind == "O" and name.rpartition("; ")[2] in ENDS_THE_PROCESS:
            return True
        if h5py.check_ref_dtype(kind) is None:  # numpy takes all types of objects for the same
            dataset[...] = values(kind)
        else:
            cells = np.empty(SHAPE, h5py.ref_dtype)
            cells[...] = h5py.Reference()
            cells[0], cells[1:, 1] = file.ref, dataset.ref
            dataset[...] = cells
    except (ValueError, OSError, RuntimeError, TypeError):
        if name in file:
            del file[name]
        return False
    return True


def same(got, expected):
    if got.dtype.kind == "O":
        return all(
            a.dtype == b.dtype and a.tolist() == b.tolist() for a, b in zip(got.flat, expected.flat, strict=True)
        )
    if expected.dtype.kind == "O":
        return [str(v) for v in got.flat] == [v.decode() for v in expected.flat]
    if expected.dtype.names:
        return all(same(got[field], expected[field]) for field in expected.dtype.names)
    native = expected.astype(expected.dtype.newbyteorder("="))
    return got.dtype == native.dtype and got.tobytes() == native.tobytes()


def expected(file, key):
    """What h5py reads, with the paths of objects in place of references."""
    found = file[key][()]
    if h5py.check_ref_dtype(file[key].dtype) is None:
        return found
    paths = [file[reference].name if reference else "" for reference in found.reshape(-1)]
    return np.array([path.encode() for path in paths], object).reshape(found.shape)


def outcomes(folder):
    """What becomes of each combination: ``(index, filter, type) → "exact"``, a refusal, or ``"wrong"``."""
    found = {}
    for number, (index, (libver, _, chunk, early)) in enumerate(INDEXES.items()):
        path = Path(folder) / f"{number}.h5"
        with h5py.File(path, "w", libver=libver) as file:
            for label, kind in TYPES.items():
                for name, apply in FILTERS.items():
                    if (name == "none" or (chunk and not early)) and make(file, f"{label}; {name}", kind, index, apply):
                        found[index, name, label] = "missing"
        tree = mf.parse(path, on_unsupported="skip")
        for issue in tree.issues:
            if issue.severity != "refused":
                continue
            label, _, name = issue.path.partition("; ")
            found[index, name, label] = f"refused: {issue.feature}"
        root = zarr.open_group(mf.open_store(tree), mode="r", zarr_format=3)
        with h5py.File(path) as file:
            for key, array in tree.arrays.items():
                label, _, name = key.partition("; ")
                copied = array.manifest.stored_count and bool(array.manifest.inlined.all())
                right = same(root[key][...], expected(file, key))
                found[index, name, label] = ("copied" if copied else "references") if right else "wrong"
    return found


def page(found):
    """Two tables: indexes and types against filters."""
    lines = [START, ""]
    for title, position, labels in (("layout and chunk index", 0, INDEXES), ("type", 2, TYPES)):
        lines += [f"| {title} | {' | '.join(FILTERS)} |", "|---" * (len(FILTERS) + 1) + "|"]
        cells = defaultdict(set)
        for key, result in found.items():
            cells[key[position], key[1]].add(result)
        for label in labels:
            row = [_mark(cells[label, name], refusals=position == 2) for name in FILTERS]
            lines.append(f"| {label} | {' | '.join(row)} |")
        lines.append("")
    return "\n".join(lines)


def _mark(results, *, refusals):
    """R for references, C for copies, both where it depends; refusals are those of a type."""
    marks = {"references": "R", "copied": "C"}
    shown = [marks[kind] for kind in marks if kind in results]
    if refusals:
        shown += sorted(result for result in results if result.startswith("refused"))
    return ", ".join(shown)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The outcomes, from a process without the plugin path that importing netCDF4 leaves in the environment."""
    clean = {name: value for name, value in os.environ.items() if name != "HDF5_PLUGIN_PATH"}
    command = [sys.executable, __file__, str(tmp_path_factory.mktemp("matrix"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=clean)
    assert done.returncode == 0, done.stderr
    return {tuple(row.split("\t")[:3]): row.split("\t")[3] for row in done.stdout.splitlines()}


def test_every_combination_is_exact_or_refused(found):
    assert {key: result for key, result in found.items() if result not in ("references", "copied")} == {}
    assert len(found) > 1000
    for position, names in ((0, INDEXES), (1, FILTERS), (2, TYPES)):
        assert {key[position] for key in found} == set(names)


def test_the_page_of_the_reference_has_these_tables(found):
    text = PAGE.read_text()
    assert text[text.index(START) : text.index(END)] == page(found) + "\n"


if __name__ == "__main__":
    if len(sys.argv) == 2:
        for key, result in outcomes(sys.argv[1]).items():
            sys.stdout.write("\t".join((*key, result)) + "\n")
        sys.exit()
    with tempfile.TemporaryDirectory() as folder:
        text = PAGE.read_text()
        PAGE.write_text(text[: text.index(START)] + page(outcomes(folder)) + "\n" + text[text.index(END) :])
