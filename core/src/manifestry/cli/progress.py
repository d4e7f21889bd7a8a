"""The bar on standard error, when that is a terminal."""

from __future__ import annotations

import os
import sys
from time import monotonic
from types import TracebackType
from typing import Self

from manifestry.cli.output import human_bytes
from manifestry.progress import Progress, SilentProgress

__all__ = ["Bar", "open_progress"]


def open_progress(*, quiet: bool = False) -> Bar | _Quiet:
    """A bar when somebody watches standard error, else one that is silent; used as a context."""
    movable = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return Bar() if movable and not quiet else _Quiet()


class _Quiet(SilentProgress):
    """No bar."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class Bar(Progress):
    """One line for each stage: files done, their rate, time taken and left, references and described bytes so far."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415 what is piped or silent pays nothing for it
        from rich.progress import (  # noqa: PLC0415 as above
            BarColumn,
            MofNCompleteColumn,
            Progress as RichProgress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.table import Column  # noqa: PLC0415 as above

        columns = (
            TextColumn("{task.description:>5}"),
            BarColumn(bar_width=None, table_column=Column(min_width=6)),
            MofNCompleteColumn(table_column=Column(min_width=9, no_wrap=True)),
            TimeElapsedColumn(table_column=Column(min_width=7)),
            TextColumn("left"),
            TimeRemainingColumn(table_column=Column(min_width=7)),
            # What a narrow terminal has no room for is lost at the end of the line.
            TextColumn("{task.fields[counted]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
        )
        self._progress = RichProgress(*columns, console=Console(stderr=True), transient=True, expand=True)
        self._task = self._progress.add_task("", visible=False, counted="")
        self._files = self._references = self._described = 0
        self._began = monotonic()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._progress.stop()

    def start(self, what: str, total: int | None = None) -> None:
        """A stage begins; its line appears."""
        self._files = self._references = self._described = 0
        self._began = monotonic()
        self._task = self._progress.add_task(what, total=total, counted="")

    def advance(self, files: int = 0, references: int = 0, described: int = 0) -> None:
        """The line of the stage moves on."""
        self._files += files
        self._references += references
        self._described += described
        self._progress.update(self._task, advance=files, counted=self._describe())

    def _describe(self) -> str:
        seconds = monotonic() - self._began
        parts = [f"{self._files / seconds:.3g} files/s"] if self._files and seconds else []
        parts += [f"{self._references:,} refs"] if self._references else []
        parts += [human_bytes(self._described)] if self._described else []
        return ", ".join(parts)

    def finish(self) -> None:
        """The line of the stage stays, full."""
        self._progress.stop_task(self._task)
