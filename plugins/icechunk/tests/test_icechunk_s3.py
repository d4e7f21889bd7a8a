"""Repositories and sources on S3."""

import icechunk
import manifestry as mf
import numpy as np
import obstore
import pytest
import zarr
from manifestry.plugin import ChunkManifest
from manifestry.testing.refusing import refuses
from s3_server import s3_server


@pytest.fixture(scope="module")
def server():
    with s3_server("archive") as running:
        yield running


@pytest.fixture
def stores(server):
    return {"s3://archive": server.store()}


@pytest.fixture
def place(request):
    """A prefix of the bucket for one test."""
    return f"s3://archive/{request.node.name}"


def tree_on(place, stores, name="in/a b#%.bin", values=None):
    values = np.arange(6.0) if values is None else values
    url = f"{place}/{name}"
    obstore.put(stores["s3://archive"], url.removeprefix("s3://archive/"), values.tobytes())
    metadata = mf.ArrayMetadata(
        shape=values.shape,
        dtype=values.dtype,
        chunk_grid=mf.RegularGrid((2,)),
        codecs=(mf.Codec("bytes", {"endian": "little"}),),
        fill_value=0.0,
        dims=("t",),
    )
    offsets = np.arange(0, values.nbytes, 16)
    manifest = ChunkManifest.from_columns((len(offsets),), [mf.Source(url, stores).file], 0, offsets, 16)
    return mf.VirtualGroup({"x": mf.VirtualArray(metadata, manifest)})


def test_a_repository_on_s3_over_sources_on_s3(place, stores, server, fresh):
    target = f"{place}/repo.icechunk"
    report = mf.write(tree_on(place, stores), target, stores=stores)
    assert "access_key" not in report.reader
    read = fresh.read(report, env=server.environment)
    np.testing.assert_array_equal(read["arrays"]["x"][0], np.arange(6.0))
    with pytest.raises(mf.TargetExistsError):
        mf.write(tree_on(place, stores), target, stores=stores)
    longer = tree_on(place, stores, "in/b.bin", np.arange(6.0) + 6)
    mf.write(longer, target, append_dim="t", stores=stores)
    found = mf.parse(target, stores=stores)
    assert [file.url for file in found.files] == [f"{place}/in/a b#%.bin", f"{place}/in/b.bin"]
    values = zarr.open_array(mf.open_store(found, stores=stores), path="x", mode="r")[...]
    np.testing.assert_array_equal(values, np.arange(12.0))


def test_settings_and_credentials_from_the_environment(place, stores, server, monkeypatch, fresh):
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    report = mf.write(tree_on(place, stores), f"{place}/repo", format="icechunk")
    read = fresh.read(report, env=server.environment)
    np.testing.assert_array_equal(read["arrays"]["x"][0], np.arange(6.0))
    assert mf.parse(f"{place}/repo")["x"].shape == (6,)


def test_settings_from_options(place, stores, server, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, server.environment[name])
    settings = {"endpoint_url": server.endpoint, "region": "us-east-1"}
    report = mf.write(tree_on(place, stores), f"{place}/repo", format="icechunk", storage=settings, sources=settings)
    assert server.endpoint in report.reader
    with pytest.raises(mf.OptionError, match="secret"):
        mf.write(tree_on(place, stores), f"{place}/other", format="icechunk", storage={"secret_access_key": "x"})


def test_an_object_that_was_replaced_is_noticed_by_its_entity_tag(place, stores, server, tmp_path):
    mf.write(tree_on(place, stores), tmp_path / "out.icechunk", stores=stores)
    keys = {"access_key_id": "test", "secret_access_key": "test"}
    access = icechunk.containers_credentials({f"{place}/in/": icechunk.s3_credentials(**keys)})
    repository = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(tmp_path / "out.icechunk")), authorize_virtual_chunk_access=access
    )
    x = zarr.open_array(repository.readonly_session("main").store, path="x", mode="r")
    np.testing.assert_array_equal(x[...], np.arange(6.0))
    tree_on(place, stores, values=np.arange(6.0) + 1)  # within the same second
    with pytest.raises(icechunk.IcechunkError, match="checksum"):
        x[...]


def test_a_remote_repository_points_into_its_own_bucket_only(place, stores, tmp_path):
    (tmp_path / "a.bin").write_bytes(bytes(16))
    metadata = mf.ArrayMetadata(
        shape=(2,),
        dtype=np.dtype("f8"),
        chunk_grid=mf.RegularGrid((2,)),
        codecs=(mf.Codec("bytes", {"endian": "little"}),),
        fill_value=0.0,
    )
    manifest = ChunkManifest.single(mf.Source(tmp_path / "a.bin").file, 0, 16, (1,))
    tree = mf.VirtualGroup({"x": mf.VirtualArray(metadata, manifest)})
    mf.write(tree, f"{place}/repo.icechunk", stores=stores)
    with pytest.raises(mf.SourceError, match="not allowed"):
        mf.parse(f"{place}/repo.icechunk", stores=stores)
    assert mf.parse(f"{place}/repo.icechunk", stores=stores, allow=[str(tmp_path)])["x"].shape == (2,)


def test_a_bucket_that_does_not_exist(place, stores, server):
    gone = {**stores, "s3://no-such-bucket": type(server)(server.endpoint, "no-such-bucket", {}).store()}
    with refuses(match="no-such-bucket"):
        mf.write(tree_on(place, stores), "s3://no-such-bucket/repo", format="icechunk", stores=gone)
