"""Keys of a document sorted into documents of Zarr and the chunks of each array, in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from manifestry.errors import MalformedFileError
from manifestry.references.nodes import DOCUMENT_NAMES, Hierarchy

__all__ = ["Chunks", "Collected", "collect"]

_DOCUMENT_NAMES: Final = frozenset(DOCUMENT_NAMES)
_BLOCK: Final = 256
"""Members that are looked at together."""


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

    def add(self, keys: list[str], values: list[Any]) -> None:
        """Sort some members: at once where they are chunks of one directory, as nearly all are, else one by one."""
        place = keys[0].rpartition("/")[0]
        names = _names_below(place, keys)
        if names is not None:
            leaf = self.leaves.setdefault(place, Chunks())
            leaf.keys += names
            leaf.values += values
            return
        for key, value in zip(keys, values, strict=True):
            place, _, name = key.rpartition("/")
            if name in _DOCUMENT_NAMES:
                self.documents[key] = value
            else:
                leaf = self.leaves.setdefault(place, Chunks())
                leaf.keys.append(name)
                leaf.values.append(value)

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


def _names_below(place: str, keys: list[str]) -> list[str] | None:
    """What follows the directory in keys that all lie directly in it and are no documents, else None."""
    start = f"\n{place}/" if place else "\n"
    text = "\n" + "\n".join(keys)
    if text.count(start) != len(keys):
        return None
    text = text.replace(start, "\n")
    if "/" in text or "z" in text:  # every name of a document has a z
        return None
    names = text.split("\n")[1:]
    return names if len(names) == len(keys) else None


def collect(references: Mapping[str, Any]) -> Collected:
    """Sort the members of a document.

    Raises
    ------
    MalformedFileError
        A key is no text.
    """
    found = Collected()
    keys, values = list(references), list(references.values())
    for start in range(0, len(keys), _BLOCK):
        block = slice(start, start + _BLOCK)
        if set(map(type, keys[block])) != {str}:
            raise MalformedFileError("a key of the document is no text")
        found.add(keys[block], values[block])
    return found
