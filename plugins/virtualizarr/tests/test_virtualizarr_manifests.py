"""Trees to VirtualiZarr's manifests and back: nothing is lost but what the bridge says is lost."""

import dataclasses

import manifestry as mf
import pytest

pytest.importorskip("virtualizarr")

import numpy as np
import zarr
from hypothesis import HealthCheck, given, settings
from manifestry.model.attributes import value_to_json
from manifestry.plugin import (
    INLINE,
    ArrayMetadata,
    ChunkManifest,
    Codec,
    FileTable,
    ManifestError,
    RegularGrid,
    SourceFile,
    UnsupportedFeatureError,
    VirtualArray,
    VirtualGroup,
    documents_of,
)
from manifestry.testing.strategies import chunk_manifests, virtual_groups
from manifestry.testing.trees import SAMPLES, make_sample
from manifestry_virtualizarr import from_manifest_group, to_manifest_group
from virtualizarr.manifests import ChunkManifest as PeerManifest, ManifestArray, ManifestGroup, ManifestStore
from virtualizarr.manifests.utils import create_v3_array_metadata

LITTLE = Codec("bytes", {"endian": "little"})
NO_TYPES = "ignore:The data type .* does not have a Zarr V3 specification"


def bare(file: SourceFile) -> SourceFile:
    """What VirtualiZarr knows of a file."""
    return SourceFile(file.url)


def bare_manifest(manifest: ChunkManifest) -> ChunkManifest:
    files = FileTable(map(bare, manifest.files))
    return dataclasses.replace(manifest, files=files)


def documents(tree: VirtualGroup) -> dict:
    """The Zarr documents of all arrays: what VirtualiZarr holds of them."""
    return {path: dict(documents_of(array.metadata).json["zarr.json"]) for path, array in tree.walk_arrays()}


def can_be_named(manifest: ChunkManifest) -> bool:
    return not any(c in url for url in manifest.files.urls for c in "#?;\t\r\n%")


def hold(array: VirtualArray) -> ManifestArray:
    return to_manifest_group(VirtualGroup({"v": array}))["v"]


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.filterwarnings("ignore:.*attribute without a JSON form:UserWarning")
def test_samples_come_back(name, tmp_path):
    sample = make_sample(name, tmp_path / "sample")
    if name in ("rectilinear", "odd-paths"):
        with pytest.raises(UnsupportedFeatureError, match="in VirtualiZarr"):
            to_manifest_group(sample.tree)
        return
    group = to_manifest_group(sample.tree)
    known = {file.url: file for file in sample.tree.files}
    tree = from_manifest_group(group, known.__getitem__)
    assert documents(tree) == documents(sample.tree)
    assert [path for path, _ in tree.walk()] == [path for path, _ in sample.tree.walk()]
    for path, array in sample.tree.walk_arrays():
        assert tree[path].manifest == array.manifest, path
        assert tree[path].dtype == array.dtype, path
    for path, expected in sample.attributes.items():
        assert value_to_json({k: v for k, v in tree[path].attributes.items() if k != "_FillValue"}) == expected
    read = zarr.open_group(mf.open_store(tree), mode="r")
    for path, expected in sample.values.items():
        found = np.asarray(read[path][...])
        assert found.tobytes() == expected.tobytes() or found.tolist() == expected.tolist(), path


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(chunk_manifests().filter(can_be_named))
def test_any_manifest_comes_back(manifest):
    metadata = ArrayMetadata(shape=manifest.grid_shape, dtype=np.dtype("u1"), chunk_grid=RegularGrid((1,) * len(manifest.grid_shape)),
                             codecs=(Codec("bytes"), Codec("gzip", {"level": 1})), fill_value=0)  # fmt: skip
    group = to_manifest_group(VirtualGroup({"v": VirtualArray(metadata, manifest)}))
    assert group["v"].manifest.shape_chunk_grid == manifest.grid_shape
    assert from_manifest_group(group)["v"].manifest == bare_manifest(manifest)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(virtual_groups())
@pytest.mark.filterwarnings("ignore::UserWarning", NO_TYPES)
def test_any_tree_comes_back(tree):
    if not all(can_be_named(array.manifest) for _, array in tree.walk_arrays()):
        return
    back = from_manifest_group(to_manifest_group(tree))
    assert documents(back) == documents(tree)
    for path, array in tree.walk_arrays():
        assert back[path].manifest == bare_manifest(array.manifest)


def peer_array(manifest: PeerManifest, shape=(4,), chunks=(1,), **more) -> ManifestArray:
    codecs = [{"name": "bytes", "configuration": {"endian": "little"}}]
    metadata = create_v3_array_metadata(shape, np.dtype("i4"), chunks, codecs=codecs, dimension_names=("x",), **more)
    return ManifestArray(metadata, manifest)


def strings(*values: str) -> np.ndarray:
    return np.array(values, np.dtypes.StringDType())


