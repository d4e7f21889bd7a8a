"""What `inspect` says of a tree, as plain data: the table, the page and the JSON are made of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from manifestry.cli.output import human_bytes
from manifestry.cli.systems import system_labels
from manifestry.credentials import without_credentials
from manifestry.formats.report import pluralise
from manifestry.issues import Issue
from manifestry.model.attributes import array_attributes_to_json, attributes_to_json
from manifestry.model.datatypes import ArrayField, Record, VariableBytes, VariableText, datatype_of, is_variable_length
from manifestry.model.manifest import INLINE
from manifestry.model.metadata import RegularGrid
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.storage.source import Source

__all__ = [
    "NUMBER_COLUMNS",
    "ArrayRow",
    "Description",
    "GroupRow",
    "Reference",
    "array_table",
    "describe",
    "references",
]

NUMBER_COLUMNS: Final = ("chunks", "stored", "ratio")
"""Those of the columns of `array_table` that are numbers."""

_BY: Final = " \N{MULTIPLICATION SIGN} "


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayRow:
    """One array.

    Attributes
    ----------
    chunk_shape
        Elements of a chunk along each dimension, None where chunks differ in shape.
    chunks, chunks_stored, chunks_inlined
        Chunks of the grid; how many of them are stored anywhere, and in the manifest itself.
    bytes, bytes_stored
        Bytes of the elements when decoded (None where elements have no fixed size), and of the stored chunks.
    ratio
        Decoded bytes of the stored share of the array for each stored byte, None where one of them is unknown.
    """

    path: str
    dims: tuple[str | None, ...] | None
    shape: tuple[int, ...]
    dtype: str
    data_type: Any
    chunk_shape: tuple[int, ...] | None
    codecs: tuple[Mapping[str, Any], ...]
    fill_value: Any
    chunks: int
    chunks_stored: int
    chunks_inlined: int
    bytes: int | None
    bytes_stored: int
    ratio: float | None
    attributes: Mapping[str, Any]

    @property
    def dimensions(self) -> str:
        """Dimension names with their lengths: names before lengths."""
        names = self.dims or (None,) * len(self.shape)
        return _BY.join(
            f"{name} {n}" if name is not None else str(n) for name, n in zip(names, self.shape, strict=True)
        )

    @property
    def chunking(self) -> str:
        """Chunk shape: one length for each dimension."""
        return "varying" if self.chunk_shape is None else _BY.join(map(str, self.chunk_shape))

    @property
    def nodata(self) -> Any:
        """What stands for no value, None where nothing does."""
        return self.attributes.get("_FillValue")

    def to_short_json(self) -> dict[str, Any]:
        """The array without its attributes."""
        return {
            "shape": self.shape,
            "dims": self.dims,
            "type": self.dtype,
            "chunk_shape": self.chunk_shape,
            "encoding": self.encoding,
            "chunks": self.chunks_stored,
            "bytes_stored": self.bytes_stored,
            "nodata": self.nodata,
        }

    @property
    def encoding(self) -> str:
        """Codecs with what matters of them, in the order of encoding."""
        return " → ".join(filter(None, (_codec_label(codec) for codec in self.codecs)))


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One group that has attributes or is empty; the root always."""

    path: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A parsed source."""

    source: str
    format: str
    options: Mapping[str, Any]
    files: int
    file_bytes: int | None
    arrays: tuple[ArrayRow, ...]
    groups: tuple[GroupRow, ...]
    issues: tuple[Issue, ...]

    @property
    def headline(self) -> str:
        """The whole in one line."""
        size = "" if self.file_bytes is None else f", {human_bytes(self.file_bytes)}"
        return f"{self.format}, {pluralise(len(self.arrays), 'array')} in {pluralise(self.files, 'file')}{size}"

    @property
    def systems(self) -> tuple[str, ...]:
        """The coordinate reference systems by code and name."""
        return system_labels([*(group.attributes for group in self.groups), *(row.attributes for row in self.arrays)])

    def to_json(self) -> dict[str, Any]:
        """The description as JSON."""
        return asdict(self)

    def to_short_json(self) -> dict[str, Any]:
        """What a catalogue wants to know of a file."""
        return {
            "source": self.source,
            "format": self.format,
            "bytes": self.file_bytes,
            "crs": list(self.systems),
            "arrays": {row.path: row.to_short_json() for row in self.arrays},
            "refused": sum(issue.severity == "refused" for issue in self.issues),
        }


@dataclass(frozen=True, slots=True)
class Reference:
    """Where one chunk is; of an inline chunk the offset is that in the manifest's own bytes, and there is no file."""

    chunk: str
    file: str | None
    offset: int
    length: int


