"""Documents in object stores: a moto server plays S3."""

from __future__ import annotations

import json

import boto3
import manifestry as mf
import numpy as np
import obstore
import pytest
from manifestry.plugin import SourceError, StoreRegistry, TargetExistsError
from manifestry.storage.retrying import RetryPolicy
from moto.server import ThreadedMotoServer
from obstore.exceptions import GenericError
from obstore.store import MemoryStore, S3Store


@pytest.fixture(scope="module")
def stores():
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    endpoint = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **keys)
    client.create_bucket(Bucket="bucket")
    store = S3Store(
        "bucket",
        endpoint=endpoint,
        region="us-east-1",
        client_options={"allow_http": True},
        virtual_hosted_style_request=False,
        **keys,
    )
    store.put("data/a b#c.bin", np.arange(6, dtype="<i4").tobytes())
    yield {"s3://bucket": store}
    server.stop()


def tree(stores, count=3):
    source = mf.Source("s3://bucket/data/a b#c.bin", stores)
    codecs = (mf.Codec("bytes", {"endian": "little"}),)
    meta = mf.ArrayMetadata(
        shape=(2 * count,),
        dtype=np.dtype("i4"),
        chunk_grid=mf.RegularGrid((2,)),
        codecs=codecs,
        fill_value=np.int32(0),
        dims=("n",),
    )
    manifest = mf.ChunkManifest.from_columns((count,), [source.file], 0, np.arange(count) * 8, 8)
    return mf.VirtualGroup({"v": mf.VirtualArray(meta, manifest)})


@pytest.mark.parametrize("name", ["out.json", "out.json.zst"])
def test_a_document_in_a_bucket(stores, name):
    target = f"s3://bucket/outputs/{name}"
    mf.write(tree(stores), target, stores=stores)
    found = mf.parse(target, stores=stores)
    assert [found["v"].manifest[i].offset for i in range(3)] == [0, 8, 16]
    assert found.files.urls == ("s3://bucket/data/a b#c.bin",)
    with pytest.raises(TargetExistsError, match="overwrite=True"):
        mf.write(tree(stores, 2), target, stores=stores)
    mf.write(tree(stores, 2), target, stores=stores, overwrite=True)
    assert mf.parse(target, stores=stores)["v"].shape == (4,)


def test_what_is_no_document_stays(stores):
    store = stores["s3://bucket"]
    store.put("outputs/other.json", b'{"mine": 1}')
    with pytest.raises(TargetExistsError, match="not a document"):
        mf.write(tree(stores), "s3://bucket/outputs/other.json", stores=stores, overwrite=True)
    assert store.get("outputs/other.json").bytes().to_bytes() == b'{"mine": 1}'


def test_chunks_are_copied_out_of_the_bucket(stores):
    mf.write(tree(stores), "s3://bucket/outputs/inline.json", stores=stores, inline_below=9)
    document = json.loads(stores["s3://bucket"].get("outputs/inline.json").bytes().to_bytes())
    assert document["refs"]["v/1"] == "base64:AgAAAAMAAAA="


def test_a_bucket_that_is_not_there(stores):
    with pytest.raises(SourceError):
        mf.write(tree(stores), "s3://nowhere/out.json", stores={"s3://nowhere": _elsewhere(stores)})


def _elsewhere(stores):
    config = {**stores["s3://bucket"].config, "bucket": "nowhere"}
    return S3Store(config=config, client_options={"allow_http": True}, retry_config={"max_retries": 0})


def test_a_store_of_tables_in_a_bucket(stores):
    pytest.importorskip("manifestry_kerchunk_parquet")
    target = "s3://bucket/outputs/out.parq"
    mf.write(tree(stores), target, stores=stores, record_size=2)
    found = mf.parse(target, stores=stores)
    assert found["v"].manifest.offsets.tolist() == [0, 8, 16]
    with pytest.raises(TargetExistsError):
        mf.write(tree(stores), target, stores=stores)
    mf.write(tree(stores, 1), target, stores=stores, overwrite=True)
    names = [entry["path"] for entry in stores["s3://bucket"].list("outputs/out.parq/").collect()]
    assert max(names) == "outputs/out.parq/v/refs.0.parq"


@pytest.mark.parametrize("name", ["out.json", "out.parq"])
def test_uploads_copies_and_deletions_are_tried_again(stores, monkeypatch, name):
    if name.endswith("parq"):
        pytest.importorskip("manifestry_kerchunk_parquet")
    registry = StoreRegistry(policy=RetryPolicy(pause=0.01))
    registry._defaults["s3://elsewhere"] = MemoryStore()
    failed = set()
    for function in ("put", "copy", "delete"):
        real = getattr(obstore, function)

        def flaky(store, *arguments, real=real, **options):
            if real not in failed:
                failed.add(real)
                raise GenericError("Error performing PUT\ninner: Status {\n  status: 503,")
            return real(store, *arguments, **options)

        monkeypatch.setattr(obstore, function, flaky)
    for count in (3, 2):
        mf.write(tree(stores, count), f"s3://elsewhere/{name}", stores=registry, overwrite=True)
    assert mf.parse(f"s3://elsewhere/{name}", stores=registry, allow=["s3://bucket/"])["v"].shape == (4,)
    assert len(failed) == (3 if name.endswith("parq") else 1)
