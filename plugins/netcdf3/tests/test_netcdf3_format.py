"""What netCDF4-python does not write: odd headers, streaming, truncation, very large records."""

from __future__ import annotations

import manifestry as mf
import netCDF4
import numpy as np
import pytest
from obstore.store import MemoryStore


@pytest.fixture
def truncated(tmp_path):
    """A file of two record variables and a fixed one, and a function that cuts it."""
    path = tmp_path / "cut.nc"
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as nc:
        nc.createDimension("t", None)
        nc.createDimension("x", 3)
        nc.createVariable("f", "f8", ("x",))[...] = [1, 2, 3]
        nc.createVariable("a", "i2", ("t", "x"))[0:5] = np.arange(15).reshape(5, 3) + 1
        nc.createVariable("b", "f4", ("t",))[0:5] = np.arange(5) + 1
    whole = path.read_bytes()

    def cut(count):
        path.write_bytes(whole[:-count])
        return path

    return cut


@pytest.mark.parametrize("missing", [1, 4, 5, 6, 8, 12, 13, 30, 59, 60, 61, 70, 84])
def test_truncated_files_read_as_netcdf_c_reads_them(truncated, check, missing):
    path = truncated(missing)
    tree = mf.parse(path)
    check(tree, path)
    assert {(i.feature, i.severity) for i in tree.issues} == {("truncated file", "reported")}
    check(mf.parse(path, chunk_bytes=2), path)


def test_truncated_files_as_fill_values_or_refused(truncated, values):
    path = truncated(14)  # the last record, and two bytes of the one before
    read = values(mf.parse(path, truncated="fill"))
    assert read["a"][3:].tolist() == [[10, 11, 12], [-32767] * 3]
    assert read["b"][:3].tolist() == [1, 2, 3]
    assert read["b"][4] == np.float32(9.969209968386869e36)
    with pytest.raises(mf.UnsupportedFeatureError, match="2 parts cannot be expressed"):
        mf.parse(path, truncated="refuse")
    tree = mf.parse(path, truncated="refuse", on_unsupported="skip")
    assert list(tree.arrays) == ["f"]
    assert {i.feature for i in tree.issues} == {"a variable cut off by the end of the file"}


@pytest.mark.parametrize("version", [1, 2, 5])
def test_streaming_files_have_the_records_that_fit(tmp_path, classic, values, version):
    file = classic(version, -1, [(b"t", 0), (b"x", 3)], [], [(b"r", [0, 1], 3, 0), (b"q", [0], 6, 0)])
    at = len(file.header())
    file.variables = [(b"r", [0, 1], 3, at), (b"q", [0], 6, at + 8)]
    records = [np.array([i, i, i, 0], ">i2").tobytes() + np.array([i], ">f8").tobytes() for i in range(4)]
    path = tmp_path / "stream.nc"
    path.write_bytes(file.header() + b"".join(records) + b"tail")
    read = values(mf.parse(path))
    assert read["r"].tolist() == [[i] * 3 for i in range(4)]
    assert read["q"].tolist() == [0, 1, 2, 3]


def test_records_beyond_4_gib_use_computed_sizes(tmp_path, classic):
    """The header's vsize cannot hold them: as in netCDF-C, it is not believed."""
    file = classic(2, 2, [(b"t", 0), (b"x", 5 << 29)], [], [(b"a", [0], 3, 0), (b"w", [0, 1], 3, 0)], -1)
    at = len(file.header())
    file.variables = [(b"a", [0], 3, at), (b"w", [0, 1], 3, at + 4)]
    path = tmp_path / "sparse.nc"
    record = 4 + (5 << 30)
    with path.open("wb") as out:
        out.write(file.header())
        out.truncate(at + 2 * record)
    tree = mf.parse(path, chunk_bytes=5 << 30)
    assert tree["w"].manifest[1, 0].offset == at + record + 4
    assert tree["w"].manifest[1, 0].length == 5 << 30
    assert tree["a"].manifest[1].offset == at + record


def test_names_and_texts_of_old_files(tmp_path, classic, values):
    file = classic(
        1,
        0,
        [("größe".encode("latin-1"), 2)],
        [(b"title\0\0", 2, "caf\xe9\0\0".encode("latin-1"), 6), (b"n", 4, b"\0\0\0\7", 1)],
        [(b"yy\0", [0], 4, 0)],
    )
    at = len(file.header())
    file.variables = [(b"yy\0", [0], 4, at)]
    path = tmp_path / "old.nc"
    path.write_bytes(file.header() + np.array([5, 6], ">i4").tobytes())
    tree = mf.parse(path)
    assert tree["yy"].dims == ("größe",)
    assert dict(tree.attributes) == {"title": "café", "n": np.int32(7)}
    assert values(tree)["yy"].tolist() == [5, 6]


def test_one_dimension_twice_and_files_without_variables(tmp_path, classic, values):
    file = classic(1, 0, [(b"x", 2)], [], [(b"cov", [0, 0], 4, 0)])
    file.variables = [(b"cov", [0, 0], 4, len(file.header()))]
    path = tmp_path / "cov.nc"
    path.write_bytes(file.header() + np.arange(4, dtype=">i4").tobytes())
    tree = mf.parse(path)
    assert tree["cov"].dims == ("x", "x")
    assert values(tree)["cov"].tolist() == [[0, 1], [2, 3]]
    path.write_bytes(classic(5).header())
    assert not mf.parse(path).arrays


class CountingStore:
    """Counts the requests that a parser makes of a store."""

    def __init__(self, source):
        self.reads = []
        self._ranges = source.ranges
        source.ranges = self.ranges

    def ranges(self, ranges, **options):
        self.reads += [stop - start for start, stop in ranges]
        return self._ranges(ranges, **options)


@pytest.mark.parametrize(("variables", "requests"), [(3, 0), (6000, 1)])
def test_headers_take_one_request_or_another_one(classic, variables, requests):
    names = [b"a_long_name_of_a_variable_%05d" % i for i in range(variables)]
    file = classic(1, 0, [(b"x", 1)], [], [(name, [0], 4, 0) for name in names])
    at = len(file.header())
    file.variables = [(name, [0], 4, at + 4 * i) for i, name in enumerate(names)]
    memory = MemoryStore()
    memory.put("wide.nc", file.header() + bytes(4 * variables + 1_000_000))
    source = mf.Source("memory://here/wide.nc", {"memory://here": memory})
    counter = CountingStore(source)
    assert len(mf.parse(source).arrays) == variables
    assert len(counter.reads) == requests
    assert sum(counter.reads) < 800_000
