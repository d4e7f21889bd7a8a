"""Texts of a file: what their bytes stand for, and where they end."""

from __future__ import annotations

from manifestry_hdf5.structures.data_objects.datatype import StringPadding

__all__ = ["decode_text", "fixed_text"]


def decode_text(value: bytes) -> str:
    """UTF-8, or else Latin-1: what old files declare as ASCII and is not."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def fixed_text(text: bytes, padding: StringPadding) -> bytes:
    """A text of fixed length without its padding."""
    if padding is StringPadding.NULL_TERMINATED:
        return text.split(b"\0")[0]
    return text.rstrip(b" \0" if padding is StringPadding.SPACE_PADDED else b"\0")
