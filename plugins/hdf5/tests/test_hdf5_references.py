"""References to objects as elements: their paths, as texts."""

import h5py
import manifestry as mf
import numpy as np
import pytest
import zarr


def paths_of(path, name="cells", **options):
    tree = mf.parse(path, **options)
    values = zarr.open_group(mf.open_store(tree), mode="r", zarr_format=3)[name][...]
    return np.asarray(values, object if isinstance(values, str) else None).tolist()


@pytest.fixture(params=["earliest", "latest"])
def cells(request, tmp_path):
    """A cell array of MATLAB: references to datasets that other cells are in, one of them null."""
    path = tmp_path / "cells.mat"
    with h5py.File(path, "w", libver=request.param, userblock_size=512) as file:
        targets = [file.create_dataset(f"#refs#/{name}", data=np.arange(3.0)) for name in ("a", "b", "größe")]
        dataset = file.create_dataset("cells", (2, 2), h5py.ref_dtype)
        dataset[0] = [target.ref for target in targets[:2]]
        dataset[1, 1] = targets[2].ref
    return path


def test_cells(cells):
    tree = mf.parse(cells)
    [issue] = tree.issues
    assert (issue.path, issue.feature, issue.severity) == ("", "references as elements", "reported")
    assert paths_of(cells) == [["/#refs#/a", "/#refs#/b"], ["", "/#refs#/größe"]]


@pytest.mark.parametrize("target", ["o.json", "o.icechunk"])
def test_outputs_are_verified(cells, tmp_path, target):
    mf.convert([cells], tmp_path / target)
    assert mf.verify(tmp_path / target).ok


def test_they_can_be_refused(cells):
    with pytest.raises(mf.UnsupportedFeatureError, match=r"references as elements.*references='paths'"):
        mf.parse(cells, references="refuse")
    tree = mf.parse(cells, references="refuse", on_unsupported="skip")
    assert list(tree.groups["#refs#"].arrays) == ["a", "b", "größe"]
    assert not tree.arrays


def test_of_several_paths_the_shortest_counts(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        target = file.create_dataset("a/very/long/way", data=1)
        file["zz"] = file["bb"] = file["a/short"] = target
        file["a/loop"] = file["/"]
        file.create_dataset("cells", (3,), h5py.ref_dtype)[:] = [target.ref, file["a/very"].ref, file.ref]
        file["a"].attrs["there"] = target.ref
    assert paths_of(path) == ["/bb", "/a/very", "/"]
    assert mf.parse(path).groups["a"].attributes["there"] == mf.Reference("/bb")


def test_a_group_alone(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        target = file.create_dataset("elsewhere/d", data=1)
        file.create_dataset("here/cells", (1,), h5py.ref_dtype)[0] = target.ref
    assert paths_of(path, group="here") == ["/elsewhere/d"]


def test_every_storage(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        targets = [file.create_group(f"g{i}") for i in range(6)]
        references = np.array([group.ref for group in targets], h5py.ref_dtype)
        file.create_dataset("chunked", data=references, dtype=h5py.ref_dtype, chunks=(4,), compression="gzip")
        file.create_dataset("scalar", data=references[2], dtype=h5py.ref_dtype)
        file.create_dataset("never", (2,), h5py.ref_dtype)
    expected = [f"/g{i}" for i in range(6)]
    assert paths_of(path, "chunked") == expected
    assert paths_of(path, "scalar") == "/g2"
    assert paths_of(path, "never") == ["", ""]


def test_records_with_references_are_refused(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        records = np.zeros(2, [("who", h5py.ref_dtype), ("n", "i4")])
        records["who"], records["n"] = [file.ref, file.ref], 7
        file.create_dataset("records", data=records)
    with pytest.raises(mf.UnsupportedFeatureError, match="compound with references as elements"):
        mf.parse(path)


def test_a_target_that_is_gone(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        target = file.create_dataset("gone", data=np.arange(3))
        kept = file.create_group("kept")
        file.create_dataset("cells", (2,), h5py.ref_dtype)[:] = [kept.ref, target.ref]
        kept.attrs["there"] = target.ref
        del file["gone"]
    with pytest.raises(mf.UnsupportedFeatureError, match="reference to an object that has no path"):
        mf.parse(path)
    tree = mf.parse(path, on_unsupported="skip")
    assert not tree.arrays
    issues = {issue.path: issue.feature for issue in tree.issues if issue.path}
    assert issues["kept@there"] == "attribute that cannot be read"


def test_regions_are_not_lost(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        target = file.create_dataset("d", data=np.arange(12).reshape(4, 3))
        target.attrs["where"] = target.regionref[1:3, :]
        file.create_dataset("cells", (1,), h5py.regionref_dtype)[0] = target.regionref[0]
    tree = mf.parse(path, on_unsupported="skip")
    assert {issue.path for issue in tree.issues} == {"d@where", "cells"}
    assert list(tree.arrays) == ["d"]


def test_there_is_a_limit(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        target = file.create_group("a" * 200)
        file.create_dataset("cells", (100,), h5py.ref_dtype)[:] = [target.ref] * 100
    limits = mf.Limits(max_inline_bytes=10_000)
    with pytest.raises(mf.UnsupportedFeatureError, match="references as elements"):
        mf.parse(path, limits=limits)
