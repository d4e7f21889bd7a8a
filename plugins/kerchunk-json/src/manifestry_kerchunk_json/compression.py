"""zstd: in the standard library from Python 3.14 on, by its backport before."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final, cast

from manifestry.plugin import MalformedFileError, translated

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["compress_into", "decompress", "decompress_head"]

_MAX_RATIO: Final = 200
_FREE: Final = 32 << 20
"""References are all different: documents become ten to a hundred times smaller, and bombs a million times."""


@contextmanager
def compress_into(handle: BinaryIO, level: int) -> Iterator[BinaryIO]:
    """A file whose content goes to `handle` as one zstd frame."""
    with zstd.ZstdFile(handle, "wb", level=level) as stream:
        yield cast("BinaryIO", stream)


def decompress_head(data: bytes) -> bytes:
    """What the first bytes of a zstd file hold, as far as they go."""
    try:
        return zstd.ZstdDecompressor().decompress(data, 1 << 16)
    except zstd.ZstdError:
        return b""


def decompress(data: bytes, limit: int, where: str) -> bytes:
    """The content of a zstd file.

    Raises
    ------
    MalformedFileError
        It is none, or holds more than `limit` bytes or far more than a document of its size can.
    """
    limit = min(limit, _MAX_RATIO * len(data) + _FREE)
    with (
        translated((zstd.ZstdError, EOFError), MalformedFileError, f"{where}: is not a valid zstd file"),
        zstd.ZstdFile(io.BytesIO(data)) as stream,
    ):
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise MalformedFileError(f"{where}: holds more than {limit} bytes, the limit for a document")
    return content
