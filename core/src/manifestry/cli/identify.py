"""`manifestry identify`: which format sources have, from one read of the header of each."""

from __future__ import annotations

from typing import Any

import click

from manifestry.cli.arguments import access_options, common_options
from manifestry.cli.completion import files
from manifestry.cli.output import Output, pass_output
from manifestry.errors import ManifestryError
from manifestry.formats.detection import detect
from manifestry.formats.loading import installed_formats
from manifestry.storage.access import Access
from manifestry.storage.source import Source

__all__ = ["command"]


@click.command("identify", short_help="Which format sources have.")
@click.argument("sources", metavar="SRC...", nargs=-1, required=True, shell_complete=files)
@access_options
@common_options
@click.pass_context
@pass_output
def command(
    output: Output, context: click.Context, sources: tuple[str, ...], allow: tuple[str, ...] | None, untrusted: bool
) -> None:
    """Say which format each source has, without parsing it.

    What sources point at is not looked at; --allow and --untrusted are taken, and change nothing.

    The exit code is that of the first source of which it cannot be said.
    """
    Access.of(allow, untrusted=untrusted)  # a prefix that is none is an error here as well
    found, code = [], 0
    for source in sources:
        result, failed = _identify(source)
        found.append(result)
        code = code or failed
        if not output.json:
            if failed:
                output.message(f"manifestry: {result['error']['message']}")
            else:
                output.line(f"{source}: {result['format']} ({result['title']})")
    if output.json:
        output.document("identify", {"sources": found})
    context.exit(code)


def _identify(location: str) -> tuple[dict[str, Any], int]:
    """What is known of a source, and the exit code when that is nothing."""
    try:
        entry = detect(Source(location), installed_formats())
    except ManifestryError as error:
        return {"source": location, "error": {"type": type(error).__name__, "message": str(error)}}, error.exit_code
    known = {"format": entry.descriptor.name, "title": entry.descriptor.title, "distribution": entry.distribution}
    return {"source": location, **known}, 0
