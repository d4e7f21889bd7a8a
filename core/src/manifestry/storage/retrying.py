"""Requests that are tried again: which faults may pass, and for how long they get time to.

The store library repeats a single request a few times within a second or so, which is enough for an occasional fault. When
that does not help, the whole question is asked again here, after longer and longer pauses: only here can a busy server,
which deserves minutes, be distinguished from a host that is not there, which does not.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from obstore.exceptions import BaseError

from manifestry.errors import SourceError, one_line
from manifestry.storage.errors import Fault, cause, fault_of, source_error, source_errors
from manifestry.storage.urls import split_url

__all__ = ["Attempts", "Refusals", "RetryPolicy", "retry", "retry_async"]

_SPREAD = random.Random()  # noqa: S311 only spreads requests over time; the state of `random` is the user's
"""So that those who failed together do not come back together."""

_REFUSAL_SECONDS: Final = 10.0
"""Seconds for which a host that was not there is not asked again."""


class Refusals:
    """Hosts that could not be reached a moment ago: the next request for one fails at once.

    For stores other than http, the bucket is taken for the host. A copy, in another process, begins without any.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, str]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Refusals, ()

    def remember(self, url: str, error: SourceError) -> None:
        """Remember that there was no answer from the host of a URL."""
        reason = str(error).removeprefix(f"{one_line(url)}: ")
        self._known[split_url(url)[0]] = (time.monotonic() + _REFUSAL_SECONDS, reason)

    def check(self, url: str) -> None:
        """Fail where the host of a URL is among them.

        Raises
        ------
        SourceError
            The host of the URL was not there a moment ago.
        """
        if not self._known:
            return
        until, reason = self._known.get(split_url(url)[0], (0.0, ""))
        if time.monotonic() < until:
            raise SourceError(f"{one_line(url)}: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
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
    refusals
        Hosts that were not there, for all who share the policy.
    """

    busy: float = 180
    unreachable: float = 3
    silence: float = 30
    connecting: float = 3
    pause: float = 0.5
    longest_pause: float = 15
    attempts: int = 3
    refusals: Refusals = field(default_factory=Refusals, compare=False, repr=False)

    def retry_config(self) -> Any:
        """As the store library takes it."""
        backoff = {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=2), "base": 2}
        return {"max_retries": self.attempts - 1, "retry_timeout": timedelta(seconds=self.busy), "backoff": backoff}

    def client_options(self) -> dict[str, Any]:
        """As the store library takes them; its own limit counts the whole transfer, and cannot be turned off."""
        silence, connecting = timedelta(seconds=self.silence), timedelta(seconds=self.connecting)
        return {"read_timeout": silence, "connect_timeout": connecting, "timeout": timedelta(days=1)}

    def pauses(self) -> Iterator[float]:
        """Seconds to wait before each further attempt to reach a host that does not answer; ends when its time is over."""
        attempts = Attempts(self)
        while (pause := attempts.pause(Fault.UNREACHABLE)) is not None:
            yield pause


class Attempts:
    """The attempts at one question, and the pauses between them.

    Parameters
    ----------
    policy
        How long to try; None asks once.
    """

    def __init__(self, policy: RetryPolicy | None) -> None:
        self._policy = policy
        self._begun = time.monotonic()
        self._pause = policy.pause if policy else 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the first attempt."""
        return time.monotonic() - self._begun

    def pause(self, fault: Fault) -> float | None:
        """Seconds to wait before the next attempt, None when there is no point in another one."""
        policy = self._policy
        if policy is None or fault is Fault.LASTING:
            return None
        left = (policy.busy if fault is Fault.PASSING else policy.unreachable) - self.elapsed
        if left <= 0:
            return None
        pause = min(self._pause * _SPREAD.uniform(0.5, 1), left)
        self._pause = min(2 * self._pause, policy.longest_pause)
        return pause


def _pause_after(error: BaseError, url: str, policy: RetryPolicy | None, attempts: Attempts) -> float:
    """Seconds to wait before the next attempt.

    Raises
    ------
    SourceError
        There is no point in another one.
    """
    fault = fault_of(error)
    pause = attempts.pause(fault)
    if pause is not None:
        return pause
    if policy is None or fault is Fault.LASTING:
        raise source_error(url, error) from cause(url, error)
    failure = source_error(url, error, tried=attempts.elapsed, silence=policy.silence)
    if fault is Fault.UNREACHABLE:
        policy.refusals.remember(url, failure)
    raise failure from cause(url, error)


def retry[T](url: str, policy: RetryPolicy | None, ask: Callable[[], T]) -> T:
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
    attempts = Attempts(policy)
    if policy is not None:
        policy.refusals.check(url)
    while True:
        with source_errors(url):
            try:
                return ask()
            except BaseError as error:
                pause = _pause_after(error, url, policy, attempts)
        time.sleep(pause)


async def retry_async[T](url: str, policy: RetryPolicy | None, ask: Callable[[], Awaitable[T]]) -> T:
    """As `retry`."""
    attempts = Attempts(policy)
    if policy is not None:
        policy.refusals.check(url)
    while True:
        with source_errors(url):
            try:
                return await ask()
            except BaseError as error:
                pause = _pause_after(error, url, policy, attempts)
        await asyncio.sleep(pause)
