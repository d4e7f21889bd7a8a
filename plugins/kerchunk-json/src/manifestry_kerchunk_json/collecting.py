"""Keys of a document sorted into documents of Zarr and the chunks of each array, in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from manifestry.errors import MalformedFileError
from manifestry.references.nodes import DOCUMENT_NAMES, Hierarchy

__all__ = ["Chunks", "Collected", "collect"]


@dataclass(slots=True)
class Chunks:
    """The references of one array, as the document lists them.

    Attributes
    ----------
    keys
        Below the path of the array, for example ``"0.1"`` or ``"c/0/1"``.
    values
        The references.
    """

    keys: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class Collected:
    """A document in parts.

    Attributes
    ----------
    documents
        Those of Zarr by key.
    leaves
        References by what stands before the last slash of their key.
    """

    documents: dict[str, Any] = field(default_factory=dict)
    leaves: dict[str, Chunks] = field(default_factory=dict)

    def by_array(self, found: Hierarchy) -> dict[str, Chunks]:
        """The chunks of each array: those directly below it, and with ``/`` in their keys those further down."""
        chunks = {path: Chunks() for path in found.arrays}
        for place, leaf in self.leaves.items():
            owner = found.owner(place)
            if owner is not None:
                path, inner = owner
                chunks[path].keys += [inner + key for key in leaf.keys] if inner else leaf.keys
                chunks[path].values += leaf.values
        return chunks


def collect(references: Mapping[str, Any]) -> Collected:
    """Sort the members of a document.

    Raises
    ------
    MalformedFileError
        A key is no text.
    """
    found = Collected()
    leaves = found.leaves
    for key, value in references.items():
        if not isinstance(key, str):
            raise MalformedFileError(f"the key {key!r} is no text")
        place, _, name = key.rpartition("/")
        if name in DOCUMENT_NAMES:
            found.documents[key] = value
            continue
        leaf = leaves.get(place)
        if leaf is None:
            leaf = leaves[place] = Chunks()
        leaf.keys.append(name)
        leaf.values.append(value)
    return found
