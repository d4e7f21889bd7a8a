"""Where a repository or a source is: canonical URL and settings → icechunk's storages, stores and credentials.

Settings are taken from the options first, then from a store that the caller gave for the URL, then from the
environment variables that obstore and the AWS tools read. Credentials are taken from the given store or, by icechunk
itself, from the environment.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manifestry.plugin import OptionError, StoreRegistry, UnsupportedFeatureError

from manifestry_icechunk.options import StoreSettings
from manifestry_icechunk.repository.constructors import Call

__all__ = ["RepositoryPlace", "container_access", "container_store", "repository_place"]

_SECRETS = {
    "s3": {"access_key_id": "access_key_id", "secret_access_key": "secret_access_key", "token": "session_token"},
    "gs": {"service_account": "service_account_file", "service_account_key": "service_account_key"},
    "az": {"account_key": "access_key", "sas_key": "sas_token", "token": "bearer_token"},
}
"""Names of credentials in the configuration of an obstore store, and in icechunk."""

_ALIASES = {"tigris": "s3", "gcs": "gs", "azure": "az", "abfs": "az"}
"""Schemes of containers that other writers register."""


@dataclass(frozen=True)
class RepositoryPlace:
    """Where a repository is.

    Attributes
    ----------
    url
        Canonical URL.
    path
        Path in the local file system, or None.
    storage
        The call that makes icechunk's storage.
    pauses
        Seconds to wait between attempts to reach its server; they end when its time is over.
    """

    url: str
    path: Path | None
    storage: Call
    pauses: Callable[[], Iterable[float]] = tuple

    @property
    def writable(self) -> bool:
        """Whether icechunk can write there; plain http is read only."""
        return not self.url.startswith("http")


def repository_place(url: str, stores: StoreRegistry, settings: StoreSettings) -> RepositoryPlace:
    """The place of the repository at a canonical URL.

    Raises
    ------
    UnsupportedFeatureError
        Icechunk keeps no repositories there.
    """
    path = stores.local_path(url)
    if path is not None:
        return RepositoryPlace(url, path, Call("local_filesystem_storage", {"path": str(path)}))
    scheme, _, rest = url.partition("://")
    host, _, key = rest.partition("/")
    prefix = key.strip("/")
    if scheme in ("http", "https"):
        return RepositoryPlace(url, None, Call("http_storage", {"base_url": url}), stores.policy.pauses)
    if scheme not in _SECRETS:
        raise UnsupportedFeatureError(
            f"an Icechunk repository at {scheme}://", url, "use a path, s3://, gs:// or az://, or give an open session"
        )
    config, inner = _given_config(url, stores)
    keywords = _settings(scheme, settings, config)
    secrets = _secrets(scheme, config)
    where = {"container" if scheme == "az" else "bucket": config.get("bucket", host), "prefix": inner or prefix}
    function = {"s3": "s3_storage", "gs": "gcs_storage", "az": "azure_storage"}[scheme]
    if keywords.pop("anonymous", False):
        return RepositoryPlace(
            url, None, Call(function, {**where, **keywords, "anonymous": True}), stores.policy.pauses
        )
    arguments = {**where, **keywords, "from_env": True}
    return RepositoryPlace(url, None, Call(function, arguments, secrets, ("from_env",)), stores.policy.pauses)


def _given_config(url: str, stores: StoreRegistry) -> tuple[Mapping[str, Any], str]:
    """The configuration of the store that the caller gave for a URL, and the key in its bucket."""
    if not stores.serves(url):
        return {}, ""
    store, key = stores.resolve(url)
    config = getattr(store, "config", None)
    if config is None:
        raise UnsupportedFeatureError(
            f"an Icechunk repository in a {type(store).__name__}", url, "give an S3Store, GCSStore or AzureStore"
        )
    options = getattr(store, "client_options", None) or {}
    prefix = str(getattr(store, "prefix", None) or "").strip("/")
    return {**config, **options}, "/".join(filter(None, (prefix, key.strip("/"))))


def _secrets(scheme: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The credentials in the configuration of a store, by icechunk's names."""
    return {name: config[option] for option, name in _SECRETS[scheme].items() if option in config}


