"""What an untrusted document may make us allocate."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds that parsers and the validation gate keep; beyond them a source is refused by name.

    Attributes
    ----------
    max_chunks
        Chunks of one array, stored or not. Columns take at most 20 bytes a chunk.
    max_inline_bytes
        Bytes of one array that a parser may copy out of the source because they have no byte range of their own.
    max_arrays
        Arrays and groups of one source.
    max_depth
        Nesting of groups.
    max_metadata_bytes
        Bytes of one metadata document, attribute table or index block.
    """

    max_chunks: int = 250_000_000
    max_inline_bytes: int = 64 << 20
    max_arrays: int = 200_000
    max_depth: int = 200
    max_metadata_bytes: int = 1 << 30
