"""Archives as virtual Zarr stores, without copying a byte of data.

>>> import manifestry as mf
>>> tree = mf.parse("scene.nc")  # doctest: +SKIP
>>> mf.write(tree, "scene.icechunk")  # doctest: +SKIP

Names are imported on first use: importing this package imports nothing of what it works with.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # "as" the same name: a name for users, to type checkers
    from manifestry.combine.concatenation import concat as concat
    from manifestry.combine.merging import merge as merge
    from manifestry.combine.options import CombineOptions as CombineOptions
    from manifestry.combine.stacking import stack as stack
    from manifestry.conversion.api import convert as convert
    from manifestry.conversion.report import ConvertReport as ConvertReport
    from manifestry.errors import (
        AmbiguousFormatError as AmbiguousFormatError,
    )
    from manifestry.errors import (
        IncompatibleArraysError as IncompatibleArraysError,
    )
    from manifestry.errors import (
        MalformedFileError as MalformedFileError,
    )
    from manifestry.errors import (
        ManifestError as ManifestError,
    )
    from manifestry.errors import (
        ManifestryError as ManifestryError,
    )
    from manifestry.errors import (
        OptionError as OptionError,
    )
    from manifestry.errors import (
        PluginError as PluginError,
    )
    from manifestry.errors import (
        SourceError as SourceError,
    )
    from manifestry.errors import (
        TargetExistsError as TargetExistsError,
    )
    from manifestry.errors import (
        UnknownFormatError as UnknownFormatError,
    )
    from manifestry.errors import (
        UnsupportedFeatureError as UnsupportedFeatureError,
    )
    from manifestry.errors import (
        WriteError as WriteError,
    )
    from manifestry.formats.report import WriteReport as WriteReport
    from manifestry.issues import Issue as Issue
    from manifestry.model.attributes import Reference as Reference
    from manifestry.model.codecs import Codec as Codec
    from manifestry.model.files import (
        FileTable as FileTable,
    )
    from manifestry.model.files import (
        SourceFile as SourceFile,
    )
    from manifestry.model.limits import Limits as Limits
    from manifestry.model.manifest import ChunkManifest as ChunkManifest
    from manifestry.model.metadata import (
        ArrayMetadata as ArrayMetadata,
    )
    from manifestry.model.metadata import (
        RectilinearGrid as RectilinearGrid,
    )
    from manifestry.model.metadata import (
        RegularGrid as RegularGrid,
    )
    from manifestry.model.tree import (
        VirtualArray as VirtualArray,
    )
    from manifestry.model.tree import (
        VirtualGroup as VirtualGroup,
    )
    from manifestry.reading import parse as parse
    from manifestry.storage.registry import Stores as Stores
    from manifestry.storage.source import Source as Source
    from manifestry.verification import (
        VerifyReport as VerifyReport,
    )
    from manifestry.verification import (
        verify as verify,
    )
    from manifestry.views import (
        open_store as open_store,
    )
    from manifestry.views import (
        to_datatree as to_datatree,
    )
    from manifestry.views import (
        to_xarray as to_xarray,
    )
    from manifestry.writing import write as write
    from manifestry.zarr_store import ManifestStore as ManifestStore

__version__ = "0.1.0"

_WHERE: Final = {
    "AmbiguousFormatError": "errors",
    "ArrayMetadata": "model.metadata",
    "ChunkManifest": "model.manifest",
    "Codec": "model.codecs",
    "CombineOptions": "combine.options",
    "ConvertReport": "conversion.report",
    "FileTable": "model.files",
    "IncompatibleArraysError": "errors",
    "Issue": "issues",
    "Limits": "model.limits",
    "MalformedFileError": "errors",
    "ManifestError": "errors",
    "ManifestStore": "zarr_store",
    "ManifestryError": "errors",
    "OptionError": "errors",
    "PluginError": "errors",
    "RectilinearGrid": "model.metadata",
    "Reference": "model.attributes",
    "RegularGrid": "model.metadata",
    "Source": "storage.source",
    "SourceError": "errors",
    "SourceFile": "model.files",
    "Stores": "storage.registry",
    "TargetExistsError": "errors",
    "UnknownFormatError": "errors",
    "UnsupportedFeatureError": "errors",
    "VerifyReport": "verification",
    "VirtualArray": "model.tree",
    "VirtualGroup": "model.tree",
    "WriteError": "errors",
    "WriteReport": "formats.report",
    "concat": "combine.concatenation",
    "convert": "conversion.api",
    "merge": "combine.merging",
    "open_store": "views",
    "parse": "reading",
    "stack": "combine.stacking",
    "to_datatree": "views",
    "to_xarray": "views",
    "verify": "verification",
    "write": "writing",
}

__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
