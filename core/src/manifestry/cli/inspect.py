"""`manifestry inspect`: what is in a source, and how it is stored."""

from __future__ import annotations

import difflib
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import click

from manifestry.cli.arguments import common_options, named_values, reading_options
from manifestry.cli.description import ARRAY_COLUMNS, Description, array_cells, describe, references
from manifestry.cli.output import Output, pass_output
from manifestry.cli.page import write_page
from manifestry.errors import OptionError
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.reading import parse_source, with_selection
from manifestry.storage.source import Source

__all__ = ["command"]


@click.command("inspect", short_help="What is in a source, and how it is stored.")
@click.argument("source", metavar="SRC")
@reading_options(on_unsupported="skip")
@click.option("--chunks", metavar="ARRAY", help="List where each stored chunk of an array is, instead.")
@click.option("--html", metavar="FILE", type=click.Path(path_type=Path), help="Write a page of HTML, instead.")
@click.option("--overwrite", is_flag=True, help="Replace the FILE of --html even if it is no such page.")
@common_options
@pass_output
def command(
    output: Output,
    source: str,
    source_format: str | None,
    oo: tuple[str, ...],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    on_unsupported: Literal["raise", "skip"],
    chunks: str | None,
    html: Path | None,
    overwrite: bool,
) -> None:
    """Show the arrays of a source: shapes, types, chunks, codecs, sizes, attributes. Reads no data.

    What cannot be expressed exactly is listed below the arrays; with --on-unsupported raise it is an error.
    """
    opened = Source(source)
    if html is not None:
        _check_page(html, opened)
    options = with_selection(named_values(oo, "--oo"), include, exclude)
    tree = parse_source(opened, source_format, on_unsupported, options)
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
        _show(output, described)


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


def _show(output: Output, found: Description) -> None:
    output.heading(found.source)
    output.line(f"{found.headline}\n")
    if found.arrays:
        output.table(ARRAY_COLUMNS, map(array_cells, found.arrays), right=("chunks", "stored", "ratio"))
    _show_attributes(output, found)
    if found.issues:
        output.heading("\nissues")
        for issue in found.issues:
            output.line(f"  {issue.severity}: {issue}")


def _show_attributes(output: Output, found: Description) -> None:
    rows = [
        *((f"{group.path or '/'}", group.attributes) for group in found.groups),
        *((array.path, array.attributes) for array in found.arrays),
    ]
    if any(attributes for _, attributes in rows):
        output.heading("\nattributes")
    width = max(40, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None
    for path, attributes in rows:
        if attributes:
            output.line(f"{path}")
        for name, value in attributes.items():
            text = f"  {name} = {json.dumps(value, ensure_ascii=False)}"
            output.line(text if width is None or len(text) <= width else text[: width - 1] + "…")
