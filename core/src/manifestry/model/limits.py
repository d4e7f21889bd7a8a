"""What an untrusted document can make us allocate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from manifestry.errors import UnsupportedFeatureError

__all__ = ["Budget", "Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds that parsers and the validation gate keep; beyond them a source is refused by name.

    Attributes
    ----------
    max_chunks
        Chunks of one array, stored or not. Columns take at most 20 bytes a chunk.
    max_empty_chunks
        Chunks of the whole source that have a place in columns without being stored, and one for each 64 bytes of the
        source. Sixteen for each stored one are not counted.
    max_inline_bytes
        Bytes of one array that a parser may copy out of the source because they have no byte range of their own.
    max_arrays
        Arrays and groups of one source.
    max_depth
        Nesting of groups.
    max_metadata_bytes
        Bytes of one metadata document, attribute table or index block.
    max_generated_references
        References of the whole source that rules make (``gen`` of Kerchunk).
    max_template_characters
        Characters that templates of the whole source are made into, each expression counted as 64 more; and sixteen
        for each byte of the source, and 400 for each generated reference.
    """

    max_chunks: int = 250_000_000
    max_empty_chunks: int = 8_000_000
    max_inline_bytes: int = 64 << 20
    max_arrays: int = 200_000
    max_depth: int = 200
    max_metadata_bytes: int = 1 << 30
    max_generated_references: int = 250_000
    max_template_characters: int = 4 << 20


_FREE_EMPTY: Final = 16
"""Empty chunks for each stored one that are not counted."""

_FEATURES: Final = {
    "max_chunks": ("too many chunks", "chunks in a grid"),
    "max_empty_chunks": ("nearly empty chunk grid", "chunks that are not stored"),
    "max_generated_references": ("too many generated references", "references"),
    "max_template_characters": ("templates that grow", "characters"),
}
"""Of each limit, what is refused, and what is counted."""

_PER_BYTE: Final = {"max_empty_chunks": 1 / 64, "max_template_characters": 16}
"""How much a limit grows with each byte of the source: what is refused is amplification, not size."""


class Budget:
    """What has been taken of the limits that hold for a whole source, all its arrays together.

    Parameters
    ----------
    limits
        The limits.
    source_bytes
        Says how many bytes the source has: a large one may be made into more. Asked only where that matters.
    """

    def __init__(self, limits: Limits | None = None, source_bytes: Callable[[], int] | None = None) -> None:
        self.limits = limits or Limits()
        self._source_bytes = source_bytes
        self._spent: Counter[str] = Counter()

    def spend(self, limit: str, amount: int, where: str = "") -> None:
        """Take some of a limit, before memory is.

        Parameters
        ----------
        limit
            Name of the limit, as `Limits` has it.
        amount
            How much.
        where
            Path of the array, for the message.

        Raises
        ------
        UnsupportedFeatureError
            There is not so much left.
        """
        most: int = getattr(self.limits, limit)
        total = self._spent[limit] + amount
        if total > most and self._source_bytes is not None:
            most += int(_PER_BYTE.get(limit, 0) * self._source_bytes())
        if total > most:
            raise _beyond(limit, total, most, where)
        self._spent[limit] = total

    def spend_grid(self, chunks: int, stored: int, where: str = "") -> None:
        """Take the empty chunks of a grid of which some are stored, before columns are made for it.

        Raises
        ------
        UnsupportedFeatureError
            The grid is too large, or too many of its chunks are empty.
        """
        if chunks > self.limits.max_chunks:
            raise _beyond("max_chunks", chunks, self.limits.max_chunks, where)
        self.spend("max_empty_chunks", max(0, chunks - stored - _FREE_EMPTY * stored), where)


def _beyond(limit: str, total: int, most: int, where: str) -> UnsupportedFeatureError:
    feature, counted = _FEATURES[limit]
    hint = f"{total} {counted}, more than {most}; for a source that you trust, raise limits.{limit} (--limit {limit}=N)"
    return UnsupportedFeatureError(feature, where, hint)
