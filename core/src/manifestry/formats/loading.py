"""Finding plugins, isolated from each other: one that is broken never takes down another."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import pluggy

from manifestry.errors import ManifestError, PluginError, UnknownFormatError
from manifestry.formats import hookspecs
from manifestry.formats.descriptors import API_VERSION, ParserDescriptor, WriterDescriptor
from manifestry.formats.plugin_errors import PluginBoundary, PluginCall, import_object
from manifestry.model.codecs import register_codecs

__all__ = [
    "BLOCK_VARIABLE",
    "Entry",
    "FormatRegistry",
    "PluginRecord",
    "PluginState",
    "installed_formats",
    "writer_to_install",
]

BLOCK_VARIABLE: Final = "MANIFESTRY_BLOCK_PLUGINS"
"""Environment variable: names of entry points or distributions, separated by commas, that are not to be loaded."""

KNOWN_ELSEWHERE: Final = {
    "hdf5": "manifestry-hdf5",
    "tiff": "manifestry-tiff",
    "netcdf3": "manifestry-netcdf3",
    "dmrpp": "manifestry-dmrpp",
    "zarr": "manifestry-zarr",
    "icechunk": "manifestry-icechunk",
    "kerchunk-json": "manifestry-kerchunk-json",
    "kerchunk-parquet": "manifestry-kerchunk-parquet",
    "virtualizarr": "manifestry-virtualizarr",
}
"""First-party formats and their distributions, for telling what to install."""

_WRITTEN_ENDINGS: Final = {
    ".icechunk": "icechunk",
    ".json": "kerchunk-json",
    ".json.zst": "kerchunk-json",
    ".parq": "kerchunk-parquet",
    ".parquet": "kerchunk-parquet",
}
"""Endings of outputs that first-party writers write, for the same."""

type Descriptor = ParserDescriptor | WriterDescriptor


class PluginState(StrEnum):
    """What became of a plugin."""

    OK = "ok"
    ERROR = "error"
    CONFLICT = "conflict"
    INCOMPATIBLE = "incompatible"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginRecord:
    """One entry point and what became of it; `reason` and `trace` say why when the state is not ok."""

    name: str
    distribution: str
    version: str
    module: str
    state: PluginState = PluginState.OK
    reason: str = ""
    trace: str = ""
    parsers: tuple[ParserDescriptor, ...] = ()
    writers: tuple[WriterDescriptor, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry[D: Descriptor]:
    """A format that is ready for use, and the plugin it comes from."""

    descriptor: D
    distribution: str
    version: str

    @property
    def label(self) -> str:
        """``"distribution:format"``, the name that tells two plugins apart."""
        return f"{self.distribution}:{self.descriptor.name}"

    def load(self) -> Any:
        """The parser or writer, imported now.

        Raises
        ------
        PluginError
            Importing or making it fails.
        """
        descriptor = self.descriptor
        made = self._import(descriptor.parser if isinstance(descriptor, ParserDescriptor) else descriptor.writer)
        with PluginCall(f"{self.label}: making {made!r}"):
            return made()

    def options_type(self) -> Any:
        """The options struct, or None when the format has no options.

        Raises
        ------
        PluginError
            Importing it fails.
        """
        return None if self.descriptor.options is None else self._import(self.descriptor.options)

    def _import(self, reference: str) -> Any:
        with PluginCall(f"{self.label}: importing {reference}"):
            return import_object(reference)


class FormatRegistry:
    """The formats of all plugins.

    Parameters
    ----------
    entries
        Entry points; by default those of the installed distributions.
    blocked
        Names of entry points or distributions that are not loaded.
    """

    def __init__(self, entries: Iterable[EntryPoint] | None = None, blocked: Iterable[str] = ()) -> None:
        found = entry_points(group=hookspecs.ENTRY_POINT_GROUP) if entries is None else entries
        # pluggy would call in the order of registration: sorted, so that conflicts do not depend on directory order.
        ordered = sorted(found, key=lambda entry: (entry.name, _distribution(entry)[0]))
        unwanted = set(blocked)
        self.records: list[PluginRecord] = []
        self.parsers: dict[str, Entry[ParserDescriptor]] = {}
        self.writers: dict[str, Entry[WriterDescriptor]] = {}
        for entry in ordered:
            self._admit(_load(entry, unwanted))

    def _admit(self, record: PluginRecord) -> None:
        """Take a plugin in unless another has its name or one of its formats already."""
        if record.state is PluginState.OK:
            clash = self._clash(record) or _add_codecs(record)
            if clash:
                record = replace(record, state=PluginState.CONFLICT, reason=clash)
        self.records.append(record)
        if record.state is PluginState.OK:
            self.parsers |= {d.name: Entry(d, record.distribution, record.version) for d in record.parsers}
            self.writers |= {d.name: Entry(d, record.distribution, record.version) for d in record.writers}

    def _clash(self, record: PluginRecord) -> str:
        for other in self.records:
            if other.name == record.name and other.state is PluginState.OK:
                return (
                    f"the entry point {record.name!r} of {record.distribution} is taken by {other.distribution}; "
                    f"uninstall one, or block it with {BLOCK_VARIABLE}={record.distribution}"
                )
        for what, taken, provided in (
            ("parser", self.parsers, record.parsers),
            ("writer", self.writers, record.writers),
        ):
            names = [descriptor.name for descriptor in provided]
            if len(set(names)) != len(names):
                return f"{record.distribution} provides two {what}s of one name: {', '.join(sorted(names))}"
            for descriptor in provided:
                if descriptor.name in taken:
                    return (
                        f"the {what} {descriptor.name!r} of {record.distribution} is provided by "
                        f"{taken[descriptor.name].distribution}; uninstall one, or block it with "
                        f"{BLOCK_VARIABLE}={record.distribution}"
                    )
        return ""

    def parser(self, name: str) -> Entry[ParserDescriptor]:
        """The parser of a format by its name, or by ``"distribution:name"``.

        Raises
        ------
        UnknownFormatError, PluginError
            No plugin has it, or the plugin that has it is not usable.
        """
        return self._get(name, self.parsers, "parser")

    def select(self, name: str) -> tuple[Entry[ParserDescriptor], dict[str, str]]:
        """The parser that a user names, and the options that the name carries (see `ParserDescriptor.variant`).

        Raises
        ------
        UnknownFormatError, PluginError
            As `parser`.
        """
        base, _, variant = name.rpartition(":")
        short = base.rpartition(":")[2]
        known = self.parsers.get(short)
        if known is None and short in KNOWN_ELSEWHERE:
            return self.parser(base), {}  # raises: it is not installed, or not usable
        if known is None or known.descriptor.variant is None:
            return self.parser(name), {}
        return self.parser(base), {known.descriptor.variant: variant}

    def writer(self, name: str) -> Entry[WriterDescriptor]:
        """The writer of a format; as `parser`."""
        return self._get(name, self.writers, "writer")

    def _get[D: Descriptor](self, name: str, entries: dict[str, Entry[D]], what: str) -> Entry[D]:
        distribution, _, short = name.rpartition(":")
        entry = entries.get(short)
        if entry is not None and distribution in ("", entry.distribution):
            return entry
        for record in self.records:
            asked = distribution in ("", record.distribution)
            if asked and record.state is not PluginState.OK and short in self._claims(record):
                raise PluginError(
                    f"the {what} {name!r} is not usable: {record.distribution} is {record.state}: {record.reason}"
                )
        installed = {record.distribution for record in self.records}
        elsewhere = KNOWN_ELSEWHERE.get(short)
        hint = f"; pip install {elsewhere}" if elsewhere is not None and elsewhere not in installed else ""
        close = difflib.get_close_matches(short, entries, 1)
        hint = hint or (f"; did you mean {close[0]!r}?" if close else "")
        raise UnknownFormatError(f"no {what} named {name!r}; there are: {', '.join(sorted(entries)) or 'none'}{hint}")

    @staticmethod
    def _claims(record: PluginRecord) -> set[str]:
        """The names that an unusable plugin would have answered to, as far as they are known."""
        return {record.name, record.distribution, *(d.name for d in _formats(record))}


def _formats(record: PluginRecord) -> tuple[Descriptor, ...]:
    return (*record.parsers, *record.writers)


def writer_to_install(name: str, formats: FormatRegistry) -> str:
    """What to install to write an output of this name: ``"; pip install manifestry-icechunk"``, ``""`` where it is there."""
    formats_of_name = [fmt for ending, fmt in _WRITTEN_ENDINGS.items() if name.rstrip("/").lower().endswith(ending)]
    missing = [fmt for fmt in formats_of_name if fmt not in formats.writers]
    return f"; {missing[0]} is not installed: pip install {KNOWN_ELSEWHERE[missing[0]]}" if missing else ""


@cache
def installed_formats() -> FormatRegistry:
    """The formats of the installed plugins; found once in a process."""
    blocked = [name.strip() for name in os.environ.get(BLOCK_VARIABLE, "").split(",")]
    return FormatRegistry(blocked=filter(None, blocked))


def _distribution(entry: EntryPoint) -> tuple[str, str]:
    return (entry.dist.name, entry.dist.version) if entry.dist is not None else ("unknown", "0")


def _load(entry: EntryPoint, blocked: set[str]) -> PluginRecord:
    distribution, version = _distribution(entry)
    record = PluginRecord(name=entry.name, distribution=distribution, version=version, module=entry.value)
    if entry.name in blocked or distribution in blocked:
        return replace(record, state=PluginState.BLOCKED, reason=f"named in {BLOCK_VARIABLE}")
    with PluginBoundary() as boundary:
        parsers, writers = _call_hooks(entry)
        newer = _incompatible((*parsers, *writers))
        if newer:
            return replace(record, state=PluginState.INCOMPATIBLE, reason=newer, parsers=parsers, writers=writers)
        return replace(record, parsers=parsers, writers=writers)
    return replace(record, state=PluginState.ERROR, reason=boundary.reason, trace=boundary.trace)


def _call_hooks(entry: EntryPoint) -> tuple[tuple[ParserDescriptor, ...], tuple[WriterDescriptor, ...]]:
    """Import the module of an entry point and call its hooks: a manager of its own for each, so nothing is shared."""
    manager = pluggy.PluginManager("manifestry")
    manager.add_hookspecs(hookspecs)
    manager.register(entry.load(), entry.name)
    manager.check_pending()  # a misspelt hook would pass unnoticed otherwise
    parsers = tuple(_descriptors(manager.hook.manifestry_parsers(), ParserDescriptor))
    writers = tuple(_descriptors(manager.hook.manifestry_writers(), WriterDescriptor))
    return parsers, writers


def _descriptors[D: Descriptor](results: Iterable[Iterable[Any]], kind: type[D]) -> Iterator[D]:
    for result in results:
        for descriptor in result:
            if not isinstance(descriptor, kind):
                raise TypeError(f"a hook returned {type(descriptor).__name__}, not {kind.__name__}")
            yield descriptor


def _add_codecs(record: PluginRecord) -> str:
    """Add what a plugin knows of codecs to the catalogue; why not, or ``""``."""
    descriptors: tuple[Descriptor, ...] = (*record.parsers, *record.writers)
    try:
        register_codecs(entry for descriptor in descriptors for entry in descriptor.codecs)
    except ManifestError as error:
        return f"{record.distribution}: {error}"
    return ""


def _incompatible(descriptors: Iterable[Descriptor]) -> str:
    for descriptor in descriptors:
        major, minor = descriptor.api
        if major != API_VERSION[0] or minor > API_VERSION[1]:
            ours = ".".join(map(str, API_VERSION))
            return f"{descriptor.name!r} was written for plugin interface {major}.{minor}, and this is {ours}"
    return ""