def _settings(scheme: str, chosen: StoreSettings, given: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords of icechunk's functions for a scheme: what was chosen, given, or is set in the environment."""
    if scheme == "gs":
        return {"anonymous": True} if _anonymous(chosen, given) else {}
    if scheme == "az":
        account = _first(chosen.account, given.get("account_name"), os.environ.get("AZURE_STORAGE_ACCOUNT_NAME"))
        if account is None:
            raise OptionError(
                "az:// needs the name of the storage account: set AZURE_STORAGE_ACCOUNT_NAME, or account in the options "
                "storage and sources"
            )
        return {"account": account} | ({"anonymous": True} if _anonymous(chosen, given) else {})
    environment = os.environ
    endpoint = _first(
        chosen.endpoint_url,
        given.get("endpoint"),
        None if given else environment.get("AWS_ENDPOINT_URL_S3", environment.get("AWS_ENDPOINT_URL")),
    )
    region = _first(
        chosen.region,
        given.get("region"),
        None if given else environment.get("AWS_REGION", environment.get("AWS_DEFAULT_REGION")),
    )
    virtual_hosted = _flag(given.get("virtual_hosted_style_request"))
    keywords = {
        "region": region,
        "endpoint_url": endpoint,
        "allow_http": _first(chosen.allow_http, _flag(given.get("allow_http")), _is_http(endpoint)),
        "force_path_style": _first(chosen.force_path_style, endpoint is not None and not virtual_hosted),
        "anonymous": _anonymous(chosen, given or {"skip_signature": environment.get("AWS_SKIP_SIGNATURE")}),
        "requester_pays": _first(chosen.requester_pays, _flag(given.get("request_payer"))),
    }
    return {name: value for name, value in keywords.items() if value}


def _anonymous(chosen: StoreSettings, given: Mapping[str, Any]) -> bool:
    """Whether requests are not signed."""
    return bool(_first(chosen.anonymous, _flag(given.get("skip_signature"))))


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _flag(value: Any) -> bool | None:
    return None if value is None else str(value).lower() in ("1", "true", "yes", "on")


def _is_http(endpoint: str | None) -> bool:
    return endpoint is not None and endpoint.startswith("http://")


def container_store(prefix: str, settings: StoreSettings, stores: StoreRegistry) -> Call:
    """The call that makes the object store of a virtual chunk container with a URL prefix."""
    scheme = prefix.partition("://")[0]
    if scheme == "file":
        return Call("local_filesystem_store", {"path": prefix.removeprefix("file://")})
    if scheme in ("http", "https"):
        return Call("http_store", {"opts": {"allow_http": "true"}} if scheme == "http" else {})
    if scheme not in _SECRETS:
        raise UnsupportedFeatureError(f"virtual references to {scheme}://", prefix, "relocate the sources first")
    keywords = _settings(scheme, settings, _given_config(prefix, stores)[0])
    if scheme == "s3":
        return Call("s3_store", keywords)
    keywords.pop("anonymous", None)
    return Call("gcs_store" if scheme == "gs" else "azure_store", keywords)


def container_access(prefix: str, settings: StoreSettings, stores: StoreRegistry) -> Call:
    """The call that makes the credentials with which a reader authorises a container, of any writer.

    Raises
    ------
    UnsupportedFeatureError
        Nobody reads such URLs.
    """
    given_scheme = prefix.partition("://")[0]
    scheme = _ALIASES.get(given_scheme, given_scheme)
    if scheme == "file":
        return Call("Credentials.LocalFileSystemAccess")
    if scheme in ("http", "https"):
        return Call("Credentials.HttpAccess")
    if scheme not in _SECRETS:
        raise UnsupportedFeatureError(f"virtual references to {given_scheme}://", prefix, "relocate the sources first")
    config = _given_config(prefix, stores)[0]
    usual = {"skip_signature": StoreRegistry().facts(f"{scheme}://").anonymous}  # by the environment
    function = {"s3": "s3_credentials", "gs": "gcs_credentials", "az": "azure_credentials"}[scheme]
    if _anonymous(settings, config or usual):
        return Call(function, {"anonymous": True})
    return Call(function, {"from_env": True}, _secrets(scheme, config), ("from_env",))
