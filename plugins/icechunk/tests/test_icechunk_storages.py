"""What icechunk is told of stores: from options, given stores and the environment; and what is printed of it."""

import icechunk
import manifestry as mf
import pytest
from manifestry.plugin import SourceError, StoreRegistry
from manifestry_icechunk.options import StoreSettings
from manifestry_icechunk.repository.storages import container_access, container_store, repository_place
from obstore.store import AzureStore, GCSStore, HTTPStore, S3Store

NONE = StoreRegistry()


def test_local_paths_are_taken_as_they_are(tmp_path):
    place = repository_place(f"file://{tmp_path}/a b#%", NONE, StoreSettings())
    assert place.storage.python() == f"icechunk.local_filesystem_storage(path='{tmp_path}/a b#%')"
    assert place.path == tmp_path / "a b#%"


def test_given_stores_lend_settings_and_secrets_and_secrets_are_not_printed():
    keys = {"access_key_id": "KEY", "secret_access_key": "SECRET"}
    store = S3Store("real", prefix="pre/fix", region="eu-1", endpoint="http://host:1", **keys)
    place = repository_place("s3://name/repo", StoreRegistry({"s3://name": store}), StoreSettings())
    assert place.storage.python() == (
        "icechunk.s3_storage(bucket='real', prefix='pre/fix/repo', region='eu-1', endpoint_url='http://host:1', "
        "allow_http=True, force_path_style=True, from_env=True)"
    )
    assert dict(place.storage.secrets) == keys
    assert "SECRET" not in repr(place)
    assert isinstance(place.storage.make(), icechunk.Storage)


def test_options_win_over_stores_and_the_environment(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "from-env")
    assert "region='from-env'" in repository_place("s3://b/r", NONE, StoreSettings()).storage.python()
    chosen = StoreSettings(region="chosen", anonymous=True, requester_pays=True)
    assert repository_place("s3://b/r", NONE, chosen).storage.python() == (
        "icechunk.s3_storage(bucket='b', prefix='r', region='chosen', requester_pays=True, anonymous=True)"
    )


def test_google_and_azure(monkeypatch):
    store = GCSStore("b", skip_signature=True)
    place = repository_place("gs://b/r", StoreRegistry({"gs://b": store}), StoreSettings())
    assert place.storage.python() == "icechunk.gcs_storage(bucket='b', prefix='r', anonymous=True)"
    assert isinstance(place.storage.make(), icechunk.Storage)
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(mf.OptionError, match="name of the storage account"):
        repository_place("az://c/r", NONE, StoreSettings())
    azure = AzureStore("c", account_name="acc", account_key="c2VjcmV0")
    place = repository_place("az://c/r", StoreRegistry({"az://c": azure}), StoreSettings())
    assert place.storage.python() == "icechunk.azure_storage(container='c', prefix='r', account='acc', from_env=True)"
    assert isinstance(place.storage.make(), icechunk.Storage)


def test_where_no_repository_can_be():
    assert not repository_place("https://host/repo", NONE, StoreSettings()).writable
    with pytest.raises(mf.UnsupportedFeatureError, match="memory://"):
        repository_place("memory://m/repo", NONE, StoreSettings())
    store = HTTPStore.from_url("https://host")
    with pytest.raises(mf.WriteError, match="does not write to plain http servers"):
        mf.write(mf.VirtualGroup(), "https://host/repo.icechunk", stores={"https://host": store})


@pytest.mark.parametrize(
    ("prefix", "access"),
    [
        ("file:///d/", "icechunk.Credentials.LocalFileSystemAccess()"),
        ("https://h/d/", "icechunk.Credentials.HttpAccess()"),
        ("s3://b/", "icechunk.s3_credentials(from_env=True)"),
        ("tigris://b/", "icechunk.s3_credentials(from_env=True)"),
        ("gcs://b/", "icechunk.gcs_credentials(from_env=True)"),
        ("abfs://c/", "icechunk.azure_credentials(from_env=True)"),
    ],
)
def test_containers_of_any_writer_are_authorised(prefix, access):
    call = container_access(prefix, StoreSettings(), NONE)
    assert call.python() == access
    icechunk.containers_credentials({prefix: call.make()})


def test_stores_of_containers():
    anonymous = StoreSettings(region="r", anonymous=True)
    assert container_store("s3://b/", anonymous, NONE).python() == "icechunk.s3_store(region='r', anonymous=True)"
    assert container_access("s3://b/", anonymous, NONE).python() == "icechunk.s3_credentials(anonymous=True)"
    for prefix in ("file:///d/", "http://h/", "https://h/", "gs://b/"):
        store = container_store(prefix, StoreSettings(), NONE).make()
        icechunk.RepositoryConfig.default().set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, store))
    with pytest.raises(mf.UnsupportedFeatureError, match="memory"):
        container_store("memory://m/", StoreSettings(), NONE)


def test_a_name_that_is_too_long(tmp_path):
    with pytest.raises(SourceError, match=r"looking for a repository: .*File name too long"):
        mf.write(mf.VirtualGroup(), tmp_path / f"{'x' * 300}.icechunk")
