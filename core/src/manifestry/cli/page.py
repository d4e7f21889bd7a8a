"""A description as one page of HTML that needs nothing else."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from manifestry.cli.description import NUMBER_COLUMNS, Description, array_table
from manifestry.errors import TargetExistsError, printable
from manifestry.formats.targets import Mode, Target
from manifestry.publishing.staging import StagedFile

__all__ = ["page", "write_page"]

_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8884; vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
td:first-child, dt { font-family: ui-monospace, monospace; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .5rem 0 .5rem 1.2rem; }
dd { margin: 0; overflow-wrap: anywhere; }
.refused { color: #b00020; }
"""

_OURS: Final = '<!doctype html>\n<html lang="en"><head><meta name="generator" content="manifestry inspect">'
"""How every page begins: what begins so may be replaced by another."""


def write_page(path: Path, found: Description, *, overwrite: bool = False) -> None:
    """Write the page; what was at the path is replaced at once, or not at all.

    Parameters
    ----------
    overwrite
        Replace what is there even if it is no such page.

    Raises
    ------
    TargetExistsError
        Something else than such a page is there, or what is no regular file at all (a device, a pipe).
    WriteError
        The file cannot be written.
    """
    there = path.exists()
    if there and not path.is_file():
        raise TargetExistsError(f"{path}: is not a regular file, and is not replaced; choose another one")
    if there and not overwrite and not _is_page(path):
        raise TargetExistsError(
            f"{path}: is not a page of manifestry inspect, and is not replaced; choose another file, or say --overwrite"
        )
    file = StagedFile(Target.of(path), Mode.OVERWRITE if there else Mode.CREATE)
    try:
        with file.open() as handle:
            handle.write(page(found).encode("utf-8", "backslashreplace"))
        file.publish()
    finally:
        file.discard()


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_OURS)) == _OURS.encode()


def escape(text: str) -> str:
    """Text of a source as text of a page."""
    return html.escape(printable(text))


def page(found: Description) -> str:
    """The page. Whatever a source says of itself is text in it, never markup."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Description) -> Iterator[str]:
    title = escape(found.source)
    yield f'{_OURS}<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style></head><body>'
    yield f"<h1>{title}</h1>"
    yield f"<p>{escape(found.headline)}</p>"
    yield from (f"<p>{escape(system)}</p>" for system in found.systems)
    yield from _table(*array_table(found.arrays))
    yield "<h2>Attributes</h2>"
    for group in found.groups:
        yield from _attributes(group.path or "/", group.attributes, opened=not group.path)
    for array in found.arrays:
        yield from _attributes(array.path, array.attributes)
    if found.issues:
        yield "<h2>Issues</h2><ul>"
        yield from (f'<li class="{issue.severity}">{escape(str(issue))}</li>' for issue in found.issues)
        yield "</ul>"
    yield "</body></html>"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    marks = [' class="number"' if column in NUMBER_COLUMNS else "" for column in columns]
    yield "<table><thead><tr>"
    yield "".join(f"<th{mark}>{escape(column)}</th>" for mark, column in zip(marks, columns, strict=True))
    yield "</tr></thead><tbody>"
    for row in rows:
        cells = (f"<td{mark}>{escape(cell)}</td>" for mark, cell in zip(marks, row, strict=True))
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</tbody></table>"


def _attributes(path: str, attributes: Mapping[str, Any], *, opened: bool = False) -> Iterator[str]:
    if not attributes:
        return
    yield f"<details{' open' if opened else ''}><summary>{escape(path)}</summary><dl>"
    for name, value in attributes.items():
        yield f"<dt>{escape(name)}</dt><dd>{escape(json.dumps(value, ensure_ascii=False))}</dd>"
    yield "</dl></details>"
