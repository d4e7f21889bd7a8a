"""Files that a file points at are found where libhdf5 finds them, whichever of several there are."""

import os
import subprocess
import sys
from itertools import combinations

import h5py
import manifestry as mf
import numpy as np
import pytest
import zarr
from manifestry.testing.servers import range_server

PLACES = {"given": 1, "listed": 2, "second": 3, "beside": 4, "working": 5, "real": 6}
"""Directories in which the part may be, each with the value that it has there."""


def write_part(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["d"] = np.full(4, value)


def write_master(path, name):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["link"] = h5py.ExternalLink(name, "/d")
        layout = h5py.VirtualLayout((4,), "i8")
        layout[:] = h5py.VirtualSource(name, "d", shape=(4,))
        file.create_virtual_dataset("virtual", layout, fillvalue=-1)


def read_by_h5py(path):
    values = {}
    with h5py.File(path) as file:
        for name in ("link", "virtual"):
            try:
                values[name] = file[name][0]
            except KeyError:
                values[name] = None
    return values


def read_by_us(path):
    tree = mf.parse(path, on_unsupported="skip")
    group = zarr.open_group(mf.open_store(tree), mode="r")
    return {name: group[name][0] if name in tree.arrays else None for name in ("link", "virtual")}


@pytest.fixture
def master(tmp_path, monkeypatch):
    """A master file behind a symbolic link, a working directory, and two directories in each variable."""
    (tmp_path / "working").mkdir()
    monkeypatch.chdir(tmp_path / "working")
    listed = os.pathsep.join([str(tmp_path / "listed"), str(tmp_path / "second")])
    monkeypatch.setenv("HDF5_EXT_PREFIX", listed)
    monkeypatch.setenv("HDF5_VDS_PREFIX", listed)
    (tmp_path / "beside").mkdir()
    (tmp_path / "real").mkdir()
    (tmp_path / "beside" / "master.h5").symlink_to(tmp_path / "real" / "master.h5")
    return tmp_path / "beside" / "master.h5"


@pytest.mark.parametrize("inner", ["part.h5", "inner/part.h5"])
@pytest.mark.parametrize("absolute", [False, True], ids=["relative", "absolute"])
@pytest.mark.parametrize("there", [(), *combinations(PLACES, 1), *combinations(PLACES, 2)], ids="-".join)
def test_the_part_that_libhdf5_finds(master, tmp_path, there, absolute, inner):
    write_master(tmp_path / "real" / "master.h5", str(tmp_path / "given" / inner) if absolute else inner)
    for place in there:
        last = inner if place == "given" or not absolute else "part.h5"
        write_part(tmp_path / place / last, PLACES[place])
    expected, found = read_by_h5py(master), read_by_us(master)
    assert found["link"] == expected["link"]
    # libhdf5 gives fill values where a source is missing, and we refuse
    assert found["virtual"] == (None if expected["virtual"] == -1 else expected["virtual"])


BOTH = """
import h5py, zarr, manifestry as mf
with h5py.File("master.h5") as file:
    print(file["virtual"][0])
print(zarr.open_group(mf.open_store(mf.parse("master.h5", on_unsupported="skip")), mode="r")["virtual"][0])
"""


def test_the_directory_of_the_file_in_the_variable(tmp_path):
    write_master(tmp_path / "master.h5", "part.h5")
    write_part(tmp_path / "parts" / "part.h5", 7)
    environment = {**os.environ, "HDF5_VDS_PREFIX": "${ORIGIN}/parts"}  # libhdf5 reads it when it starts
    done = subprocess.run(
        [sys.executable, "-c", BOTH], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["7", "7"], done.stderr


def test_a_refusal_names_the_variable(tmp_path, monkeypatch):
    monkeypatch.delenv("HDF5_VDS_PREFIX", raising=False)
    write_master(tmp_path / "master.h5", "/data/run1/part.h5")
    with pytest.raises(mf.UnsupportedFeatureError, match=r"file:///data/run1/part\.h5.*HDF5_VDS_PREFIX could say"):
        mf.parse(tmp_path / "master.h5")


def test_a_remote_file_finds_its_parts_beside_it(tmp_path):
    write_master(tmp_path / "master.h5", "/data/run1/part.h5")
    write_part(tmp_path / "part.h5", 9)
    objects = {f"/run/{name}": (tmp_path / name).read_bytes() for name in ("master.h5", "part.h5")}
    with range_server(objects) as server:
        tree = mf.parse(f"{server.url}/run/master.h5")
        assert zarr.open_group(mf.open_store(tree), mode="r")["virtual"][0] == 9


@pytest.mark.parametrize("name", ["../parts/part.h5", "./../parts/./part.h5", "linked/../part.h5"])
def test_dots_in_names_lead_where_the_system_follows_them(tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "parts" / "inner").mkdir(parents=True)
    (tmp_path / "run" / "linked").symlink_to(tmp_path / "parts" / "inner")
    write_master(tmp_path / "run" / "master.h5", name)
    write_part(tmp_path / "parts" / "part.h5", 7)
    write_part(tmp_path / "run" / "part.h5", 8)  # where a text without its dots would lead
    path = tmp_path / "run" / "master.h5"
    assert read_by_us(path) == read_by_h5py(path) == {"link": 7, "virtual": 7}
    assert mf.parse(path).files.urls == (f"file://{tmp_path}/parts/part.h5",)
