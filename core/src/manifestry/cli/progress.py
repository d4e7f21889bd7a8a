"""The bar on standard error, when that is a terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from manifestry.cli.output import human_bytes
from manifestry.progress import Progress, SilentProgress

__all__ = ["Bar", "open_progress"]


def open_progress(*, quiet: bool = False) -> Bar | _Quiet:
    """A bar when somebody watches standard error, else one that is silent; used as a context."""
    return _Quiet() if quiet or not sys.stderr.isatty() else Bar()


class _Quiet(SilentProgress):
    """No bar."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class Bar(Progress):
    """One line for each stage: files done, references and described bytes so far."""

    def __init__(self) -> None:
        # Only here: what is piped or silent pays nothing for it.
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415
        from rich.progress import Progress as RichProgress  # noqa: PLC0415

        self._progress = RichProgress(
            TextColumn("{task.description:>8}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[counted]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("", visible=False, counted="")
        self._references = self._described = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._progress.stop()

    def start(self, what: str, total: int | None = None) -> None:
        """A stage begins; its line appears."""
        self._references = self._described = 0
        self._task = self._progress.add_task(what, total=total, counted="")

    def advance(self, files: int = 0, references: int = 0, described: int = 0) -> None:
        """The line of the stage moves on."""
        self._references += references
        self._described += described
        counted = f"{self._references:,} references, {human_bytes(self._described)}" if self._references else ""
        self._progress.update(self._task, advance=files, counted=counted)

    def finish(self) -> None:
        """The line of the stage stays, full."""
        self._progress.stop_task(self._task)
