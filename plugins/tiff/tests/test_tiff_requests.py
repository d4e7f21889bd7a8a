"""How many requests a parse makes over HTTP, and how many bytes it brings."""

import manifestry as mf
import numpy as np
import pytest
import rasterio
import tifffile
from manifestry.storage.source import REMOTE_HEAD_BYTES
from manifestry.testing.servers import range_server
from rasterio.shutil import copy
from rasterio.transform import from_origin


@pytest.fixture(scope="module")
def sparse_cog(tmp_path_factory):
    """96 by 96 tiles and overviews; nearly all of them sparse, so that the file is small."""
    directory = tmp_path_factory.mktemp("cog")
    base, path = directory / "base.tif", directory / "cog.tif"
    with rasterio.open(
        base, "w", driver="GTiff", width=12_288, height=12_288, count=1, dtype="uint8", crs="EPSG:32633", nodata=0,
        transform=from_origin(5e5, 5e6, 10, 10), tiled=True, blockxsize=64, blockysize=64, compress="deflate",
        sparse_ok=True,
    ) as file:  # fmt: skip
        file.write(np.ones((64, 12_288), "u1"), 1, window=((0, 64), (0, 12_288)))
    copy(base, path, driver="COG", compress="deflate", blocksize=128, sparse_ok=True, overviews="AUTO")
    return path.read_bytes()


def test_a_small_cog_takes_one_request(tmp_path):
    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", driver="COG", width=2048, height=2048, count=1, dtype="uint8", crs="EPSG:32633",
        transform=from_origin(5e5, 5e6, 10, 10), blocksize=256,
    ) as file:  # fmt: skip
        file.write(np.random.default_rng(1).integers(0, 255, (1, 2048, 2048), dtype="u1"))
    with range_server({"/a.tif": path.read_bytes()}) as server:
        tree = mf.parse(f"{server.url}/a.tif")
        assert list(tree.groups) == ["0", "1", "2", "3"]
        assert (server.count("GET"), server.sent) == (1, REMOTE_HEAD_BYTES)
        assert server.count() == 1


@pytest.mark.parametrize("options", [{}, {"ifd": 0}])
def test_a_large_cog_takes_two(sparse_cog, options, monkeypatch):
    head = 64 << 10
    monkeypatch.setattr("manifestry.storage.source.REMOTE_HEAD_BYTES", head)
    with range_server({"/a.tif": sparse_cog}) as server:
        tree = mf.parse(f"{server.url}/a.tif", **options)
        needed = sum(8 * array.manifest.size for _, array in tree.walk_arrays())
        assert needed > head
        assert (server.count("GET"), server.count()) == (2, 2)
        assert server.sent <= 1.2 * needed + head


def test_scattered_directories_do_not_bring_the_file(tmp_path):
    path = tmp_path / "a.tif"
    values = np.random.default_rng(1).integers(0, 1000, (40, 256, 256), dtype="u2")
    with tifffile.TiffWriter(path) as file:
        for page in values:
            file.write(page, compression="zlib", tile=(128, 128), contiguous=False, metadata=None)
    data = path.read_bytes()
    with range_server({"/a.tif": data}) as server:
        tree = mf.parse(f"{server.url}/a.tif")
        assert tree["0"].shape == (40, 256, 256)
        assert server.count("GET") <= 1.2 * 40
        assert server.sent <= REMOTE_HEAD_BYTES + 1.2 * 40 * 4096
        assert server.sent < len(data) / 8
        server.reset()
        mf.parse(f"{server.url}/a.tif", ifd=0)
        assert server.count("GET") == 1


def test_memory_of_many_tiles_is_the_columns(make_tiff):
    count = 200_000
    tags = [
        (256, 4, 16 * 1000), (257, 4, 16 * 200), (258, 3, 8), (259, 3, 1), (262, 3, 1), (322, 4, 16), (323, 4, 16),
        (324, 16, list(range(16, 16 + count))), (325, 4, [256] * count),
    ]  # fmt: skip
    array = mf.parse(make_tiff([tags], b"\0" * 512, big=True))["0"]
    assert array.manifest.size == count
    assert array.nbytes < 9 * count
