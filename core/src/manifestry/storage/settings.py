"""What a reader has to be told of an object store besides its name, and may be told: nothing of this is secret."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from manifestry.storage.registry import StoreRegistry

__all__ = ["StoreFacts", "store_facts"]

_PREFIXES: Final = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFacts:
    """How an object store is reached.

    Attributes
    ----------
    scheme
        Of its URLs.
    anonymous
        Whether requests are not signed.
    endpoint, region, account
        Where it is, ``""`` where the usual place is meant; the last of Azure only.
    requester_pays
        Whether whoever reads pays.
    """

    scheme: str
    anonymous: bool = False
    endpoint: str = ""
    region: str = ""
    account: str = ""
    requester_pays: bool = False


def store_facts(url: str, stores: StoreRegistry) -> StoreFacts:
    """Of the store that serves a canonical URL: from the caller's store, else from the environment as obstore reads it."""
    scheme = url.partition("://")[0]
    if scheme not in _PREFIXES:
        return StoreFacts(scheme=scheme)
    get = _given(url, stores) if stores.serves(url) else _environment(_PREFIXES[scheme])
    return StoreFacts(
        scheme=scheme,
        anonymous=_is_true(get("skip_signature")),
        endpoint=get("endpoint", "endpoint_url"),
        region=get("region", "default_region") if scheme == "s3" else "",
        account=get("account_name", "storage_account_name") if scheme == "az" else "",
        requester_pays=_is_true(get("request_payer")),
    )


def _given(url: str, stores: StoreRegistry) -> Callable[..., str]:
    config: Mapping[str, Any] = getattr(stores.resolve(url)[0], "config", None) or {}
    return lambda *names: next((str(config[name]) for name in names if name in config), "")


def _environment(prefix: str) -> Callable[..., str]:
    def get(*names: str) -> str:
        return next(filter(None, (os.environ.get(prefix + name.upper(), "") for name in names)), "")

    return get


def _is_true(value: str) -> bool:
    return value.lower() in ("1", "true", "yes", "on")
