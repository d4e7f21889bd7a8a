"""Provenance of a snapshot: what the commits that made it say of their sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import icechunk
from manifestry.errors import ManifestError
from manifestry.model.files import SourceFile
from manifestry.model.provenance import Provenance, merge_provenance, provenance_from_json

__all__ = ["provenance_of", "source_files"]


def provenance_of(repository: icechunk.Repository, snapshot: str, group: str) -> tuple[Provenance, ...]:
    """The provenance of a group, of all commits since it was last written as a whole; the oldest first.

    What other programs committed has none and is passed over, and so is what cannot be read.
    """
    found: list[tuple[Provenance, ...]] = []
    for commit in repository.ancestry(snapshot_id=snapshot):
        metadata: Mapping[str, Any] = commit.metadata
        how = metadata.get("manifestry_write")
        if not isinstance(how, Mapping) or not _concerns(str(how.get("group", "")), group):
            continue
        try:
            found.append(provenance_from_json(metadata.get("manifestry") or {}))
        except ManifestError:
            continue
        if how.get("mode") != "append" and _above(str(how.get("group", "")), group):
            break
    parts = [part for commit in reversed(found) for part in commit]
    try:
        return merge_provenance(parts)
    except ValueError:  # a source changed between two commits: both states stay, each with its own
        return tuple(parts)


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
