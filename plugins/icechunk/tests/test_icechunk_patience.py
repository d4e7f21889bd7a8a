"""Settings with which readers get chunks of remote sources through the faults of a server."""

from concurrent.futures import ThreadPoolExecutor

import icechunk
import manifestry as mf
import numpy as np
import pytest
from manifestry.plugin import ChunkManifest
from manifestry.testing.servers import range_server
from manifestry_icechunk.distributed import write_parts

CHUNK = 16 << 10
VALUES = np.arange(4 * CHUNK // 4, dtype="u4")
PATIENT = (50, 1000, 10_000, 1, 12 << 20)
ONE_TRY = (1, 0, 0)
READS = 2  # times that the fresh reader reads an array: by zarr and by xarray

Retries = icechunk.StorageRetriesSettings
Concurrency = icechunk.StorageConcurrencySettings


@pytest.fixture(scope="module")
def server():
    with range_server({"/d/f.bin": VALUES.tobytes()}) as running:
        yield running


@pytest.fixture
def remote(server):
    server.fault = None
    return tree(f"{server.url}/d/f.bin")


@pytest.fixture
def local(tmp_path):
    (tmp_path / "f.bin").write_bytes(VALUES.tobytes())
    return tree(tmp_path / "f.bin")


def tree(location, chunk=CHUNK, values=VALUES):
    metadata = mf.ArrayMetadata(
        shape=values.shape,
        dtype=values.dtype,
        chunk_grid=mf.RegularGrid((chunk // 4,)),
        codecs=(mf.Codec("bytes", {"endian": "little"}),),
        fill_value=0,
        dims=("t",),
    )
    offsets = np.arange(0, values.nbytes, chunk)
    manifest = ChunkManifest.from_columns((len(offsets),), [mf.Source(location).file], 0, offsets, chunk)
    return mf.VirtualGroup({"x": mf.VirtualArray(metadata, manifest)})


def storage_of(path):
    return icechunk.local_filesystem_storage(str(path))


def saved(storage):
    """The settings that a repository keeps: tries, two pauses, requests at once, and their size."""
    settings = icechunk.Repository.fetch_config(storage).storage
    retries, requests = settings.retries, settings.concurrency
    return (
        retries.max_tries,
        retries.initial_backoff_ms,
        retries.max_backoff_ms,
        requests.max_concurrent_requests_for_object,
        requests.ideal_concurrent_request_size,
    )


def foreign(storage, server, **settings):
    """A repository of another tool's, with a container for the server."""
    config = icechunk.RepositoryConfig.default()
    prefix = f"{server.url}/d/"
    store = icechunk.http_store(opts={"allow_http": "true"})
    config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, store))
    if settings:
        config.storage = icechunk.StorageSettings(**settings)
    access = icechunk.containers_credentials({prefix: icechunk.Credentials.HttpAccess()})
    return icechunk.Repository.create(storage, config=config, authorize_virtual_chunk_access=access)


def read(report, fresh):
    found = fresh.read(report)
    assert "error" not in found, found
    return found["arrays"]["x"][0]


@pytest.mark.parametrize("status", [0, 429, 503])
def test_readers_without_us_get_through_faults_with_one_request_for_each_chunk(remote, server, tmp_path, fresh, status):
    report = mf.write(remote, tmp_path / "o.icechunk")
    server.reset()
    server.fail_once(status)
    np.testing.assert_array_equal(read(report, fresh), VALUES)
    ranges = sorted(request.range for request in server.requests)
    assert ranges == sorted((1 + READS) * [f"bytes={at}-{at + CHUNK - 1}" for at in range(0, VALUES.nbytes, CHUNK)])


def test_a_chunk_is_one_request_however_large_it_is(server, tmp_path, fresh):
    server.fault = None
    values = np.zeros(7 << 20, "u4")
    values[-1] = 7
    server.objects["/d/large.bin"] = values.tobytes()
    report = mf.write(tree(f"{server.url}/d/large.bin", chunk=values.nbytes, values=values), tmp_path / "o.icechunk")
    server.reset()
    np.testing.assert_array_equal(read(report, fresh), values)
    assert server.count("GET") == READS


def test_local_sources_need_nothing(local, tmp_path):
    mf.write(local, tmp_path / "o.icechunk")
    assert saved(storage_of(tmp_path / "o.icechunk"))[:3] == ONE_TRY


@pytest.mark.parametrize(
    "options",
    [
        {"append_dim": "t"},
        {"region": {"t": (0, len(VALUES))}},
        {"group": "more"},
        {"overwrite": True, "branch": "other"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_remote_sources_that_come_later(local, remote, tmp_path, options):
    mf.write(local, tmp_path / "o.icechunk")
    mf.write(remote, tmp_path / "o.icechunk", **options)
    assert saved(storage_of(tmp_path / "o.icechunk")) == PATIENT


def _part(url):
    return tree(url), {"t": (0, len(VALUES))}


def test_parts_of_one_commit(remote, server, tmp_path):
    array = remote["x"]
    layout = mf.VirtualGroup({"x": mf.VirtualArray(array.metadata, ChunkManifest.missing(array.manifest.grid_shape))})
    target = tmp_path / "o.icechunk"
    urls, sources = [f"{server.url}/d/f.bin"], [f"{server.url}/d"]
    with ThreadPoolExecutor(1) as executor:
        report = write_parts(layout, target, urls, _part, sources=sources, executor=executor)
    assert saved(storage_of(target)) == PATIENT
    assert not report.issues


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, PATIENT),
        ({"retries": Retries(max_tries=3)}, (3, 0, 0, *PATIENT[3:])),
        ({"concurrency": Concurrency(4, 1 << 20)}, (*PATIENT[:3], 4, 1 << 20)),
    ],
    ids=["none", "retries", "concurrency"],
)
@pytest.mark.parametrize("as_object", [False, True])
def test_what_the_owner_has_chosen_stays(remote, server, tmp_path, settings, expected, as_object):
    storage = storage_of(tmp_path / "o")
    repository = foreign(storage, server, **settings)
    report = mf.write(remote, repository if as_object else tmp_path / "o", format="icechunk")
    assert saved(storage) == expected
    assert not report.issues


def test_a_repository_in_memory(remote, server):
    repository = foreign(icechunk.in_memory_storage(), server)
    mf.write(remote, repository)
    assert saved(repository.storage) == PATIENT


@pytest.mark.parametrize("chosen", [{}, {"retries": Retries(max_tries=1, initial_backoff_ms=100)}])
def test_settings_that_are_not_ours_to_change_are_reported(remote, server, tmp_path, chosen):
    repository = foreign(storage_of(tmp_path / "o"), server, **chosen)
    target = repository if chosen else repository.writable_session("main")
    report = mf.write(remote, target)
    assert [issue.feature for issue in report.issues] == ["readers that give up at once"]
    assert saved(repository.storage)[0] == 1


def test_a_session_of_a_repository_with_retries_is_not_worth_a_word(remote, server, tmp_path):
    repository = foreign(storage_of(tmp_path / "o"), server, retries=Retries(max_tries=5))
    assert not mf.write(remote, repository.writable_session("main")).issues
