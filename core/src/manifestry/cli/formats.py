"""`manifestry formats`: what can be read and written, and with which options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
import msgspec

from manifestry.cli.arguments import common_options
from manifestry.cli.output import Output, pass_output
from manifestry.errors import UnknownFormatError
from manifestry.formats.descriptors import ParserDescriptor, WriterDescriptor
from manifestry.formats.loading import Entry, FormatRegistry, installed_formats
from manifestry.formats.options import OptionInfo, describe_options
from manifestry.reading import CommonOptions

__all__ = ["command"]

type AnyEntry = Entry[ParserDescriptor] | Entry[WriterDescriptor]


@click.command("formats", short_help="The formats, and their options.")
@click.argument("name", required=False)
@common_options
@pass_output
def command(output: Output, name: str | None) -> None:
    """List the formats, or describe the one of a NAME with all its options."""
    formats = installed_formats()
    if name is None:
        _list(output, formats)
    else:
        _describe(output, formats, name)


def _list(output: Output, formats: FormatRegistry) -> None:
    names = sorted({*formats.parsers, *formats.writers})
    if output.json:
        output.document("formats", {"formats": [_to_json(n, *_entries(formats, n)) for n in names]})
        return
    rows = []
    for name in names:
        reader, writer = _entries(formats, name)
        endings = dict.fromkeys(x for e in (reader, writer) if e is not None for x in e.descriptor.extensions)
        rows.append([name, "yes" if reader else "", "yes" if writer else "", " ".join(endings), _title(reader, writer)])
    output.table(["format", "read", "write", "endings", "what it is"], rows)


def _describe(output: Output, formats: FormatRegistry, name: str) -> None:
    reader, writer = _entries(formats, name)
    if reader is None and writer is None:
        formats.parser(name)  # says what there is, what to install, or which plugin is broken
        raise UnknownFormatError(name)
    if output.json:
        output.document("formats", {"formats": [_to_json(name, reader, writer, options=True)]})
        return
    output.heading(f"{name}: {_title(reader, writer)}")
    for doing, entry, flag in (("read", reader, "--oo"), ("written", writer, "--co")):
        if entry is None:
            continue
        descriptor = entry.descriptor
        output.line(f"\n{doing} by {entry.distribution} {entry.version}")
        output.line(f"  endings       {' '.join(descriptor.extensions) or 'none'}")
        output.line(f"  capabilities  {', '.join(sorted(descriptor.capabilities)) or 'none'}")
        if isinstance(descriptor, ParserDescriptor) and descriptor.refines:
            output.line(f"  refines       {', '.join(descriptor.refines)}")
        output.line()
        _print_options(output, _options(entry), flag)


def _print_options(output: Output, options: Sequence[OptionInfo], flag: str) -> None:
    if not options:
        output.line(f"no options ({flag})")
        return
    rows = [[f"{flag} {o.name}=", o.type, _default(o.default), o.description] for o in options]
    output.table(["option", "type", "default", "meaning"], rows)


def _default(value: Any) -> str:
    nothing = value is None or value in ((), "", {}) or (isinstance(value, msgspec.Struct) and value == type(value)())
    return "" if nothing else str(value)


def _options(entry: AnyEntry) -> list[OptionInfo]:
    own = describe_options(entry.options_type())
    return [*own, *describe_options(CommonOptions)] if isinstance(entry.descriptor, ParserDescriptor) else own


def _entries(
    formats: FormatRegistry, name: str
) -> tuple[Entry[ParserDescriptor] | None, Entry[WriterDescriptor] | None]:
    return formats.parsers.get(name), formats.writers.get(name)


def _title(reader: AnyEntry | None, writer: AnyEntry | None) -> str:
    return next((e.descriptor.title for e in (reader, writer) if e is not None), "")


def _to_json(
    name: str,
    reader: Entry[ParserDescriptor] | None,
    writer: Entry[WriterDescriptor] | None,
    *,
    options: bool = False,
) -> dict[str, Any]:
    return {
        "name": name,
        "title": _title(reader, writer),
        "read": None if reader is None else _entry_to_json(reader, options=options),
        "write": None if writer is None else _entry_to_json(writer, options=options),
    }


def _entry_to_json(entry: AnyEntry, *, options: bool) -> dict[str, Any]:
    descriptor = entry.descriptor
    found: dict[str, Any] = {
        "distribution": entry.distribution,
        "version": entry.version,
        "extensions": list(descriptor.extensions),
        "capabilities": sorted(descriptor.capabilities),
    }
    if options:
        found["options"] = [
            {"name": o.name, "type": o.type, "default": o.default, "description": o.description}
            for o in _options(entry)
        ]
    return found
