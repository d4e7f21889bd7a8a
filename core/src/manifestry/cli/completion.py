"""What the shell offers for the values of arguments and options."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from manifestry.formats.loading import installed_formats

__all__ = ["files", "readable_formats", "writable_formats"]


def files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of files, by the shell itself."""
    return [CompletionItem(incomplete, type="file")]


def readable_formats(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Formats that a parser is installed for."""
    return _matching({name: entry.descriptor.title for name, entry in installed_formats().parsers.items()}, incomplete)


def writable_formats(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Formats that a writer is installed for."""
    return _matching({name: entry.descriptor.title for name, entry in installed_formats().writers.items()}, incomplete)


def _matching(titles: dict[str, str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name, help=titles[name]) for name in sorted(titles) if name.startswith(incomplete)]
