"""Kerchunk JSON and Parquet: writing and reading beside VirtualiZarr, in one run. Writes docs/benchmarks/kerchunk.md.

.venv/bin/python benchmarks/bench_kerchunk.py [rounds]

Both write from references in memory, in the form that their own parsers make, to a local file, and read what
VirtualiZarr wrote.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from side_by_side import PEER_PYTHON, Subject, compare, write_page

PAGE = Path(__file__).parent.parent / "docs/benchmarks/kerchunk.md"
INTRODUCTION = (
    "Made by `benchmarks/bench_kerchunk.py` on 2 shared cores: every round of every subject in a fresh process, in "
    "turn; imports and the making of the references are not timed, and their memory counts. 1,000 chunks in each source "
    "file, URLs of 60 characters, Zarr v2 metadata, all references present. What is read is what VirtualiZarr wrote; "
    "both end with the references in memory."
)

COLUMNS = """
import os, shutil, numpy as np
files, per_file, variables = {files}, 1000, {variables}
urls = [f"s3://bucket-of-an-archive/collection/year=2020/file_{{i:08d}}.nc" for i in range(files)]
n = files * per_file
grid = (files // variables, 25, 40)
offsets = np.tile(np.arange(per_file, dtype="u8") * 4096, files // variables)
lengths = np.full(n // variables, 4096, "u8") - (np.arange(n // variables) % 7).astype("u8")
"""

OURS = """
import manifestry as mf, manifestry.writing, manifestry.reading
import manifestry_kerchunk_json.writer, manifestry_kerchunk_parquet.writer
import manifestry_kerchunk_json.parser, manifestry_kerchunk_parquet.parser
from manifestry.formats.loading import installed_formats
installed_formats()
metadata = mf.ArrayMetadata(
    shape=(grid[0], 250, 400), dtype=np.dtype("f4"), chunk_grid=mf.RegularGrid((1, 10, 10)),
    codecs=(mf.Codec("bytes", {"endian": "little"}), mf.Codec("numcodecs.zlib", {"level": 4})),
    fill_value=np.float32(0), dims=("t", "y", "x"),
)
def make():
    table = mf.FileTable(mf.SourceFile(u) for u in urls)
    arrays = {}
    for v in range(variables):
        index = np.repeat(np.arange(v * grid[0], (v + 1) * grid[0], dtype="u4"), per_file)
        arrays[f"v{v}"] = mf.VirtualArray(metadata, mf.ChunkManifest.from_columns(grid, table, index, offsets, lengths))
    return mf.VirtualGroup(arrays)
"""

PEER = """
import xarray as xr
from virtualizarr.manifests import ChunkManifest, ManifestArray
from virtualizarr.manifests.utils import create_v3_array_metadata
from virtualizarr import open_virtual_dataset
from virtualizarr.parsers import KerchunkJSONParser, KerchunkParquetParser
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore, MemoryStore
import virtualizarr.writers.kerchunk
registry = ObjectStoreRegistry({"file://": LocalStore(), "s3://bucket-of-an-archive": MemoryStore()})
metadata = create_v3_array_metadata(
    shape=(grid[0], 250, 400), data_type=np.dtype("f4"), chunk_shape=(1, 10, 10),
    codecs=[{"name": "numcodecs.zlib", "configuration": {"level": 4}}], dimension_names=("t", "y", "x"),
)
def make():
    arrays = {}
    for v in range(variables):
        paths = np.repeat(np.array(urls[v * grid[0] : (v + 1) * grid[0]], np.dtypes.StringDType()), per_file)
        manifest = ChunkManifest.from_arrays(
            paths=paths.reshape(grid), offsets=offsets.reshape(grid), lengths=lengths.reshape(grid)
        )
        arrays[f"v{v}"] = (("t", "y", "x"), ManifestArray(metadata=metadata, chunkmanifest=manifest))
    return xr.Dataset(arrays)
"""

MAKE = "tree = make()\ndel offsets, lengths\n"
FORMATS = {
    "json": ("Kerchunk JSON", ".json", "KerchunkJSONParser"),
    "parquet": ("Kerchunk Parquet", ".parq", "KerchunkParquetParser"),
}


def writing(base: Path, fmt: str, files: int) -> list[Subject]:
    columns, suffix = COLUMNS.format(files=files, variables=1), FORMATS[fmt][1]
    ours, theirs = str(base / f"ours{suffix}"), str(base / f"peer-{files}-1{suffix}")
    clear = f"import glob, os, shutil\nif os.path.isdir({ours!r}): shutil.rmtree({ours!r})\nelif os.path.exists({ours!r}): os.remove({ours!r})\n"
    return [
        Subject("manifestry", columns + OURS + MAKE + clear, f"mf.write(tree, {ours!r}, format='kerchunk-{fmt}')"),
        Subject(
            "VirtualiZarr 2.8.0", columns + PEER + MAKE, f"tree.vz.to_kerchunk({theirs!r}, format={fmt!r})", PEER_PYTHON
        ),
    ]


def reading(base: Path, fmt: str, files: int, variables: int) -> list[Subject]:
    _, suffix, parser = FORMATS[fmt]
    columns = COLUMNS.format(files=files, variables=variables)
    source = base / f"peer-{files}-{variables}{suffix}"
    if not source.exists():
        text = columns + PEER + MAKE + f"tree.vz.to_kerchunk({str(source)!r}, format={fmt!r})"
        subprocess.run([PEER_PYTHON, "-W", "ignore", "-c", text], check=True, timeout=600)
    return [
        Subject("manifestry", columns + OURS, f"mf.parse({str(source)!r}, format='kerchunk-{fmt}')"),
        Subject(
            "VirtualiZarr 2.8.0", columns + PEER, f"{parser}()({'file://' + str(source)!r}, registry)", PEER_PYTHON
        ),
    ]


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    tables = []
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        for fmt, (title, _, _) in FORMATS.items():
            for files in (100, 1000):
                subjects = writing(base, fmt, files)
                tables.append(compare(f"{title}: write {files * 1000:,} references", subjects, rounds))
            for files, variables in ((100, 1), (100, 100)):
                subjects = reading(base, fmt, files, variables)
                heading = f"{title}: read {files * 1000:,} references of {variables} variables"
                tables.append(compare(heading, subjects, rounds))
    write_page(PAGE, "Kerchunk", INTRODUCTION, tables)


if __name__ == "__main__":
    main()
