"""Archives as virtual Zarr stores, without copying a byte of data.

>>> import manifestry as mf
>>> tree = mf.parse("scene.nc")  # doctest: +SKIP
>>> mf.write(tree, "scene.icechunk")  # doctest: +SKIP

Names are imported on first use: importing this package imports nothing of what it works with.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from manifestry.combine.concatenate import concat
    from manifestry.combine.merging import merge
    from manifestry.combine.options import CombineOptions
    from manifestry.combine.stacking import stack
    from manifestry.conversion.report import ConvertReport
    from manifestry.conversion.running import convert
    from manifestry.errors import (
        AmbiguousFormatError,
        IncompatibleArraysError,
        MalformedFileError,
        ManifestError,
        ManifestryError,
        OptionError,
        PluginError,
        SourceError,
        TargetExistsError,
        UnknownFormatError,
        UnsupportedFeatureError,
        WriteError,
    )
    from manifestry.model.files import FileTable, SourceFile
    from manifestry.model.issues import Issue
    from manifestry.model.limits import Limits
    from manifestry.model.manifest import ChunkManifest
    from manifestry.model.metadata import ArrayMetadata, Codec, RectilinearGrid, RegularGrid
    from manifestry.model.tree import VirtualArray, VirtualGroup
    from manifestry.reading import parse
    from manifestry.report import WriteReport
    from manifestry.storage.source import Source
    from manifestry.verification import VerifyReport, verify
    from manifestry.writing import write
    from manifestry.zarr_store import ManifestStore

__version__ = "0.1.0"

_WHERE = {
    "AmbiguousFormatError": "errors",
    "ArrayMetadata": "model.metadata",
    "ChunkManifest": "model.manifest",
    "Codec": "model.metadata",
    "CombineOptions": "combine.options",
    "ConvertReport": "conversion.report",
    "FileTable": "model.files",
    "IncompatibleArraysError": "errors",
    "Issue": "model.issues",
    "Limits": "model.limits",
    "MalformedFileError": "errors",
    "ManifestError": "errors",
    "ManifestStore": "zarr_store",
    "ManifestryError": "errors",
    "OptionError": "errors",
    "PluginError": "errors",
    "RectilinearGrid": "model.metadata",
    "RegularGrid": "model.metadata",
    "Source": "storage.source",
    "SourceError": "errors",
    "SourceFile": "model.files",
    "TargetExistsError": "errors",
    "UnknownFormatError": "errors",
    "UnsupportedFeatureError": "errors",
    "VerifyReport": "verification",
    "VirtualArray": "model.tree",
    "VirtualGroup": "model.tree",
    "WriteError": "errors",
    "WriteReport": "report",
    "concat": "combine.concatenate",
    "convert": "conversion.running",
    "merge": "combine.merging",
    "parse": "reading",
    "verify": "verification",
    "stack": "combine.stacking",
    "write": "writing",
}

__all__ = [
    "AmbiguousFormatError",
    "ArrayMetadata",
    "ChunkManifest",
    "Codec",
    "CombineOptions",
    "ConvertReport",
    "FileTable",
    "IncompatibleArraysError",
    "Issue",
    "Limits",
    "MalformedFileError",
    "ManifestError",
    "ManifestStore",
    "ManifestryError",
    "OptionError",
    "PluginError",
    "RectilinearGrid",
    "RegularGrid",
    "Source",
    "SourceError",
    "SourceFile",
    "TargetExistsError",
    "UnknownFormatError",
    "UnsupportedFeatureError",
    "VerifyReport",
    "VirtualArray",
    "VirtualGroup",
    "WriteError",
    "WriteReport",
    "concat",
    "convert",
    "merge",
    "parse",
    "stack",
    "verify",
    "write",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
