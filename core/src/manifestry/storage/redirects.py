"""Where servers send requests for what a document names: asked before the store library asks, which follows unseen.

The store library has no switch for that, so each such URL is asked for its first byte by a client that follows nothing,
and what it answers is looked at, step by step. URLs that the caller gave are not asked: they may lead anywhere.

A server that answers this question in one way and the next in another is not found out by this. What is left to it is
little where the URL begins with https: then the store library itself refuses to go on without encryption, so that only
hosts with a certificate for their name can be reached.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Final
from urllib.parse import urljoin, urlsplit, urlunsplit

from manifestry.errors import SourceError, one_line, translated
from manifestry.model.files import NamedBy
from manifestry.storage.hosts import is_private, looked_up_private
from manifestry.storage.urls import split_url

__all__ = ["Redirects"]

_MAX_HOPS: Final = 5
_KEPT: Final = 60.0
"""Seconds for which an answer counts that leads elsewhere: such URLs are often signed for a short time."""


class Redirects:
    """What servers answered.

    Parameters
    ----------
    allowed
        Whether the caller allows documents to lead to a canonical URL: by a prefix, or a store.
    """

    def __init__(self, allowed: Callable[[str], bool]) -> None:
        self._allowed = allowed
        self._straight: set[tuple[str, NamedBy]] = set()
        self._moved: dict[tuple[str, NamedBy], tuple[str, float]] = {}
        self._asking: defaultdict[tuple[str, NamedBy], Lock] = defaultdict(Lock)

    def destination(self, url: str, by: NamedBy) -> str:
        """Where the bytes of an http URL are that a document names: the URL, or the one that its server sends us to.

        Raises
        ------
        SourceError
            That is no public host, or one without encryption after one with it.
        """
        # What begins with https can lead to hosts with certificates only: there one answer counts for a directory.
        place = url.partition("?")[0].rpartition("/")[0] if url.startswith("https://") else url
        if (place, by) in self._straight:
            return url
        with self._asking[url, by]:
            end, until = self._moved.get((url, by), (url, 0.0))
            if (place, by) in self._straight or monotonic() < until:
                return end
            end, sure = self._end(url, by)
            if end != url:
                self._moved[url, by] = end, monotonic() + _KEPT
            elif sure:
                self._straight.add((place, by))
        return end

    def _end(self, url: str, by: NamedBy) -> tuple[str, bool]:
        """Where requests for a URL end, and whether a server has said so."""
        at = url
        if by is NamedBy.STRANGER and looked_up_private(url):
            raise SourceError(
                f"{one_line(url)}: its host has a private address, which a document may not name{_REMEDY}"
            )
        for _ in range(_MAX_HOPS):
            moved = _asked(at)
            if moved is None:
                return at, False
            if not moved:
                return at, True
            with translated(ValueError, SourceError, f"{one_line(url)}: is redirected to {one_line(moved)}"):
                at = self._permitted(url, at, urljoin(at, moved))
        raise SourceError(f"{one_line(url)}: is redirected more than {_MAX_HOPS} times")

    def _permitted(self, url: str, at: str, target: str) -> str:
        """The target of a redirect, without credentials, when a document may lead there."""
        parts = urlsplit(target)
        place = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))
        if split_url(place)[0] in (split_url(url)[0], split_url(at)[0]) or self._allowed(place):
            return place
        own = parts.hostname == urlsplit(url).hostname  # the same host, now with encryption
        if parts.scheme == "https" and (own or not (is_private(place) or looked_up_private(place))):
            return place
        reason = "not encrypted" if parts.scheme == "http" and not is_private(place) else "no public host"
        raise SourceError(f"{one_line(url)}: is redirected to {one_line(place)}, which is {reason}{_REMEDY}")


_REMEDY: Final = "; if you trust it, add its prefix to allow or give a store for it"


def _asked(url: str) -> str | None:
    """What a server answers: the URL that it sends us to, ``""`` when it sends us nowhere, None without an answer."""
    from manifestry.storage.unfollowed import ask  # noqa: PLC0415 its client takes as long to import as all of storage

    return ask(url)
