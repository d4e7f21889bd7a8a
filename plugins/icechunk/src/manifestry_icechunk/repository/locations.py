"""Canonical URLs as locations of virtual references: percent-encoded, at most 1,024 bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote

__all__ = ["clean_part", "common_directory", "encode", "location_fault"]

_MAX_LOCATION_BYTES: Final = 1024
"""Longer locations can be written, but a manifest of 1,000 references or more that holds one cannot be read."""

_SCHEMES: Final = ("file", "s3", "gs", "az", "http", "https")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_UNRESERVED: Final = re.compile(r"[a-z0-9]+://[A-Za-z0-9_.~/-]*")


def encode(location: str) -> str:
    """The location of a canonical URL."""
    if _UNRESERVED.fullmatch(location) or location.startswith("http"):  # those of http(s) are encoded already
        return location
    scheme, _, rest = location.partition("://")
    host, _, key = rest.partition("/")
    return f"{scheme}://{host}/{quote(key, safe='/', errors='surrogateescape')}"


def location_fault(url: str) -> str:
    """Why a URL cannot be the location of a reference, or ``""``."""
    scheme = url.partition("://")[0]
    if scheme not in _SCHEMES:
        return f"Icechunk has no virtual references to {scheme}:// URLs"
    if scheme == "file" and url.count("/") < 4:
        return "the file lies in the root directory, which Icechunk does not authorise"
    if url.startswith(("file:///?", "file:///#")):
        return "the name of the topmost directory begins with ? or #, and no container of Icechunk can have that prefix"
    if len(url) <= _MAX_LOCATION_BYTES and _UNRESERVED.fullmatch(url):
        return ""
    if _CONTROL.search(url):
        return "the URL holds a control character, which Icechunk cannot look up"
    try:
        url.encode()
    except UnicodeEncodeError:
        return "the URL is not Unicode text, and Icechunk looks up UTF-8 only"
    size = len(encode(url).encode())
    if size > _MAX_LOCATION_BYTES:
        return f"the URL takes {size} bytes when encoded, and readers of Icechunk fail above {_MAX_LOCATION_BYTES}"
    return ""


def common_directory(urls: Iterable[str]) -> str:
    """The longest directory that all URLs share, with a slash at the end. They have one scheme and host."""
    distinct = {_path(url).rpartition("/")[0] for url in urls}
    segments = [directory.split("/") for directory in distinct]
    return "/".join(_shared(min(segments), max(segments))) + "/"


def _path(url: str) -> str:
    return url.partition("?")[0] if url.startswith("http") else url


def _shared(low: Sequence[str], high: Sequence[str]) -> list[str]:
    shared = []
    for a, b in zip(low, high, strict=False):
        if a != b:
            break
        shared.append(a)
    return shared


def clean_part(directory: str) -> str:
    """The leading segments of a directory URL that stand for themselves when encoded.

    Icechunk compares the prefix of a container now with the encoded URL, now with the decoded one: only where both
    are the same does a prefix work in every reader.
    """
    scheme, _, rest = directory.partition("://")
    if scheme.startswith("http"):
        return directory
    host, *segments = rest.rstrip("/").split("/")
    clean = []
    for segment in segments:
        if segment in (".", "..", "") or quote(segment, safe="", errors="surrogateescape") != segment:
            break
        clean.append(segment)
    return "/".join([f"{scheme}://{host}", *clean]) + "/"
