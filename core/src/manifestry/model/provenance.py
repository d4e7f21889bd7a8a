"""Where a tree came from: stored with every output, so that it can be verified and resumed from itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from manifestry.errors import ManifestError
from manifestry.model.files import FileTable, SourceFile

__all__ = ["Provenance"]

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Provenance:
    """The sources that one parser read with one set of options.

    Attributes
    ----------
    parser
        Name of the format.
    version
        Version of the distribution that provides the parser.
    options
        Options that differ from their defaults, as JSON.
    sources
        The source objects as they were when parsed.
    """

    parser: str
    version: str
    options: Mapping[str, Any] = field(default_factory=dict)
    sources: FileTable = field(default_factory=FileTable)

    @staticmethod
    def to_json(parts: Sequence[Provenance]) -> dict[str, Any]:
        """Provenance as JSON, the form that outputs carry."""
        return {
            "schema_version": SCHEMA_VERSION,
            "parsed": [
                {
                    "parser": part.parser,
                    "version": part.version,
                    "options": dict(part.options),
                    "sources": [_source_to_json(file) for file in part.sources],
                }
                for part in parts
            ],
        }

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> tuple[Provenance, ...]:
        """Provenance from the JSON that an output carries.

        Raises
        ------
        ManifestError
            The document is of a later schema version, or not such a document.
        """
        try:
            if document.get("schema_version") != SCHEMA_VERSION:
                raise ManifestError(f"provenance of schema version {document.get('schema_version')!r} cannot be read")
            return tuple(
                Provenance(
                    part["parser"], part["version"], part["options"], FileTable(map(_source_from_json, part["sources"]))
                )
                for part in document["parsed"]
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ManifestError(f"not a provenance document: {error!r}") from error

    @staticmethod
    def merge(parts: Sequence[Provenance]) -> tuple[Provenance, ...]:
        """Join the entries of one parser with equal options; sources keep their order."""
        groups: list[tuple[Provenance, list[FileTable]]] = []
        for part in parts:
            for first, tables in groups:
                if (first.parser, first.version, first.options) == (part.parser, part.version, part.options):
                    tables.append(part.sources)
                    break
            else:
                groups.append((part, [part.sources]))
        return tuple(
            Provenance(first.parser, first.version, first.options, FileTable.union(tables)[0])
            for first, tables in groups
        )


def _source_to_json(file: SourceFile) -> dict[str, Any]:
    known = {
        "url": file.url,
        "size": file.size,
        "etag": file.etag,
        "last_modified": None if file.last_modified is None else file.last_modified.isoformat(),
    }
    return {key: value for key, value in known.items() if value is not None}


def _source_from_json(entry: Mapping[str, Any]) -> SourceFile:
    when = entry.get("last_modified")
    return SourceFile(
        entry["url"], entry.get("size"), entry.get("etag"), None if when is None else datetime.fromisoformat(when)
    )
