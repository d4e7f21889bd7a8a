"""The plugin face: all that a parser or writer may use, and nothing else; it changes with a major version only.

Names are imported on first use: importing this module imports neither numpy nor an object store, so the module that an
entry point names may take its descriptors from here. How to use them: docs/how-to/write-a-plugin.md. What users of the
package have as well (`manifestry.parse`, `manifestry.Limits`, …) is in `manifestry` itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from manifestry.lazy import lazy_names

if TYPE_CHECKING:  # "as" the same name: a name for plugins, to type checkers
    from manifestry.combine.placement import Destination as Destination
    from manifestry.combine.stored import StoredGroup as StoredGroup
    from manifestry.errors import (
        IncompatibleArraysError as IncompatibleArraysError,
        MalformedFileError as MalformedFileError,
        ManifestError as ManifestError,
        ManifestryError as ManifestryError,
        OptionError as OptionError,
        SourceError as SourceError,
        TargetExistsError as TargetExistsError,
        UnsupportedFeatureError as UnsupportedFeatureError,
        WriteError as WriteError,
        first_line as first_line,
        translated as translated,
    )
    from manifestry.formats.contracts import (
        ParseContext as ParseContext,
        WriteContext as WriteContext,
    )
    from manifestry.formats.descriptors import (
        Capability as Capability,
        Confidence as Confidence,
        Magic as Magic,
        ParserDescriptor as ParserDescriptor,
        WriterDescriptor as WriterDescriptor,
    )
    from manifestry.formats.hookspecs import hookimpl as hookimpl
    from manifestry.formats.options import make_options as make_options
    from manifestry.formats.report import WriteReport as WriteReport
    from manifestry.formats.targets import (
        Mode as Mode,
        OutputState as OutputState,
        Placement as Placement,
        Target as Target,
    )
    from manifestry.issues import Issue as Issue
    from manifestry.model.attributes import values_equal as values_equal
    from manifestry.model.codecs import (
        Codec as Codec,
        CodecEntry as CodecEntry,
        CodecKind as CodecKind,
        Dependence as Dependence,
        serializer as serializer,
    )
    from manifestry.model.datatypes import default_fill as default_fill, is_variable_length as is_variable_length
    from manifestry.model.files import FileTable as FileTable, SourceFile as SourceFile
    from manifestry.model.manifest import INLINE as INLINE, ChunkManifest as ChunkManifest
    from manifestry.model.metadata import (
        ArrayMetadata as ArrayMetadata,
        RectilinearGrid as RectilinearGrid,
        RegularGrid as RegularGrid,
    )
    from manifestry.model.provenance import Provenance as Provenance
    from manifestry.model.records import record_layout as record_layout
    from manifestry.model.tree import VirtualArray as VirtualArray, VirtualGroup as VirtualGroup
    from manifestry.model.validation import is_node_name as is_node_name
    from manifestry.publishing.staging import StagedDirectory as StagedDirectory, StagedFile as StagedFile
    from manifestry.references.columns import LocationTable as LocationTable, ReferenceColumns as ReferenceColumns
    from manifestry.references.hierarchy import ArrayNode as ArrayNode, Hierarchy as Hierarchy
    from manifestry.storage.policy import ReferencePolicy as ReferencePolicy
    from manifestry.storage.registry import StoreRegistry as StoreRegistry
    from manifestry.storage.source import Source as Source
    from manifestry.storage.urls import canonical_url as canonical_url
    from manifestry.zarr_documents.nodes import (
        documents_of as documents_of,
        metadata_from_documents as metadata_from_documents,
    )

_WHERE: Final = {
    # What a plugin says of itself
    "hookimpl": "formats.hookspecs",
    "ParserDescriptor": "formats.descriptors",
    "WriterDescriptor": "formats.descriptors",
    "Magic": "formats.descriptors",
    "Confidence": "formats.descriptors",
    "Capability": "formats.descriptors",
    "make_options": "formats.options",
    "CodecEntry": "model.codecs",
    "CodecKind": "model.codecs",
    "Dependence": "model.codecs",
    # What parsers and writers are given
    "ParseContext": "formats.contracts",
    "WriteContext": "formats.contracts",
    "OutputState": "formats.targets",
    "Placement": "formats.targets",
    "Target": "formats.targets",
    "Mode": "formats.targets",
    "WriteReport": "formats.report",
    "Issue": "issues",
    "Source": "storage.source",
    "StoreRegistry": "storage.registry",
    "canonical_url": "storage.urls",
    "ReferencePolicy": "storage.policy",
    # The model
    "VirtualGroup": "model.tree",
    "VirtualArray": "model.tree",
    "ArrayMetadata": "model.metadata",
    "RegularGrid": "model.metadata",
    "RectilinearGrid": "model.metadata",
    "ChunkManifest": "model.manifest",
    "FileTable": "model.files",
    "SourceFile": "model.files",
    "Provenance": "model.provenance",
    "Codec": "model.codecs",
    "serializer": "model.codecs",
    "default_fill": "model.datatypes",
    "is_variable_length": "model.datatypes",
    "record_layout": "model.records",
    "INLINE": "model.manifest",
    "is_node_name": "model.validation",
    "values_equal": "model.attributes",
    # Documents of Zarr, and those that point at other files
    "documents_of": "zarr_documents.nodes",
    "metadata_from_documents": "zarr_documents.nodes",
    "Hierarchy": "references.hierarchy",
    "ArrayNode": "references.hierarchy",
    "LocationTable": "references.columns",
    "ReferenceColumns": "references.columns",
    # Outputs
    "StagedFile": "publishing.staging",
    "StagedDirectory": "publishing.staging",
    "StoredGroup": "combine.stored",
    "Destination": "combine.placement",
    # Errors
    "IncompatibleArraysError": "errors",
    "MalformedFileError": "errors",
    "ManifestError": "errors",
    "ManifestryError": "errors",
    "OptionError": "errors",
    "SourceError": "errors",
    "TargetExistsError": "errors",
    "UnsupportedFeatureError": "errors",
    "WriteError": "errors",
    "first_line": "errors",
    "translated": "errors",
}

__all__ = sorted(_WHERE)  # noqa: PLE0605 from the one table

__getattr__, __dir__ = lazy_names(__name__, _WHERE)
