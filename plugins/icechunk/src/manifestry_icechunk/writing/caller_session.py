"""The caller's session as a transaction that somebody else commits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import icechunk
from manifestry.plugin import OptionError, UnsupportedFeatureError, WriteError

from manifestry_icechunk.repository.containers import Container, containers_of
from manifestry_icechunk.repository.retrying import gives_up_at_once
from manifestry_icechunk.writing.transactions import Splits

__all__ = ["CallerSession"]


class CallerSession:
    """The caller's session: changes are left in it uncommitted.

    Parameters
    ----------
    session
        A writable session; what it holds already stays.
    """

    def __init__(self, session: icechunk.Session) -> None:
        if session.read_only:
            raise WriteError("the session is read-only; make one with repository.writable_session(branch)")
        self._session = session
        self._clean = not session.has_uncommitted_changes

    def containers(self) -> Sequence[Container]:
        """See `Transaction`."""
        return containers_of(self._session.config)

    @property
    def base(self) -> str:
        """See `Transaction`."""
        return ""

    @property
    def gives_up_at_once(self) -> bool:
        """See `Transaction`; settings of storages are the caller's."""
        return gives_up_at_once(self._session.config)

    @property
    def splits_manifests(self) -> bool:
        """See `Transaction`; rules are the caller's."""
        manifest = self._session.config.manifest
        return bool(manifest and manifest.splitting and manifest.splitting.to_dict())

    def reading(self) -> icechunk.IcechunkStore:
        """See `Transaction`."""
        return self._session.store

    def writing(self, containers: Iterable[Container], splits: Splits) -> icechunk.IcechunkStore:  # noqa: ARG002 the caller's session has its rules already
        """See `Transaction`; containers and rules of manifests are the caller's business, and checked before."""
        registered = self.containers()
        for container in containers:
            if container not in registered:
                raise UnsupportedFeatureError(
                    f"no virtual chunk container for {container.prefix}",
                    "",
                    "register one with config.set_virtual_chunk_container(icechunk.VirtualChunkContainer("
                    f"{container.prefix!r}, ...)) and repository.reopen(config=config) before making the session",
                )
        return self._session.store

    def relieve(self) -> icechunk.IcechunkStore:
        """See `Transaction`; everything stays in the session."""
        return self._session.store

    def merge(self, forks: Iterable[icechunk.Session]) -> None:
        """See `Transaction`."""
        self._session.merge(*forks)  # type: ignore[arg-type]

    def commit(self, message: str, metadata: Mapping[str, Any], tag: str | None = None) -> str:  # noqa: ARG002 the caller commits
        """See `Transaction`; nothing is committed."""
        return ""

    def restart(self) -> None:
        """See `Transaction`; only the caller can."""
        raise OptionError("a session of the caller's cannot be restarted")

    def release(self) -> None:
        """See `Transaction`; the changes stay in the session."""

    def close(self) -> None:
        """See `Transaction`; changes that the caller had made before stay, and ours with them."""
        if self._clean and not self._session.read_only:
            self._session.discard_changes()
