"""The object stores of a manifestry source, as the registry that VirtualiZarr's parsers ask."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from manifestry.plugin import StoreRegistry, canonical_url
from obspec_utils.registry import ObjectStoreRegistry

__all__ = ["SharedStores"]


class SharedStores(ObjectStoreRegistry[Any]):
    """Resolves URLs by the rules of a `StoreRegistry`: stores need not be registered before.

    Parameters
    ----------
    stores
        The stores. Where they come from the environment, they are made on first use.
    """

    def __init__(self, stores: StoreRegistry) -> None:
        super().__init__()
        # VirtualiZarr asks once: the store library alone has to try again.
        self._stores = StoreRegistry(stores, replace(stores.policy, attempts=7))

    def resolve(self, url: str) -> tuple[Any, str]:
        """The store that serves a URL, and the key of the object in it.

        Raises
        ------
        SourceError
            No store can be made for it.
        """
        return self._stores.resolve(canonical_url(url))
