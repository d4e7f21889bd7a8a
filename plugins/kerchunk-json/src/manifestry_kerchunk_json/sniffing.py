"""Whether a file is a document of Kerchunk references."""

from __future__ import annotations

import re
from typing import Final

from manifestry.plugin import Confidence, Source

__all__ = ["ZSTD_MAGIC", "is_document", "sniff"]

ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"

_METADATA_KEY = re.compile(rb'"(?:[^"\\]*/)?(?:\.zgroup|\.zarray|\.zattrs|\.zmetadata|zarr\.json)"\s*:')
_FIRST_KEYS = re.compile(rb'\{\s*"(?:version|templates|gen|refs)"\s*:')


def sniff(head: bytes, source: Source) -> Confidence:
    """How sure the first bytes make it: the key of a Zarr document is certain, the keys of version 1 possible."""
    if head.startswith(ZSTD_MAGIC):
        from manifestry_kerchunk_json.compression import decompress_head  # noqa: PLC0415 every file is sniffed, few are zstd

        head = decompress_head(source.head())
    elif head.lstrip()[:1] == b"{":
        head = source.head()
    text = head.lstrip()
    if not text.startswith(b"{"):
        return Confidence.NO
    if _METADATA_KEY.search(text):
        return Confidence.CERTAIN
    return Confidence.POSSIBLE if _FIRST_KEYS.match(text) else Confidence.NO


def is_document(source: Source) -> bool:
    """Whether something that exists is certainly such a document, and may be replaced by another."""
    return not source.is_prefix and sniff(source.head(), source) is Confidence.CERTAIN
