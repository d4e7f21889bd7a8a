"""One request that follows no redirect, by a client that only those need who are asked for what a document names."""

from __future__ import annotations

import ssl
import urllib.request
from base64 import b64encode
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit, urlunsplit

__all__ = ["ask"]

_SECONDS: Final = 10.0
_MOVED: Final = frozenset({301, 302, 303, 307, 308})


class _FollowsNothing(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None: the answer is what is wanted."""


def ask(url: str) -> str | None:
    """What a server answers: the URL that it sends us to, ``""`` when it sends us nowhere, None without an answer."""
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    headers = {"Range": "bytes=0-0", "User-Agent": "manifestry"}
    if login:
        headers["Authorization"] = "Basic " + b64encode(unquote(login).encode()).decode()
    opener = urllib.request.build_opener(_FollowsNothing)
    try:
        request = urllib.request.Request(  # noqa: S310 http and https only
            urlunsplit((parts.scheme, host, parts.path or "/", parts.query, "")), headers=headers
        )
        with opener.open(request, timeout=_SECONDS):
            return ""
    except HTTPError as error:
        with error:
            if error.code in _MOVED:
                return error.headers.get("Location") or ""
            busy = error.code >= HTTPStatus.INTERNAL_SERVER_ERROR or error.code == HTTPStatus.TOO_MANY_REQUESTS
            return None if busy else ""
    except (OSError, HTTPException, ValueError, ssl.SSLError):
        return None  # the store library will say what is wrong, and knows how often to ask again
