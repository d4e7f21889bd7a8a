"""The libraries of formats as oracles: each in the process for strangers' files, for they are what such files attack."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from typing import Any, Final

import numpy as np

from manifestry.errors import ManifestryError, OptionError, UnknownFormatError, one_line
from manifestry.formats.contracts import NativeReader
from manifestry.formats.descriptors import ParserDescriptor
from manifestry.formats.isolation import call_isolated
from manifestry.formats.loading import Entry, installed_formats
from manifestry.storage.source import Source

__all__ = ["open_oracle"]

_MAX_OPEN: Final = 32
"""Sources that the other process has open."""


def open_oracle(source: Source, entry: Entry[ParserDescriptor], options: Any) -> NativeReader:
    """The arrays of a source, read by the library of its format in a process of its own.

    What cannot be sent there (object stores in memory, formats that only this process has) is read here.

    Raises
    ------
    UnsupportedFeatureError
        The library is not installed, or cannot open this source.
    MalformedFileError
        The process died of it.
    """
    about = f"{one_line(source.url)}: opening it with the library of {entry.label}"
    try:
        call_isolated(about, _open, source, entry.descriptor.name, options)
    except (UnknownFormatError, OptionError):
        reader: NativeReader = entry.load().open_native(source, options)
        return reader
    return _IsolatedReader(source, entry.descriptor.name, options)


class _IsolatedReader:
    """What the other process reads; opened there again when that process has been replaced."""

    def __init__(self, source: Source, fmt: str, options: Any) -> None:
        self._arguments = source, fmt, options

    def read(self, path: str, selection: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        about = f"{one_line(self._arguments[0].url)}: reading {one_line(path)} with the library of {self._arguments[1]}"
        return np.asarray(call_isolated(about, _read, *self._arguments, path, selection))

    def close(self) -> None:
        with suppress(ManifestryError):
            call_isolated("closing a source", _close, *self._arguments)


# What follows runs in the other process.

_open_readers: OrderedDict[str, NativeReader] = OrderedDict()


def _key(source: Source, fmt: str, options: Any) -> str:
    return f"{fmt} {options!r} {source.url}"


def _open(source: Source, fmt: str, options: Any) -> None:
    _reader(source, fmt, options)


def _reader(source: Source, fmt: str, options: Any) -> NativeReader:
    key = _key(source, fmt, options)
    if key not in _open_readers:
        _open_readers[key] = installed_formats().parser(fmt).load().open_native(source, options)
    _open_readers.move_to_end(key)
    while len(_open_readers) > _MAX_OPEN:
        _open_readers.popitem(last=False)[1].close()
    return _open_readers[key]


def _read(source: Source, fmt: str, options: Any, path: str, selection: tuple[slice, ...]) -> Any:
    return _reader(source, fmt, options).read(path, selection)


def _close(source: Source, fmt: str, options: Any) -> None:
    reader = _open_readers.pop(_key(source, fmt, options), None)
    if reader is not None:
        reader.close()
