"""Chunks whose bytes are copied: linked blocks of HDF4, chunks for which a filter was skipped, and small arrays."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numcodecs
from manifestry import Limits
from manifestry.plugin import Codec, MalformedFileError, SourceError, UnsupportedFeatureError

from manifestry_dmrpp.locations import Locations

__all__ = ["Copier", "recode"]

type Segment = tuple[str, int, int]
"""URL, offset and length in bytes."""


class Copier:
    """Reads the bytes of chunks that have no byte range of their own.

    Parameters
    ----------
    locations
        Where the files are.
    limits
        How much of one array may be copied.
    """

    def __init__(self, locations: Locations, limits: Limits) -> None:
        self._locations = locations
        self._left = limits.max_inline_bytes

    def read(self, segments: Sequence[Segment]) -> bytes:
        """The bytes of some segments, one after the other.

        Raises
        ------
        UnsupportedFeatureError
            There are too many, or the file cannot be read.
        """
        return b"".join(self.read_each(segments))

    def read_each(self, segments: Sequence[Segment]) -> list[bytes]:
        """The bytes of each of some segments, fetched concurrently.

        Raises
        ------
        UnsupportedFeatureError
            There are too many, or the file cannot be read.
        """
        self._left -= sum(length for _, _, length in segments)
        if self._left < 0:
            raise UnsupportedFeatureError("more bytes to copy than allowed", hint="raise limits.max_inline_bytes")
        rows_of: dict[str, list[int]] = {}
        for row, (url, _, _) in enumerate(segments):
            rows_of.setdefault(url, []).append(row)
        contents = [b""] * len(segments)
        try:
            for url, rows in rows_of.items():
                ranges = [(segments[row][1], segments[row][1] + segments[row][2]) for row in rows]
                for row, data in zip(rows, self._locations.source(url).ranges(ranges), strict=True):
                    contents[row] = data
        except SourceError as error:
            raise UnsupportedFeatureError("values to copy from a file that cannot be read", hint=str(error)) from error
        return contents


def recode(data: bytes, stored: Sequence[Codec], wanted: Sequence[Codec]) -> bytes:
    """The bytes of a chunk that went through one pipeline as another would have made them.

    Raises
    ------
    MalformedFileError
        The chunk does not decode.
    """
    buffer: object = data
    try:
        for codec in reversed(stored):
            buffer = _numcodec(codec).decode(buffer)
        for codec in wanted:
            buffer = _numcodec(codec).encode(buffer)
    except (ValueError, RuntimeError, TypeError, zlib.error) as error:
        raise MalformedFileError(f"a chunk to copy does not decode: {error}") from error
    return bytes(memoryview(buffer).cast("B"))  # type: ignore[arg-type]


def _numcodec(codec: Codec) -> numcodecs.abc.Codec:
    return numcodecs.get_codec({"id": codec.name.removeprefix("numcodecs."), **codec.configuration})
