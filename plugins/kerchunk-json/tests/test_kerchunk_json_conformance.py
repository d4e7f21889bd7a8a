"""The core's conformance kit."""

from __future__ import annotations

import json
from typing import ClassVar

import fsspec
import manifestry as mf
import numpy as np
import zarr
from manifestry.testing.conformance import Found, ParserCase, ParserTests, Pointer, WriterTests
from manifestry.testing.stranger_tests import POINTED_AT, tree_pointing_at
from manifestry.testing.trees import make_sample


def native(values):
    """Elements in native byte order: in Zarr v2 the stored order is part of the data type."""
    return values if values.dtype.kind in "TO" else values.astype(values.dtype.newbyteorder("="))


def found_in(target, zarr_format):
    """Everything in an output of references, by fsspec and zarr."""
    system = fsspec.filesystem(
        "reference", fo=str(target), remote_protocol="file", asynchronous=True, skip_instance_cache=True
    )
    root = zarr.open_group(zarr.storage.FsspecStore(system, read_only=True, path=""), mode="r", zarr_format=zarr_format)
    found = {"": Found(None, dict(root.attrs))}
    for path, node in root.members(max_depth=None):
        attributes = {k: v for k, v in node.attrs.items() if k != "_ARRAY_DIMENSIONS"}
        found[path] = Found(native(node[...]) if isinstance(node, zarr.Array) else None, attributes)
    return found


class TestKerchunkJsonWriter(WriterTests):
    format = "kerchunk-json"
    ending = ".json"
    refused = frozenset({"rectilinear"})

    def read(self, target):
        return found_in(target, 2)


class TestKerchunkJsonWriterV3(WriterTests):
    format = "kerchunk-json"
    ending = ".json"
    options: ClassVar = {"zarr_format": 3}

    def read(self, target):
        with zarr.config.set({"array.rectilinear_chunks": True}):
            return found_in(target, 3)


class TestKerchunkJsonParser(ParserTests):
    format = "kerchunk-json"

    def make_cases(self, directory):
        trusted = {"allow": ["/"]}
        for name in ("groups", "sparse", "inline", "compressed", "cf-fill"):
            sample = make_sample(name, directory / name)
            for version, ending in ((2, "json"), (3, "json"), ("both", "json.zst")):
                path = directory / f"{name}-{version}.{ending}"
                mf.write(sample.tree, path, zarr_format=version)
                yield ParserCase(path, sample.values, trusted)
        values = np.arange(6, dtype="<i4").reshape(2, 3)
        (directory / "x.bin").write_bytes(values.tobytes())
        document = f"""{{"version": 1, "templates": {{"here": "file://{directory}"}},
            "gen": [{{"key": "v/{{{{i}}}}/0", "url": "{{{{here}}}}/x.bin", "offset": "{{{{i * 12}}}}", "length": "12",
                      "dimensions": {{"i": {{"stop": 2}}}}}}],
            "refs": {{".zgroup": {{"zarr_format": 2}}, "v/.zattrs": {{"limit": NaN}}, "v/.zarray": {{"zarr_format": 2,
                "shape": [2, 3], "chunks": [1, 3], "dtype": "<i4", "compressor": null, "filters": null, "order": "C",
                "fill_value": null, "dimension_separator": "/"}}}}}}"""
        (directory / "generated.json").write_text(document)
        yield ParserCase(directory / "generated.json", {"v": values}, trusted)

    def make_pointers(self, directory, url):
        mf.write(tree_pointing_at(url), directory / "references.json")
        yield Pointer(path=directory / "references.json", target=POINTED_AT)
        array = """{"zarr_format": 2, "shape": [16], "chunks": [16], "dtype": "|u1", "compressor": null, "filters": null,
            "order": "C", "fill_value": 0}"""
        refs = {".zgroup": '{"zarr_format": 2}', "v/.zarray": array, "v/0": ["{{place}}"]}
        document = {"version": 1, "templates": {"place": url}, "refs": refs}
        (directory / "whole.json").write_text(json.dumps(document))
        yield Pointer(path=directory / "whole.json", target=POINTED_AT)
