"""100,000 synthetic files of 100 references to Icechunk in slabs: memory stays flat and time linear. Prints a table.

.venv/bin/python benchmarks/bench_many_slabs.py [files] [files of a slab]

Parsing is replaced by making the tree of each file in memory, so that combining, committing and bookkeeping are what is
measured.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from manifestry.combine import CombineOptions, inline_array
from manifestry.conversion.batches import BatchJob
from manifestry.conversion.output import Output
from manifestry.conversion.pipeline import Run
from manifestry.conversion.preparation import Preparation
from manifestry.formats.targets import Mode, Target
from manifestry.model.codecs import Codec
from manifestry.model.files import FileTable, SourceFile
from manifestry.model.manifest import ChunkManifest
from manifestry.model.metadata import ArrayMetadata, RegularGrid
from manifestry.model.provenance import Provenance
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.progress import SilentProgress
from manifestry.storage.registry import StoreRegistry
from manifestry.storage.source import Source

REFERENCES = 100
METADATA = ArrayMetadata(
    shape=(1, 1000, 1000),
    dtype=np.dtype("f4"),
    chunk_grid=RegularGrid((1, 100, 100)),
    codecs=(Codec("bytes", {"endian": "little"}), Codec("numcodecs.zlib", {"level": 1})),
    fill_value=np.float32(0),
    dims=("time", "y", "x"),
    attributes={"units": "K"},
)
LENGTHS = np.random.default_rng(0).integers(1000, 9000, REFERENCES).astype("u8")
OFFSETS = np.cumsum(LENGTHS) - LENGTHS


@dataclass(frozen=True, slots=True)
class SyntheticJob(BatchJob):
    """Makes trees instead of parsing files."""

    def parse(self, url: str) -> VirtualGroup:
        number = int(url[-10:-3])
        files = FileTable([SourceFile(url, 10**6, f'"{number}"')])
        array = VirtualArray(METADATA, ChunkManifest.from_columns((1, 10, 10), files, 0, OFFSETS, LENGTHS))
        when = inline_array(np.array([number], "i8"), ("time",), {"units": "days since 1900-01-01"})
        return VirtualGroup({"t": array, "time": when}, provenance=(Provenance("synthetic", "0", {}, files),))


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    slab = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    stores = StoreRegistry()
    process = psutil.Process()
    sources = [Source(f"s3://bucket/product/file_{i:07}.nc", stores) for i in range(count)]
    job = SyntheticJob(
        format=None,
        options={},
        on_unsupported="raise",
        limits=None,
        preparation=Preparation(dim="time"),
        dim="time",
        combine=CombineOptions(),
        stores=stores,
    )
    with tempfile.TemporaryDirectory() as scratch:
        target = Target.of(Path(scratch, "out.icechunk"), "", stores)
        output = Output(
            target=target,
            to="icechunk",
            mode=Mode.CREATE,
            dim="time",
            on_unsupported="raise",
            limits=None,
            relocate={},
            options={},
            dry_run=False,
        )
        began = last = time.perf_counter()
        rows = []
        write = Output.write

        def measured(self, tree, progress):
            nonlocal last
            write(self, tree, progress)
            now = time.perf_counter()
            rows.append((len(rows) + 1, now - last, process.memory_info().rss / 2**20))
            last = now

        Output.write = measured
        report = Run(job=job, output=output, progress=SilentProgress())(
            sources, None, slab, continued=False, must_exist=False
        )
        print(f"### {count:,} files of {REFERENCES} references, {slab:,} files in a commit\n")
        print("| commit | seconds | resident memory |\n|---|---|---|")
        for number, seconds, resident in rows:
            print(f"| {number} | {seconds:.1f} | {resident:.0f} MB |")
        print(f"\n{report.written.references:,} references in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
