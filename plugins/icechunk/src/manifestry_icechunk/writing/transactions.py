"""What happens between opening a repository for writing and the commit.

A transaction stores what was staged as a snapshot that no branch points to whenever it has become large,
goes on from there on a branch of its own, and moves the wanted branch to the last snapshot in one step at the end. A
new local repository is made beside its place and renamed into it at the end. So nothing is visible before the commit,
and what a killed process leaves is never in the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol
from uuid import uuid4

import icechunk
from manifestry.plugin import SourceError, StagedDirectory, StoreRegistry, TargetExistsError, WriteError

from manifestry_icechunk.options import IcechunkWriteOptions
from manifestry_icechunk.repository.constructors import Call
from manifestry_icechunk.repository.containers import Container, containers_of, merge_containers
from manifestry_icechunk.repository.errors import icechunk_errors
from manifestry_icechunk.repository.locking import RepositoryLock
from manifestry_icechunk.repository.provenance import OtherCommits
from manifestry_icechunk.repository.repositories import authorisation, create_repository, open_repository, save_config
from manifestry_icechunk.repository.retrying import add_patience, gives_up_at_once, network_settings
from manifestry_icechunk.repository.storages import RepositoryPlace, container_access
from manifestry_icechunk.writing.splitting import add_splits

__all__ = ["OwnTransaction", "Splits", "Transaction"]

_PART: Final = "manifestry-"
"""Beginning of the names of branches that hold a part of a commit until it is complete."""

_MAX_REBASES: Final = 10

type Splits = Mapping[str, tuple[int, ...]]


class Transaction(Protocol):
    """One open change of a store."""

    def containers(self) -> Sequence[Container]:
        """The containers that the repository has."""
        ...

    @property
    def base(self) -> str:
        """The snapshot that the commit follows, or ``""`` when the caller commits."""
        ...

    @property
    def gives_up_at_once(self) -> bool:
        """Whether there are remote sources, and readers fail at the first fault of a server."""
        ...

    @property
    def splits_manifests(self) -> bool:
        """Whether a large array gets several manifests."""
        ...

    def reading(self) -> icechunk.IcechunkStore | None:
        """The store as it is, what was staged included; None when there is none yet."""
        ...

    def writing(self, containers: Iterable[Container], splits: Splits) -> icechunk.IcechunkStore:
        """The store to stage changes in."""
        ...

    def relieve(self) -> icechunk.IcechunkStore:
        """Store what was staged, invisibly, where that is possible; the store to go on with."""
        ...

    def merge(self, forks: Iterable[icechunk.Session]) -> None:
        """Take in what was staged in forks."""
        ...

    def commit(self, message: str, metadata: Mapping[str, Any], tag: str | None = None) -> str:
        """Make everything visible, with a tag; returns the snapshot, or ``""`` when the caller commits."""
        ...

    def restart(self) -> None:
        """Forget what was staged and begin anew on what others have committed."""
        ...

    def release(self) -> None:
        """Release the lock and the session after a commit."""
        ...

    def close(self) -> None:
        """Forget what was staged, and release the lock and the session. May be called at any time."""
        ...


class OwnTransaction:
    """A transaction that commits.

    Parameters
    ----------
    place
        Where the repository is, None for an open repository of the caller's.
    repository
        That repository.
    create
        Nothing is at the place: make the repository.
    others
        Refuses what others have committed since the caller looked, where it contradicts this.
    staged
        Where a new repository on a local file system is made, until its first commit.
    """

    def __init__(
        self,
        place: RepositoryPlace | None,
        options: IcechunkWriteOptions,
        stores: StoreRegistry,
        *,
        create: bool,
        others: OtherCommits,
        repository: icechunk.Repository | None = None,
        staged: StagedDirectory | None = None,
    ) -> None:
        self._place = place
        self._options = options
        self._stores = stores
        self._create = create
        self._others = others
        self._given = repository
        self._where = place.url if place else "<Repository>"
        self._lock = RepositoryLock(None if create or place is None else place.path, options.lock_timeout)
        self._staged = staged
        self._hidden = False
        self._forget()

    def _forget(self) -> None:
        self._repository: icechunk.Repository | None = None
        self._session: icechunk.Session | None = None
        self._kept: icechunk.RepositoryConfig | None = None
        self._base = ""
        self._temporary = ""
        self._new_branch = False
        self._needed: dict[str, Container] = {}
        self._splits: dict[str, tuple[int, ...]] = {}

    def containers(self) -> Sequence[Container]:
        """See `Transaction`."""
        if self._create and self._repository is None:
            return ()
        by_prefix = {container.prefix: container for container in containers_of(self._open().config)} | self._needed
        return sorted(by_prefix.values(), key=lambda container: len(container.prefix), reverse=True)

    @property
    def base(self) -> str:
        """See `Transaction`."""
        return self._base

    @property
    def gives_up_at_once(self) -> bool:
        """See `Transaction`; only where the owner has chosen so."""
        return gives_up_at_once(self._kept or self._open().config)

    @property
    def splits_manifests(self) -> bool:
        """See `Transaction`; the rules are written with the references."""
        return True

    def reading(self) -> icechunk.IcechunkStore | None:
        """See `Transaction`."""
        if self._session is not None:
            return self._session.store
        if self._create:
            return None
        with icechunk_errors(f"{self._where}: opening branch {self._options.branch}"):
            repository = self._open()
            return repository.readonly_session(self._branch_or_main(repository)).store

    def _branch_or_main(self, repository: icechunk.Repository) -> str:
        return self._options.branch if self._options.branch in repository.list_branches() else "main"

    def _open(self) -> icechunk.Repository:
        """The repository, locked, and readable where the sources can be reached."""
        if self._repository is None:
            self._lock.acquire()
            repository = self._given
            if repository is None:
                assert self._place is not None
                repository = self._authorise(open_repository(self._place))
            self._check_tag(repository)
            self._remove_parts(repository)
            self._repository = repository
        return self._repository

    def _remove_parts(self, repository: icechunk.Repository) -> None:
        """Delete the branches of writers that were killed: under the lock of a local repository nobody else has any."""
        if self._lock.held:
            with icechunk_errors(f"{self._where}: forgetting what a killed writer left"):
                for name in repository.list_branches():
                    if name.startswith(_PART):
                        repository.delete_branch(name)

    def _authorise(
        self, repository: icechunk.Repository, config: icechunk.RepositoryConfig | None = None
    ) -> icechunk.Repository:
        """A repository whose references can be read where the sources can be; the caller's keeps its own credentials."""
        if self._given is not None:
            return repository if config is None else repository.reopen(config=config)
        used = config or repository.config
        access = authorisation(used, lambda p: container_access(p, self._options.sources, self._stores).make())
        with icechunk_errors(f"{self._where}: opening the repository"):
            return repository.reopen(config=config, authorize_virtual_chunk_access=access)

    def _check_tag(self, repository: icechunk.Repository) -> None:
        if self._options.tag is not None and self._options.tag in repository.list_tags():
            raise TargetExistsError(
                f"{self._where}: the tag {self._options.tag!r} exists already; tags never move, so choose another name"
            )

    def writing(self, containers: Iterable[Container], splits: Splits) -> icechunk.IcechunkStore:
        """See `Transaction`."""
        self._needed |= {container.prefix: container for container in containers}
        wider = any(self._splits.get(path) != sizes for path, sizes in splits.items())
        self._splits |= splits
        if self._session is not None and not wider:
            return self._session.store
        if self._session is not None:
            self.relieve()  # the rules of manifests belong to a session: go on with another one
        with icechunk_errors(f"{self._where}: opening branch {self._options.branch}"):
            repository = self._new() if self._create and self._repository is None else self._open()
            config = repository.config
            if self._configure(config):
                repository = self._repository = self._authorise(repository, config)
            return self._begin(repository)

    def _configure(self, config: icechunk.RepositoryConfig) -> bool:
        """Add what this transaction needs to a configuration; whether anything was new."""
        merged = merge_containers(config, self._needed.values(), self._options.sources, self._stores)
        patient = add_patience(config)
        split = add_splits(config, self._splits, keep=self._options.references_per_manifest is None)
        return merged or patient or split

    def _new(self) -> icechunk.Repository:
        """A new repository: beside its place on a local file system, else at its place."""
        assert self._place is not None
        config = icechunk.RepositoryConfig.default()
        self._configure(config)
        place = self._place
        if place.path is None:
            config.storage = network_settings(config.storage)
        if self._staged is not None:
            self._staged.discard()  # what an attempt before this one made
            path = self._staged.path
            place = RepositoryPlace(place.url, path, Call("local_filesystem_storage", {"path": str(path)}))
            self._hidden = True
        self._repository = self._authorise(create_repository(place, config))
        return self._repository

    def _begin(self, repository: icechunk.Repository) -> icechunk.IcechunkStore:
        branch = self._temporary or self._options.branch
        if not self._temporary and branch not in repository.list_branches():
            repository.create_branch(branch, repository.lookup_branch("main"))
            self._new_branch = True
        self._session = repository.writable_session(branch)
        if not self._temporary:
            self._base = self._session.snapshot_id
            self._others.check(repository, self._base)
        return self._session.store

    def relieve(self) -> icechunk.IcechunkStore:
        """See `Transaction`."""
        session, repository = self._session, self._repository
        assert session is not None
        assert repository is not None
        with icechunk_errors(f"{self._where}: storing references"):
            if not session.has_uncommitted_changes:
                return session.store
            if self._temporary:
                session.commit("part of a larger commit")
            else:
                snapshot = session.flush("part of a larger commit")
                name = f"{_PART}{uuid4().hex[:12]}"
                repository.create_branch(name, snapshot)
                self._temporary = name
            self._session = repository.writable_session(self._temporary)
            return self._session.store

    def merge(self, forks: Iterable[icechunk.Session]) -> None:
        """See `Transaction`."""
        assert self._session is not None
        self._session.merge(*forks)  # type: ignore[arg-type]

    def commit(self, message: str, metadata: Mapping[str, Any], tag: str | None = None) -> str:
        """See `Transaction`."""
        if self._session is None:
            self.writing((), {})
        session, repository, branch = self._session, self._repository, self._options.branch
        assert session is not None
        assert repository is not None
        with icechunk_errors(f"{self._where}: committing"):
            self._save_config(repository)
            if self._temporary:
                snapshot = session.commit(message, dict(metadata), allow_empty=True)
                repository.reset_branch(branch, snapshot, from_snapshot_id=self._base)
                repository.delete_branch(self._temporary)
                self._temporary = ""
            else:
                snapshot = self._commit_on_tip(session, repository, message, metadata)
            self._new_branch = False
            self._verify(repository, snapshot)
            if tag is not None:
                repository.create_tag(tag, snapshot)
        self._move_into_place()
        return snapshot

    def _commit_on_tip(
        self, session: icechunk.Session, repository: icechunk.Repository, message: str, metadata: Mapping[str, Any]
    ) -> str:
        """Commit; what others have committed since does no harm where it contradicts nothing."""
        for _ in range(_MAX_REBASES):
            try:
                return session.commit(message, dict(metadata), allow_empty=True)
            except icechunk.ConflictError:
                session.rebase(icechunk.ConflictDetector())
                self._base, self._new_branch = session.snapshot_id, False  # others have committed to it
                self._others.check(repository, self._base)
        return session.commit(message, dict(metadata), allow_empty=True)

    def _save_config(self, repository: icechunk.Repository) -> None:
        """Keep the configuration with the repository; a new one was made with what the first tree needs only."""
        self._kept = save_config(repository, self._configure)

    def _verify(self, repository: icechunk.Repository, snapshot: str) -> None:
        """Make sure that the branch really has the commit: a local file system may have lost it to another writer."""
        if any(ancestor.id == snapshot for ancestor in repository.ancestry(branch=self._options.branch)):
            return
        raise WriteError(
            f"{self._where}: another program committed at the same moment and this commit is not on the branch "
            f"{self._options.branch}; write again (on local file systems Icechunk cannot protect against programs that "
            "do not take manifestry's lock)"
        )

    def _move_into_place(self) -> None:
        if self._staged is not None and self._hidden:
            self._staged.publish()
            self._hidden = False

    def restart(self) -> None:
        """See `Transaction`."""
        self._drop()
        self._forget()

    def _drop(self) -> None:
        """Take back what is stored and not visible."""
        if self._repository is not None and not self._hidden:
            obsolete = [self._temporary, self._options.branch if self._new_branch else ""]
            for name in filter(None, obsolete):
                with icechunk_errors(f"{self._where}: forgetting {name}"):
                    if name == self._temporary or self._repository.lookup_branch(name) == self._base:
                        self._repository.delete_branch(name)  # else another run has committed to the new branch
        if self._session is not None and not self._session.read_only:
            self._session.discard_changes()

    def release(self) -> None:
        """See `Transaction`."""
        self._forget()
        self._lock.release()

    def close(self) -> None:
        """See `Transaction`."""
        try:
            self._drop()
        except (WriteError, SourceError):
            pass  # the storage is gone: what is left there no branch points to
        finally:
            self._forget()
            if self._staged is not None:
                self._staged.discard()
            self._lock.release()
