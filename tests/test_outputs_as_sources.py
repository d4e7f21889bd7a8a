"""Any store that we write is a source too: every format into every other, and the references stay what they were."""

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
    root, original = zarr.open_group(again.store(), mode="r"), zarr.open_group(tree.store(), mode="r")
    for path, array in tree.walk_arrays():
        found = again[path]
        assert (found.shape, found.dtype, found.dims) == (array.shape, array.dtype, array.dims), path
        assert locations(found) == locations(array), path
        np.testing.assert_array_equal(root[path][...], original[path][...], err_msg=path)
    assert again.provenance == tree.provenance


def locations(array):
    return {key: (chunk.file.url, chunk.offset, chunk.length) for key, chunk in array.manifest.to_dict().items()}
