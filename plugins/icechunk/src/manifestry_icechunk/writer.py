"""The write session of the plugin interface: check, stage, commit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import icechunk
from manifestry.errors import OptionError, SourceError, TargetExistsError, WriteError
from manifestry.formats.contracts import Mode, Placement, Target, WriteContext
from manifestry.model.issues import Issue
from manifestry.model.tree import VirtualGroup
from manifestry.report import WriteReport

from manifestry_icechunk.borrowed import BorrowedTransaction
from manifestry_icechunk.checks import tree_issues
from manifestry_icechunk.containers import choose_containers
from manifestry_icechunk.faults import ConflictingCommitError, icechunk_errors
from manifestry_icechunk.lines import reader_lines
from manifestry_icechunk.nodes import Nodes
from manifestry_icechunk.options import IcechunkWriteOptions
from manifestry_icechunk.repositories import open_repository, state_of
from manifestry_icechunk.staging import Staging, refuse_occupied
from manifestry_icechunk.storages import container_access, repository_place
from manifestry_icechunk.transactions import OwnTransaction, Transaction

__all__ = ["IcechunkSession", "IcechunkWriter"]

_RETRIES: Final = 20

_GIVES_UP: Final = Issue(
    "",
    "readers that give up at once",
    "the repository's settings of its storage allow one try, and that is for chunks of remote sources too",
    "set config.storage.retries = icechunk.StorageRetriesSettings(max_tries=10) in its configuration, and save it",
    "reported",
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
        given = self._target.object
        if self._place is None:
            if isinstance(given, icechunk.Repository):
                return OwnTransaction(None, self._options, self._target.stores, create=False, repository=given)
            if self._options.tag is not None:
                raise OptionError("a tag needs a commit, and a session of the caller's is left uncommitted")
            return BorrowedTransaction(given.session if isinstance(given, icechunk.IcechunkStore) else given)
        if not self._place.writable:
            raise WriteError(f"{self._target}: Icechunk writes to no plain http server")
        state = state_of(self._place)
        if state == "other":
            raise TargetExistsError(f"{self._target}: something is there already, and it is no Icechunk repository")
        if state == "nothing" and self._mode is Mode.APPEND:
            raise SourceError(f"{self._target}: there is no Icechunk repository to change")
        if state == "repository" and self._mode is Mode.CREATE:
            repository = open_repository(self._place)
            with icechunk_errors(f"{self._target}: looking at what is there"):
                branch = self._options.branch if self._options.branch in repository.list_branches() else "main"
                refuse_occupied(Nodes(repository.readonly_session(branch).store), self._target)
        return OwnTransaction(self._place, self._options, self._target.stores, create=state == "nothing")

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
        return issues

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
            here = [f"{source}_" for source in sources]
            relative = self._options.relative
            containers = choose_containers(here, self._transaction.containers(), relative=relative)
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
            self._message(), {**self._options.metadata, **metadata, "manifestry_write": self._how()}
        )
        containers = [container.prefix for container in self._transaction.containers()]
        issues = [_GIVES_UP] if self._transaction.gives_up_at_once else []
        self._transaction.release()
        access = {p: container_access(p, self._options.sources, self._target.stores) for p in sorted(containers)}
        storage = self._place.storage if self._place is not None else None
        lines = reader_lines(storage, access, self._options.branch, self._target.group, trees)
        details = {
            "snapshot": snapshot,
            "branch": self._options.branch,
            "tag": self._options.tag,
            "containers": containers,
        }
        report = WriteReport.of(str(self._target), "icechunk", trees, reader=lines, details=details)
        return report.with_issues(issues)

    def _commit(self, message: str, metadata: Mapping[str, Any]) -> str:
        """Commit; where the caller wants it, stage everything once more on what others have committed."""
        for attempt in range(_RETRIES):
            try:
                return self._transaction.commit(message, metadata)
            except ConflictingCommitError:
                if self._options.on_conflict == "raise" or attempt == _RETRIES - 1:
                    raise
            self._transaction.restart()
            self._staging.restart()
            with icechunk_errors(f"{self._target}: staging references once more"):
                for tree, at in self._staged:
                    self._staging.stage(tree, at)
        raise AssertionError("the last attempt returns or raises")

    def _message(self) -> str:
        if self._options.message is not None:
            return self._options.message
        arrays = sum(1 for tree, _ in self._staged for _ in tree.walk_arrays())
        return f"manifestry: {self._how()['mode']}, {arrays} array{'' if arrays == 1 else 's'}"

    def _how(self) -> dict[str, Any]:
        """What this commit does to the group, for those who read the provenance of several commits."""
        return {"mode": str(self._mode), "group": self._target.group}

    def abort(self) -> None:
        """Forget what was staged; of a session that held changes of the caller's, ours stay with them."""
        self._transaction.close()
        self._staged.clear()


def _strict_json(metadata: Mapping[str, Any]) -> None:
    try:
        json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise OptionError(f"metadata is no JSON: {error}") from error
