"""Credentials in URLs: passwords, tokens and signatures, found, and hidden in what is shown.

Signed are URLs of Amazon S3 (Signature Version 4 and 2), Google Cloud Storage (V4 and V2) and Azure (shared access
signatures); the other names of parameters are those that services use for keys and tokens.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["has_credentials", "without_credentials"]

_PARAMETERS: Final = (
    *("X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "AWSAccessKeyId", "Signature"),
    *("X-Goog-Signature", "X-Goog-Credential", "GoogleAccessId", "sig", "access_token", "token", "auth"),
    *("api_key", "apikey", "api-key", "key", "password", "passwd", "secret"),
)
_SECRET: Final = re.compile(
    r"(?P<user>(?:https?://(?=[^/?#\s@]+@)|\b[A-Za-z][A-Za-z0-9+.\-]*://(?=[^/?#\s@:]*:[^/?#\s@]*@)))[^/?#\s@]+(?=@)"
    rf"|(?P<query>[?&](?:{'|'.join(map(re.escape, _PARAMETERS))})=)[^&#\s'\"]+",
    re.IGNORECASE,
)
"""A user with or without a password in a URL of a server, with one in any other; parameters of a query that are secret."""


def has_credentials(url: str) -> bool:
    """Whether a URL holds credentials: who has it may read what it leads to, until it expires."""
    # Most URLs have none of the signs without which there are none, and archives have many URLs.
    return ("@" in url or "?" in url or "&" in url) and _SECRET.search(url) is not None


def without_credentials(text: str) -> str:
    """Text with ``***`` in place of the credentials of all URLs in it.

    Examples
    --------
    >>> without_credentials("http://somebody:password@host/f.nc and https://host/g.nc?sig=abc&v=1")
    'http://***@host/f.nc and https://host/g.nc?sig=***&v=1'
    """
    return _SECRET.sub(r"\g<user>\g<query>***", text) if "://" in text else text
