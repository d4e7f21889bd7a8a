"""The write session of the plugin interface: check, stage, commit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import icechunk
import msgspec
from manifestry.plugin import (
    Issue,
    Mode,
    OptionError,
    OutputState,
    Placement,
    SourceError,
    StagedDirectory,
    Target,
    TargetExistsError,
    VirtualGroup,
    WriteContext,
    WriteError,
    WriteReport,
)

from manifestry_icechunk.options import IcechunkWriteOptions
from manifestry_icechunk.reader_snippet import reader_lines
from manifestry_icechunk.repository.containers import choose_containers
from manifestry_icechunk.repository.errors import ConflictingCommitError, icechunk_errors
from manifestry_icechunk.repository.nodes import Nodes
from manifestry_icechunk.repository.provenance import OtherCommits, sources_of
from manifestry_icechunk.repository.repositories import PlaceState, open_repository, state_of
from manifestry_icechunk.repository.storages import container_access, repository_place
from manifestry_icechunk.writing.caller_session import CallerSession
from manifestry_icechunk.writing.checks import tree_issues
from manifestry_icechunk.writing.staging import Staging, refuse_occupied
from manifestry_icechunk.writing.transactions import OwnTransaction, Transaction

__all__ = ["IcechunkSession", "IcechunkWriter"]

_MAX_ATTEMPTS: Final = 20

_GIVES_UP: Final = Issue(
    path="",
    feature="readers that give up at once",
    message="the repository's settings of its storage allow one try, and that is for chunks of remote sources too",
    hint="set config.storage.retries = icechunk.StorageRetriesSettings(50, 1000, 10_000) in its configuration, and save it",
    severity="reported",
)
"""What a report says of a repository over remote sources whose settings are not ours to change."""


class IcechunkWriter:
    """Stores trees in Icechunk repositories."""

    def open(self, target: Target, mode: Mode, options: IcechunkWriteOptions, context: WriteContext) -> IcechunkSession:
        """Begin a transaction; touches nothing yet.

        Raises
        ------
        TargetExistsError
            Something is there and `mode` does not allow to replace it, or it is no Icechunk repository.
        SourceError
            There is nothing to append to, or the target cannot be reached.
        WriteError
            The target cannot be written.
        """
        return IcechunkSession(target, mode, options, context)

    def state(self, target: Target, options: IcechunkWriteOptions, dim: str | None) -> OutputState | None:
        """What an append would continue: the tip of the branch, or that of main where the branch is not there yet.

        Raises
        ------
        SourceError
            The repository cannot be reached or read.
        """
        place = repository_place(target.url, target.stores, options.storage)
        if state_of(place) is not PlaceState.REPOSITORY:
            return None
        repository = open_repository(place)
        with icechunk_errors(f"{target}: looking at what is there", SourceError):
            branch = options.branch if options.branch in repository.list_branches() else "main"
            snapshot = repository.lookup_branch(branch)
            documents = Nodes(repository.readonly_session(snapshot_id=snapshot).store).documents(target.group)
            if documents.get("", {}).get("node_type") != "group":
                return None
            growing = {
                f"{target.group}/{path}".strip("/")
                for path, document in documents.items()
                if dim in (document.get("dimension_names") or ())
            }
            sources, complete = sources_of(repository, snapshot, target.group, growing)
        reading = {"snapshot": snapshot, "storage": msgspec.to_builtins(options.storage)}
        return OutputState(snapshot, reading, frozenset(sources), complete)


class IcechunkSession:
    """One commit; see `manifestry.formats.contracts.WriteSession`.

    Parameters
    ----------
    target
        Path or URL of a repository, a repository (then this commits), or a session or store (then the caller does).
    mode, options, context
        As given to the writer.
    """

    def __init__(self, target: Target, mode: Mode, options: IcechunkWriteOptions, context: WriteContext) -> None:
        _strict_json(options.metadata)
        # A tag names what is finished; that it is free yet is seen at the first commit already.
        self._tag = options.tag if context.last else None
        self._target = target
        self._mode = mode
        self._options = options
        self._context = context
        self._place = (
            None if target.object is not None else repository_place(target.url, target.stores, options.storage)
        )
        self._transaction = self._open()
        self._staging = Staging(self._transaction, target, mode, options, context)
        self._staged: list[tuple[VirtualGroup, Placement | None]] = []

    def _open(self) -> Transaction:
        target = self._target.object
        others = OtherCommits(str(self._target), self._target.group, self._context.state, self._context.sources)
        if self._place is None:
            if isinstance(target, icechunk.Repository):
                return OwnTransaction(
                    None, self._options, self._target.stores, create=False, others=others, repository=target
                )
            if self._options.tag is not None:
                raise OptionError(
                    "tag: the caller's session is left uncommitted, and only a commit can have a tag; give the "
                    "repository as the target"
                )
            return CallerSession(target.session if isinstance(target, icechunk.IcechunkStore) else target)
        if not self._place.writable:
            raise WriteError(f"{self._target}: cannot be written: Icechunk does not write to plain http servers")
        state = state_of(self._place)
        if state is PlaceState.OCCUPIED:
            raise TargetExistsError(f"{self._target}: there is something already that is not an Icechunk repository")
        if state is PlaceState.EMPTY and self._mode is Mode.APPEND:
            raise SourceError(f"{self._target}: there is no Icechunk repository to change")
        if state is PlaceState.REPOSITORY and self._mode is Mode.CREATE:
            repository = open_repository(self._place)
            with icechunk_errors(f"{self._target}: looking at what is there"):
                branch = self._options.branch if self._options.branch in repository.list_branches() else "main"
                refuse_occupied(Nodes(repository.readonly_session(branch).store), self._target)
        create = state is PlaceState.EMPTY
        staged = StagedDirectory(self._target, Mode.CREATE) if create and self._place.path is not None else None
        return OwnTransaction(
            self._place, self._options, self._target.stores, create=create, others=others, staged=staged
        )

    def check(self, tree: VirtualGroup, at: Placement | None = None) -> Sequence[Issue]:
        """What of `tree` Icechunk cannot hold.

        Raises
        ------
        IncompatibleArraysError
            The tree does not go at the place.
        """
        issues = tree_issues(tree)
        if at is not None:
            with icechunk_errors(f"{self._target}: comparing with what is there"):
                self._staging.place(tree, at, self._transaction.reading())
                if at.append_dim is not None and self._context.state is None:
                    issues += self._order_issues(tree, at.append_dim)
        return issues

    def _order_issues(self, tree: VirtualGroup, dim: str) -> Iterator[Issue]:
        """What is unusual about the order of the coordinate that grows."""
        store = self._transaction.reading()
        assert store is not None
        urls = [url for part in tree.provenance for url in part.sources.urls]
        names = (str(self._target), urls[0] if len(urls) == 1 else "what is appended")
        return self._staging.stored(store).order_issues(tree, dim, names)

    def write(self, tree: VirtualGroup, at: Placement | None = None) -> None:
        """Stage a tree that `check` has nothing against."""
        with icechunk_errors(f"{self._target}: staging references"):
            self._staging.stage(tree, at)
        self._staged.append((tree, at))

    def begin_parts(self, layout: VirtualGroup, sources: Sequence[str]) -> icechunk.Session:
        """Stage a layout for several processes; the clean session that they get forks of.

        Parameters
        ----------
        sources
            Canonical URLs of directories, each with a slash at the end.
        """
        with icechunk_errors(f"{self._target}: staging the layout"):
            below = [f"{source}_" for source in sources]
            relative = self._options.relative
            containers = choose_containers(below, self._transaction.containers(), relative=relative)
            self._transaction.writing(containers, {})
        self.write(layout)
        return self._transaction.relieve().session

    def merge(self, forks: Iterable[icechunk.Session]) -> None:
        """Take in what other processes have staged in forks of the session of `begin_parts`."""
        with icechunk_errors(f"{self._target}: merging the parts"):
            self._transaction.merge(forks)

    def commit(self, metadata: Mapping[str, Any]) -> WriteReport:
        """Commit what was staged; a session of the caller's is left uncommitted."""
        trees = [tree for tree, _ in self._staged]
        snapshot = self._commit(
            self._message(), {**self._options.metadata, **metadata, "manifestry_write": self._description()}
        )
        containers = [container.prefix for container in self._transaction.containers()]
        base = self._transaction.base
        issues = [_GIVES_UP] if self._transaction.gives_up_at_once else []
        self._transaction.release()
        access = {p: container_access(p, self._options.sources, self._target.stores) for p in sorted(containers)}
        storage = self._place.storage if self._place is not None else None
        lines = reader_lines(storage, access, self._options.branch, self._target.group, trees)
        details = {
            "snapshot": snapshot,
            "base": base,
            "branch": self._options.branch,
            "tag": self._tag,
            "containers": containers,
        }
        report = WriteReport.of(str(self._target), "icechunk", trees, reader=lines, details=details)
        return report.with_issues(issues)

    def _commit(self, message: str, metadata: Mapping[str, Any]) -> str:
        """Commit; where the caller wants it, stage everything once more on what others have committed."""
        for attempt in range(_MAX_ATTEMPTS):
            try:
                return self._transaction.commit(message, metadata, self._tag)
            except ConflictingCommitError:
                if not self._stages_anew or attempt == _MAX_ATTEMPTS - 1:
                    raise
            self._transaction.restart()
            self._staging.restart()
            with icechunk_errors(f"{self._target}: staging references once more"):
                for tree, at in self._staged:
                    self._staging.stage(tree, at)
        raise AssertionError("the last attempt returns or raises")

    @property
    def _stages_anew(self) -> bool:
        """Whether a conflict is solved by staging anew: as it is asked for, or else where sources cannot come twice."""
        if self._options.on_conflict is None:
            return self._context.state is not None
        return self._options.on_conflict == "retry"

    def _message(self) -> str:
        if self._options.message is not None:
            return self._options.message
        arrays = sum(1 for tree, _ in self._staged for _ in tree.walk_arrays())
        return f"manifestry: {self._description()['mode']}, {arrays} array{'' if arrays == 1 else 's'}"

    def _description(self) -> dict[str, Any]:
        """What this commit does to the group, for those who read the provenance of several commits."""
        how = {"mode": str(self._mode), "group": self._target.group}
        named = {url for tree, _ in self._staged for part in tree.provenance for url in part.sources.urls}
        beside = sorted(self._context.sources - named)  # an output as a source has the provenance of its own sources
        return {**how, "sources": beside} if beside else how

    def abort(self) -> None:
        """Forget what was staged; of a session that held changes of the caller's, ours stay with them."""
        self._transaction.close()
        self._staged.clear()


def _strict_json(metadata: Mapping[str, Any]) -> None:
    try:
        json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise OptionError(f"metadata is not JSON: {error}") from error
