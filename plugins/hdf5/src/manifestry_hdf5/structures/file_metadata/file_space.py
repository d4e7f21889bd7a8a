"""File space information: whether metadata lies in pages of its own (specification, section IV.A.2.x)."""

from __future__ import annotations

from typing import Final

from manifestry_hdf5.structures.file_metadata.superblock import Superblock

__all__ = ["FILE_SPACE_MESSAGE", "parse_page_size"]

FILE_SPACE_MESSAGE: Final = 0x17
_VERSION: Final = 1
_PAGES: Final = 1
"""The strategy of files in which a page holds either metadata or elements."""
_PAGE_SIZES: Final = range(512, (1 << 30) + 1)
"""Bytes that a page may have for libhdf5."""


def parse_page_size(message: bytes, superblock: Superblock) -> int | None:
    """Bytes of the pages of a file, which follow each other from address 0 on; None where it has none.

    What is not understood counts as no pages: nothing but reading ahead depends on it.
    """
    start = 3 + superblock.length_size
    size = int.from_bytes(message[start : start + superblock.length_size], "little")
    paged = message[:2] == bytes([_VERSION, _PAGES]) and size in _PAGE_SIZES
    return size if paged else None
