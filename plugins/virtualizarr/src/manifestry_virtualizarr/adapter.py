"""manifestry's parsers as parsers of VirtualiZarr."""

from __future__ import annotations

from typing import Any, Literal

import manifestry as mf
from manifestry.plugin import VirtualArray, VirtualGroup
from obspec_utils.registry import ObjectStoreRegistry
from virtualizarr.manifests import ManifestStore

from manifestry_virtualizarr.groups import to_manifest_group

__all__ = ["ManifestryParser"]


class ManifestryParser:
    """Any format that manifestry parses, for ``virtualizarr.open_virtual_dataset(url, registry, parser=...)``.

    Parameters
    ----------
    format
        Name of the format; found from the content when not given.
    on_unsupported
        As for `manifestry.parse`.
    **options
        As for `manifestry.parse`: ``group``, ``include`` and ``exclude``, and those of the format.

    Notes
    -----
    Dimensions without a name get one (``unnamed_ARRAY_0``), since virtual datasets need it. Objects are read through
    the stores of the registry; those of URLs that it does not cover are made from the environment.

    Examples
    --------
    ::

        import virtualizarr
        from manifestry_virtualizarr import ManifestryParser

        vds = virtualizarr.open_virtual_dataset(url, registry, parser=ManifestryParser())
    """

    def __init__(
        self,
        format: str | None = None,  # noqa: A002 as in manifestry.parse
        *,
        on_unsupported: Literal["raise", "skip"] = "raise",
        **options: Any,
    ) -> None:
        self.format = format
        self.on_unsupported = on_unsupported
        self.options = options

    def __call__(self, url: str, registry: ObjectStoreRegistry[Any]) -> ManifestStore:
        """The store of a source.

        Raises
        ------
        ManifestryError
            As `manifestry.parse`; an array that VirtualiZarr cannot hold is refused.
        """
        tree = mf.parse(url, format=self.format, stores=registry, on_unsupported=self.on_unsupported, **self.options)
        return ManifestStore(to_manifest_group(_name_dimensions(tree)), registry=registry)

    def __repr__(self) -> str:
        return f"ManifestryParser({self.format!r})"


def _name_dimensions(group: VirtualGroup) -> VirtualGroup:
    """A tree in which every dimension has a name."""
    groups = {name: _name_dimensions(child) for name, child in group.groups.items()}
    arrays = {
        name: VirtualArray(array.metadata.with_(dims=array.named_dims(name)), array.manifest)
        for name, array in group.arrays.items()
    }
    return group.with_(arrays=arrays, groups=groups)
