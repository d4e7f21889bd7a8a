"""What a reader has to be told of an object store besides its name, and may be told: nothing of this is secret."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["StoreFacts"]

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

    @classmethod
    def of(cls, scheme: str, config: Mapping[str, Any] | None) -> StoreFacts:
        """Of a store with a configuration as obstore has it; without one, as obstore reads the environment."""
        if scheme not in _PREFIXES:
            return cls(scheme=scheme)

        def get(*names: str) -> str:
            if config is None:
                names = tuple(_PREFIXES[scheme] + name.upper() for name in names)
            settings = os.environ if config is None else config
            return next((str(settings[name]) for name in names if settings.get(name)), "")

        return cls(
            scheme=scheme,
            anonymous=_is_true(get("skip_signature")),
            endpoint=get("endpoint", "endpoint_url"),
            region=get("region", "default_region") if scheme == "s3" else "",
            account=get("account_name", "storage_account_name") if scheme == "az" else "",
            requester_pays=_is_true(get("request_payer")),
        )


def _is_true(value: str) -> bool:
    return value.lower() in ("1", "true", "yes", "on")
