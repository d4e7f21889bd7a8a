"""TIFF: parsing beside virtual-tiff and kerchunk, in one run. Writes docs/benchmarks/tiff.md.

.venv/bin/python benchmarks/bench_tiff.py [rounds]
"""

from __future__ import annotations

import multiprocessing
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from manifestry.testing.servers import RangeServer, range_server
from side_by_side import PEER_PYTHON, Subject, compare, write_page

PAGE = Path(__file__).parent.parent / "docs/benchmarks/tiff.md"
INTRODUCTION = (
    "Made by `benchmarks/bench_tiff.py` on 2 shared cores: every round of every subject in a fresh process, in turn; "
    "imports are not timed. Peers: virtual-tiff 0.5.0 (async-tiff), kerchunk 0.2.10 (tifffile)."
)

OURS = """
import manifestry as mf, manifestry.reading, manifestry_tiff.parser
from manifestry.formats.loading import installed_formats
installed_formats()
"""
VIRTUAL_TIFF = """
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import HTTPStore, LocalStore
from virtual_tiff import VirtualTIFF
"""


def tiles(path: Path, across: int, down: int, size: int = 256) -> None:
    """A BigTIFF of uncompressed uint8 tiles; their data is a hole in the file."""
    count = across * down
    offsets_at = 16 + 8 + 11 * 20 + 8
    counts_at = offsets_at + 8 * count
    data_at = -(-(counts_at + 4 * count) // 4096) * 4096
    entries = [
        (256, 4, 1, across * size), (257, 4, 1, down * size), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
        (277, 3, 1, 1), (322, 4, 1, size), (323, 4, 1, size), (324, 16, count, offsets_at), (325, 4, count, counts_at),
        (339, 3, 1, 1),
    ]  # fmt: skip
    with path.open("wb") as out:
        out.write(struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, len(entries)))
        out.write(b"".join(struct.pack("<HHQQ", *entry) for entry in entries) + bytes(8))
        (data_at + np.arange(count, dtype="<u8") * size * size).tofile(out)
        np.full(count, size * size, "<u4").tofile(out)
        out.truncate(data_at + count * size * size)


def cog(path: Path, width: int, block: int) -> None:
    """A COG with overviews; nearly all tiles hold zeros, and so take few bytes (virtual-tiff refuses sparse ones)."""
    import rasterio  # here and below: what this process holds would count as memory of those that are measured
    from rasterio.shutil import copy
    from rasterio.transform import from_origin

    base = path.with_suffix(".base.tif")
    with rasterio.open(
        base, "w", driver="GTiff", width=width, height=width, count=1, dtype="uint16", crs="EPSG:32633", tiled=True,
        transform=from_origin(5e5, 5e6, 10, 10), blockxsize=block, blockysize=block, compress="deflate",
    ) as file:  # fmt: skip
        file.write(np.random.default_rng(1).integers(0, 5000, (block, block), dtype="u2"), 1, window=((0, block),) * 2)
    copy(base, path, driver="COG", compress="deflate", predictor=2, blocksize=block)
    base.unlink()


def pages(path: Path, count: int) -> None:
    """Pages whose directories lie between their data, as microscopes write them."""
    import tifffile

    rng = np.random.default_rng(1)
    with tifffile.TiffWriter(path) as file:
        for _ in range(count):
            page = rng.integers(0, 1000, (512, 512), dtype="u2")
            file.write(page, compression="zlib", tile=(256, 256), contiguous=False, metadata=None)


def make_files(root: Path) -> None:
    """In a process of its own: what GDAL caches must not count as memory of those that are measured."""
    tiles(root / "1e5.tif", 400, 250)
    tiles(root / "1e6.tif", 1000, 1000)
    cog(root / "cog.tif", 10980, 1024)
    cog(root / "fine.tif", 20480, 128)
    pages(root / "pages.tif", 200)


def local(path: Path, times: int = 1) -> list[Subject]:
    registry = f"registry = ObjectStoreRegistry({{'file://': LocalStore()}})\nurl = 'file://{path}'"
    loop = f"for _ in range({times}): "
    return [
        Subject("manifestry", OURS, f"{loop}tree = mf.parse({str(path)!r}, ifd=0)"),
        Subject(
            "virtual-tiff 0.5.0",
            VIRTUAL_TIFF + registry,
            f"{loop}store = VirtualTIFF(ifd=0)(url, registry)",
            PEER_PYTHON,
        ),
        Subject(
            "kerchunk 0.2.10",
            "import kerchunk.tiff",
            f"{loop}refs = kerchunk.tiff.tiff_to_zarr({str(path)!r})",
            PEER_PYTHON,
        ),
    ]


def requests(server: RangeServer, name: str, needed: int) -> list[str]:
    """Rows of the table of requests for one file, over HTTP."""
    rows = []
    url = f"{server.url}/{name}"
    http = f"registry = ObjectStoreRegistry({{'{server.url}': HTTPStore.from_url('{server.url}', client_options={{'allow_http': True}})}})"
    for title, python, program in [
        ("manifestry, all images", sys.executable, f"{OURS}\nmf.parse('{url}')"),
        ("manifestry, `ifd=0`", sys.executable, f"{OURS}\nmf.parse('{url}', ifd=0)"),
        ("virtual-tiff 0.5.0, `ifd=0`", PEER_PYTHON, f"{VIRTUAL_TIFF}{http}\nVirtualTIFF(ifd=0)('{url}', registry)"),
    ]:
        server.reset()
        done = subprocess.run(
            [python, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False, timeout=600
        )
        outcome = f"{server.count('GET')} | {server.sent / 1e6:.3f} MB"
        if done.returncode:
            outcome = f"failed: {done.stderr.strip().splitlines()[-1][:60]} | "
        rows.append(f"| {name} ({needed / 1e6:.3f} MB) | {title} | {outcome} |")
    return rows


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        maker = multiprocessing.get_context("spawn").Process(target=make_files, args=(root,))
        maker.start()
        maker.join()
        tables = [
            compare("100,000 tiles", local(root / "1e5.tif"), rounds),
            compare("1,000,000 tiles", local(root / "1e6.tif"), min(rounds, 3)),
            compare("a COG of 10980 x 10980 pixels, once", local(root / "cog.tif"), rounds),
            compare("the same COG, 20 times in one process", local(root / "cog.tif", 20), rounds),
        ]
        files = {"cog.tif": 8 * 171, "fine.tif": 8 * 34_133, "pages.tif": 200 * (18 * 12 + 16 * 4)}
        with range_server({f"/{name}": (root / name).read_bytes() for name in files}) as server:
            rows = [row for name, needed in files.items() for row in requests(server, name, needed)]
    head = [
        "### Requests over HTTP",
        "",
        "| file (bytes of directories and offsets) | | GET | received |",
        "|---|---|---|---|",
    ]
    note = (
        "`cog.tif` is the COG above, `fine.tif` one of 160 x 160 tiles, `pages.tif` 200 pages in 80 MB whose directories lie"
        " between their data."
    )
    write_page(PAGE, "TIFF", INTRODUCTION, [*tables, "\n".join([*head, *rows, "", note, ""])])


if __name__ == "__main__":
    main()
