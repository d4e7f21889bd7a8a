"""Which object store serves a URL: the caller's stores first, then defaults from the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from obstore.store import HTTPStore, LocalStore, ObjectStore, from_url

from manifestry.errors import OptionError, SourceError
from manifestry.model.files import NamedBy
from manifestry.storage.access import Access
from manifestry.storage.errors import source_errors
from manifestry.storage.redirects import Redirects
from manifestry.storage.retrying import RetryPolicy
from manifestry.storage.settings import StoreFacts
from manifestry.storage.urls import canonical_url, local_path, split_url

if TYPE_CHECKING:
    from obspec_utils.registry import ObjectStoreRegistry

__all__ = ["StoreRegistry", "Stores"]

type Stores = Mapping[str, ObjectStore] | ObjectStoreRegistry[Any] | StoreRegistry | None
"""Object stores as a caller gives them: by URL prefix, in a registry, or none."""

_VARIABLES = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}
"""Beginnings of the names of environment variables, by scheme."""

_CLIENT_OPTIONS = (
    *(
        "allow_http",
        "allow_invalid_certificates",
        "connect_timeout",
        "default_content_type",
        "disable_system_certificates",
    ),
    *("http1_only", "http2_keep_alive_interval", "http2_keep_alive_timeout", "http2_keep_alive_while_idle"),
    *("http2_max_frame_size", "http2_only", "pool_idle_timeout", "pool_max_idle_per_host", "proxy_ca_certificate"),
    *(
        "proxy_excludes",
        "proxy_url",
        "randomize_addresses",
        "read_timeout",
        "root_certificate",
        "timeout",
        "user_agent",
    ),
)
"""What obstore reads from the environment for the connections of a store, unless any such option is given."""

_DELIMITERS = re.compile(r"[%#?;\t\r\n]")
"""Ordinary characters of a key that urllib, which an ObjectStoreRegistry splits URLs with, takes for delimiters."""

_PLAIN_KEY = re.compile(r"(?!.*(?:^|/)\.{0,2}(?:/|$))[A-Za-z0-9._~/-]+")
"""Keys of http URLs that no encoding changes: all of one host can share a store and its connections."""


class StoreRegistry:
    """Object stores by URL.

    Parameters
    ----------
    stores
        A mapping of URL prefix to obstore store, an ``obspec_utils.registry.ObjectStoreRegistry``, another
        `StoreRegistry`, or None. The longest prefix that ends at a segment wins; below it, keys are relative to the
        prefix. URLs that no given store covers get one from the environment (credentials and endpoints from the usual
        variables, as obstore reads them); ``memory://`` URLs exist only in stores that are given.
    policy
        How long servers get that are busy or not there; for the stores from the environment. A given store keeps its
        own.
    access
        Which files documents may point at beyond the rule.

    Attributes
    ----------
    policy, access
        Those.

    Notes
    -----
    A pickled registry carries its stores, and so their credentials.
    """

    def __init__(self, stores: Stores = None, policy: RetryPolicy | None = None, access: Access | None = None) -> None:
        self._given: dict[str, Any] = {}
        self._foreign: Any = None
        self._defaults: dict[str, Any] = {}
        self.policy = policy or RetryPolicy()
        self.access = access or Access()
        if isinstance(stores, StoreRegistry):
            self.__dict__.update(stores.__getstate__() | ({"policy": policy} if policy else {}))
            self.access = access or stores.access
            self._defaults = stores.__dict__["_defaults"]  # and with them their connections
        elif isinstance(stores, Mapping):
            self._given = {_prefix(url): store for url, store in stores.items()}
        elif hasattr(stores, "resolve"):
            self._foreign = stores
        elif stores is not None:
            raise OptionError(
                f"stores must be a mapping of URL prefix to store, or a registry, not {type(stores).__name__}"
            )
        self._redirects = Redirects(self.allows)

    @classmethod
    def of(cls, stores: Stores, access: Access | None = None) -> StoreRegistry:
        """The registry that a caller gave, or one of the stores that a caller gave; with another access, a copy."""
        if isinstance(stores, StoreRegistry) and access in (None, stores.access):
            return stores
        return cls(stores, access=access)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_redirects"} | {"_defaults": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._redirects = Redirects(self.allows)

    def __eq__(self, other: object) -> bool:
        """Whether both were given equal stores under equal prefixes; those from the environment do not count."""
        if not isinstance(other, StoreRegistry):
            return NotImplemented
        return self._given == other._given and self._foreign == other._foreign

    def __hash__(self) -> int:
        return hash(tuple(sorted(self._given)))

    def serves(self, url: str) -> bool:
        """Whether one of the caller's stores covers a canonical URL."""
        return self._resolve_given(url) is not None

    def allows(self, url: str) -> bool:
        """Whether the caller lets documents point at a canonical URL whatever the rule says: by a prefix or a store."""
        return self.access.covers(url) or self.serves(url)

    def named_by(self, document: str, url: str) -> NamedBy:
        """Who named a canonical URL that stands in a document."""
        if url in self.access.named:
            return NamedBy.CALLER
        near = split_url(url)[0] == split_url(document)[0] or self.allows(url)
        return NamedBy.TRUSTED if near else NamedBy.STRANGER

    def destination(self, url: str, by: NamedBy) -> str:
        """Where the bytes of a canonical URL are: where its server sends us to, if we may go there. Asks the server.

        Raises
        ------
        SourceError
            We may not.
        """
        if by is NamedBy.CALLER or not url.startswith("http") or self.serves(url):
            return url
        return self._redirects.destination(url, by)

    def local_path(self, url: str) -> Path | None:
        """The path of a canonical URL in the local file system, None where there is none or a given store serves it."""
        return None if self.serves(url) else local_path(url)

    def resolve(self, url: str) -> tuple[Any, str]:
        """The store that serves a canonical URL, and the key of the object in that store.

        Raises
        ------
        SourceError
            No store can be made for it.
        """
        location = self._resolve_given(url)
        if location is not None:
            return location
        origin, key = split_url(url)
        if origin.startswith("memory://"):
            raise SourceError(f"{url}: no store was given for this prefix; memory:// exists only in `stores`")
        if origin.startswith("http") and not _PLAIN_KEY.fullmatch(key):
            # The whole URL belongs to the store: a key would be encoded once more, and a query lost.
            return self._default(url), ""
        return self._default(origin), key

    def facts(self, url: str) -> StoreFacts:
        """How readers reach the store that serves a canonical URL, without anything that is secret."""
        config = getattr(self.resolve(url)[0], "config", None) or {} if self.serves(url) else None
        return StoreFacts.of(split_url(url)[0].partition("://")[0], config)

    def policy_of(self, url: str) -> RetryPolicy | None:
        """How requests for a canonical URL are tried again; None where a store of the caller's decides."""
        return None if self.serves(url) else self.policy

    def _resolve_given(self, url: str) -> tuple[Any, str] | None:
        best = max((p for p in self._given if _covers(p, url)), key=len, default=None)
        if best is not None:
            key = url.removeprefix(best).lstrip("/")
            return self._given[best], _http_key(url, key)
        if self._foreign is None:
            return None
        try:
            # An http URL has its delimiters encoded already.
            asked = url if url.startswith("http") else _DELIMITERS.sub(lambda found: quote(found[0]), url)
            store, key = self._foreign.resolve(asked)
        except (ValueError, KeyError):
            return None
        return store, unquote(str(key))

    def _default(self, origin: str) -> Any:
        if origin not in self._defaults:
            with source_errors(origin):
                self._defaults[origin] = _default_store(origin, self.policy)
        return self._defaults[origin]


