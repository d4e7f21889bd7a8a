"""What keeps tifffile apart: its log is silenced, its exceptions become ours."""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from manifestry.plugin import MalformedFileError

__all__ = ["LIBRARY_ERRORS", "library_errors", "quiet_library"]

LIBRARY_ERRORS: Final = (
    ValueError,  # and its TiffFileError
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    OSError,
    RuntimeError,
    MemoryError,
    AssertionError,
    SyntaxError,  # and the ParseError of XML
    struct.error,
)
"""What tifffile and imagecodecs raise on forged or truncated files."""


@contextmanager
def library_errors(where: str) -> Iterator[None]:
    """Inside, whatever tifffile raises becomes a `MalformedFileError`."""
    try:
        yield
    except LIBRARY_ERRORS as error:
        raise MalformedFileError(f"{where}: tifffile: {type(error).__name__}: {error}") from error


@contextmanager
def quiet_library() -> Iterator[None]:
    """Inside, tifffile logs nothing: what matters here becomes an issue or an error."""
    logger = logging.getLogger("tifffile")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before
