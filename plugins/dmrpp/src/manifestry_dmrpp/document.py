"""What a document declares, as plain data: nothing is resolved or judged here.

Source: DAP4 specification volume 1, section "DMR"; the DMR++ schema narrative of OPeNDAP; BES, `DMZ.cc`, which is what
documents are written for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from manifestry_dmrpp.chunk_list import ChunkList

__all__ = ["Attribute", "Dim", "Enumeration", "Group", "StringRun", "StringRuns", "Variable"]


@dataclass(slots=True)
class Attribute:
    """An attribute: its values as text, the attributes of a Container, or the markup of OtherXML."""

    name: str
    type: str
    values: list[str] = field(default_factory=list)
    members: list[Attribute] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Dim:
    """One axis of a variable: the name of a shared dimension, or the length of one without a name."""

    name: str | None
    size: str | None


@dataclass(slots=True)
class Enumeration:
    """The labels of an Enum type, and the integer type that stores them."""

    base: str
    labels: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class StringRun:
    """A value of a vlsa element, how often it is repeated, and its size where it is compressed."""

    text: str
    count: str | None
    size: str | None


class StringRuns(list[StringRun]):
    """The values of a vlsa element."""


@dataclass(slots=True, kw_only=True)
class Variable:
    """A variable, or a member of a Structure.

    Attributes
    ----------
    type
        Name of the element: the DAP4 type.
    path
        Path from the root of the document, without a leading slash.
    chunks
        Chunks of the ``chunks`` element, or those directly in the variable; None where there is neither.
    payloads
        Text of ``compact``, ``missingdata`` and ``specialstructuredata`` elements by name.
    strings
        Values of a ``vlsa`` element, or None.
    wanted
        Whether it is to become an array; of others nothing but the dimensions is known.
    stored_name
        The name that the document has, where that is another than the one of netCDF.
    """

    type: str
    name: str
    path: str
    group: Group
    enum: str = ""
    dims: list[Dim] = field(default_factory=list)
    maps: list[str] = field(default_factory=list)
    attributes: list[Attribute] = field(default_factory=list)
    members: list[Variable] = field(default_factory=list)
    chunks: ChunkList | None = None
    payloads: dict[str, str] = field(default_factory=dict)
    strings: StringRuns | None = None
    string_length: str | None = None
    string_padding: str | None = None
    wanted: bool = True
    stored_name: str = ""

    @property
    def has_data(self) -> bool:
        """Whether the document says where its values are, or has them."""
        return self.chunks is not None or self.strings is not None or bool(self.payloads)


@dataclass(slots=True, kw_only=True)
class Group:
    """A group, or the Dataset itself.

    Attributes
    ----------
    path
        Path from the root, without a leading slash; ``""`` for the Dataset.
    properties
        XML attributes of the Dataset element by local name: ``href``, ``version``, ...
    """

    name: str
    path: str
    parent: Group | None = None
    dimensions: dict[str, str] = field(default_factory=dict)
    enumerations: dict[str, Enumeration] = field(default_factory=dict)
    attributes: list[Attribute] = field(default_factory=list)
    variables: list[Variable] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    properties: dict[str, str] = field(default_factory=dict)

    def walk(self) -> Iterator[Group]:
        """The group and all below it, parents first."""
        yield self
        for group in self.groups:
            yield from group.walk()

    def find(self, path: str) -> Group | None:
        """The group at a path below this one, or None."""
        node: Group | None = self
        for name in filter(None, path.split("/")):
            node = next((g for g in node.groups if g.name == name), None) if node else None
        return node

    def scopes(self) -> Iterator[Group]:
        """Where a name used in the group is looked up: the group and those that it is in, up to the Dataset."""
        node: Group | None = self
        while node is not None:
            yield node
            node = node.parent
