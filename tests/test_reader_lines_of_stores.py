"""The lines that reports print run wherever the source is, in a process without our packages and with keys at most."""

from contextlib import contextmanager
from importlib.util import find_spec

import boto3
import manifestry as mf
import netCDF4
import numpy as np
import pytest
from manifestry.testing.servers import range_server
from obstore.store import S3Store

from tests.support.printed_lines import read_printed
from tests.support.s3_server import s3_server

OUTPUTS = {"a.icechunk": {}, "a.json": {"zarr_format": 2}, "three.json": {"zarr_format": 3}, "a.parq": {}}
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
SYSTEM = {"file": set(), "http": {"aiohttp"}, "s3": {"s3fs"}}


def _flat(root):
    root.createDimension("x", 6)
    root.createVariable("v", "f4", ("x",), chunksizes=(3,))[:] = np.arange(6)


def _grouped(root):
    _flat(root)
    root.createGroup("g").createVariable("w", "f8", ("x",))[:] = np.arange(6) / 2


FILES = {
    "flat.nc": (_flat, {"v": np.arange(6)}),
    "grouped.nc": (_grouped, {"v": np.arange(6), "g/w": np.arange(6) / 2}),
}


@contextmanager
def local(folder, monkeypatch):
    yield f"file://{folder}", None


@contextmanager
def over_http(folder, monkeypatch):
    with range_server({f"/{name}": (folder / name).read_bytes() for name in FILES}) as server:
        yield server.url, None


@contextmanager
def in_a_bucket(folder, monkeypatch):
    """The store is in no variable: what lines say of it is from the store that was given; keys are."""
    with s3_server() as server:
        for name in FILES:
            server.store().put(name, (folder / name).read_bytes())
        for name, value in KEYS.items():
            monkeypatch.setenv(name, value)
        yield "s3://bucket", {"s3://bucket": server.store()}


def publish(server, folder):
    keys = {name.lower(): value for name, value in KEYS.items()}
    client = boto3.client("s3", endpoint_url=server.endpoint, region_name="us-east-1", **keys)
    for name in FILES:
        client.put_object(Bucket=server.bucket, Key=name, Body=(folder / name).read_bytes(), ACL="public-read")


@contextmanager
def in_a_public_bucket(folder, monkeypatch):
    with s3_server() as server:
        publish(server, folder)
        options = {"endpoint": server.endpoint, "region": "us-east-1", "skip_signature": True}
        yield "s3://bucket", {"s3://bucket": S3Store("bucket", **options, client_options={"allow_http": True})}


@contextmanager
def in_a_public_bucket_by_variables(folder, monkeypatch):
    with s3_server() as server:
        publish(server, folder)
        variables = {name: value for name, value in server.environment.items() if name not in KEYS}
        for name, value in {**variables, "AWS_SKIP_SIGNATURE": "true"}.items():
            monkeypatch.setenv(name, value)
        yield "s3://bucket", None


def _can_run(report):
    """Kerchunk of S3 is opened by s3fs, whose botocore is not that of moto."""
    return "s3fs" not in report.requirements or find_spec("s3fs")


@pytest.mark.filterwarnings("ignore:Unclosed client session:ResourceWarning")
@pytest.mark.parametrize("place", [local, over_http, in_a_bucket, in_a_public_bucket, in_a_public_bucket_by_variables])
def test_the_lines_run_as_they_are_printed(place, tmp_path, monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_SKIP_SIGNATURE", "AWS_PROFILE", *KEYS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, (make, _) in FILES.items():
        with netCDF4.Dataset(tmp_path / name, "w") as root:
            make(root)
    with place(tmp_path, monkeypatch) as (base, stores):
        reports = {
            f"{name} {output}": mf.convert(
                f"{base}/{name}", tmp_path / f"{name}.{output}", stores=stores, write=options
            ).written
            for name in FILES
            for output, options in OUTPUTS.items()
        }
        lines = {job: report.reader for job, report in reports.items() if _can_run(report)}
        opened = read_printed(lines, tmp_path)
    for job, (kind, arrays) in opened.items():
        expected = FILES[job.split()[0]][1]
        assert kind == ("tree" if "g/w" in expected else "ds"), (job, arrays)
        assert arrays.keys() == expected.keys(), job
        for path, values in expected.items():
            assert arrays[path][1].tolist() == values.tolist(), (job, path)
    for job, report in reports.items():
        needed = {"xarray"}
        if job.endswith("icechunk"):
            needed |= {"icechunk"}
        else:
            needed |= {"fsspec", *SYSTEM[base.partition(":")[0]]}
            needed |= {"kerchunk"} if "kerchunk" in report.reader else set()
            needed |= {"zarr"} if "zarr.storage" in report.reader else set()
            needed |= {"fastparquet", "pandas"} if job.endswith("parq") else set()
        assert set(report.requirements) == needed, job
        assert "test" not in report.reader.replace(str(tmp_path), "")  # the keys
        if "s3fs" in needed:
            public = place is not in_a_bucket
            assert (f"'anon': {public}" in report.reader) == public
            assert "'endpoint_url': 'http://127.0.0.1:" in report.reader
            assert "'client_kwargs': {'region_name': 'us-east-1'}" in report.reader
            assert ("'asynchronous': True" in report.reader) == ("kerchunk" not in needed)
