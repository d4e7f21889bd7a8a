"""One commit from several processes."""

from pathlib import Path

import icechunk
import manifestry as mf
import numpy as np
import pytest
import zarr
from manifestry.plugin import ChunkManifest, Provenance
from manifestry.testing.building import TreeBuilder
from manifestry_icechunk.distributed import write_parts


def part(directory, number):
    directory.mkdir(parents=True, exist_ok=True)
    b = TreeBuilder(directory)
    b.array("x", np.full((2, 3), number, "i4"), (1, 3), dims=("t", "x"), missing=[(1, 0)] if number == 3 else ())
    tree = b.tree()
    return tree.with_(provenance=(Provenance("raw", "1", {}, tree.files),))


def make(item):
    base, number = item
    if number < 0:
        raise mf.SourceError("this part cannot be read")
    return part(Path(base) / f"part {number}", number), {"t": (2 * number, 2 * number + 2)}


def layout(base, count):
    x = part(base / "pattern", 0)["x"]
    metadata = x.metadata.with_(shape=(2 * count, 3))
    return mf.VirtualGroup(
        {"x": mf.VirtualArray(metadata, ChunkManifest.missing(metadata.grid_shape))}, groups={}, attributes={"n": count}
    )


def test_parts_of_spawned_processes_are_one_commit(tmp_path):
    target = tmp_path / "out.icechunk"
    items = [(str(tmp_path), n) for n in range(5)]
    report = write_parts(layout(tmp_path, 5), target, items, make, sources=[str(tmp_path)], group="g", checksums=False)
    assert report.references == 9
    found = mf.parse(target, group="g")
    values = zarr.open_array(mf.open_store(found), path="x", mode="r")[...]
    expected = np.repeat(np.arange(5, dtype="i4"), 2)
    expected[7] = 0
    np.testing.assert_array_equal(values, np.repeat(expected[:, None], 3, axis=1))
    assert {Path(f.url).parent.name for p in found.provenance for f in p.sources} == {f"part {n}" for n in range(5)}
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(target)))
    assert repository.list_branches() == {"main"}


def test_one_failing_part_leaves_nothing(tmp_path):
    target = tmp_path / "out.icechunk"
    with pytest.raises(mf.SourceError, match="this part cannot be read"):
        write_parts(layout(tmp_path, 2), target, [(str(tmp_path), -1)], make, sources=[str(tmp_path)], workers=1)
    assert not [p for p in tmp_path.iterdir() if "icechunk" in p.name]


def test_retrying_parts_is_refused(tmp_path):
    with pytest.raises(mf.OptionError, match="cannot be written again"):
        write_parts(layout(tmp_path, 1), tmp_path / "o.icechunk", [], make, sources=[], on_conflict="retry")
