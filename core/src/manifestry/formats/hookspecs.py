"""The two hooks of a plugin.

A plugin is a distribution with an entry point in the group ``manifestry`` that names a small module. The module
imports only `manifestry.formats` and implements one or both hooks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pluggy

from manifestry.formats.descriptors import ParserDescriptor, WriterDescriptor

__all__ = ["ENTRY_POINT_GROUP", "hookimpl", "hookspec", "manifestry_parsers", "manifestry_writers"]

ENTRY_POINT_GROUP: Final = "manifestry"

hookspec = pluggy.HookspecMarker("manifestry")
hookimpl = pluggy.HookimplMarker("manifestry")
"""Decorator of hook implementations."""


@hookspec
def manifestry_parsers() -> Iterable[ParserDescriptor]:
    """The formats that the plugin reads.

    Examples
    --------
    The whole entry point module of a plugin for GRIB, with ``grib = "manifestry_grib"`` in the group ``manifestry``:

    >>> from manifestry.formats import hookimpl
    >>> from manifestry.formats.descriptors import Magic, ParserDescriptor
    >>> @hookimpl
    ... def manifestry_parsers():
    ...     yield ParserDescriptor(
    ...         name="grib",
    ...         title="WMO GRIB edition 2",
    ...         parser="manifestry_grib.parser:GribParser",
    ...         options="manifestry_grib.options:GribOptions",
    ...         magic=(Magic(b"GRIB"),),
    ...         extensions=(".grib2", ".grb2"),
    ...     )
    >>> [descriptor.name for descriptor in manifestry_parsers()]
    ['grib']
    """
    raise AssertionError("a specification is never called")


@hookspec
def manifestry_writers() -> Iterable[WriterDescriptor]:
    """The formats that the plugin writes.

    Examples
    --------
    >>> from manifestry.formats import hookimpl
    >>> from manifestry.formats.descriptors import Capability, WriterDescriptor
    >>> @hookimpl
    ... def manifestry_writers():
    ...     yield WriterDescriptor(
    ...         name="catalog",
    ...         title="One row for each chunk in a database",
    ...         writer="manifestry_catalog.writer:CatalogWriter",
    ...         extensions=(".catalog",),
    ...         capabilities=frozenset({Capability.GROUPS}),
    ...     )
    >>> [descriptor.name for descriptor in manifestry_writers()]
    ['catalog']
    """
    raise AssertionError("a specification is never called")
