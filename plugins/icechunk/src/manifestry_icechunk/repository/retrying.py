"""How long servers get: for chunks of remote sources by settings that the repository keeps, and for its own objects.

Icechunk uses the settings of the repository's own storage for virtual chunks too, and saves them with the rest of the
configuration. Those of a local disk or of memory do not suit a network: one try, and chunks in small pieces.
"""

from __future__ import annotations

from typing import Final

import icechunk

from manifestry_icechunk.repository.containers import containers_of

__all__ = ["add_patience", "brief_settings", "gives_up_at_once", "network_settings", "patient_settings"]

_PATIENT: Final = (50, 1000, 10_000)
"""Tries, and the first and longest pause in milliseconds: about three and a half minutes in all.

Icechunk has two clients, for S3 and for all else. Both take a random part of each pause, and the second lets them grow
only where the first one is long enough. With S3 a process repeats a hundred requests at most, those that run at the same
time together: fewer tries with longer pauses last longer.
"""
_BRIEF: Final = (3, 100, 500)
"""As much for a host that may not be there: icechunk does not tell it from one that is busy."""
_SILENCE_MS: Final = 30_000
_CONNECTING_MS: Final = 3_000

_UNCHOSEN_RETRIES: Final = frozenset({(1, 0, 0), (None, None, None)})
"""Tries and pauses of local storages and of no settings at all: nobody has chosen them."""
_UNCHOSEN_REQUESTS: Final = frozenset({(5, 4096), (5, 1), (None, None)})
"""Requests at once and their size of local storages, of memory, and of no settings at all."""


def add_patience(config: icechunk.RepositoryConfig) -> bool:
    """Let readers of remote containers try again, and ask for whole chunks; returns whether anything was new.

    What the owner of the repository has chosen stays. Each kind of setting is checked separately: Icechunk saves one
    that was chosen together with all the others of the storage.
    """
    if not _has_remote(config):
        return False
    storage = config.storage or icechunk.StorageSettings()
    changed = False
    if _retries(storage) in _UNCHOSEN_RETRIES:
        storage.retries = icechunk.StorageRetriesSettings(*_PATIENT)
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


def patient_settings() -> icechunk.StorageSettings:
    """Settings for requests to a remote repository itself; not to be kept in it."""
    return _settings(_PATIENT)


def network_settings(storage: icechunk.StorageSettings | None) -> icechunk.StorageSettings:
    """Settings that a new repository on a network keeps: for itself, and for chunks of remote sources."""
    settings = storage or icechunk.StorageSettings()
    settings.retries = icechunk.StorageRetriesSettings(*_PATIENT)
    return settings


def brief_settings() -> icechunk.StorageSettings:
    """Settings with which requests to a remote repository fail within a second or so."""
    return _settings(_BRIEF)


def _settings(tries: tuple[int, int, int]) -> icechunk.StorageSettings:
    return icechunk.StorageSettings(
        retries=icechunk.StorageRetriesSettings(*tries),
        timeouts=icechunk.StorageTimeoutSettings(connect_timeout_ms=_CONNECTING_MS, read_timeout_ms=_SILENCE_MS),
    )


def _has_remote(config: icechunk.RepositoryConfig) -> bool:
    return any(not container.prefix.startswith("file://") for container in containers_of(config))


def _retries(storage: icechunk.StorageSettings) -> tuple[int | None, ...]:
    retries = storage.retries
    return (None,) * 3 if retries is None else (retries.max_tries, retries.initial_backoff_ms, retries.max_backoff_ms)


def _requests(storage: icechunk.StorageSettings) -> tuple[int | None, ...]:
    requests = storage.concurrency
    if requests is None:
        return (None,) * 2
    return requests.max_concurrent_requests_for_object, requests.ideal_concurrent_request_size
