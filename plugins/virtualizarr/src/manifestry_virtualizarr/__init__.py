"""The bridge to VirtualiZarr: the entry point of the plugin, and its public names, imported on first use.

====================  ======================================================================================
`adapter`             `ManifestryParser`: any manifestry parser as a VirtualiZarr parser
`parser`              VirtualiZarr's parsers as parsers of manifestry
`options`             which parser of VirtualiZarr, and what it is made with
`groups`              `to_manifest_group`, `from_manifest_group`, `from_dataset`: trees, both ways
`manifests`           chunk manifests, both ways
`stores`              the object stores of a source as the registry that VirtualiZarr asks
====================  ======================================================================================
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from manifestry.plugin import Capability, ParserDescriptor, hookimpl

if TYPE_CHECKING:
    from manifestry_virtualizarr.adapter import ManifestryParser
    from manifestry_virtualizarr.groups import from_dataset, from_manifest_group, to_manifest_group

__all__ = ["ManifestryParser", "from_dataset", "from_manifest_group", "to_manifest_group"]

_MODULES: Final = {
    "ManifestryParser": "adapter",
    "from_dataset": "groups",
    "from_manifest_group": "groups",
    "to_manifest_group": "groups",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


@hookimpl
def manifestry_parsers() -> Iterator[ParserDescriptor]:
    """The parsers of VirtualiZarr. They claim no file: whoever wants one names it."""
    yield ParserDescriptor(
        name="virtualizarr",
        title="What a parser of VirtualiZarr reads",
        parser="manifestry_virtualizarr.parser:VirtualizarrParser",
        options="manifestry_virtualizarr.options:VirtualizarrOptions",
        variant="parser",
        capabilities=frozenset({Capability.GROUPS, Capability.REMOTE}),
    )