def test_garbage_beside_missing_chunks_is_not_taken_for_references():
    manifest = PeerManifest.from_arrays(
        paths=strings("s3://b/k", "", "s3://b/k", "s3://b/other"),
        offsets=np.array([4, 2**63, 8, 0], "u8"),
        lengths=np.array([4, 99, 4, 4], "u8"),
    )
    tree = from_manifest_group(ManifestGroup(arrays={"v": peer_array(manifest, fill_value=7)}))
    found = tree["v"].manifest
    assert found.stored.tolist() == [True, False, True, True]
    assert found.offsets.tolist() == [4, 0, 8, 0]
    assert found.files.urls == ("s3://b/k", "s3://b/other")
    assert tree["v"].metadata.fill_value == 7


def test_inlined_chunks_keep_their_bytes():
    entries = {
        "0": {"path": "", "offset": 0, "length": 4, "data": b"abcd"},
        "1": {"path": "s3://b/k", "offset": 4, "length": 4},
        "3": {"path": "", "offset": 0, "length": 4, "data": b"efgh"},
    }
    group = ManifestGroup(arrays={"v": peer_array(PeerManifest(entries, shape=(4,)))})
    found = from_manifest_group(group)["v"].manifest
    assert [found[i] and found[i].data for i in range(4)] == [b"abcd", None, None, b"efgh"]
    assert found.file_index.tolist()[0] == INLINE
    again = hold(from_manifest_group(group)["v"]).manifest
    assert again.dict() == group["v"].manifest.dict()


def test_an_inlined_chunk_without_bytes_is_a_contradiction():
    manifest = PeerManifest.from_arrays(
        paths=strings("__inlined__"), offsets=np.zeros(1, "u8"), lengths=np.ones(1, "u8"), validate_paths=False
    )
    group = ManifestGroup(arrays={"v": peer_array(manifest, shape=(1,))})
    with pytest.raises(ManifestError, match="its bytes are not there"):
        from_manifest_group(group)


def test_nothing_is_stored():
    metadata = ArrayMetadata(
        shape=(5, 0),
        dtype=np.dtype("f4"),
        chunk_grid=RegularGrid((2, 1)),
        codecs=(LITTLE,),
        fill_value=np.float32("nan"),
        dims=("y", "x"),
    )
    array = VirtualArray(metadata, ChunkManifest.missing((3, 0)))
    assert from_manifest_group(to_manifest_group(VirtualGroup({"v": array})))["v"] == array
    metadata = metadata.with_(shape=(), chunk_grid=RegularGrid(()), dims=())
    array = VirtualArray(metadata, ChunkManifest.missing(()))
    assert from_manifest_group(to_manifest_group(VirtualGroup({"v": array})))["v"] == array


@pytest.mark.parametrize("url", ["file:///data/a#b.nc", "s3://b/a?b", "https://h/a;v=1", "https://h/a.nc?token=1"])
def test_urls_that_virtualizarr_would_cut_are_refused(url):
    metadata = ArrayMetadata(
        shape=(4,),
        dtype=np.dtype("u1"),
        chunk_grid=RegularGrid((4,)),
        codecs=(Codec("bytes"),),
        fill_value=0,
        dims=("x",),
    )
    array = VirtualArray(metadata, ChunkManifest.single(SourceFile(url), 0, 4, (1,)))
    with pytest.raises(UnsupportedFeatureError, match="in VirtualiZarr") as caught:
        to_manifest_group(VirtualGroup({"v": array}))
    assert caught.value.where == "v"


def test_attributes_without_a_json_form_are_named():
    tree = VirtualGroup(attributes={"title": "x", "odd": object()})
    with pytest.warns(UserWarning, match="@odd: attribute without a JSON form: object has no JSON form"):
        group = to_manifest_group(tree)
    assert group.metadata.attributes == {"title": "x"}


def test_columns_are_not_walked():
    """A million chunks: no Python object for each, in either direction."""
    n = 1_000_000
    files = FileTable([SourceFile(f"s3://b/{i}") for i in range(10)])
    index = np.repeat(np.arange(10, dtype="u4"), n // 10)
    manifest = ChunkManifest.from_columns((n,), files, index, np.arange(n, dtype="u8"), 4)
    metadata = ArrayMetadata(
        shape=(n,), dtype=np.dtype("i4"), chunk_grid=RegularGrid((1,)), codecs=(LITTLE,), fill_value=0, dims=("x",)
    )
    array = VirtualArray(metadata, manifest)
    counted = []
    peer = hold(array)
    tree = from_manifest_group(ManifestGroup(arrays={"v": peer}), lambda path: counted.append(path) or SourceFile(path))
    assert len(counted) == 10
    assert tree["v"] == array


def test_the_store_of_virtualizarr_reads_the_same(tmp_path):
    sample = make_sample("compressed", tmp_path / "sample")
    from obspec_utils.registry import ObjectStoreRegistry
    from obstore.store import LocalStore

    store = ManifestStore(to_manifest_group(sample.tree), registry=ObjectStoreRegistry({"file://": LocalStore()}))
    root = zarr.open_group(store, mode="r", zarr_format=3)
    for path, expected in sample.values.items():
        np.testing.assert_array_equal(root[path][...], expected)
