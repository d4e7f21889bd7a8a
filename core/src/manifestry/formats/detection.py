"""Which format a source has: decided the same way every time, and never guessed between equals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from manifestry.errors import AmbiguousFormatError, SourceError, UnknownFormatError
from manifestry.formats.descriptors import Confidence, ParserDescriptor
from manifestry.formats.loading import KNOWN_ELSEWHERE, Entry, FormatRegistry
from manifestry.formats.plugin_errors import PluginBoundary, import_object
from manifestry.storage.source import Source

__all__ = ["detect", "matches"]

type ParserEntry = Entry[ParserDescriptor]

_SIGNATURES: Final = (
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"CDF", "netcdf3"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"GRIB", "grib"),
    (b"SIMPLE  =", "fits"),
    (b"\x0e\x03\x13\x01", "hdf4"),
)
"""Formats that can be named although no installed plugin reads them."""


def detect(source: Source, formats: FormatRegistry) -> ParserEntry:
    """The parser for a source.

    Magic bytes and sniff functions on one shared header read come first, then the ending of the name; a format that
    refines another that matches wins over it.

    Raises
    ------
    SourceError
        There is nothing at the URL. That is checked before anything else.
    AmbiguousFormatError
        Two formats are equally likely; the message names both distributions.
    UnknownFormatError
        None is likely; the message says what was tried.
    """
    failures: list[str] = []
    found = _matches(source, formats, failures)
    if len(found) == 1:
        return found[0]
    if found:
        labels = sorted(entry.label for entry in found)
        raise AmbiguousFormatError(
            f"{source.url}: claimed by {' and '.join(labels)}; choose one with format={labels[0]!r} (--from)"
        )
    raise UnknownFormatError("; ".join([_explain_unknown(source, formats), *failures]))


def matches(source: Source, formats: FormatRegistry) -> list[ParserEntry]:
    """The most likely parsers for a source, refined ones left out."""
    return _matches(source, formats, [])


def _matches(source: Source, formats: FormatRegistry, failures: list[str]) -> list[ParserEntry]:
    """As `matches`; plugins that failed while they looked at the source claim nothing, and are listed in `failures`."""
    entries = list(formats.parsers.values())
    if source.is_prefix:
        names = set(source.list())
        return _refine([e for e in entries if any(s in names or f"{s}/" in names for s in e.descriptor.sentinels)])
    head = source.head()
    certain, possible = [], []
    for entry in entries:
        match _confidence(entry, head, source, failures):
            case Confidence.CERTAIN:
                certain.append(entry)
            case Confidence.POSSIBLE:
                possible.append(entry)
    if certain:
        return _refine(certain)
    by_name = [e for e in possible if _has_extension(e, source)] or possible
    return _refine(by_name)


def _confidence(entry: ParserEntry, head: bytes, source: Source, failures: list[str]) -> Confidence:
    """What the header says about one format."""
    descriptor = entry.descriptor
    magic = any(m.matches(head) for m in descriptor.magic)
    if descriptor.sniff is not None and (magic or not descriptor.magic):
        with PluginBoundary() as boundary:  # a broken plugin must not keep a file from the plugin that reads it
            return Confidence(import_object(descriptor.sniff)(head, source))
        failures.append(f"{entry.label} failed while looking at it: {boundary.reason}")
        return Confidence.NO
    if descriptor.magic:
        return Confidence.CERTAIN if magic else Confidence.NO
    return Confidence.POSSIBLE if head and _has_extension(entry, source) else Confidence.NO


def _has_extension(entry: ParserEntry, source: Source) -> bool:
    return source.name.lower().endswith(entry.descriptor.extensions) if entry.descriptor.extensions else False


def _refine(found: Sequence[ParserEntry]) -> list[ParserEntry]:
    """Without the formats that another of those found is a special case of."""
    general = {name for entry in found for name in entry.descriptor.refines}
    special = [entry for entry in found if entry.descriptor.name not in general]
    return special or list(found)  # formats that refine each other are equals


def _explain_unknown(source: Source, formats: FormatRegistry) -> str:
    tried = f"tried: {', '.join(sorted(formats.parsers)) or 'nothing, no parser is installed'}"
    if source.is_prefix:
        return f"{source.url}: a directory of no known format; {tried}"
    if not source.size:
        raise SourceError(f"{source.url}: the file is empty")
    head = source.head()
    for signature, name in _SIGNATURES:
        if head.startswith(signature) and name not in formats.parsers:
            advice = (
                f"pip install {KNOWN_ELSEWHERE[name]}" if name in KNOWN_ELSEWHERE else "no plugin for it is installed"
            )
            return f"{source.url}: this is {name}, which is not installed: {advice}"
    start = head[:8].hex(" ")
    return f"{source.url}: no known format; it begins with {start}; {tried}; choose one with format= (--from)"
