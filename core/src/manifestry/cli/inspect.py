"""`manifestry inspect`: what is in a source, and how it is stored."""

from __future__ import annotations

import difflib
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final, Literal

import click

from manifestry.cli.arguments import common_options, named_values, reading_options
from manifestry.cli.completion import files
from manifestry.cli.description import NUMBER_COLUMNS, Description, array_table, describe, references
from manifestry.cli.output import Output, pass_output
from manifestry.cli.page import write_page
from manifestry.errors import ManifestryError, OptionError
from manifestry.formats.report import pluralise
from manifestry.model.limits import Limits
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.reading import is_foreign, parse_isolated, parse_source, trusting, with_selection
from manifestry.storage.source import Source

__all__ = ["command"]

_SCREEN: Final = 40
"""Arrays that a terminal is shown."""

_LONG: Final = 120
"""Characters above which the same text is shown once: one WKT text stands in several attributes of every level."""


@click.command("inspect", short_help="What is in a source, and how it is stored.")
@click.argument("sources", metavar="SRC...", nargs=-1, required=True, shell_complete=files)
@reading_options(on_unsupported="skip")
@click.option("--attributes", is_flag=True, help="List the attributes too.")
@click.option("--short", is_flag=True, help="One line of JSON for each SRC, without attributes.")
@click.option("--chunks", metavar="ARRAY", help="List where each stored chunk of an array is, instead.")
@click.option("--html", metavar="FILE", type=click.Path(path_type=Path), help="Write a page of HTML, instead.")
@click.option("--overwrite", is_flag=True, help="Replace the FILE of --html even if it is no such page.")
@common_options
@click.pass_context
@pass_output
def command(
    output: Output,
    context: click.Context,
    sources: tuple[str, ...],
    source_format: str | None,
    oo: tuple[str, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    on_unsupported: Literal["raise", "skip"],
    limits: Limits,
    allow: tuple[str, ...] | None,
    untrusted: bool,
    attributes: bool,
    short: bool,
    chunks: str | None,
    html: Path | None,
    overwrite: bool,
) -> None:
    r"""Show the arrays of a source: shapes, types, chunks, codecs, sizes. Reads no data.

    What cannot be expressed exactly is listed below the arrays; with --on-unsupported raise it is an error.

    \b
    Examples:
      manifestry inspect scene.tif
      manifestry inspect granule.nc --attributes --include 'sst*'
      manifestry inspect --short archive/*.nc > archive.jsonl
    """
    options = with_selection(named_values(oo, "--oo"), include, exclude) | trusting(allow, untrusted=untrusted)

    def parsed(source: Source) -> VirtualGroup:
        parse = parse_isolated if is_foreign(source, untrusted=untrusted) else parse_source
        return parse(source, source_format, on_unsupported, options, limits=limits)

    if short:
        if output.json or attributes or chunks is not None or html is not None:
            raise OptionError(
                "--short says one line of JSON for each source: leave out the other options of what to show"
            )
        context.exit(_show_lines(output, sources, parsed))
    if len(sources) > 1:
        raise OptionError(f"{len(sources)} sources are given, and only --short shows several; choose one")
    opened = Source(sources[0])
    if html is not None:
        _check_page(html, opened)
    tree = parsed(opened)
    if chunks is not None:
        _show_chunks(output, tree, chunks)
        return
    described = describe(tree, opened)
    if html is not None:
        write_page(html, described, overwrite=overwrite)
        output.message(f"manifestry: wrote {html}")
    if output.json:
        output.document("inspect", described.to_json())
    elif html is None:
        _show(output, described, attributes=attributes)


def _show_lines(output: Output, sources: Sequence[str], parsed: Callable[[Source], VirtualGroup]) -> int:
    """A line of JSON for each source, of one that cannot be read its error; the exit code is that of the first of these."""
    code = 0
    for location in sources:
        try:
            source = Source(location)
            line = describe(parsed(source), source).to_short_json()
        except ManifestryError as error:
            code = code or error.exit_code
            line = {"source": location, "error": {"type": type(error).__name__, "message": str(error)}}
        output.block(json.dumps(line, default=str))
    return code


def _check_page(html: Path, source: Source) -> None:
    """A page never takes the place of what it describes, or of a part of it."""
    local = source.local_path
    if local is None or not local.exists():
        return
    place = html.resolve()
    if place == local.resolve() or local.resolve() in place.parents or (html.exists() and html.samefile(local)):
        raise OptionError(f"--html {html}: is the source, or lies in it; give the page another name")


def _show_chunks(output: Output, tree: VirtualGroup, path: str) -> None:
    """The references of one array: as a table that is printed as it is made, or as JSON."""
    array = _array_at(tree, path)
    if output.json:
        output.document("inspect", {"array": path, "chunks": [asdict(r) for r in references(array)]})
        return
    output.line(f"{'chunk':<16}{'offset':>16}{'length':>12}  file")
    for reference in references(array):
        file = "(in the manifest)" if reference.file is None else reference.file
        output.line(f"{reference.chunk:<16}{reference.offset:>16}{reference.length:>12}  {file}")


def _array_at(tree: VirtualGroup, path: str) -> VirtualArray:
    try:
        node = tree[path]
    except KeyError:
        node = tree
    if isinstance(node, VirtualArray):
        return node
    names = [name for name, _ in tree.walk_arrays()]
    close = difflib.get_close_matches(path, names, 1)
    guess = f"; did you mean {close[0]}?" if close else f"; there are: {', '.join(names[:20]) or 'none'}"
    raise OptionError(f"--chunks: {path} is not an array of the source{guess}")


def _show(output: Output, found: Description, *, attributes: bool) -> None:
    output.heading(found.source)
    output.line(found.headline)
    for system in found.systems:
        output.line(f"coordinate system: {system}")
    rows, height = found.arrays, _SCREEN if sys.stdout.isatty() else len(found.arrays)
    if rows:
        output.line()
        columns, cells = array_table(rows[:height])
        output.table(columns, cells, right=NUMBER_COLUMNS)
    if rows[height:]:
        output.line(f"and {pluralise(len(rows) - height, 'array')} more: --include chooses, `| less` shows all")
    if attributes:
        _show_attributes(output, found)
    elif count := sum(len(one.attributes) for one in found.groups) + sum(len(one.attributes) for one in rows):
        output.line(f"\n{pluralise(count, 'attribute')}, shown by --attributes")
    if found.issues:
        output.heading("\nissues")
        for issue in found.issues:
            output.line(f"  {issue.severity}: {issue}")


def _show_attributes(output: Output, found: Description) -> None:
    rows = [
        *((group.path or "/", group.attributes) for group in found.groups),
        *((array.path, array.attributes) for array in found.arrays),
    ]
    if any(attributes for _, attributes in rows):
        output.heading("\nattributes")
    width = max(40, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None
    shown: dict[str, str] = {}
    for path, attributes in rows:
        if attributes:
            output.line(f"{path}")
        for name, value in attributes.items():
            text = json.dumps(value, ensure_ascii=False)
            first = shown.setdefault(text, f"{name} of {path}") if len(text) > _LONG else ""
            line = f"  {name} = {text}" if first in ("", f"{name} of {path}") else f"  {name}: as {first}"
            output.line(line if width is None or len(line) <= width else line[: width - 1] + "…")
