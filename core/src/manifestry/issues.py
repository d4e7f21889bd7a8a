"""What was left out of a tree, or is worth knowing about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from manifestry.errors import printable

__all__ = ["Issue", "Severity"]

Severity = Literal["refused", "reported"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One thing that could not be expressed exactly, or that the user should know.

    Attributes
    ----------
    path
        Path of the array, group or attribute (``group/array@attribute``) inside the tree, without a leading slash.
    feature
        Short stable name of the feature, so that issues of many files can be counted.
    message
        What was found, and where.
    hint
        What the caller can do about it.
    severity
        ``"refused"``: the array or group is not in the tree, and `on_unsupported="raise"` makes it an error.
        ``"reported"``: nothing is wrong with the values; an attribute has no form in the output, a size is unusual.
    """

    path: str
    feature: str
    message: str = ""
    hint: str = ""
    severity: Severity = "refused"

    def __str__(self) -> str:
        detail = f": {self.message}" if self.message and self.message != self.feature else ""
        return printable(f"{self.path or '/'}: {self.feature}{detail}" + (f" ({self.hint})" if self.hint else ""))
