"""Repositories as trees: what was written comes back, of any commit, and of any writer."""

import json

import icechunk
import manifestry as mf
import numpy as np
import pytest
import zarr
from manifestry.model.attributes import attributes_to_json
from manifestry.plugin import Provenance, documents_of, metadata_from_documents
from manifestry.testing.building import TreeBuilder
from manifestry.testing.trees import SAMPLES, make_sample
from manifestry_icechunk.repository.nodes import Nodes
from zarr.core.buffer import cpu


def as_json(tree):
    """A tree with the attributes that JSON makes of its own."""
    plain = tree.map_arrays(
        lambda _, array: mf.VirtualArray(metadata_from_documents(documents_of(array.metadata).json), array.manifest)
    )
    return _groups_as_json(plain)


def _groups_as_json(tree):
    return tree.with_(
        attributes=attributes_to_json(tree.attributes)[0],
        groups={name: _groups_as_json(group) for name, group in tree.groups.items()},
    )


@pytest.mark.parametrize("name", SAMPLES)
def test_what_was_written_comes_back(name, tmp_path):
    sample = make_sample(name, tmp_path / "source")
    known = sample.tree.with_(provenance=(Provenance("raw", "1.0", {}, sample.tree.files),))
    mf.write(known, tmp_path / "out.icechunk")
    found = mf.parse(tmp_path / "out.icechunk")
    assert as_json(found) == as_json(sample.tree)


def provenanced(tmp_path, name, start=0):
    (tmp_path / name).mkdir()
    b = TreeBuilder(tmp_path / name)
    b.array("x", np.arange(start, start + 4.0), (2,), dims=("t",))
    tree = b.tree()
    return tree.with_(provenance=(Provenance("raw", "1.0", {"group": name}, tree.files),))


def test_provenance_and_what_is_known_of_sources_come_back(tmp_path):
    first, second = provenanced(tmp_path, "a"), provenanced(tmp_path, "b", 4)
    target = tmp_path / "out.icechunk"
    mf.write(first, target)
    mf.write(second, target, append_dim="t")
    found = mf.parse(target)
    assert found.provenance == (*first.provenance, *second.provenance)
    assert list(found.files) == [*first.files, *second.files]
    mf.write(second, target, overwrite=True)
    assert mf.parse(target).provenance == second.provenance


def test_branch_tag_snapshot_and_group(tmp_path):
    target = tmp_path / "out.icechunk"
    one, two = provenanced(tmp_path, "a"), provenanced(tmp_path, "b", 10)
    first = mf.write(one, target, tag="v1")
    mf.write(two, target, overwrite=True, branch="next", group="")
    assert mf.parse(target) == mf.parse(target, tag="v1") == mf.parse(target, snapshot=first.details["snapshot"])
    assert list(mf.parse(target, branch="next").files) == list(two.files)
    with pytest.raises(mf.OptionError, match="one of branch, tag and snapshot"):
        mf.parse(target, branch="main", tag="v1")
    with pytest.raises(mf.SourceError, match="nowhere"):
        mf.parse(target, branch="nowhere")
    with pytest.raises(mf.OptionError, match="there is no group 'g'"):
        mf.parse(target, group="g")


def native(tmp_path, size=1000):
    storage = icechunk.local_filesystem_storage(str(tmp_path / "native"))
    repository = icechunk.Repository.create(storage)
    session = repository.writable_session("main")
    root = zarr.create_group(session.store, attributes={"by": "zarr"})
    root.create_array("deep/below/x", data=np.arange(size, dtype="i8"), chunks=(size // 2,))
    session.commit("native")
    return tmp_path / "native"


def test_native_chunks_of_another_writer_are_copied_within_limits(tmp_path):
    source = native(tmp_path)
    found = mf.parse(source)
    assert found.attributes == {"by": "zarr"}
    assert found["deep/below/x"].manifest.inlined.all()
    values = zarr.open_array(mf.open_store(found), path="deep/below/x", mode="r")[...]
    np.testing.assert_array_equal(values, np.arange(1000))
    with pytest.raises(
        mf.UnsupportedFeatureError, match="deep/below/x: chunks of the repository's own of more than 10"
    ):
        mf.parse(source, limits=mf.Limits(max_inline_bytes=10))


def test_inline_below_copies_small_arrays(tmp_path):
    mf.write(provenanced(tmp_path, "a"), tmp_path / "out.icechunk")
    found = mf.parse(tmp_path / "out.icechunk", inline_below=100)
    assert found["x"].manifest.inlined.all()
    assert found["x"].manifest.inline == np.arange(4.0).tobytes()


def test_selection_reads_only_what_is_wanted(tmp_path):
    sample = make_sample("groups", tmp_path / "source")
    mf.write(sample.tree, tmp_path / "out.icechunk")
    found = mf.parse(tmp_path / "out.icechunk", include=["g/h"])
    assert [path for path, _ in found.walk_arrays()] == ["g/h/t"]
    assert [path for path, _ in mf.parse(tmp_path / "out.icechunk", group="g").walk_arrays()] == ["t", "h/t"]


def test_allow_limits_where_references_may_point(tmp_path):
    mf.write(provenanced(tmp_path, "a"), tmp_path / "out.icechunk")
    assert mf.parse(tmp_path / "out.icechunk", allow=[str(tmp_path / "a")]).files
    with pytest.raises(mf.SourceError, match="which is not allowed"):
        mf.parse(tmp_path / "out.icechunk", allow=[str(tmp_path / "b")])


def test_a_directory_that_only_looks_like_a_repository(tmp_path):
    (tmp_path / "snapshots").mkdir()
    with pytest.raises(mf.SourceError, match="no Icechunk repository"):
        mf.parse(tmp_path)


def test_metadata_of_the_commit_is_json(tmp_path):
    mf.write(provenanced(tmp_path, "a"), tmp_path / "out.icechunk", message="hello", metadata={"run": 7})
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(tmp_path / "out.icechunk")))
    commit = next(iter(repository.ancestry(branch="main")))
    assert commit.message == "hello"
    assert commit.metadata["run"] == 7
    assert json.dumps(commit.metadata, allow_nan=False)


def test_commits_of_others_that_say_something_else_of_their_sources(tmp_path):
    repository = icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / "out.icechunk")))
    session = repository.writable_session("main")
    zarr.create_group(session.store)
    session.commit("odd", {"manifestry": "text", "manifestry_write": {"group": 7}})
    found = mf.parse(tmp_path / "out.icechunk").provenance
    assert [part.parser for part in found] == ["icechunk"]  # its own alone


@pytest.mark.parametrize("data", [b"{", b"\xff", b"[]", b'{"node_type": "file"}', b"[" * 100_000])
def test_documents_of_damaged_snapshots(data):
    class Damaged:
        async def get(self, *_):
            return cpu.Buffer.from_bytes(data)

    with pytest.raises(mf.MalformedFileError, match=r"^v: the document of the node"):
        Nodes(Damaged()).document("v")
