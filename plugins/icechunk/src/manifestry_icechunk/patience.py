"""How readers fetch chunks of remote sources: settings of the storage, kept in the repository.

Icechunk uses the settings of the repository's own storage for virtual chunks too, and saves them with the rest of the
configuration. Those of a local disk or of memory are no good for a network: one try, and chunks in small pieces.
"""

from __future__ import annotations

from typing import Final

import icechunk

from manifestry_icechunk.containers import containers_of

__all__ = ["add_patience", "gives_up_at_once"]

_UNCHOSEN_RETRIES: Final = frozenset({(1, 0, 0), (None, None, None)})
"""Tries and pauses of local storages and of no settings at all: nobody has chosen them."""
_UNCHOSEN_REQUESTS: Final = frozenset({(5, 4096), (5, 1), (None, None)})
"""Requests at once and their size of local storages, of memory, and of no settings at all."""


def add_patience(config: icechunk.RepositoryConfig) -> bool:
    """Let readers of remote containers try again, and ask for whole chunks; returns whether anything was new.

    What the owner of the repository has chosen stays. Each kind of setting is looked at by itself: Icechunk saves one
    that was chosen together with all the others of the storage.
    """
    if not _has_remote(config):
        return False
    storage = config.storage or icechunk.StorageSettings()
    changed = False
    if _retries(storage) in _UNCHOSEN_RETRIES:
        storage.retries = icechunk.StorageRetriesSettings(max_tries=10, initial_backoff_ms=100, max_backoff_ms=3000)
        changed = True
    if _requests(storage) in _UNCHOSEN_REQUESTS:
        # With one request at once a chunk is never cut, however large it is.
        storage.concurrency = icechunk.StorageConcurrencySettings(
            max_concurrent_requests_for_object=1, ideal_concurrent_request_size=12 << 20
        )
        changed = True
    if changed:
        config.storage = storage
    return changed


def gives_up_at_once(config: icechunk.RepositoryConfig) -> bool:
    """Whether there are remote containers, and readers fail at the first fault of a server."""
    return config.storage is not None and _retries(config.storage)[0] == 1 and _has_remote(config)


def _has_remote(config: icechunk.RepositoryConfig) -> bool:
    return any(not container.prefix.startswith("file://") for container in containers_of(config))


def _retries(storage: icechunk.StorageSettings) -> tuple[int | None, ...]:
    found = storage.retries
    return (None,) * 3 if found is None else (found.max_tries, found.initial_backoff_ms, found.max_backoff_ms)


def _requests(storage: icechunk.StorageSettings) -> tuple[int | None, ...]:
    found = storage.concurrency
    if found is None:
        return (None,) * 2
    return found.max_concurrent_requests_for_object, found.ideal_concurrent_request_size
