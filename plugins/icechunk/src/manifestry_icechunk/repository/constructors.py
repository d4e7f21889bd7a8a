"""Calls of icechunk's constructors that can be made here and printed for a reader: both from one description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import icechunk

__all__ = ["Call"]


@dataclass(frozen=True)
class Call:
    """A call of a public function of icechunk.

    Attributes
    ----------
    function
        Name below ``icechunk``, for example ``"s3_storage"`` or ``"Credentials.HttpAccess"``.
    arguments
        Keywords that are printed.
    secrets
        Keywords that replace `instead` when the call is made here, and are never printed.
    instead
        Names of `arguments` that are printed in place of the secrets.
    """

    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, Any] = field(default_factory=dict, repr=False)
    instead: tuple[str, ...] = ()

    def make(self) -> Any:
        """What the call returns."""
        arguments = dict(self.arguments)
        if self.secrets:
            arguments = {k: v for k, v in arguments.items() if k not in self.instead} | dict(self.secrets)
        return attrgetter(self.function)(icechunk)(**arguments)

    def python(self) -> str:
        """The call as Python."""
        return f"icechunk.{self.function}({', '.join(f'{k}={v!r}' for k, v in self.arguments.items())})"
