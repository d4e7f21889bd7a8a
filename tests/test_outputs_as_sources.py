"""Any store that we write is a source too: every format into every other, and the references stay what they were."""

import shutil

import manifestry as mf
import numpy as np
import pytest
import zarr

ENDINGS = (".icechunk", ".json", ".parq")


@pytest.mark.parametrize("first", ENDINGS)
@pytest.mark.parametrize("second", ENDINGS)
def test_references_survive_two_formats(sample, tmp_path, first, second):
    tree = mf.parse(sample)
    mf.write(tree, tmp_path / f"first{first}")
    mf.convert(tmp_path / f"first{first}", tmp_path / f"second{second}")
    again = mf.parse(tmp_path / f"second{second}")
    assert dict(again.walk_arrays()).keys() == dict(tree.walk_arrays()).keys()
    root, original = zarr.open_group(mf.open_store(again), mode="r"), zarr.open_group(mf.open_store(tree), mode="r")
    for path, array in tree.walk_arrays():
        found = again[path]
        assert (found.shape, found.dtype, found.dims) == (array.shape, array.dtype, array.dims), path
        assert locations(found) == locations(array), path
        np.testing.assert_array_equal(root[path][...], original[path][...], err_msg=path)
    assert again.provenance == tree.provenance


@pytest.mark.parametrize("ending", ENDINGS)
def test_relocated_references_are_read_where_the_files_went(sample, tmp_path, ending):
    (tmp_path / "here").mkdir()
    source = shutil.copy(sample, tmp_path / "here")
    original = {path: array[...] for path, array in zarr.open_group(mf.open_store(mf.parse(source)), mode="r").arrays()}
    tree = mf.parse(source).relocate({f"file://{tmp_path}/here/": f"file://{tmp_path}/there/"})
    mf.write(tree, tmp_path / f"out{ending}")
    (tmp_path / "here").rename(tmp_path / "there")
    again = mf.parse(tmp_path / f"out{ending}")
    assert {file.url for file in again.files} == {f"file://{tmp_path}/there/{sample.name}"}
    found = zarr.open_group(mf.open_store(again), mode="r")
    for path, values in original.items():
        np.testing.assert_array_equal(found[path][...], values, err_msg=path)


def locations(array):
    return {key: (chunk.file.url, chunk.offset, chunk.length) for key, chunk in array.manifest.to_dict().items()}
