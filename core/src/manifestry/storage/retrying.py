"""Requests that are tried again: which faults may pass, and for how long they get time to.

The store library repeats a single request a few times within a second or so, which is enough for the odd fault. When
that was in vain, the whole question is asked again here, after longer and longer pauses: only here can a busy server,
which deserves minutes, be told from a host that is not there, which does not.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from obstore.exceptions import BaseError

from manifestry.storage.faults import Fault, fault_of, source_error, source_errors

__all__ = ["RetryPolicy", "answered", "answered_async"]

_SPREAD = random.Random()  # noqa: S311 only spreads requests over time; the state of `random` is the user's
"""So that those who failed together do not come back together."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long servers get, in seconds.

    Attributes
    ----------
    busy
        A server that is busy (429, 503 and other errors of servers), closes connections or hangs is asked again for
        this long.
    unreachable
        A host that refuses connections or is not known is asked again for this long.
    silence
        A request is taken for lost after this long without a byte; transfers that flow may take any time.
    connecting
        A connection has to be there after this long.
    pause, longest_pause
        The first pause before asking again, and the longest; each is up to twice as long as the one before.
    attempts
        Times that the store library sends a request before the pauses begin.
    """

    busy: float = 180
    unreachable: float = 3
    silence: float = 30
    connecting: float = 3
    pause: float = 0.5
    longest_pause: float = 15
    attempts: int = 3

    def retry_config(self) -> Any:
        """As the store library takes it."""
        backoff = {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=2), "base": 2}
        return {"max_retries": self.attempts - 1, "retry_timeout": timedelta(seconds=self.busy), "backoff": backoff}

    def client_options(self) -> dict[str, Any]:
        """As the store library takes them; its own limit counts the whole transfer, and cannot be turned off."""
        silence, connecting = timedelta(seconds=self.silence), timedelta(seconds=self.connecting)
        return {"read_timeout": silence, "connect_timeout": connecting, "timeout": timedelta(days=1)}


class _Attempts:
    """The attempts at one question."""

    def __init__(self, url: str, policy: RetryPolicy | None) -> None:
        self._url = url
        self._policy = policy
        self._begun = time.monotonic()
        self._pause = policy.pause if policy else 0.0

    def pause(self, error: BaseError) -> float:
        """Seconds to wait before the next attempt.

        Raises
        ------
        SourceError
            There is no point in another one.
        """
        policy, fault = self._policy, fault_of(error)
        if policy is None or fault is Fault.LASTING:
            raise source_error(self._url, error) from error
        tried = time.monotonic() - self._begun
        left = (policy.busy if fault is Fault.PASSING else policy.unreachable) - tried
        if left <= 0:
            raise source_error(self._url, error, tried=tried, silence=policy.silence) from error
        pause = min(self._pause * _SPREAD.uniform(0.5, 1), left)
        self._pause = min(2 * self._pause, policy.longest_pause)
        return pause


def answered[T](url: str, policy: RetryPolicy | None, ask: Callable[[], T]) -> T:
    """What `ask` returns, asked again while faults of the server may pass.

    Parameters
    ----------
    url
        What it is about, for messages.
    policy
        How long to try; None asks once.
    ask
        Makes the requests.

    Raises
    ------
    SourceError
        There is no answer.
    """
    attempts = _Attempts(url, policy)
    while True:
        with source_errors(url):
            try:
                return ask()
            except BaseError as error:
                pause = attempts.pause(error)
        time.sleep(pause)


async def answered_async[T](url: str, policy: RetryPolicy | None, ask: Callable[[], Awaitable[T]]) -> T:
    """As `answered`."""
    attempts = _Attempts(url, policy)
    while True:
        with source_errors(url):
            try:
                return await ask()
            except BaseError as error:
                pause = attempts.pause(error)
        await asyncio.sleep(pause)
