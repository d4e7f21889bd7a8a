"""The exceptions of obstore and of the operating system as `SourceError`, with what to do about them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from obstore import exceptions as obs

from manifestry.credentials import has_credentials
from manifestry.errors import SourceError, first_line, one_line

__all__ = ["Fault", "cause", "fault_of", "source_error", "source_errors"]

_ADVICE: tuple[tuple[type[BaseException], str], ...] = (
    (FileNotFoundError, "does not exist"),
    (obs.NotFoundError, "does not exist"),
    (IsADirectoryError, "is a directory"),
    (NotADirectoryError, "lies below something that is not a directory"),
    (PermissionError, "may not be read: permission denied"),
    (obs.UnauthenticatedError, "needs credentials: set them in the environment or give `stores`"),
    (obs.PermissionDeniedError, "may not be read with these credentials"),
    (obs.InvalidPathError, "has a path that object stores do not allow"),
    (obs.NotSupportedError, "the server does not answer requests for byte ranges"),
)
_METADATA_SERVICE = "169.254.169.254"
"""Where cloud libraries ask for credentials when the environment has none."""

# obstore has one exception for all of these, and tells them apart in its description of what lies beneath.
_STATUS = re.compile(r"Status \{\s*status: (\d+)")
_KIND = re.compile(r"HttpError \{\s*kind: (\w+)")
_CONNECTING = re.compile(r"legacy::Error\(\s*Connect\b")
_NOT_THERE = ("tcp connect error", "dns error")
_CUT_OFF = ("ConnectionReset", "ConnectionAborted", "BrokenPipe", "UnexpectedEof", "IncompleteMessage")
_BUSY = (408, 425, 429)
_NOT_IMPLEMENTED = (501, 505)


class Fault(Enum):
    """Whether another attempt may succeed."""

    LASTING = "the answer will be the same"
    PASSING = "the server is busy, hangs or has closed the connection"
    UNREACHABLE = "the host is not known, or nobody answers there"


@contextmanager
def source_errors(url: str) -> Iterator[None]:
    """Inside, exceptions of the store library and the operating system become `SourceError` naming `url`."""
    try:
        yield
    except (obs.BaseError, OSError) as error:
        raise source_error(url, error) from cause(url, error)
    except ValueError as error:
        if "path" not in str(error).lower():
            raise
        raise SourceError(f"{one_line(url)}: has a path that object stores do not allow") from error


def cause(url: str, error: BaseException) -> BaseException | None:
    """What a traceback shows below an error: the store library's message repeats the URL, with its credentials."""
    return None if has_credentials(url) else error


def fault_of(error: BaseException) -> Fault:
    """What kind of fault an exception of the store library means."""
    text = str(error)
    if not isinstance(error, obs.GenericError) or _METADATA_SERVICE in text:
        return Fault.LASTING
    if status := _STATUS.search(text):
        code = int(status[1])
        busy = code in _BUSY or (code >= 500 and code not in _NOT_IMPLEMENTED)
        return Fault.PASSING if busy else Fault.LASTING
    kind = _KIND.search(text)
    if kind is None or kind[1] in ("Unknown", "Decode"):
        return Fault.LASTING
    return Fault.UNREACHABLE if (kind[1] == "Connect" and not _cut_off(text)) or _silent_host(text) else Fault.PASSING


def _cut_off(text: str) -> bool:
    return any(name in text for name in _CUT_OFF)


def _silent_host(text: str) -> bool:
    """Whether there was no connection in time; of https, only when the handshake of TLS had not begun."""
    if "kind: Timeout" not in text or not _CONNECTING.search(text):
        return False
    return any(name in text for name in _NOT_THERE) or "https://" not in text


def source_error(
    url: str, error: BaseException, *, tried: float | None = None, silence: float | None = None
) -> SourceError:
    """The `SourceError` for an exception of the store library or the operating system.

    Parameters
    ----------
    tried
        Seconds for which it was tried, where it was tried more than once.
    silence
        Seconds after which a request without an answer was given up, where that is known.
    """
    for kind, advice in _ADVICE:
        if isinstance(error, kind):
            return SourceError(f"{one_line(url)}: {advice}")
    if _METADATA_SERVICE in str(error):
        return SourceError(f"{one_line(url)}: needs credentials: set them in the environment or give `stores`")
    how_long = "" if tried is None else f"; tried for {tried:.0f} s"
    return SourceError(f"{one_line(url)}: {_what_happened(error, silence)}{how_long}")


def _what_happened(error: BaseException, silence: float | None) -> str:
    if isinstance(error, OSError) and error.strerror and not isinstance(error, obs.BaseError):
        return error.strerror
    text = str(error)
    kind = _KIND.search(text)
    if kind is not None and not _STATUS.search(text):
        if kind[1] == "Connect" or _silent_host(text):
            return f"cannot be reached{_why(text)}"
        if kind[1] == "Timeout":
            connecting = bool(_CONNECTING.search(text))
            return "no secure connection in time" if connecting else f"no answer {_within(silence)}"
        if _cut_off(text):
            return "the server closed the connection before its answer was complete"
    # obstore says what it did and how often, and after a dash what went wrong.
    first = first_line(error).rpartition(" - ")[2].rstrip(": ")
    return "cannot be reached" if first.endswith("error sending request") else one_line(first)


def _why(text: str) -> str:
    """Why there was no connection, as far as that is known."""
    reasons = {
        "ConnectionRefused": "connection refused",
        "dns error": "the name of the host cannot be looked up",
        "kind: Timeout": "no connection in time",
        "ConnectionReset": "the server closed the connection",
        "Certificate": "its certificate is not trusted",
    }
    return next((f": {why}" for sign, why in reasons.items() if sign in text), "")


def _within(silence: float | None) -> str:
    return "in time" if silence is None else f"within {silence:g} s"
