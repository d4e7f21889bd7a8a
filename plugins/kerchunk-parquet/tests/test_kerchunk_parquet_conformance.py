"""The core's conformance kit."""

from __future__ import annotations

import fsspec
import manifestry as mf
import pytest
import zarr
from manifestry.testing.conformance import Found, ParserCase, ParserTests, Pointer, WriterTests
from manifestry.testing.stranger_tests import POINTED_AT, tree_pointing_at
from manifestry.testing.trees import make_sample


def native(values):
    """Elements in native byte order: in Zarr v2 the stored order is part of the data type."""
    return values if values.dtype.kind in "TO" else values.astype(values.dtype.newbyteorder("="))


@pytest.mark.filterwarnings("ignore:The 'fastparquet' engine")
class TestKerchunkParquetWriter(WriterTests):
    format = "kerchunk-parquet"
    ending = ".parq"
    refused = frozenset({"rectilinear"})

    def read(self, target):
        system = fsspec.filesystem(
            "reference", fo=str(target), remote_protocol="file", asynchronous=True, skip_instance_cache=True
        )
        root = zarr.open_group(zarr.storage.FsspecStore(system, read_only=True, path=""), mode="r", zarr_format=2)
        # fsspec lists no nested groups of Parquet, so paths come from the metadata.
        paths = {key.rpartition("/")[0] for key in system.references.zmetadata}
        found = {}
        for path in paths:
            node = root[path] if path else root
            attributes = {k: v for k, v in node.attrs.items() if k != "_ARRAY_DIMENSIONS"}
            found[path] = Found(native(node[...]) if isinstance(node, zarr.Array) else None, attributes)
        return found


class TestKerchunkParquetParser(ParserTests):
    format = "kerchunk-parquet"

    def make_cases(self, directory):
        for name in ("groups", "sparse", "inline", "compressed", "cf-fill"):
            sample = make_sample(name, directory / name)
            for version in (2, "both"):
                path = directory / f"{name}-{version}.parq"
                mf.write(sample.tree, path, zarr_format=version, record_size=5)
                yield ParserCase(path, sample.values)

    def make_pointers(self, directory, url):
        mf.write(tree_pointing_at(url), directory / "references.parq")
        yield Pointer(path=directory / "references.parq", target=POINTED_AT)
