"""What URLs mean to the clients that fetch them: which hosts are not public, and where dots in paths lead."""

from __future__ import annotations

import ipaddress
import posixpath
import unicodedata
from urllib.parse import unquote, urlsplit

from manifestry.storage.urls import split_url

__all__ = ["is_private", "without_dots"]


def is_private(url: str) -> bool:
    """Whether the host of an http URL is no public address or name, or written so that clients may read another one."""
    try:
        hostname = urlsplit(url).hostname or ""
    except ValueError:
        return True
    # Clients decode percent signs and compatibility characters, and some take a backslash for a slash.
    host = unicodedata.normalize("NFKC", unquote(hostname)).rstrip(".").lower()
    if "\\" in url or not host.isprintable() or any(c in host for c in " /?#@%"):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        pass
    numeric = host.replace(".", "").replace("x", "").isalnum() and host.rpartition(".")[2][:1].isdecimal()
    return numeric or "." not in host or host.endswith((".local", ".internal", ".localhost", ".home.arpa", ".lan"))


def without_dots(url: str) -> str | None:
    """A canonical URL as clients and servers read it: ``.`` and ``..`` followed, however they are encoded.

    Returns
    -------
    str or None
        The URL itself where there are none; None where they lead out of a bucket.
    """
    origin, key = split_url(url)
    path = key.partition("?")[0].partition("#")[0] if origin.startswith("http") else key
    while (decoded := unquote(path, errors="surrogateescape")) != path:
        path = decoded
    parts = path.replace("\\", "/").split("/")
    if "." not in parts and ".." not in parts:
        return url
    inside = posixpath.normpath("/".join(part for part in parts if part) or ".")
    if not origin.startswith("http") and inside.partition("/")[0] == "..":
        return None
    return f"{origin}/" + posixpath.normpath("/" + inside).lstrip("/")
