"""Results on standard output, as tables or JSON; messages on standard error."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from manifestry.errors import printable

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["SCHEMA_VERSION", "Output", "human_bytes", "pass_output"]

SCHEMA_VERSION: Final = 1
"""Version of the layout of what ``--json`` prints."""

_MIN_WIDTH: Final = 80  # narrower tables are columns of single letters; the terminal folds whole lines instead
_PIPED_WIDTH: Final = 100_000  # a table that is not looked at on a terminal is never folded


@dataclass(slots=True)
class Output:
    """Where a command's results go, and how much is said.

    Attributes
    ----------
    json
        Results as one JSON document.
    verbose
        How often ``-v`` was given: tracebacks of errors, and log messages.
    """

    json: bool = False
    verbose: int = 0

    def document(self, command: str, content: Mapping[str, Any]) -> None:
        """Print one JSON document: the version of its layout, the command, and `content`."""
        whole = {"schema_version": SCHEMA_VERSION, "command": command, **content}
        # ensure_ascii: a terminal or pipe of any encoding takes it, and names that are no Unicode text come through.
        sys.stdout.write(json.dumps(whole, allow_nan=False, default=str, indent=2) + "\n")

    def line(self, text: str = "") -> None:
        """Print a line of text."""
        self._write(printable(text) + "\n")

    def block(self, text: str) -> None:
        """Print lines that are trusted to hold nothing but text, as they are."""
        self._write(text.rstrip("\n") + "\n")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = ()) -> None:
        """Print a table.

        Parameters
        ----------
        right
            Columns of numbers, which end in one line and are never folded.
        """
        from rich.table import Table  # noqa: PLC0415 a table is not needed for JSON

        numbers = set(right)
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for name in columns:
            number = name in numbers
            table.add_column(name, justify="right" if number else "left", no_wrap=number, overflow="fold")
        for row in rows:
            table.add_row(*map(printable, row))
        console = self._console()
        with console.capture() as captured:
            console.print(table)
        self._write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))

    def heading(self, text: str) -> None:
        """Print a heading above a table."""
        self._console().print(printable(text), style="bold")

    def message(self, text: str) -> None:
        """Print a line on standard error."""
        click.echo(text, err=True)

    def _console(self) -> Console:
        from rich.console import Console  # noqa: PLC0415 as above

        width = max(_MIN_WIDTH, shutil.get_terminal_size().columns) if sys.stdout.isatty() else _PIPED_WIDTH
        return Console(file=sys.stdout, width=width, markup=False, highlight=False, emoji=False)

    @staticmethod
    def _write(text: str) -> None:
        click.echo(text, nl=False)


pass_output = click.make_pass_decorator(Output)


def human_bytes(count: float) -> str:
    """A number of bytes in the unit that people read: ``"1.5 MB"`` (decimal units)."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} PB"
