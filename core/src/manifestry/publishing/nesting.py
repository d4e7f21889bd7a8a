"""Targets inside the directory of another output: whoever replaced or read that one would find something foreign in it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

from manifestry.errors import TargetExistsError
from manifestry.formats.descriptors import ParserDescriptor
from manifestry.formats.loading import KNOWN_ELSEWHERE, installed_formats
from manifestry.formats.targets import Target
from manifestry.storage.source import Source
from manifestry.storage.urls import split_url

__all__ = ["refuse_inside_output"]

_MARKS: Final = (
    ("zarr.json", "a Zarr store"),
    (".zmetadata", "a Zarr store or Kerchunk Parquet store"),
    (".zgroup", "a Zarr store"),
    (".zarray", "a Zarr store"),
    ("repo", "an Icechunk repository"),
    ("refs/branch.main/ref.json", "an Icechunk repository"),
)
"""Objects at the root of each kind of output, known also where the plugins that write them are not installed."""

_ENDINGS: Final = (".zarr", ".parq", ".parquet", ".icechunk")
"""Names that remote outputs go by: there every look is a request."""


def _directory_formats() -> Iterator[ParserDescriptor]:
    """Formats of other plugins whose outputs are directories: they are written, and recognised by what is in them."""
    formats = installed_formats()
    for name, entry in formats.parsers.items():
        if name in formats.writers and name not in KNOWN_ELSEWHERE and entry.descriptor.sentinels:
            yield entry.descriptor


def _endings() -> tuple[str, ...]:
    writers = installed_formats().writers
    more = ((*found.extensions, *writers[found.name].descriptor.extensions) for found in _directory_formats())
    return (*_ENDINGS, *itertools.chain.from_iterable(more))


def refuse_inside_output(target: Target) -> None:
    """Refuse a target inside an existing store or repository.

    Raises
    ------
    TargetExistsError
        It lies in one.
    """
    if target.object is not None:
        return
    for url in _above(target.url):
        output = _output_at(url, target)
        if output is not None:
            raise TargetExistsError(f"{target}: lies inside {url}, which is {output}; choose another target")


def _above(url: str) -> Iterator[str]:
    """The directories that a URL lies in, the innermost first."""
    origin, key = split_url(url.rstrip("/"))
    segments = key.split("/")[:-1]
    for count in range(len(segments), 0, -1):
        yield f"{origin}/{'/'.join(segments[:count])}"


def _output_at(url: str, target: Target) -> str | None:
    """What kind of output a directory is, None of any other."""
    place = Source.at(url, target.stores)
    if place.local_path is None:
        if not url.lower().endswith(_endings()):
            return None
        marks = (mark for mark in _MARKS if Source.at(f"{url}/{mark[0]}", target.stores).exists())
    else:
        path = place.local_path
        marks = (mark for mark in _MARKS if (path / mark[0]).is_file())
    for name, output in marks:
        if name != "repo" or Source.at(f"{url}/snapshots", target.stores).is_prefix:
            return output
    for found in _directory_formats():
        inside = (Source.at(f"{url}/{name.rstrip('/')}", target.stores) for name in found.sentinels)
        if any(one.is_prefix or one.exists() for one in inside):
            return f"an output in format {found.name} ({found.title})"
    return None
