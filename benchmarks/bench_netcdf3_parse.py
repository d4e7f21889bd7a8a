"""netCDF classic: parsing beside VirtualiZarr and kerchunk, in one run. Writes docs/benchmarks/netcdf3.md.

.venv/bin/python benchmarks/bench_netcdf3_parse.py [rounds]
"""

from __future__ import annotations

import struct
import sys
import tempfile
from pathlib import Path

from side_by_side import PEER_PYTHON, Subject, compare, write_page

PAGE = Path(__file__).parent.parent / "docs/benchmarks/netcdf3.md"
INTRODUCTION = (
    "Made by `benchmarks/bench_netcdf3_parse.py` on 2 shared cores: every round of every subject in a fresh process, "
    "in turn; imports are not timed. Peers: VirtualiZarr 2.8.0, kerchunk 0.2.10."
)


LOADED = """
import manifestry as mf, manifestry.reading, manifestry_netcdf3.parser
from manifestry.formats.loading import installed_formats
installed_formats()
"""


def name(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)


def attribute(key: str, value: str) -> bytes:
    return name(key) + struct.pack(">I", 2) + name(value)


def make(path: Path, numrecs: int, dims: list[tuple[str, int]], variables: list[tuple[str, list[int]]]) -> None:
    """A CDF-2 file of float64 variables with six text attributes each; the data is a hole in the file."""
    attrs = [attribute(k, "a text of usual length") for k in ("long_name", "units", "source", "cell", "note", "id")]
    sizes = {True: 8, False: 8}

    def header(begins: list[int]) -> bytes:
        parts = [b"CDF\2", struct.pack(">I", numrecs), struct.pack(">II", 10, len(dims))]
        parts += [name(n) + struct.pack(">I", length) for n, length in dims]
        parts += [bytes(8), struct.pack(">II", 11, len(variables))]
        for (variable, ids), begin in zip(variables, begins, strict=True):
            parts += [name(variable), struct.pack(f">{len(ids) + 1}I", len(ids), *ids)]
            parts += [struct.pack(">II", 12, len(attrs)), *attrs, struct.pack(">IIQ", 6, sizes[True], begin)]
        return b"".join(parts)

    at = len(header([0] * len(variables)))
    begins = []
    for _, ids in variables:
        begins.append(at)
        at += 8 * (dims[ids[0]][1] or 1)
    with path.open("wb") as out:
        out.write(header(begins))
        out.truncate(at + 8 * len(variables) * numrecs)


def subjects(path: Path) -> list[Subject]:
    registry = (
        "from obspec_utils.registry import ObjectStoreRegistry\nfrom obstore.store import LocalStore\n"
        "registry = ObjectStoreRegistry({'file://': LocalStore()})\n"
    )
    ours = f"tree = mf.parse({str(path)!r}, format='netcdf3')"
    return [
        Subject("manifestry", LOADED, ours),
        Subject(
            "VirtualiZarr 2.8.0",
            registry + "from virtualizarr.parsers import NetCDF3Parser",
            f"store = NetCDF3Parser()('file://{path}', registry)",
            PEER_PYTHON,
        ),
        Subject(
            "kerchunk 0.2.10",
            "from kerchunk.netCDF3 import NetCDF3ToZarr",
            f"refs = NetCDF3ToZarr({str(path)!r}).translate()",
            PEER_PYTHON,
        ),
    ]


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as scratch:
        records, wide = Path(scratch, "records.nc"), Path(scratch, "wide.nc")
        make(records, 1_000_000, [("t", 0)], [(f"v{i}", [0]) for i in range(4)])
        make(wide, 0, [("x", 100)], [(f"variable_{i}", [0]) for i in range(2000)])
        tables = [
            compare("1,000,000 records of 4 record variables", subjects(records), rounds),
            compare("A header of 2,000 variables", subjects(wide), rounds),
        ]
    write_page(PAGE, "netCDF classic", INTRODUCTION, tables)


if __name__ == "__main__":
    main()
