"""What several test modules of the core share."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import zarr
from manifestry.formats import loading
from manifestry.model.zarr_v3 import array_document, group_document
from manifestry.storage.source import Source
from manifestry.testing.trees import SAMPLES, make_sample
from zarr.buffer import cpu
from zarr.storage import MemoryStore


@pytest.fixture(params=SAMPLES)
def sample(request, tmp_path):
    """Each sample tree in turn."""
    return make_sample(request.param, tmp_path / "sample")


@pytest.fixture
def copy_to_zarr():
    """A function that copies a tree, chunk by chunk, into a Zarr store of zarr-python's own."""
    return _copy_to_zarr


def _copy_to_zarr(tree):
    objects = {}
    for path, group in tree.walk():
        objects[f"{path}/zarr.json" if path else "zarr.json"] = _json(group_document(group.attributes)[0])
    for path, array in tree.walk_arrays():
        objects[f"{path}/zarr.json"] = _json(array_document(array.metadata, path)[0])
        for key, reference in array.manifest.to_dict().items():
            name = f"{path}/c/{key.replace('.', '/')}" if array.shape else f"{path}/c"
            if reference.data is not None:
                objects[name] = reference.data
            else:
                source = Source.at(reference.file.url, Source("/").registry)
                objects[name] = source.range(reference.offset, reference.offset + reference.length)
    return MemoryStore({name: cpu.Buffer.from_bytes(data) for name, data in objects.items()})


def _json(document):
    return json.dumps(document, allow_nan=False).encode()


@pytest.fixture
def rectilinear_allowed():
    with zarr.config.set({"array.rectilinear_chunks": True}):
        yield


@pytest.fixture
def toy_formats(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The formats of `toy_formats.py`, and no others, are installed."""
    path = Path(__file__).with_name("toy_formats.py")
    spec = importlib.util.spec_from_file_location("manifestry_toy_formats", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, spec.name, module)
    monkeypatch.setattr(loading, "entry_points", lambda group: module.entries())
    loading.installed_formats.cache_clear()
    yield module
    loading.installed_formats.cache_clear()
