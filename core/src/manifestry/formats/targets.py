"""Where an output goes: the target, what may happen to what exists there, and what of it is continued."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from manifestry.storage.registry import StoreRegistry, Stores
from manifestry.storage.urls import canonical_url

__all__ = ["Mode", "OutputState", "Placement", "Target"]


class Mode(StrEnum):
    """What a writer may do with something that exists at the target."""

    CREATE = "create"
    """Nothing: an existing target is a `TargetExistsError`."""
    OVERWRITE = "overwrite"
    """Replace it, if it is an output of this format."""
    APPEND = "append"
    """Add to it or change a region of it, if it is an output of this format."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where an output goes: a path or URL, or an open object of the format itself.

    Attributes
    ----------
    url
        Canonical URL, ``""`` for an open object.
    object
        The open object (an Icechunk repository, session or store): the caller commits. None for a URL.
    group
        Path of the group inside the output that becomes the root of what is written.
    stores
        The caller's object stores, for remote targets.
    """

    url: str = ""
    object: Any = None
    group: str = ""
    stores: StoreRegistry = field(default_factory=StoreRegistry)

    @classmethod
    def of(cls, target: Any, group: str = "", stores: Stores = None) -> Target:
        """The target that a caller gave: a path, a URL or an open object."""
        registry = StoreRegistry.of(stores)
        if isinstance(target, str | Path):
            return cls(canonical_url(target), None, group.strip("/"), registry)
        return cls("", target, group.strip("/"), registry)

    @property
    def local_path(self) -> Path | None:
        """The path in the local file system, or None."""
        return self.stores.local_path(self.url)

    def __str__(self) -> str:
        return self.url or f"<{type(self.object).__name__}>"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where in an existing output a tree goes.

    Exactly one of the first two is given.

    Attributes
    ----------
    append_dim
        The tree continues the output along this dimension; arrays without it must be equal.
    region
        Half-open element ranges ``{dimension: (start, stop)}`` that the tree replaces; other dimensions are whole.
        Boundaries lie on chunk boundaries.
    added
        Paths of arrays that the output does not have and gets: before what is appended they have missing chunks.
    """

    append_dim: str | None = None
    region: Mapping[str, tuple[int, int]] | None = None
    added: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if (self.append_dim is None) == (self.region is None):
            raise ValueError("a placement needs either append_dim or region, and not both")


@dataclass(frozen=True, slots=True)
class OutputState:
    """What an output held when a caller read it, in order to continue it.

    Attributes
    ----------
    version
        What the writer knows the state by.
    options
        With them the parser of the format reads this state.
    sources, complete
        URLs of the sources in it, besides those that its provenance names; and whether these are all.
    """

    version: str
    options: Mapping[str, Any] = field(default_factory=dict)
    sources: frozenset[str] = frozenset()
    complete: bool = True
