"""The core's conformance kit, the decoding of xarray, and the lines of reports."""

import os
import subprocess
import sys

import icechunk
import manifestry as mf
import numpy as np
import pytest
import zarr
from manifestry.testing.conformance import Found, ParserCase, ParserTests, Pointer, WriterTests
from manifestry.testing.stranger_tests import POINTED_AT, tree_pointing_at
from manifestry.testing.trees import make_sample

OPEN = """
import icechunk, zarr
zarr.config.set({{"array.rectilinear_chunks": True}})
storage = icechunk.local_filesystem_storage({path!r})
config = icechunk.Repository.fetch_config(storage)
prefixes = list((config.virtual_chunk_containers if config else None) or {{}})
access = icechunk.containers_credentials({{p: icechunk.Credentials.LocalFileSystemAccess() for p in prefixes}})
repository = icechunk.Repository.open(storage, authorize_virtual_chunk_access=access)
store = repository.readonly_session("main").store
"""


class TestIcechunkWriter(WriterTests):
    format = "icechunk"
    ending = ".icechunk"

    @pytest.fixture(autouse=True)
    def _reader(self, fresh):
        self.fresh = fresh

    def read(self, target):
        found = self.fresh.read(OPEN.format(path=str(target)))
        groups = {path: Found(None, attributes) for path, attributes in found["groups"].items()}
        arrays = {path: Found(values, attributes) for path, (values, _, attributes) in found["arrays"].items()}
        return groups | arrays


class TestIcechunkParser(ParserTests):
    format = "icechunk"

    def make_cases(self, directory):
        for name in ("groups", "sparse", "inline", "compressed"):
            sample = make_sample(name, directory / name)
            mf.write(sample.tree, directory / f"{name}.icechunk")
            yield ParserCase(directory / f"{name}.icechunk", sample.values)
        path = directory / "native"
        session = icechunk.Repository.create(icechunk.local_filesystem_storage(str(path))).writable_session("main")
        values = np.arange(3000, dtype="i8").reshape(60, 50)
        zarr.create_group(session.store).create_array("deep/x", data=values, chunks=(20, 50))
        session.commit("by zarr")
        yield ParserCase(path, {"deep/x": values})

    def make_pointers(self, directory, url):
        mf.write(tree_pointing_at(url), directory / "references.icechunk")
        yield Pointer(path=directory / "references.icechunk", target=POINTED_AT)


def names(sample):
    return {path: array.dims for path, array in sample.tree.walk_arrays()}


@pytest.mark.parametrize("name", ["zeros", "groups", "cf-fill", "without-dims", "times", "odd-paths"])
def test_the_lines_of_the_report_open_the_output(name, tmp_path, fresh):
    sample = make_sample(name, tmp_path / "source")
    read = fresh.read(mf.write(sample.tree, tmp_path / "out.icechunk"))
    assert "error" not in read, read.get("error")
    assert {path: dims and tuple(dims) for path, (_, dims, _) in read["arrays"].items()} == names(sample)
    assert set(read["decoded"]) == (set() if name == "without-dims" else set(sample.values))


def test_the_lines_of_the_report_are_quiet(tmp_path):
    report = mf.write(make_sample("zeros", tmp_path / "source").tree, tmp_path / "out.icechunk")
    environment = {name: value for name, value in os.environ.items() if name != "ICECHUNK_LOG"}
    done = subprocess.run([sys.executable, "-c", report.reader], capture_output=True, check=True, env=environment)
    assert done.stdout + done.stderr == b""


def test_xarray_masks_what_the_source_says(tmp_path, fresh):
    sample = make_sample("cf-fill", tmp_path / "source")
    decoded = fresh.read(mf.write(sample.tree, tmp_path / "out.icechunk"))["decoded"]
    counts = sample.values["counts"]
    np.testing.assert_array_equal(decoded["counts"], np.where(counts == -9999, np.nan, counts))
