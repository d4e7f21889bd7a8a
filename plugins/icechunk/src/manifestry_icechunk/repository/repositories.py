"""Creating, opening and configuring repositories."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from enum import Enum
from typing import Any, Final

import icechunk
from manifestry.plugin import SourceError, TargetExistsError

from manifestry_icechunk.repository.containers import Container, containers_of
from manifestry_icechunk.repository.errors import icechunk_errors, is_unreachable
from manifestry_icechunk.repository.retrying import brief_settings, patient_settings
from manifestry_icechunk.repository.storages import RepositoryPlace

__all__ = ["PlaceState", "authorisation", "create_repository", "open_repository", "save_config", "state_of"]

_MAX_ATTEMPTS: Final = 10

type Configure = Callable[[icechunk.RepositoryConfig], bool]
"""Changes a configuration in place; says whether anything is new."""


class PlaceState(Enum):
    """What is at a place."""

    EMPTY = "nothing"
    REPOSITORY = "an Icechunk repository"
    OCCUPIED = "something that is not an Icechunk repository"


def _exists(place: RepositoryPlace) -> bool:
    """Whether there is a repository at a place, which also shows whether anybody answers there.

    Icechunk repeats a request to a host that is not there like one to a busy server. So the first ones are brief, and
    only a host that has answered, however badly, gets minutes. A storage keeps its first settings: each has its own.
    """
    if place.path is not None:
        return icechunk.Repository.exists(place.storage.make())
    pauses = iter(place.pauses())
    while True:
        try:
            return icechunk.Repository.exists(place.storage.make(), storage_settings=brief_settings())
        except icechunk.StorageError as error:
            if not is_unreachable(error):
                break
            pause = next(pauses, None)
            if pause is None:
                raise
        time.sleep(pause)
    return icechunk.Repository.exists(place.storage.make(), storage_settings=patient_settings())


def _without_false_alarm(place: RepositoryPlace) -> None:
    """Turn off icechunk's warning that local commits are not safe: ours take a lock. `ICECHUNK_LOG` decides if set."""
    if place.path is not None and "ICECHUNK_LOG" not in os.environ:
        icechunk.set_logs_filter("error")


def state_of(place: RepositoryPlace) -> PlaceState:
    """What is at a place.

    Raises
    ------
    SourceError
        It cannot be reached.
    """
    _without_false_alarm(place)
    with icechunk_errors(f"{place.url}: looking for a repository", SourceError):
        if place.path is not None:
            if not place.path.exists() and not place.path.is_symlink():
                return PlaceState.EMPTY
            if not place.path.is_dir():
                return PlaceState.OCCUPIED
            if next(place.path.iterdir(), None) is None:
                return PlaceState.EMPTY
        if _exists(place):
            return PlaceState.REPOSITORY
    return PlaceState.OCCUPIED if place.path is not None else PlaceState.EMPTY


def open_repository(place: RepositoryPlace) -> icechunk.Repository:
    """The repository at a place, with the configuration that it keeps.

    Raises
    ------
    SourceError
        There is none, or it cannot be opened.
    """
    _without_false_alarm(place)
    with icechunk_errors(f"{place.url}: opening the repository", SourceError):
        # For this process only: what its readers get stays in the configuration that it keeps.
        config = None if place.path is not None else icechunk.RepositoryConfig(storage=patient_settings())
        return icechunk.Repository.open(place.storage.make(), config)


def create_repository(place: RepositoryPlace, config: icechunk.RepositoryConfig) -> icechunk.Repository:
    """A new repository.

    Raises
    ------
    TargetExistsError
        Something is there already.
    """
    with icechunk_errors(f"{place.url}: creating the repository"):
        try:
            return icechunk.Repository.create(place.storage.make(), config=config)
        except icechunk.IcechunkError as error:
            if getattr(error, "kind", None) in ("parent-directory-not-clean", "repository-already-exists"):
                raise TargetExistsError(
                    f"{place.url}: the place is not empty, and not an Icechunk repository"
                ) from error
            raise


def save_config(repository: icechunk.Repository, configure: Configure) -> icechunk.RepositoryConfig:
    """Make changes to the configuration that a repository keeps, leaving all else of it as it is; returns what it keeps.

    The configuration is read afresh: what another writer added in the meantime stays.
    """
    for attempt in range(_MAX_ATTEMPTS):
        config = icechunk.Repository.fetch_config(repository.storage) or icechunk.RepositoryConfig.default()
        if not configure(config):
            break
        try:
            repository.reopen(config=config).save_config()
        except icechunk.ConflictError:
            if attempt == _MAX_ATTEMPTS - 1:
                raise
        else:
            break
    return config


def authorisation(config: icechunk.RepositoryConfig | None, access: Callable[[str], Any]) -> dict[str, Any]:
    """Credentials for every container of a configuration."""
    containers: list[Container] = containers_of(config)
    return icechunk.containers_credentials({container.prefix: access(container.prefix) for container in containers})