def describe(tree: VirtualGroup, source: Source) -> Description:
    """What is worth knowing of a tree that was parsed from `source`."""
    origin = tree.provenance[0] if tree.provenance else None
    files = tree.files
    sizes = [file.size for file in files]
    total = sum(size for size in sizes if size is not None) if None not in sizes else None
    issues = list(tree.issues)
    groups = tuple(
        GroupRow(path, _collect(attributes_to_json(group.attributes, path), issues))
        for path, group in tree.walk()
        if not path or group.attributes or not (group.arrays or group.groups)
    )
    arrays = tuple(_describe_array(path, array, issues) for path, array in tree.walk_arrays())
    name, options = ("", {}) if origin is None else (origin.parser, dict(origin.options))
    return Description(
        source=without_credentials(source.url),
        format=name,
        options=options,
        files=len(files),
        file_bytes=total,
        arrays=arrays,
        groups=groups,
        issues=tuple(issues),
    )


def _describe_array(path: str, array: VirtualArray, issues: list[Issue]) -> ArrayRow:
    metadata, manifest = array.metadata, array.manifest
    stored, kept = manifest.stored_count, manifest.stored_bytes
    decoded = None if is_variable_length(metadata.dtype) else metadata.nbytes
    ratio = decoded * stored / manifest.size / kept if decoded and kept else None
    return ArrayRow(
        path=path,
        dims=metadata.dims,
        shape=metadata.shape,
        dtype=_dtype_label(metadata.dtype),
        data_type=datatype_of(metadata.dtype).to_v3(),
        chunk_shape=metadata.chunk_shape if isinstance(metadata.chunk_grid, RegularGrid) else None,
        codecs=tuple(codec.to_zarr() for codec in metadata.codecs),
        fill_value=datatype_of(metadata.dtype).fill_to_v3(metadata.fill_value),
        chunks=manifest.size,
        chunks_stored=stored,
        chunks_inlined=int(np.count_nonzero(manifest.inlined)),
        bytes=decoded,
        bytes_stored=kept,
        ratio=ratio,
        attributes=_collect(array_attributes_to_json(metadata.attributes, path), issues),
    )


def array_table(rows: Iterable[ArrayRow]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and texts of a table of arrays; nodata is a column where an array has it."""
    known = list(rows)
    columns = ("array", "dimensions", "type", "chunk shape", "encoding", *NUMBER_COLUMNS)
    cells = [_cells(row) for row in known]
    if all(row.nodata is None for row in known):
        return columns, cells
    nodata = ["" if row.nodata is None else json.dumps(row.nodata, ensure_ascii=False) for row in known]
    return (*columns, "nodata"), [(*row, value) for row, value in zip(cells, nodata, strict=True)]


def _cells(row: ArrayRow) -> tuple[str, ...]:
    inlined = f" ({row.chunks_inlined} inline)" if row.chunks_inlined else ""
    stored = f"{row.chunks_stored}" if row.chunks_stored == row.chunks else f"{row.chunks_stored}/{row.chunks}"
    ratio = "" if row.ratio is None else f"{row.ratio:.1f}" if row.ratio >= 1 else f"{row.ratio:.2g}"
    return (
        row.path,
        row.dimensions or "scalar",
        row.dtype,
        row.chunking,
        row.encoding,
        stored + inlined,
        human_bytes(row.bytes_stored),
        ratio,
    )


def _collect(found: tuple[dict[str, Any], list[Issue]], issues: list[Issue]) -> dict[str, Any]:
    """Attributes in their JSON form (``_FillValue`` as the value it is); what has none is listed."""
    issues += found[1]
    return found[0]


def _dtype_label(dtype: np.dtype[Any]) -> str:
    match datatype_of(dtype):
        case VariableText():
            return "string"
        case VariableBytes():
            return "bytes"
        case Record():
            return "{" + ", ".join(f"{n}: {_dtype_label(dtype[n])}" for n in dtype.names or ()) + "}"
        case ArrayField():
            return f"{_dtype_label(dtype.base)}[{', '.join(map(str, dtype.shape))}]"
    return str(dtype)


def _codec_label(codec: Mapping[str, Any]) -> str:
    """A codec as people know it: without the prefix of its library, with its level."""
    options = codec["configuration"]
    if codec["name"] == "bytes":
        return "big-endian" if options.get("endian") == "big" else ""
    short = codec["name"].removeprefix("numcodecs.").removeprefix("imagecodecs_")
    level = options.get("level", options.get("clevel"))
    return short if level is None else f"{short}({level})"


def references(array: VirtualArray) -> Iterator[Reference]:
    """The stored chunks of an array in C order, without holding them all as objects."""
    manifest = array.manifest
    index, offsets, lengths = manifest.columns()
    shape = manifest.grid_shape
    for flat in np.flatnonzero(manifest.stored).tolist():
        at: Iterable[Any] = np.unravel_index(flat, shape) if shape else (0,)
        row = int(index[flat])
        file = None if row == INLINE else manifest.files.urls[row]
        yield Reference(".".join(str(int(i)) for i in at), file, int(offsets[flat]), int(lengths[flat]))
