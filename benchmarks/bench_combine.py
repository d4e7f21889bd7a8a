"""Combining 1,000 trees of 1,000 references beside xarray with VirtualiZarr, in one run. Prints a table, and the memory
that a reference takes.

.venv/bin/python benchmarks/bench_combine.py [rounds]

`bench_many_files.py` and `bench_many_slabs.py` are the other parts of docs/benchmarks/scale.md.
"""

from __future__ import annotations

import subprocess
import sys

from side_by_side import PEER_PYTHON, Subject, compare

OURS = """
import numpy as np
import manifestry as mf
from manifestry.combine import concat, inline_array
from manifestry.model.files import FileTable, SourceFile
from manifestry.model.manifest import ChunkManifest
from manifestry.model.codecs import Codec
from manifestry.model.metadata import ArrayMetadata, RegularGrid
from manifestry.model.tree import VirtualArray, VirtualGroup

codecs = (Codec("bytes", {"endian": "little"}), Codec("numcodecs.zlib", {"level": 1}))
metadata = ArrayMetadata(
    shape=(1, 1000, 1000), dtype=np.dtype("f4"), chunk_grid=RegularGrid((1, 40, 25)), codecs=codecs,
    fill_value=np.float32(0), dims=("time", "y", "x"), attributes={"units": "K"},
)
lengths = np.random.default_rng(0).integers(1000, 4000, 1000).astype("u8")
offsets = np.cumsum(lengths) - lengths
lat = inline_array(np.arange(1000.0), ("y",))
def tree(i):
    files = FileTable([SourceFile(f"s3://bucket/some/longer/prefix/of/a/product/2020/file_{i:06}.nc", 10**9, f'"{i}"')])
    array = VirtualArray(metadata, ChunkManifest.from_columns((1, 25, 40), files, 0, offsets, lengths))
    time = inline_array(np.array([i]), ("time",), {"units": "days since 2000-01-01"})
    return VirtualGroup({"t": array, "time": time, "y": lat}, attributes={"title": "x"})
trees = [tree(i) for i in range(1000)]
concat(trees[:3], "time")
"""

PEERS = """
import numpy as np
import xarray as xr
from virtualizarr.manifests import ChunkManifest, ManifestArray
from virtualizarr.manifests.utils import create_v3_array_metadata

metadata = create_v3_array_metadata((1, 1000, 1000), np.dtype("f4"), (1, 40, 25), fill_value=0.0,
    codecs=[{"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "numcodecs.zlib", "configuration": {"level": 1}}], dimension_names=("time", "y", "x"))
lengths = np.random.default_rng(0).integers(1000, 4000, 1000).astype("u8")
offsets = (np.cumsum(lengths) - lengths).reshape(1, 25, 40)
def dataset(i):
    url = f"s3://bucket/some/longer/prefix/of/a/product/2020/file_{i:06}.nc"
    paths = np.full((1, 25, 40), url, dtype=np.dtypes.StringDType())
    manifest = ChunkManifest.from_arrays(paths=paths, offsets=offsets, lengths=lengths.reshape(1, 25, 40),
                                         validate_paths=False)
    return xr.Dataset({"t": (("time", "y", "x"), ManifestArray(metadata, manifest), {"units": "K"})},
                      {"time": ("time", np.array([i])), "y": ("y", np.arange(1000.0))}, {"title": "x"})
datasets = [dataset(i) for i in range(1000)]
def combined(sets):
    return xr.combine_nested(sets, "time", data_vars="minimal", coords="minimal", compat="override", join="override",
                             combine_attrs="override")
combined(datasets[:3])
"""


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    subjects = [
        Subject("manifestry concat", OURS, 'result = concat(trees, "time")'),
        Subject("xarray combine_nested of VirtualiZarr 2.8.0", PEERS, "result = combined(datasets)", PEER_PYTHON),
    ]
    print(compare("1,000 trees of 1,000 references", subjects, rounds))
    print(f"The result takes {bytes_a_reference():.1f} bytes a reference, the file table included.")


def bytes_a_reference() -> float:
    """Memory of the combined tree: columns, URLs, entity tags, times, and the coordinates that were copied."""
    program = OURS + 'print(concat(trees, "time").nbytes / 1_000_000)'
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()
