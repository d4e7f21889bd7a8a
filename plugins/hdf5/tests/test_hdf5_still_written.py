"""Files that a program has not closed: read as h5py reads them with ``swmr=True``, or refused by name."""

import shutil

import h5py
import manifestry as mf
import numpy as np
import pytest
import zarr
from manifestry.testing.servers import range_server


def copy_while_open(tmp_path, *, swmr, userblock=0):
    """A copy of a file that is open for writing."""
    live, copy = tmp_path / "live.h5", tmp_path / "copy.h5"
    with h5py.File(live, "w", libver="latest", userblock_size=userblock) as file:
        frames = file.create_dataset("frames", (0, 8), maxshape=(None, 8), chunks=(2, 8), dtype="i4")
        file["group/other"] = np.arange(3.0)
        file.flush()
        if swmr:
            file.swmr_mode = True
        frames.resize((5, 8))
        frames[:] = np.arange(40).reshape(5, 8)
        frames.flush()
        shutil.copy(live, copy)
    return copy


@pytest.mark.parametrize("userblock", [0, 512, 4096])
def test_swmr(tmp_path, userblock):
    path = copy_while_open(tmp_path, swmr=True, userblock=userblock)
    tree = mf.parse(path)
    assert [(issue.path, issue.feature, issue.severity) for issue in tree.issues] == [
        ("", "file that is still being written", "reported")
    ]
    found = zarr.open_group(mf.open_store(tree), mode="r")
    with h5py.File(path, swmr=True) as truth:
        for name in ("frames", "group/other"):
            assert found[name][...].tolist() == truth[name][...].tolist()
    mf.write(tree, tmp_path / "o.json")
    assert mf.verify(tmp_path / "o.json").ok


def test_a_file_that_was_never_closed(tmp_path):
    path = copy_while_open(tmp_path, swmr=False)
    with pytest.raises(mf.UnsupportedFeatureError, match=r"open for writing.*h5clear -s"):
        mf.parse(path)


def test_a_remote_file(tmp_path):
    data = copy_while_open(tmp_path, swmr=True).read_bytes()
    refused = pytest.raises(mf.UnsupportedFeatureError, match="copy it to this machine")
    with range_server({"/live.h5": data}) as server, refused:
        mf.parse(f"{server.url}/live.h5")


def test_the_part_of_a_virtual_dataset(tmp_path):
    part = copy_while_open(tmp_path, swmr=True)
    with h5py.File(tmp_path / "master.h5", "w", libver="latest") as file:
        layout = h5py.VirtualLayout((5, 8), "i4")
        layout[:] = h5py.VirtualSource(part.name, "frames", shape=(5, 8))
        file.create_virtual_dataset("frames", layout)
    tree = mf.parse(tmp_path / "master.h5")
    [issue] = tree.issues
    assert issue.message.startswith(f"file://{part}: this is what it holds now")
    found = zarr.open_group(mf.open_store(tree), mode="r")["frames"][...]
    assert found.tolist() == np.arange(40).reshape(5, 8).tolist()
