"""Archives as virtual Zarr stores, without copying a byte of data.

>>> import manifestry as mf
>>> tree = mf.parse("scene.nc")  # doctest: +SKIP
>>> mf.write(tree, "scene.icechunk")  # doctest: +SKIP

Names are imported on first use: importing this package imports nothing of what it works with.

================  ===========================================================================
`lazy`            names of a module that are imported on first use
`errors`          the errors that users meet
`credentials`     credentials in URLs: found, and hidden in what is shown
`hints`           what the caller can do about an error, as options of the call
`issues`          what was left out of a tree, or is worth knowing about it
`progress`        what a long run tells whoever is watching
`model`           what a parser says of an archive and a writer stores; no I/O
`storage`         from a URL to an object store to ranges of bytes
`zarr_documents`  the model as Zarr v2 and v3 metadata, and back
`formats`         formats and the plugins that speak them: descriptors, detection, contracts
`plugin`          the plugin face: all that a parser or writer may use
`reading`         parse: a source through the parser of its format
`writing`         write: a tree through the writer of a format
`references`      documents that point at other files: hierarchies and their references
`publishing`      an output in its place whole or not at all
`zarr_store`      the model as a read-only zarr store
`combine`         several trees as one: concat, stack and merge
`parallel`        tasks on workers, with results in order
`xarray_bridge`   virtual trees as xarray objects, and any supported file as an xarray engine
`verification`    whether an output still says what its sources hold
`conversion`      from sources to an output in one call: convert
`views`           a tree as other libraries see it: a zarr store, xarray objects
`cli`             the command line over the public functions
`testing`         the kit with which plugin authors test parsers and writers
================  ===========================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from manifestry.lazy import lazy_names

if TYPE_CHECKING:  # "as" the same name: a name for users, to type checkers
    from manifestry.combine.concatenation import concat as concat
    from manifestry.combine.merging import merge as merge
    from manifestry.combine.options import CombineOptions as CombineOptions
    from manifestry.combine.stacking import stack as stack
    from manifestry.conversion.api import convert as convert
    from manifestry.conversion.report import ConvertReport as ConvertReport
    from manifestry.errors import (
        AmbiguousFormatError as AmbiguousFormatError,
        IncompatibleArraysError as IncompatibleArraysError,
        MalformedFileError as MalformedFileError,
        ManifestError as ManifestError,
        ManifestryError as ManifestryError,
        OptionError as OptionError,
        PluginError as PluginError,
        SourceError as SourceError,
        TargetExistsError as TargetExistsError,
        UnknownFormatError as UnknownFormatError,
        UnsupportedFeatureError as UnsupportedFeatureError,
        WriteError as WriteError,
    )
    from manifestry.formats.report import WriteReport as WriteReport
    from manifestry.issues import Issue as Issue
    from manifestry.model.attributes import Reference as Reference
    from manifestry.model.codecs import Codec as Codec
    from manifestry.model.files import (
        FileTable as FileTable,
        SourceFile as SourceFile,
    )
    from manifestry.model.limits import Budget as Budget, Limits as Limits
    from manifestry.model.manifest import ChunkManifest as ChunkManifest
    from manifestry.model.metadata import (
        ArrayMetadata as ArrayMetadata,
        RectilinearGrid as RectilinearGrid,
        RegularGrid as RegularGrid,
    )
    from manifestry.model.tree import (
        VirtualArray as VirtualArray,
        VirtualGroup as VirtualGroup,
    )
    from manifestry.reading import parse as parse
    from manifestry.storage.registry import Stores as Stores
    from manifestry.storage.source import Source as Source
    from manifestry.verification import (
        VerifyReport as VerifyReport,
        verify as verify,
    )
    from manifestry.views import (
        open_store as open_store,
        to_datatree as to_datatree,
        to_xarray as to_xarray,
    )
    from manifestry.writing import write as write
    from manifestry.zarr_store import ManifestStore as ManifestStore

__version__ = "0.1.0"

_WHERE: Final = {
    "AmbiguousFormatError": "errors",
    "ArrayMetadata": "model.metadata",
    "Budget": "model.limits",
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

__all__ = sorted(_WHERE)  # noqa: PLE0605 from the one table

__getattr__, __dir__ = lazy_names(__name__, _WHERE)
