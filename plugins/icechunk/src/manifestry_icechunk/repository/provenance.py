"""What the commits that made a snapshot say of their sources: all of it, or what was added since another snapshot."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import icechunk
from manifestry.plugin import ManifestError, OutputState, Provenance, SourceFile, WriteError

__all__ = ["OtherCommits", "provenance_of", "source_files", "sources_of"]


def provenance_of(repository: icechunk.Repository, snapshot: str, group: str) -> tuple[Provenance, ...]:
    """The provenance of a group, of all commits since it was last written as a whole; the oldest first.

    What other programs committed has none and is passed over, and so is what cannot be read.
    """
    found: list[tuple[Provenance, ...]] = []
    for commit in repository.ancestry(snapshot_id=snapshot):
        how = _how(commit)
        if how is None or not _concerns(_group(how), group):
            continue
        try:
            found.append(Provenance.from_json(commit.metadata.get("manifestry") or {}))
        except ManifestError:
            continue
        if _is_whole(how, group):
            break
    parts = [part for commit in reversed(found) for part in commit]
    try:
        return Provenance.merge(parts)
    except ValueError:  # a source changed between two commits: both states stay, each with its own
        return tuple(parts)


def sources_of(
    repository: icechunk.Repository, snapshot: str, group: str, growing: Collection[str]
) -> tuple[set[str], bool]:
    """URLs of the sources of a group, and whether these are all.

    They are not where the history ends before the commit that wrote the group as a whole (snapshots were expired), and
    where a commit without provenance has changed the shape of an array (other programs, or an amended commit).

    Parameters
    ----------
    growing
        Paths of the arrays that sources are appended to.
    """
    found: set[str] = set()
    complete = True
    for commit in repository.ancestry(snapshot_id=snapshot):
        how = _how(commit)
        if how is None:
            complete = complete and not _changes(repository, commit) & set(growing)
        elif _concerns(_group(how), group):
            urls = _sources(commit)
            complete = complete and bool(urls)
            found |= urls
            if _is_whole(how, group):
                return found, complete
    return found, False


@dataclass(frozen=True, slots=True)
class OtherCommits:
    """Refuses what others have added between the state that a caller looked at and a commit.

    Attributes
    ----------
    where
        The repository, for messages.
    group
        The group that is continued.
    state, sources
        As in `manifestry.formats.contracts.WriteContext`.
    """

    where: str
    group: str
    state: OutputState | None
    sources: frozenset[str]

    def check(self, repository: icechunk.Repository, snapshot: str) -> None:
        """Look at the commits that led from the state to a snapshot.

        Raises
        ------
        WriteError
            One of them has a source that is to be added, or it cannot be said what one of them has added.
        """
        if self.state is None:
            return
        for commit in repository.ancestry(snapshot_id=snapshot):
            if commit.id == self.state.version:
                return
            how = _how(commit)
            if how is None:
                below = f"{self.group}/" if self.group else ""
                if any(path.startswith(below) for path in _changes(repository, commit)):
                    raise WriteError(
                        f"{self.where}: another program has changed it in the meantime; run the command again"
                    )
            elif _concerns(_group(how), self.group):
                added = min(_sources(commit) & self.sources, default=None)
                if added is not None:
                    raise WriteError(
                        f"{self.where}: another run has added {added} in the meantime; run the command again"
                    )
        raise WriteError(
            f"{self.where}: its history was cut or its branch moved in the meantime, and nothing says what was added "
            "since; run the command again"
        )


def _how(commit: icechunk.SnapshotInfo) -> Mapping[str, Any] | None:
    """What a commit of ours did to which group; None for a commit of another program."""
    how = commit.metadata.get("manifestry_write")
    return how if isinstance(how, Mapping) else None


def _group(how: Mapping[str, Any]) -> str:
    return str(how.get("group", ""))


def _is_whole(how: Mapping[str, Any], group: str) -> bool:
    """Whether a commit wrote a group anew."""
    return how.get("mode") != "append" and _above(_group(how), group)


def _sources(commit: icechunk.SnapshotInfo) -> set[str]:
    """URLs of the sources of a commit of ours; none where they cannot be read."""
    try:
        parts = Provenance.from_json(commit.metadata.get("manifestry") or {})
    except ManifestError:
        return set()
    beside = (_how(commit) or {}).get("sources")
    named = {url for url in beside if isinstance(url, str)} if isinstance(beside, list) else set()
    return named.union(*(part.sources.urls for part in parts))


def _changes(repository: icechunk.Repository, commit: icechunk.SnapshotInfo) -> set[str]:
    """Paths of the arrays that a commit made, removed, moved or gave another document, a longer shape for example."""
    if commit.parent_id is None:
        return set()
    diff = repository.diff(from_snapshot_id=commit.parent_id, to_snapshot_id=commit.id)
    moved = {path for pair in diff.moved_nodes for path in pair}
    return {path.strip("/") for path in diff.new_arrays | diff.updated_arrays | diff.deleted_arrays | moved}


def _above(written: str, group: str) -> bool:
    """Whether a group that was written is `group` or holds it."""
    return not written or group == written or group.startswith(f"{written}/")


def _concerns(written: str, group: str) -> bool:
    return _above(written, group) or _above(group, written)


def source_files(parts: Sequence[Provenance]) -> dict[str, SourceFile]:
    """What is known of each source by URL; of one that changed between two commits, the URL alone."""
    found: dict[str, SourceFile] = {}
    for part in parts:
        for file in part.sources:
            if found.setdefault(file.url, file) != file:
                found[file.url] = SourceFile(file.url)
    return found
