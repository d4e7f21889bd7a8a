"""The boundary to plugins and codecs: the one place where whatever foreign code raises is caught."""

from __future__ import annotations

import importlib
import traceback
from types import TracebackType
from typing import Any, Self

from manifestry.errors import ManifestryError, PluginError, first_line

__all__ = ["PluginBoundary", "PluginCall", "describe_error", "import_object"]


class PluginBoundary:
    """A context in which a plugin's failure is recorded instead of raised.

    Interrupts and exits pass. After the block, `failed` says whether anything was raised.

    Attributes
    ----------
    reason
        ``"Type: message"`` of what was raised, or ``""``.
    trace
        The full traceback, or ``""``.
    error
        What was raised, or None.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.reason = ""
        self.trace = ""

    @property
    def failed(self) -> bool:
        """Whether the block raised."""
        return bool(self.reason)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self.error = error
        self.reason = describe_error(error)
        self.trace = "".join(traceback.format_exception(error))
        return True


class PluginCall:
    """A context for work that was asked for: our own errors pass, all others become `PluginError`, or `error`.

    Parameters
    ----------
    doing
        What is being done, for the message: ``"the parser manifestry-hdf5:hdf5 0.1.0"``.
    error
        What whatever is raised becomes.
    """

    def __init__(self, doing: str, error: type[ManifestryError] = PluginError) -> None:
        self._doing = doing
        self._error = error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, ManifestryError):
            raise self._error(f"{self._doing} failed: {describe_error(error)}") from error


def describe_error(error: BaseException) -> str:
    """``"Type: first line of the message"``, or ``"Type"`` when there is no message."""
    name, line = type(error).__name__, first_line(error)
    return name if line == name else f"{name}: {line}"


def import_object(reference: str) -> Any:
    """The object that an import string ``"module:name"`` names."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
