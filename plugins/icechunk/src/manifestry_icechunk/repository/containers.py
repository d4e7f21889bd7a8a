"""Virtual chunk containers: the URL prefixes that a repository names and that readers authorise.

A container is the longest clean directory that all new sources of one host share; a source that an existing container
covers needs none. Where the very first directory of a local path has characters that need encoding there is no clean
one, and the raw directory is taken: readers match it with the decoded URL. (Icechunk's own validation matches the
encoded one, so it is off: that every location has its container holds by construction.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import icechunk
import numpy as np
from manifestry.plugin import INLINE, ChunkManifest, FileTable, StoreRegistry, UnsupportedFeatureError
from numpy.typing import NDArray

from manifestry_icechunk.options import StoreSettings
from manifestry_icechunk.repository.locations import clean_part, common_directory, encode
from manifestry_icechunk.repository.storages import container_store

__all__ = ["Container", "choose_containers", "containers_of", "locations_of", "merge_containers", "used_rows"]

_ROOT: Final = "file:///"


@dataclass(frozen=True, slots=True)
class Container:
    """A virtual chunk container.

    Attributes
    ----------
    prefix
        URL prefix with a slash at the end, as it is registered.
    name
        Name that relative locations use, or None.
    """

    prefix: str
    name: str | None = None

    def covers(self, url: str) -> bool:
        """Whether a canonical URL is below the prefix."""
        return url.startswith(self.prefix)

    def location(self, url: str, *, relative: bool) -> str:
        """The location of a canonical URL that the container covers."""
        encoded = encode(url)
        return f"vcc://{self.name}/{encoded[len(self.prefix) :]}" if relative else encoded


def containers_of(config: icechunk.RepositoryConfig | None) -> list[Container]:
    """The containers of a configuration, longest prefix first: the order in which readers match them."""
    registered: Mapping[str, Any] = (config.virtual_chunk_containers if config else None) or {}
    containers = [Container(prefix, container.name) for prefix, container in registered.items()]
    return sorted(containers, key=lambda container: len(container.prefix), reverse=True)


def used_rows(manifest: ChunkManifest) -> NDArray[np.uint32]:
    """The rows of the file table that stored chunks refer to, ascending."""
    if not manifest.stored_count:
        return np.empty(0, "u4")
    if manifest.file_index.ndim == 0:
        row = int(manifest.file_index)
        return np.array([] if row == INLINE else [row], "u4")
    index = manifest.file_index
    seen = np.zeros(len(manifest.files), bool)
    seen[index[index != INLINE]] = True
    # A chunk that is not stored has the file of a stored one, so no row is here by mistake.
    return np.flatnonzero(seen).astype("u4")


def choose_containers(urls: Iterable[str], existing: Sequence[Container], *, relative: bool) -> list[Container]:
    """The containers that some canonical URLs need: existing ones, and as few new ones as their hosts allow.

    Raises
    ------
    UnsupportedFeatureError
        `relative`, and a local path has no directory that could be a container's prefix.
    """
    used: dict[str, Container] = {}
    uncovered: dict[str, list[str]] = {}
    for url in urls:
        cover = next((container for container in existing if container.covers(url)), None)
        if cover is None:
            uncovered.setdefault(_group(url), []).append(url)
        else:
            used[cover.prefix] = cover
    for together in uncovered.values():
        for prefix in _prefixes(together):
            used[prefix] = Container(prefix)
    if not relative:
        return list(used.values())
    names = {container.name for container in existing if container.name is not None}
    return [_with_name(container, names) for container in used.values()]


def _group(url: str) -> str:
    """What must be equal for two sources to share a container: scheme and host, of local files the first directory."""
    parts = url.split("/", 4)
    return "/".join(parts[:4] if url.startswith("file:") else parts[:3])


def _prefixes(urls: Sequence[str]) -> list[str]:
    """One prefix for sources of one group."""
    directory = common_directory(urls)
    clean = clean_part(directory)
    return [directory if clean == _ROOT else clean]


def _with_name(container: Container, names: set[str]) -> Container:
    if clean_part(container.prefix) != container.prefix:
        raise UnsupportedFeatureError(
            "relative locations below a directory whose name needs encoding",
            container.prefix,
            "rename the directory, or write absolute locations (relative=False)",
        )
    if container.name:
        return container
    last = container.prefix.rstrip("/").rpartition("/")[2]
    base = re.sub(r"[^a-z0-9-]+", "-", last.lower()).strip("-") or "sources"
    name = next(n for n in (base, *(f"{base}-{i}" for i in range(2, 10_000))) if n not in names)
    names.add(name)
    return replace(container, name=name)


def merge_containers(
    config: icechunk.RepositoryConfig, needed: Iterable[Container], settings: StoreSettings, stores: StoreRegistry
) -> bool:
    """Add containers to a configuration, keeping all that are there; returns whether anything was new."""
    registered: Mapping[str, Any] = config.virtual_chunk_containers or {}
    changed = False
    for container in needed:
        old = registered.get(container.prefix)
        if old is not None and old.name == container.name:
            continue
        store = container_store(container.prefix, settings, stores).make() if old is None else old.store
        config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(container.prefix, store, container.name))
        changed = True
    return changed


def locations_of(
    files: FileTable, containers: Sequence[Container], rows: NDArray[np.uint32], *, relative: bool
) -> list[str]:
    """The location of each file of a table, ``""`` for those not in `rows`; one more ``""`` at the end.

    Texts are made once for each file and shared by all references.
    """
    ordered = sorted(containers, key=lambda container: len(container.prefix), reverse=True)
    locations = [""] * (len(files) + 1)
    for row in rows.tolist():
        url = files.urls[row]
        container = next(c for c in ordered if c.covers(url))
        locations[row] = container.location(url, relative=relative)
    return locations
