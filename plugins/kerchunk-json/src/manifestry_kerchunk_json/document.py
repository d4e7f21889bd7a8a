"""A document of references: version 0 (keys and references) or 1 (``version``, ``templates``, ``gen``, ``refs``)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from manifestry.errors import MalformedFileError, UnsupportedFeatureError
from manifestry.model.limits import Limits
from manifestry.storage.source import Source

from manifestry_kerchunk_json.compression import ZSTD_MAGIC, decompressed
from manifestry_kerchunk_json.reference import Reference
from manifestry_kerchunk_json.templates import generated, rendered

__all__ = ["PROVENANCE_MEMBER", "consolidated_documents", "read_document", "references_of"]

PROVENANCE_MEMBER: Final = "manifestry"
"""Member of the document, beside ``refs``, that holds our provenance as text.

Not a reference: zarr would list it as a child of the root and warn of it whenever the store is opened. A text, since
GDAL 3.12 accepts no array in a member that it does not know.
"""


def read_document(source: Source, limits: Limits) -> Mapping[str, Any]:
    """The JSON object that a file holds, decompressed when it is zstd.

    Raises
    ------
    MalformedFileError
        It holds none, or is larger than the limit.
    """
    limit = limits.max_metadata_bytes
    if source.size > limit:
        raise MalformedFileError(f"{source.url}: {source.size} bytes, more than the limit of {limit} for a document")
    data = source.range(0, source.size)
    if data.startswith(ZSTD_MAGIC):
        data = decompressed(data, limit, source.url)
    try:
        found = _decode(data)
    except (ValueError, RecursionError) as error:
        raise MalformedFileError(f"{source.url}: no JSON: {error}") from error
    if not isinstance(found, Mapping):
        raise MalformedFileError(f"{source.url}: a JSON {type(found).__name__}, not an object")
    return found


class _Version1(msgspec.Struct):
    """A document of version 1, and of none that has ``refs``."""

    refs: dict[str, Reference | str | dict[str, Any]]
    version: Any = None
    templates: dict[str, Any] | None = None
    gen: list[Any] | None = None
    manifestry: Any = None


_DECODERS: Final = (
    msgspec.json.Decoder(_Version1),
    msgspec.json.Decoder(dict[str, Reference | str | dict[str, Any]]),  # version 0
    msgspec.json.Decoder(),
)


def _decode(data: bytes) -> Any:
    """The document, its references as `Reference` where all of them are well formed."""
    for decoder in _DECODERS:
        try:
            found = decoder.decode(data)
        except msgspec.DecodeError:
            continue
        return msgspec.structs.asdict(found) if isinstance(found, _Version1) else found
    return json.loads(data)  # NaN in metadata, which others write


def references_of(document: Mapping[str, Any], templates: Mapping[str, str], limits: Limits) -> Mapping[str, Any]:
    """References by key, with templates filled in.

    Parameters
    ----------
    templates
        Values that replace those of the document.

    Raises
    ------
    UnsupportedFeatureError
        The document is of a later version.
    MalformedFileError
        It is not what its version says.
    """
    version = document.get("version")
    if version is None and "refs" not in document:
        return document
    if version not in (None, 1):
        raise UnsupportedFeatureError(f"Kerchunk references of version {version!r}")
    refs = document.get("refs", {})
    if not isinstance(refs, Mapping):
        raise MalformedFileError("refs is no JSON object")
    values = {**(document.get("templates") or {}), **templates}
    if document.get("gen"):
        refs = {**refs, **generated(document["gen"], values, limits)}
    return {key: _filled(value, values) for key, value in refs.items()} if values else refs


def consolidated_documents(references: Mapping[str, Any]) -> Mapping[str, Any]:
    """The documents of Zarr inside ``.zmetadata``, for references that have them nowhere else.

    Raises
    ------
    MalformedFileError
        It is no consolidated metadata.
    """
    value = references.get(".zmetadata", "{}")
    try:
        found = value if isinstance(value, Mapping) else json.loads(value)
        metadata = found.get("metadata", {})
    except (ValueError, TypeError, AttributeError) as error:
        raise MalformedFileError(f".zmetadata: no consolidated metadata: {error}") from error
    if not isinstance(metadata, Mapping):
        raise MalformedFileError(".zmetadata: no consolidated metadata")
    return metadata


def _filled(value: Any, templates: Mapping[str, str]) -> Any:
    if isinstance(value, Reference):
        return value if value.url is None else msgspec.structs.replace(value, url=rendered(value.url, templates))
    if isinstance(value, list | tuple) and value and isinstance(value[0], str):
        return [rendered(value[0], templates), *value[1:]]
    return value
