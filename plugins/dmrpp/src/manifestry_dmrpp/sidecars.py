"""What a DMR++ document looks like, and where the sidecar of a data file lies. Imports nothing heavy."""

from __future__ import annotations

from typing import Final

from manifestry.plugin import Confidence, Source

__all__ = ["SUFFIXES", "data_url_of", "find_sidecar", "sniff"]

SUFFIXES: Final = (".dmrpp", ".dap.dmrpp", ".dmrpp.xml", ".dap.dmrpp.xml")
"""What is added to the name of a data file."""


def sniff(head: bytes, source: Source) -> Confidence:  # noqa: ARG001 the contract
    """Whether a header is that of a DMR++ document: XML whose first element is a Dataset with DMR++ in it."""
    start = head.lstrip(b"\0\xef\xbb\xbf\xff\xfe \t\r\n")
    if not start.startswith(b"<"):
        return Confidence.NO
    text = start.replace(b"\0", b"")  # in UTF-16 every other byte is one
    if b"Dataset" not in text:
        return Confidence.NO
    return Confidence.CERTAIN if b"dmrpp" in text.lower() else Confidence.NO


def find_sidecar(source: Source) -> Source | None:
    """The sidecar of a data file, by the names that are usual, or None."""
    base, mark, query = source.url.partition("?") if source.url.startswith("http") else (source.url, "", "")
    for suffix in SUFFIXES:
        candidate = Source.at(base + suffix + mark + query, source.registry)
        if candidate.exists():
            return candidate
    return None


def data_url_of(url: str) -> str:
    """The data file beside a sidecar of this URL: the name without the longest suffix that it has."""
    base, mark, query = url.partition("?") if url.startswith("http") else (url, "", "")
    suffix = max((s for s in SUFFIXES if base.endswith(s)), key=len, default="")
    return base.removesuffix(suffix) + mark + query
