"""The program: commands are imported when they are called, errors become messages and exit codes."""

from __future__ import annotations

import difflib
import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final, NoReturn

import click

import manifestry
from manifestry.cli.output import Output
from manifestry.errors import ManifestryError, UnsupportedFeatureError, printable
from manifestry.formats.plugin_errors import PluginBoundary, import_object
from manifestry.issues import Issue

__all__ = ["main", "run"]

COMMANDS: Final = ("convert", "inspect", "identify", "formats", "plugins", "verify", "info")
"""In the order in which people need them. Each is the object ``command`` of the module of its name."""

EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130
EXIT_TERMINATED: Final = 143

_EPILOG: Final = """\b
Exit codes: 0 done, 1 conversion or verification failed, 2 usage, 3 format unknown or ambiguous, 4 a feature that is
refused, 5 source or target cannot be reached, 6 the plugin asked for is broken, 130 interrupted, 143 ended by SIGTERM."""


class _Commands(click.Group):
    """Commands by name, each imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 as above
        if cmd_name not in COMMANDS:
            return None
        command = import_object(f"manifestry.cli.{cmd_name}:command")
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; a name that is no command is answered with the one that was meant."""
        close = difflib.get_close_matches(args[0], COMMANDS, 1)
        if args[0] not in COMMANDS and close:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {close[0]!r}?")
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}
)
@click.version_option(manifestry.__version__, prog_name="manifestry")
def program() -> None:
    """Archives as virtual Zarr stores, without copying a byte of data."""


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    # A job that is ended by its scheduler clears up behind itself, as one that is interrupted does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code. No traceback is shown unless ``-v`` was given."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of any script, on terminals of any encoding
    output = Output()
    with PluginBoundary() as boundary:
        return _run(arguments, output)
    _fail(output, "Defect", f"this is a defect of manifestry, please report it: {boundary.reason}", boundary.trace)
    return EXIT_FAILED


def _run(arguments: Sequence[str], output: Output) -> int:
    try:
        return program.main(list(arguments), prog_name="manifestry", standalone_mode=False, obj=output) or 0
    except ManifestryError as error:
        issues = error.issues if isinstance(error, UnsupportedFeatureError) else ()
        _fail(output, type(error).__name__, str(error), traceback.format_exc(), issues)
        return error.exit_code
    except click.ClickException as error:
        error.show(sys.stderr)
        if "--json" in arguments:  # perhaps not read yet
            content = {"type": type(error).__name__, "message": error.format_message(), "issues": []}
            output.document("error", {"error": content})
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        output.message("manifestry: interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # whoever read what we print has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED


def _fail(output: Output, kind: str, message: str, trace: str, issues: Sequence[Issue] = ()) -> None:
    """Say what went wrong: on standard error for people, with ``--json`` as the document as well."""
    if output.verbose:
        output.message(printable(trace))
    output.message(f"manifestry: {printable(message)}")
    if output.json:
        error = {"type": kind, "message": message, "issues": [asdict(issue) for issue in issues]}
        output.document("error", {"error": error})
