"""Options that several commands share, and ``key=value`` pairs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any, Literal

import click

from manifestry.cli.completion import readable_formats
from manifestry.cli.output import Output
from manifestry.errors import OptionError
from manifestry.model.limits import Limits

__all__ = ["access_options", "common_options", "named_values", "parse_samples", "reading_options"]

type Command = Callable[..., Any]


def common_options(command: Command) -> Command:
    """Add ``--json`` and ``-v``, which every command has."""
    # Eager: they are known before another option is found to be wrong.
    json = click.option(
        "--json", is_flag=True, is_eager=True, expose_value=False, callback=_set_json, help="Print one JSON document."
    )
    verbose = click.option(
        "-v",
        "--verbose",
        count=True,
        is_eager=True,
        expose_value=False,
        callback=_set_verbose,
        help="Log to standard error, and show the traceback of an error. Twice: everything.",
    )
    return json(verbose(command))


def access_options(command: Command) -> Command:
    """Add the options that say which other files a source or an output may point at."""
    allow = click.option(
        "--allow",
        metavar="PREFIX",
        multiple=True,
        callback=lambda _context, _parameter, value: value or None,
        help="Files that a source may point at, in place of the rule for them. Repeatable.",
    )
    untrusted = click.option(
        "--untrusted", is_flag=True, help="The source came from elsewhere: it may point at what is beside it only."
    )
    return allow(untrusted(command))


def reading_options(*, on_unsupported: Literal["raise", "skip"]) -> Callable[[Command], Command]:
    """Add the options that say how a source is read; `on_unsupported` is the default of the option of that name."""

    def add(command: Command) -> Command:
        for option in (
            click.option(
                "--on-unsupported",
                type=click.Choice(["raise", "skip"]),
                default=on_unsupported,
                show_default=True,
                help="Arrays that cannot be expressed exactly: an error that lists them, or leave them out and list them.",
            ),
            click.option(
                "--limit",
                "limits",
                metavar="K=V",
                multiple=True,
                callback=_limits,
                help="What a source may make us allocate, instead of the default; see `mf.Limits`. Repeatable.",
            ),
            click.option("--exclude", metavar="NAME", multiple=True, help="Leave out arrays or groups. Repeatable."),
            click.option("--include", metavar="NAME", multiple=True, help="Keep only these (or patterns). Repeatable."),
            click.option(
                "--oo", metavar="K=V", multiple=True, help="Option for reading; see `manifestry formats`. Repeatable."
            ),
            click.option(
                "--from",
                "source_format",
                metavar="FMT",
                shell_complete=readable_formats,
                help="Format of the source, instead of looking.",
            ),
        ):
            command = option(command)
        return access_options(command)

    return add


def named_values(pairs: Iterable[str], option: str) -> dict[str, str]:
    """``key=value`` pairs as a mapping.

    Raises
    ------
    OptionError
        A pair has no ``=``, or a key occurs twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise OptionError(f"{option} takes KEY=VALUE, not {pair!r}")
        if key in found:
            raise OptionError(f"{option} {key} is given twice")
        found[key] = value
    return found


def parse_samples(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> int | Literal["all"] | None:
    """A number of chunks, or all of them."""
    if value is None:
        return None
    if value == "all":
        return "all"
    if value.isascii() and value.isdecimal() and int(value) > 0:
        return int(value)
    raise click.BadParameter(f"{value!r} is neither a number of chunks nor 'all'")


def _limits(_context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]) -> Limits:
    """Limits by name; those that are not given are the defaults."""
    given = named_values(value, "--limit")
    known = {field.name for field in fields(Limits)}
    for name, number in given.items():
        if name not in known:
            raise click.BadParameter(f"{name!r} is no limit; known: {', '.join(sorted(known))}")
        if not (number.isascii() and number.isdecimal()):
            raise click.BadParameter(f"{name}={number!r} is not a whole number")
    return Limits(**{name: int(number) for name, number in given.items()})


def _set_json(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    context.ensure_object(Output).json = value


def _set_verbose(context: click.Context, _parameter: click.Parameter, value: int) -> None:
    context.ensure_object(Output).verbose = value
    level = {0: logging.WARNING, 1: logging.INFO}.get(value, logging.DEBUG)
    logging.basicConfig(stream=sys.stderr, level=level, format="%(levelname)s %(name)s: %(message)s", force=True)
    logging.captureWarnings(capture=True)
    # Warnings of libraries are for those who call them from Python.
    logging.getLogger("py.warnings").setLevel(logging.WARNING if value else logging.CRITICAL)
