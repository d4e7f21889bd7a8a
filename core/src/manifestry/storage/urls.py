"""Canonical URLs: one spelling for one object, in which the path is the raw key.

Spaces, ``#``, ``%``, ``?`` and letters of any script are ordinary characters of a key in ``file``, ``s3``, ``gs`` and
``az`` URLs; ``http`` and ``https`` URLs stay as they were given, encoded and with their query. Writers encode as their
format wants: Icechunk percent-encodes, fsspec takes raw keys.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

from manifestry.errors import SourceError, one_line

__all__ = ["SCHEMES", "canonical_url", "is_url", "join_url", "local_path", "split_url"]

SCHEMES = ("file", "s3", "gs", "az", "http", "https", "memory")
_ALIASES = {"s3a": "s3", "gcs": "gs", "azure": "az", "abfs": "az", "abfss": "az", "adl": "az"}
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://(.*)", re.DOTALL)


def is_url(text: str) -> bool:
    """Whether `text` begins with a scheme and ``://``, as opposed to being a path."""
    return _URL.match(text) is not None


def canonical_url(location: str | os.PathLike[str]) -> str:
    """The one spelling of a path or URL.

    Paths become absolute ``file://`` URLs with the raw path; ``~`` at the beginning is the home directory unless a
    file of that very name exists. A ``file://`` URL given by a user is percent-decoded (RFC 8089), unless a file of
    the undecoded name exists. Names of schemes are unified (``gcs`` is ``gs``).

    Raises
    ------
    SourceError
        The scheme is none that manifestry reads, or a ``file://`` URL names another host.
    """
    text = os.fsdecode(location)
    if "\0" in text:
        raise SourceError(f"{one_line(text)}: a path cannot hold the character NUL")
    match = _URL.match(text)
    if match is None:
        return _file_url(text if os.path.lexists(text) else os.path.expanduser(text))
    scheme = _ALIASES.get(match[1].lower(), match[1].lower())
    if scheme not in SCHEMES:
        raise SourceError(f"{one_line(text)}: no store for {scheme}:// URLs (known: {', '.join(SCHEMES)})")
    rest = match[2]
    if scheme == "file":
        if rest.startswith("localhost/"):
            rest = rest.removeprefix("localhost")
        if not rest.startswith("/"):
            raise SourceError(f"{one_line(text)}: a file:// URL must have three slashes and an absolute path")
        decoded = unquote(rest, errors="surrogateescape")
        path = rest if decoded == rest or os.path.lexists(rest) else decoded
        return _file_url(path)
    return f"{scheme}://{rest}"


def _file_url(path: str) -> str:
    return "file:///" + os.path.abspath(path).lstrip("/")


def split_url(url: str) -> tuple[str, str]:
    """A canonical URL as its origin (``s3://bucket``, ``file://``) and the raw key below it."""
    match = _URL.match(url)
    if match is None:
        raise SourceError(f"{one_line(url)} is not a URL")
    scheme, rest = match[1], match[2]
    if scheme == "file":
        return "file://", rest.lstrip("/")
    host, _, key = rest.partition("/")
    return f"{scheme}://{host}", key


def local_path(url: str) -> Path | None:
    """The path of a canonical ``file://`` URL, None for any other."""
    return Path(url.removeprefix("file://")) if url.startswith("file://") else None


def join_url(base: str, relative: str) -> str:
    """Resolve `relative` against the object at `base`, as documents that point at their neighbours mean it.

    ``relative`` may be a URL of its own, an absolute path (on the same origin) or a path beside `base`.

    Raises
    ------
    SourceError
        It is none of these.
    """
    if is_url(relative):
        return canonical_url(relative)
    if "\0" in relative:
        raise SourceError(f"{one_line(relative)}: a path cannot hold the character NUL")
    origin, key = split_url(base.partition("?")[0] if base.startswith("http") else base)
    joined = relative if relative.startswith("/") else f"/{key.rpartition('/')[0]}/{relative}"
    return origin + os.path.normpath("/" + joined.lstrip("/"))
