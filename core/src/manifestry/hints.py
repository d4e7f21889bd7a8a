"""What the caller can do about an error, as options of the call."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Hint"]

_FLAGS: Final = {"concat_dim": "--concat-dim"}
"""Options of the command line that are not values of ``--combine``."""

_REPEATED: Final = {"stack": "--stack"}
"""Options of the command line that are given once for each text."""


@dataclass(frozen=True, slots=True)
class Hint:
    """Options that help, and what they do.

    Attributes
    ----------
    options
        Values by name: of `manifestry.combine.CombineOptions`, or keywords of `manifestry.convert`.
    effect
        What becomes of the data, as the end of a sentence that begins with the options.
    """

    options: Mapping[str, Any]
    effect: str

    @property
    def flags(self) -> tuple[str, ...]:
        """The same options as arguments of the command line."""
        found: list[str] = []
        for name, value in self.options.items():
            if name in _REPEATED:
                found += (part for one in value for part in (_REPEATED[name], one))
                continue
            text = value if isinstance(value, str) else _listed(value) if isinstance(value, tuple) else str(value)
            found += (_FLAGS[name], text) if name in _FLAGS else ("--combine", f"{name}={text}")
        return tuple(found)

    def __str__(self) -> str:
        chosen = " with ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"{chosen} ({shlex.join(self.flags)}) {self.effect}"


def _listed(values: tuple[str, ...]) -> str:
    """A list of texts as the command line takes it."""
    return values[0] if len(values) == 1 and values[0][:1] not in "[{" else json.dumps(values)
