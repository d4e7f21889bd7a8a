"""Documents: by hand, and of HDF5 files as build_dmrpp makes them."""

from __future__ import annotations

import manifestry as mf
import numpy as np
import pytest
import zarr
from dmrpp_documents import HEADER, describe_hdf5


class Documents:
    """Writes a document and the data file that it describes, and parses it."""

    def __init__(self, directory):
        self.directory = directory
        self.data_path = directory / "data.bin"
        self.path = directory / "data.bin.dmrpp"

    def write(self, body, data=b"", *, href="OPeNDAP_DMRpp_DATA_ACCESS_URL", s3=None, version="3.21.0"):
        if data:
            self.data_path.write_bytes(data)
        attributes = {
            "href": ("" if href is None else f' dmrpp:href="{href}"') + ("" if s3 is None else f' dmrpp:s3="{s3}"'),
            "version": "" if version is None else f' dmrpp:version="{version}"',
        }
        text = HEADER.format(**attributes) + body + "</Dataset>"
        self.path.write_text(text, encoding="latin-1", errors="xmlcharrefreplace")
        return self.path

    def parse(self, body, data=b"", *, href="OPeNDAP_DMRpp_DATA_ACCESS_URL", s3=None, version="3.21.0", **options):
        return mf.parse(self.write(body, data, href=href, s3=s3, version=version), **options)

    def values(self, body, data=b"", **options):
        return read_all(self.parse(body, data, **options))


def read_all(tree):
    root = zarr.open_group(mf.open_store(tree), mode="r", zarr_format=3)
    return {path: np.asarray(root[path][...]) for path, _ in tree.walk_arrays()}


@pytest.fixture
def documents(tmp_path):
    return Documents(tmp_path)


@pytest.fixture
def values():
    return read_all


@pytest.fixture
def describe():
    """The DMR++ document of an HDF5 file, and where it was written: beside the file."""
    return describe_hdf5