def _default_store(origin: str, policy: RetryPolicy) -> Any:
    if origin == "file://":
        return LocalStore("/")
    options, retries = policy.client_options(), policy.retry_config()
    if origin.startswith("http"):
        options["allow_http"] = origin.startswith("http://")
        return HTTPStore.from_url(origin, client_options=options, retry_config=retries)  # type: ignore[arg-type]
    # Options that are given replace all that the environment sets.
    variables = _VARIABLES.get(origin.partition("://")[0], "")
    names = {name: f"{variables}{name.upper()}" for name in _CLIENT_OPTIONS}
    options |= {name: os.environ[variable] for name, variable in names.items() if variable in os.environ}
    return from_url(origin, client_options=options, retry_config=retries)  # type: ignore[call-overload]


def _prefix(url: str) -> str:
    """A prefix as it is compared: canonical, without a slash at the end (but ``file:///`` stays the root)."""
    prefix = canonical_url(str(url))
    return "file://" if prefix == "file:///" else prefix.rstrip("/")


def _covers(prefix: str, url: str) -> bool:
    return url == prefix or url.startswith(prefix + "/") or prefix == "file://" == url[:7]


def _http_key(url: str, key: str) -> str:
    """The raw key of an http URL in a store of the caller's: that store encodes keys itself."""
    return unquote(urlsplit(key).path) if url.startswith("http") else key
