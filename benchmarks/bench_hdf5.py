"""Parsing HDF5 beside its peers: every kind of chunk index, thousands of datasets, and a scattered file over HTTP.

``python benchmarks/bench_hdf5.py FOLDER [CHUNKS] [ROUNDS]`` keeps the files it makes in FOLDER and writes
docs/benchmarks/hdf5.md.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t
from side_by_side import PEER_PYTHON, Subject, compare, write_page

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "hdf5.md"

INDEXES = {  # name: format, dimensions at most; the single chunk is the one kind that has not many
    "version 1 B-tree": ("earliest", None),
    "fixed array": (("v114", "v114"), None),
    "extensible array": (("v114", "v114"), (None, 80, 80)),
    "version 2 B-tree": (("v114", "v114"), (None, None, None)),
    "implicit": (("v114", "v114"), None),
}


def make_chunks(path: Path, libver, maximum, count: int) -> None:
    """One dataset of `count` compressed chunks."""
    packed = zlib.compress(np.arange(64, dtype="<i2").view("u1").reshape(-1, 2).T.tobytes(), 1)
    with h5py.File(path, "w", libver=libver) as file:
        shape = (count // 100, 80, 80)
        options = {"chunks": (1, 8, 8), "compression": 1, "shuffle": True, "maxshape": maximum}
        write = file.create_dataset("d", shape, "<i2", **options).id.write_direct_chunk
        for i in range(shape[0]):
            for j in range(0, 80, 8):
                for k in range(0, 80, 8):
                    write((i, j, k), packed)


def make_implicit(path: Path, libver, _, count: int) -> None:
    """One dataset of `count` chunks that are all there, uncompressed: they have no index."""
    with h5py.File(path, "w", libver=libver) as file:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_chunk((1, 8, 8))
        properties.set_alloc_time(h5d.ALLOC_TIME_EARLY)
        h5d.create(file.id, b"d", h5t.STD_I16LE, h5s.create_simple((count // 100, 80, 80)), properties)


def make_datasets(path: Path, libver) -> None:
    """2,000 datasets of 4 chunks and 3 attributes."""
    with h5py.File(path, "w", libver=libver) as file:
        for i in range(2000):
            data = np.arange(400, dtype="f4").reshape(20, 20) + i
            dataset = file.create_dataset(
                f"g{i // 100:02d}/v{i:04d}", data=data, chunks=(10, 10), compression=1, shuffle=True
            )
            dataset.attrs["units"], dataset.attrs["long_name"] = "K", f"variable {i}"
            dataset.attrs["scale"] = np.float32(1.5)


def subjects(path: Path) -> list[Subject]:
    """Ours first, then the peers."""
    setup = (
        "from virtualizarr.parsers import HDFParser\nfrom obspec_utils.registry import ObjectStoreRegistry\n"
        "from obstore.store import LocalStore\nregistry = ObjectStoreRegistry({'file://': LocalStore()})"
    )
    library = (
        "import h5py\ndef walk(group):\n  for item in group.values():\n"
        "    if isinstance(item, h5py.Group): walk(item)\n"
        "    else: dict(item.attrs); found = []; item.id.chunk_iter(found.append)"
    )
    warm = (
        "import manifestry, manifestry.reading, manifestry_hdf5.parser, manifestry_hdf5.options\n"
        "from manifestry.formats.loading import installed_formats\ninstalled_formats()"
    )
    kerchunk = f"SingleHdf5ToZarr({str(path)!r}, inline_threshold=0).translate()"
    return [
        Subject("manifestry", warm, f"manifestry.parse({str(path)!r})"),
        Subject("VirtualiZarr 2.8.0", setup, f"HDFParser()('file://{path}', registry)", PEER_PYTHON),
        Subject("kerchunk 0.2.10", "from kerchunk.hdf import SingleHdf5ToZarr", kerchunk, PEER_PYTHON),
        Subject("h5py (chunk_iter)", library, f"walk(h5py.File({str(path)!r}))"),
    ]


def main(folder: Path, most: int, rounds: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tables = []
    for count in sorted({10_000, 100_000, most}):
        for name, (libver, maximum) in INDEXES.items():
            path = folder / f"{name.replace(' ', '-')}-{count}.h5"
            if not path.exists():
                (make_implicit if name == "implicit" else make_chunks)(path, libver, maximum, count)
            few = 1 if count >= 1_000_000 else rounds
            tables.append(compare(f"{count:,} chunks, {name}", subjects(path), few))
    for name, libver in (("version 1 headers", "earliest"), ("latest format", ("v114", "v114"))):
        path = folder / f"datasets-{name.replace(' ', '-')}.h5"
        if not path.exists():
            make_datasets(path, libver)
        tables.append(compare(f"2,000 datasets of 4 chunks and 3 attributes, {name}", subjects(path), rounds))
    introduction = (
        "Made by `benchmarks/bench_hdf5.py`: every round of every subject in a fresh process, in turn, imports not timed. "
        "The machine had 2 cores shared with other work, so ratios count and times do not. Memory is the peak of the "
        "process, and what parsing added to it. One round for a million chunks.\n\n"
        "A netCDF-4 file of 158 MB whose index nodes lie in 141 places (20 variables of 420 chunks, written step by "
        "step) is parsed over HTTP in 5 round trips, 144 requests and 0.82 MB (`plugins/hdf5/tests/test_hdf5_remote.py` "
        "counts them)."
    )
    write_page(PAGE, "HDF5", introduction, tables)


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000,
        int(sys.argv[3]) if len(sys.argv) > 3 else 3,
    )
