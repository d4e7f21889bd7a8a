"""What a plugin says of its formats: frozen data that points at code by import strings.

Listing, detecting and describing formats import nothing but these; the parser or writer is imported on first use.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from manifestry.model.codecs import CodecEntry

__all__ = ["API_VERSION", "Capability", "Confidence", "Magic", "ParserDescriptor", "WriterDescriptor"]

API_VERSION: Final = (1, 0)
"""Version of the plugin interface: plugins of another major version, or a later minor one, are incompatible."""


class Capability(StrEnum):
    """What a parser or writer can do beyond the minimum."""

    GROUPS = "groups"
    """Parser: sources may have groups. Writer: stores trees of groups."""
    REMOTE = "remote"
    """Works on object stores, not only on local files."""
    NATIVE = "native"
    """Parser: has `open_native`, the format's own library as the oracle of `verify`."""
    APPEND = "append"
    """Writer: adds along a dimension of an existing output."""
    REGION = "region"
    """Writer: replaces a region of an existing output."""
    SLABS = "slabs"
    """Writer: stores one output in several sessions, each of which can be committed."""
    OBJECTS = "objects"
    """Writer: accepts an open object of the format itself as the target, and leaves committing to the caller."""


class Confidence(StrEnum):
    """How sure a sniff function is."""

    CERTAIN = "certain"
    POSSIBLE = "possible"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Magic:
    """Bytes that every file of a format has at one of some offsets."""

    value: bytes
    offsets: tuple[int, ...] = (0,)

    def matches(self, head: bytes) -> bool:
        """Whether the bytes are there."""
        return any(head[offset : offset + len(self.value)] == self.value for offset in self.offsets)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParserDescriptor:
    """A format that a plugin reads.

    Attributes
    ----------
    name
        The name users type, for example ``"hdf5"``.
    title
        One line for listings.
    parser
        Import string ``"module:Class"`` of the parser; called without arguments on first use.
    options
        Import string of the options struct (a `msgspec.Struct`), or None.
    magic
        Bytes that identify the format; any of them is enough.
    sniff
        Import string of ``function(head: bytes, source: Source) -> Confidence`` for formats without magic bytes, or
        to decide where magic bytes are shared. Its module imports nothing heavy.
    extensions
        File name endings with the dot, lower case; they count only where no format is certain by content.
    sentinels
        Names that a directory of this format holds, for example ``(".zmetadata",)``; any of them is enough.
    refines
        Names of formats of which this is a special case: it wins over them.
    codecs
        What the catalogue of codecs shall know of codecs that the plugin brings (`manifestry.model.codecs`).
    variant
        Name of the option that a format name may carry after a colon, or None: with ``variant="parser"``, the name
        ``"virtualizarr:HDFParser"`` is the format ``"virtualizarr"`` with the option ``parser="HDFParser"``.
    capabilities
        See `Capability`.
    api
        Version of the plugin interface that the plugin was written for.
    """

    name: str
    title: str
    parser: str
    options: str | None = None
    magic: tuple[Magic, ...] = ()
    sniff: str | None = None
    extensions: tuple[str, ...] = ()
    sentinels: tuple[str, ...] = ()
    refines: tuple[str, ...] = ()
    codecs: tuple[CodecEntry, ...] = ()
    variant: str | None = None
    capabilities: frozenset[Capability] = frozenset()
    api: tuple[int, int] = API_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterDescriptor:
    """A format that a plugin writes.

    Attributes
    ----------
    name, title, options, codecs, capabilities, api
        As for `ParserDescriptor`.
    writer
        Import string of the writer class.
    extensions
        Endings of target names that mean this format.
    objects
        Fully qualified names of classes whose instances are targets (``"icechunk.session.Session"``).
    """

    name: str
    title: str
    writer: str
    options: str | None = None
    extensions: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    codecs: tuple[CodecEntry, ...] = ()
    capabilities: frozenset[Capability] = frozenset()
    api: tuple[int, int] = API_VERSION

    def accepts(self, target: Any) -> bool:
        """Whether `target` is an open object of this format, judged by the names of its classes."""
        return any(f"{kind.__module__}.{kind.__qualname__}" in self.objects for kind in type(target).__mro__)
