"""A process of a reader that has none of our packages, asked again and again: starting one takes seconds.

Run as a script, ``python other_process.py KEPT``, it answers what `ask` sends. Each process of tests has one for each
package that is kept; it ends with that process.
"""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
import tempfile
import traceback
from functools import cache
from select import select
from typing import Any, BinaryIO

__all__ = ["ask"]

_SECONDS = 300


def ask(function: str, *arguments: Any, kept: str = "") -> Any:
    """What ``module.function`` of a module beside this one returns in a process without our packages.

    It is called in the directory and with the environment that hold here. Only the package `kept` of ours can be
    imported there.
    """
    process = _process(kept)
    try:
        returned, answer = process.answer((function, arguments, os.getcwd(), dict(os.environ)))
    except (EOFError, OSError, TimeoutError) as error:
        _process.cache_clear()  # the next one who asks has a new one
        raise AssertionError(f"{function} ended the process that reads: {error!r}\n{process.end()}") from None
    assert returned, answer
    return answer


class _Process:
    """The other process, with what it says on its standard error in a file."""

    def __init__(self, kept: str) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__, kept],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
        )

    def answer(self, request: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        pickle.dump(request, self._process.stdin)
        self._process.stdin.flush()
        if not select([self._process.stdout], [], [], _SECONDS)[0]:
            raise TimeoutError(f"no answer within {_SECONDS} seconds")
        return pickle.load(self._process.stdout)

    def end(self) -> str:
        """Stop it; what it said."""
        self._process.kill()
        self._process.communicate()
        self._said.seek(0)
        return self._said.read().decode(errors="replace")


@cache
def _process(kept: str) -> _Process:
    return _Process(kept)


def _serve(kept: str, requests: BinaryIO, answers: BinaryIO) -> None:
    from hidden_packages import hide_our_packages  # a script finds what is beside it

    hide_our_packages(kept)
    while True:
        try:
            function, arguments, directory, environment = pickle.load(requests)
        except EOFError:  # who asks has ended
            return
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(environment)
        try:
            module, _, name = function.partition(".")
            answer = True, getattr(importlib.import_module(module), name)(*arguments)
            ours = {m for m in sys.modules if m.startswith("manifestry") and m.partition(".")[0] != kept}
            assert not ours, f"{ours} are not needed to read an output"
        except Exception:
            answer = False, traceback.format_exc()
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    _answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what readers print is no answer
    _serve(sys.argv[1], sys.stdin.buffer, _answers)
