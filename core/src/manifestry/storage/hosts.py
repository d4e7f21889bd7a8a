"""What URLs mean to the clients that fetch them: which hosts are not public, and where dots in paths lead."""

from __future__ import annotations

import ipaddress
import posixpath
import socket
import unicodedata
from functools import lru_cache
from typing import Final
from urllib.parse import unquote, urlsplit

from manifestry.storage.urls import split_url

__all__ = ["is_private", "looked_up_private", "without_dots"]

_TRANSLATED: Final = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96")))
"""Addresses whose last four bytes are an IPv4 address that they lead to."""


def is_private(url: str) -> bool:
    """Whether the host of an http URL is no public address or name, or written so that clients may read another one."""
    return "\\" in url or _is_private_origin(split_url(url)[0])  # some clients take a backslash for a slash


@lru_cache(maxsize=1024)
def _is_private_origin(origin: str) -> bool:
    """As `is_private`, of what stands before the path: documents name many files of few hosts."""
    try:
        hostname = urlsplit(origin).hostname or ""
    except ValueError:
        return True
    # Clients decode percent signs and compatibility characters.
    host = unicodedata.normalize("NFKC", unquote(hostname)).rstrip(".").lower()
    if not host.isprintable() or any(c in host for c in " /?#@%"):
        return True
    try:
        return not _is_public(host)
    except ValueError:
        pass
    numeric = host.replace(".", "").replace("x", "").isalnum() and host.rpartition(".")[2][:1].isdecimal()
    return numeric or "." not in host or host.endswith((".local", ".internal", ".localhost", ".home.arpa", ".lan"))


def looked_up_private(url: str) -> bool:
    """Whether the name of the host of an http URL stands for an address that is not public; not, if nobody knows it."""
    try:
        found = socket.getaddrinfo(urlsplit(url).hostname or "", None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False  # then no connection to it can be made either, or a proxy knows it
    return not all(_is_public(str(address[4][0]).partition("%")[0]) for address in found)


def _is_public(address: str) -> bool:
    """Whether an IP address is a public one, and the one that is inside it too.

    Raises
    ------
    ValueError
        It is no address.
    """
    known = ipaddress.ip_address(address)
    if isinstance(known, ipaddress.IPv6Address):
        inner = known.ipv4_mapped or known.sixtofour or (known.teredo or (None, None))[1]
        if any(known in network for network in _TRANSLATED):
            inner = ipaddress.IPv4Address(int(known) & 0xFFFF_FFFF)
        if inner is not None and not inner.is_global:
            return False
    return known.is_global and not known.is_multicast


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
