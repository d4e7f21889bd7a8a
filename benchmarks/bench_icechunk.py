"""Icechunk: writing references beside VirtualiZarr, in one run. Writes docs/benchmarks/icechunk.md.

.venv/bin/python benchmarks/bench_icechunk.py [rounds]

Both begin with the references in memory, in the form that their own parsers make, and end with the commit.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from side_by_side import PEER_PYTHON, Subject, compare, write_page

PAGE = Path(__file__).parent.parent / "docs/benchmarks/icechunk.md"
INTRODUCTION = (
    "Made by `benchmarks/bench_icechunk.py` on 2 shared cores: every round of every subject in a fresh process, in "
    "turn; imports and the making of the references are not timed, and their memory counts. One array over a grid of "
    "three dimensions, 1,000 chunks in each source file, URLs of 130 characters. Both write into a new repository on "
    "the local file system and commit. manifestry keeps the checksum of each file and splits manifests, VirtualiZarr "
    "has one checksum for all and one manifest. Ten million references are written by manifestry alone."
)

COLUMNS = """
import os, numpy as np
os.environ["ICECHUNK_LOG"] = "error"
files, per_file = {files}, 1000
prefix = "file:///archive/" + "deep/" * 17
urls = [f"{{prefix}}file_{{i:08d}}_with_a_name_of_usual_length.nc" for i in range(files)]
n = files * per_file
grid = (files, 25, 40)
offsets = np.tile(np.arange(per_file, dtype="u8") * 4096, files)
lengths = np.full(n, 4096, "u8") - (np.arange(n) % 7).astype("u8")
"""

OURS = """
from datetime import UTC, datetime
import manifestry as mf, manifestry.writing, manifestry_icechunk.writer
from manifestry.model.files import SourceFile
tables = mf.FileTable(SourceFile(u, 5_000_000, None, datetime.fromtimestamp(1e9 + i, UTC)) for i, u in enumerate(urls))
manifest = mf.ChunkManifest.from_columns(grid, tables, np.repeat(np.arange(files, dtype="u4"), per_file), offsets, lengths)
metadata = mf.ArrayMetadata(
    shape=(files, 250, 400), dtype=np.dtype("f4"), chunk_grid=mf.RegularGrid((1, 10, 10)),
    codecs=(mf.Codec("bytes", {{"endian": "little"}}), mf.Codec("numcodecs.zlib", {{"level": 4}})),
    fill_value=np.float32(0), dims=("time", "y", "x"),
)
tree = mf.VirtualGroup({{"x": mf.VirtualArray(metadata, manifest)}})
del offsets, lengths
"""

PEER = """
import icechunk, xarray as xr, zarr
from virtualizarr.manifests import ChunkManifest, ManifestArray
from virtualizarr.manifests.utils import create_v3_array_metadata
paths = np.repeat(np.array(urls, np.dtypes.StringDType()), per_file)
manifest = ChunkManifest.from_arrays(
    paths=paths.reshape(grid), offsets=offsets.reshape(grid), lengths=lengths.reshape(grid)
)
metadata = create_v3_array_metadata(
    shape=(files, 250, 400), data_type=np.dtype("f4"), chunk_shape=(1, 10, 10),
    codecs=[{{"name": "numcodecs.zlib", "configuration": {{"level": 4}}}}], dimension_names=("time", "y", "x"),
)
dataset = xr.Dataset({{"x": (("time", "y", "x"), ManifestArray(metadata=metadata, chunkmanifest=manifest))}})
del offsets, lengths, paths
config = icechunk.RepositoryConfig.default()
config.set_virtual_chunk_container(
    icechunk.VirtualChunkContainer("file:///archive/", icechunk.local_filesystem_store("/archive"))
)
import shutil
import virtualizarr.writers.icechunk
"""

PEER_WRITE = """
shutil.rmtree({target!r}, ignore_errors=True)
repository = icechunk.Repository.create(icechunk.local_filesystem_storage({target!r}), config)
session = repository.writable_session("main")
dataset.vz.to_icechunk(session.store)
session.commit("references")
"""


def subjects(target: Path, files: int) -> list[Subject]:
    columns = COLUMNS.format(files=files)
    import_and_clear = "import shutil; shutil.rmtree({!r}, ignore_errors=True)\n"
    ours = str(target / "ours.icechunk")
    return [
        Subject(
            "manifestry",
            columns + OURS.format() + import_and_clear.format(ours),
            f"mf.write(tree, {ours!r}, format='icechunk')",
        ),
        Subject(
            "VirtualiZarr 2.8.0",
            columns + PEER.format(),
            PEER_WRITE.format(target=str(target / "peer.icechunk")),
            PEER_PYTHON,
        ),
    ]


def table(title: str, several: list[Subject], rounds: int) -> str:
    """The table of `compare`, and a line of ratios: ours against the peer."""
    text = compare(title, list(several), rounds)
    if len(several) == 1:
        return text
    ours, peer = several
    times = statistics.median(ours.busy) / statistics.median(peer.busy)
    memory = statistics.median(ours.peak_mb) / statistics.median(peer.peak_mb)
    return f"{text}\nProcessor time: {times:.2f} of VirtualiZarr's. Peak memory: {memory:.0%} of it.\n"


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as scratch:
        tables = [
            table(f"{files * 1000:,} references", subjects(Path(scratch), files), rounds) for files in (100, 1000)
        ]
        tables.append(table("10,000,000 references", subjects(Path(scratch), 10_000)[:1], 1))
    write_page(PAGE, "Icechunk", INTRODUCTION, tables)


if __name__ == "__main__":
    main()
