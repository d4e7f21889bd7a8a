"""Work of plugins in a process of its own, with limits: what foreign code does to itself there, it does not do to us.

One process is started when it is first needed, is used again and again, and is replaced when it dies. It is no process of
`multiprocessing`: those import the main program once more, which a script without ``if __name__ == "__main__"`` does not
survive. Nor a pool (`concurrent.futures`, loky): a pool breaks as a whole when one of its processes dies, and knows no
limits for one call.
"""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any, BinaryIO, ClassVar, Final, NoReturn

from manifestry.errors import MalformedFileError, OptionError, PluginError, translated
from manifestry.formats.plugin_errors import PluginBoundary

__all__ = ["MEMORY", "SECONDS", "call_isolated", "limit_memory", "limited_time"]

MEMORY: Final = 8 << 30
"""Bytes of address space that such a process may take: libraries and threads take one or two of the gigabytes."""

SECONDS: Final = 600.0
"""Seconds of processor time that one call may take."""

_PROGRAM: Final = "from manifestry.formats.isolation import _serve; _serve()"


def call_isolated(about: str, function: Callable[..., Any], /, *arguments: Any) -> Any:
    """What a function returns, called in the process for that.

    Parameters
    ----------
    about
        What is being done, for the message when the process dies.
    function
        A function of a module, so that the other process can import it.

    Raises
    ------
    MalformedFileError
        The process died, or was ended since it took too long.
    OptionError
        The arguments cannot be sent there: object stores in memory, for example.
    BaseException
        What the function raised.
    """
    try:
        request = pickle.dumps((function, arguments, SECONDS))
    except (pickle.PicklingError, TypeError, AttributeError, ValueError) as error:
        raise OptionError(f"{about}: cannot be done in another process: {error}") from error
    answer = _Child.current().ask(request)
    if isinstance(answer, str):
        raise MalformedFileError(f"{about}: the process for it {answer}")
    succeeded, value = pickle.loads(answer)  # noqa: S301 from a process of our own
    if succeeded:
        return value
    raise value


def limit_memory() -> None:
    """Let this process take no more than `MEMORY`, where the system has such limits."""
    with suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415 not on every system

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


@contextmanager
def limited_time(seconds: float = SECONDS) -> Iterator[None]:
    """Inside, the process is ended by the system when it has taken so much processor time: no code can hold that up."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


class _Child:
    """The process, and the pipes to it; one for each process that needs one."""

    _known: ClassVar[_Child | None] = None
    _former: ClassVar[list[_Child]] = []  # kept: those of a parent are not ours to end, not even by forgetting them
    _starting = threading.Lock()

    @classmethod
    def current(cls) -> _Child:
        """The one of this process: after a fork, the pipes are still the parent's."""
        with cls._starting:
            known = cls._known
            if known is None or not known.is_usable:
                cls._former += [] if known is None else [known]
                known = cls._known = cls()
            return known

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._process = subprocess.Popen(  # noqa: S603 our own program
            [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        atexit.register(self._end)
        with suppress(OSError):
            _send(self._stdin, pickle.dumps(sys.path))

    @property
    def is_usable(self) -> bool:
        """Whether it runs, and was started here."""
        return self._owner == os.getpid() and self._process.poll() is None

    @property
    def _stdin(self) -> BinaryIO:
        assert self._process.stdin is not None
        return self._process.stdin  # type: ignore[return-value]

    def ask(self, request: bytes) -> bytes | str:
        """The answer, or what became of the process."""
        assert self._process.stdout is not None
        with self._lock:
            answer = None
            try:
                _send(self._stdin, request)
                answer = _receive(self._process.stdout)  # type: ignore[arg-type]
            except (OSError, EOFError):
                return _how_it_ended(self._end())
            finally:
                if answer is None:  # also when it was interrupted: nobody would take the answer
                    self._end()
            return answer

    def _end(self) -> int:
        if self._owner != os.getpid():
            return 0
        if self._process.poll() is None:
            with suppress(subprocess.TimeoutExpired):  # it may be on its way already, and then it is known why
                self._process.wait(0.2)
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        return self._process.wait()


def _how_it_ended(code: int) -> str:
    if code == -signal.SIGPROF:
        return f"took more than {SECONDS:.0f} s of processor time"
    if code < 0:
        with suppress(ValueError):
            return f"died of {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _send(stream: BinaryIO, message: bytes) -> None:
    data = memoryview(len(message).to_bytes(8, "little") + message)
    while data:
        data = data[stream.write(data) :]


def _receive(stream: BinaryIO) -> bytes:
    return _read(stream, int.from_bytes(_read(stream, 8), "little"))


def _read(stream: BinaryIO, count: int) -> bytes:
    parts = []
    while count:
        part = stream.read(min(count, 1 << 24))
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _serve() -> NoReturn:
    """What the process does: answer, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the one that started it reports
    answers = os.fdopen(os.dup(1), "wb", 0)
    os.dup2(2, 1)  # what libraries print is no answer
    questions = os.fdopen(os.dup(0), "rb", 0)
    sys.path[:] = pickle.loads(_receive(questions))  # noqa: S301 from the process that started it
    limit_memory()
    waiting: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(questions, waiting), daemon=True).start()
    while True:
        _send(answers, _answer(waiting.get()))


def _listen(questions: BinaryIO, waiting: SimpleQueue[bytes]) -> None:
    """Take questions while others are answered, so that it is seen when the process that asks is gone."""
    with suppress(EOFError, OSError):
        while True:
            waiting.put(_receive(questions))
    os._exit(1)


def _answer(request: bytes) -> bytes:
    with PluginBoundary() as boundary:
        with translated((ImportError, AttributeError), OptionError, "the other process does not know it"):
            function, arguments, seconds = pickle.loads(request)  # noqa: S301 as above
        with limited_time(seconds):
            return pickle.dumps((True, function(*arguments)))
    error = boundary.error
    with PluginBoundary():
        data = pickle.dumps((False, error))
        pickle.loads(data)  # noqa: S301 our own: not all that can be sent can be received
        return data
    return pickle.dumps((False, PluginError(boundary.reason)))
