"""The plugin boundary: the one place where whatever foreign code raises is caught."""

from __future__ import annotations

import importlib
import traceback
from types import TracebackType
from typing import Any

from manifestry.errors import ManifestryError, PluginError

__all__ = ["PluginBoundary", "PluginCall", "import_object"]


class PluginBoundary:
    """A context in which a plugin's failure is recorded instead of raised.

    Interrupts and exits pass. After the block, `failed` says whether anything was raised.

    Attributes
    ----------
    reason
        ``"Type: message"`` of what was raised, or ``""``.
    trace
        The full traceback, or ``""``.
    """

    def __init__(self) -> None:
        self.reason = ""
        self.trace = ""

    @property
    def failed(self) -> bool:
        """Whether the block raised."""
        return bool(self.reason)

    def __enter__(self) -> PluginBoundary:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        first = (str(error).strip().splitlines() or [""])[0]
        self.reason = f"{type(error).__name__}: {first}" if first else type(error).__name__
        self.trace = "".join(traceback.format_exception(error))
        return True


class PluginCall(PluginBoundary):
    """A boundary for work that was asked for: our own errors pass, all others become `PluginError`.

    Parameters
    ----------
    doing
        What is being done, for the message: ``"the parser manifestry-hdf5:hdf5 0.1.0"``.
    """

    def __init__(self, doing: str) -> None:
        super().__init__()
        self._doing = doing

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> bool:
        if isinstance(error, ManifestryError) or not super().__exit__(kind, error, where):
            return False
        raise PluginError(f"{self._doing} failed: {self.reason}") from error


def import_object(reference: str) -> Any:
    """The object that an import string ``"module:name"`` names."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
