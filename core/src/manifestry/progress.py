"""What a long run tells whoever is watching. The core is silent; the command line draws a bar."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "SilentProgress"]


class Progress(Protocol):
    """Told how far a run has come."""

    def start(self, what: str, total: int | None = None) -> None:
        """A stage begins, for example ``"parse"`` of `total` files; None when the number is not known."""
        ...

    def advance(self, files: int = 0, references: int = 0, described: int = 0) -> None:
        """So many files, references and bytes of described data more are done."""
        ...

    def finish(self) -> None:
        """The stage is over."""
        ...


class SilentProgress:
    """Tells nobody."""

    def start(self, what: str, total: int | None = None) -> None:
        """Nothing."""

    def advance(self, files: int = 0, references: int = 0, described: int = 0) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""
