"""Texts as files have them."""

from __future__ import annotations

__all__ = ["decode_text"]


def decode_text(value: bytes) -> str:
    """UTF-8, or else Latin-1: what old files declare as ASCII and is not."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
