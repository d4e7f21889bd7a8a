"""What several test modules of the core share."""

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import zarr
from manifestry.cli.application import run
from manifestry.formats import loading
from manifestry.storage.source import Source
from manifestry.testing.trees import SAMPLES, make_sample
from manifestry.zarr_documents.v3 import array_document, group_document
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
def cli(capsys):
    """A function that runs a command line: exit code, standard output, standard error."""

    def call(*arguments):
        code = run([str(a) for a in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


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


@pytest.fixture
def hourly():
    """A function that makes a file of some hours: path, first hour, how many."""
    return _hourly


def _hourly(path: Path, first: int, count: int = 2, **attributes) -> Path:
    import netCDF4

    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as file:
        file.createDimension("time", None)
        file.createDimension("x", 3)
        time = file.createVariable("time", "i4", ("time",))
        time.units = attributes.get("units", "hours since 2000-01-01")
        file.createVariable("x", "f4", ("x",))[:] = np.arange(3) + attributes.get("x0", 0)
        values = file.createVariable("t", "i2", ("time", "x"))
        values.scale_factor = np.float32(attributes.get("factor", 0.1))
        values.set_auto_scale(False)
        values[:] = np.arange(3 * count).reshape(count, 3) + 10 * first
        time[:] = np.arange(first, first + count) - attributes.get("shift", 0)
    return path


@pytest.fixture
def hourly_archive(tmp_path):
    """Seven files of two hours each."""
    (tmp_path / "in").mkdir()
    return [_hourly(tmp_path / "in" / f"h{i:02}.nc", 2 * i) for i in range(7)]


@pytest.fixture
def check_hourly():
    """A function that compares an output with the files of `hourly_archive` that it was made from."""
    return _check_hourly


def _check_hourly(target: Path, files) -> None:
    import xarray as xr

    numbers = list(range(files) if isinstance(files, int) else files)
    with xr.open_dataset(target, engine="manifestry", decode_cf=False) as found:
        np.testing.assert_array_equal(found.time, np.concatenate([[2 * i, 2 * i + 1] for i in numbers]))
        np.testing.assert_array_equal(found.t, np.concatenate([np.arange(6).reshape(2, 3) + 20 * i for i in numbers]))
        np.testing.assert_array_equal(found.x, np.arange(3))


KILLER = """
import os, signal

class Killer:
    '''A preprocess function that kills the worker that has a certain source: once, or always.'''

    def __init__(self, source, marker=None):
        self.source, self.marker, self.parent = source, marker, os.getpid()

    def __call__(self, tree):
        if os.getpid() != self.parent and any(self.source in url for url in tree.files.urls) and self.first():
            os.kill(os.getpid(), signal.SIGKILL)
        return tree

    def first(self):
        try:
            return self.marker is None or os.close(os.open(self.marker, os.O_CREAT | os.O_EXCL)) is None
        except FileExistsError:
            return False
"""


@pytest.fixture
def killer(tmp_path, monkeypatch):
    """The class of preprocess functions that kill their workers, in a module that workers can import."""
    (tmp_path / "manifestry_killer.py").write_text(KILLER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "manifestry_killer", raising=False)
    return importlib.import_module("manifestry_killer").Killer
