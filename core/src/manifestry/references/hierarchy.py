"""A tree from the documents that are found below one root, whatever holds them.

Of a node that has documents of both versions, the one of Zarr v3 counts: it tells the fill value and the mask apart.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from manifestry.errors import MalformedFileError, OptionError, UnsupportedFeatureError, translated
from manifestry.formats.contracts import ParseContext
from manifestry.model.limits import Limits
from manifestry.model.metadata import ArrayMetadata
from manifestry.model.provenance import Provenance
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.references.columns import LocationTable, ReferenceColumns
from manifestry.zarr_documents.nczarr import netcdf_attributes
from manifestry.zarr_documents.nodes import metadata_from_documents
from manifestry.zarr_documents.v3 import object_from_json

__all__ = ["ArrayNode", "ChunkKeys", "Hierarchy"]


@dataclass(frozen=True, slots=True)
class ChunkKeys:
    """How the keys of an array's chunks are made, below the path of the array.

    Attributes
    ----------
    prefix
        What precedes the first coordinate: ``"c/"`` in Zarr v3, nothing in v2.
    separator
        Between coordinates.
    scalar
        Key of the only chunk of a scalar.
    """

    prefix: str
    separator: str
    scalar: str

    @classmethod
    def of_v2(cls, zarray: Mapping[str, Any]) -> ChunkKeys:
        """The keys of a ``.zarray``."""
        separator = zarray.get("dimension_separator") or "."
        if separator not in (".", "/"):
            raise MalformedFileError(f"dimension_separator {separator!r}: must be '.' or '/'")
        return cls("", separator, "0")

    @classmethod
    def of_v3(cls, document: Mapping[str, Any]) -> ChunkKeys:
        """The keys of a ``zarr.json`` (``chunk_key_encoding``)."""
        encoding = document.get("chunk_key_encoding", "default")
        if isinstance(encoding, str):
            encoding = {"name": encoding}
        if not isinstance(encoding, Mapping) or not isinstance(encoding.get("configuration", {}), Mapping):
            raise MalformedFileError(f"chunk key encoding {encoding!r}: must be a name, or an object with a name")
        name, options = encoding.get("name"), encoding.get("configuration", {})
        separator = options.get("separator", "." if name == "v2" else "/")
        if separator not in (".", "/"):
            raise MalformedFileError(f"chunk key separator {separator!r}: must be '.' or '/'")
        if name == "v2":
            return cls("", separator, "0")
        if name != "default":
            raise UnsupportedFeatureError(f"chunk key encoding {name!r}")
        return cls(f"c{separator}", separator, "c")

    def may_be(self, text: str) -> bool:
        """Whether a text has the form of a chunk key, whatever its numbers: not every object below an array is one."""
        rest = text.removeprefix(self.prefix)
        return text == self.scalar or (
            text.startswith(self.prefix) and rest.replace(self.separator, "").isdecimal() and rest.isascii()
        )


@dataclass(frozen=True, slots=True)
class ArrayNode:
    """An array of which the documents are known, and not yet the chunks."""

    path: str
    metadata: ArrayMetadata
    keys: ChunkKeys

    def positions(self, text: str, count: int) -> NDArray[np.int64]:
        """C-order positions of `count` chunks from their keys, joined by line feeds; makes no object for a chunk.

        Raises
        ------
        MalformedFileError
            A key is none of this array's.
        UnsupportedFeatureError
            No number of 64 bits counts its chunks.
        """
        grid, where = self.metadata.grid_shape, self.path
        first = text.partition("\n")[0]
        if not grid:
            if text not in (self.keys.scalar, self.keys.prefix):  # VirtualiZarr writes the key "name/" in Zarr v2
                raise MalformedFileError(
                    f"{where}: {first!r} is not the key of the chunk of a scalar, {self.keys.scalar!r}"
                )
            return np.zeros(1, "i8")
        if math.prod(grid) >= 1 << 63:
            raise UnsupportedFeatureError("too many chunks", where, "a grid may have fewer than 2**63 of them")
        coordinates = _whole_numbers(_coordinate_text(text, count, self.keys), self.keys.separator)
        if coordinates.size != count * len(grid):
            raise MalformedFileError(f"{where}: keys such as {first!r} are not chunk keys of {len(grid)} dimensions")
        flat = np.zeros(count, "i8")
        for axis, (column, length) in enumerate(zip(coordinates.reshape(-1, len(grid)).T, grid, strict=True)):
            if column.size and int(column.max()) >= length:
                raise MalformedFileError(
                    f"{where}: chunk {int(column.max())} along dimension {axis} is beyond the {length} of the grid"
                )
            flat = flat * length + column
        return flat


@dataclass(slots=True, kw_only=True)
class Hierarchy:
    """The groups and arrays of a store below one root.

    Attributes
    ----------
    groups
        Attributes of the groups by path; a group without documents is not among them.
    arrays
        Arrays by path that the caller wants and that have a form in the model.
    refused
        Paths of arrays that have none; the context knows why.
    root_name
        What an array is called that is the root of the store itself: a tree is a group, and its arrays have names.
    """

    DOCUMENT_NAMES: ClassVar = (".zarray", ".zattrs", ".zgroup", "zarr.json")

    context: ParseContext
    groups: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    arrays: dict[str, ArrayNode] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    root_name: str = "array"

    @classmethod
    def of(cls, documents: Mapping[str, Any], context: ParseContext, root_name: str = "") -> Hierarchy:
        """Sort documents (texts, bytes or JSON values by key) into groups and arrays below the group asked for.

        Raises
        ------
        OptionError
            There is no such group.
        MalformedFileError
            There are more nodes than the limit.
        """
        hierarchy = cls(context=context, root_name=root_name or "array")
        start = f"{context.group}/" if context.group else ""
        nodes: dict[str, dict[str, Any]] = {}
        for key, value in documents.items():
            path, _, name = key.rpartition("/")
            if name in cls.DOCUMENT_NAMES and f"{path}/".startswith(start):
                nodes.setdefault(path[len(start) :] if path else "", {})[name] = value
        if len(nodes) > context.limits.max_arrays:
            raise MalformedFileError(
                f"there are {len(nodes)} arrays and groups, more than the limit of {context.limits.max_arrays}"
            )
        if start and (not nodes or _is_array(nodes.get("", {}))):
            raise OptionError(f"there is no group {context.group!r}")
        for path, named in nodes.items():
            with context.isolate(path):
                hierarchy._add(path, named)
        return hierarchy

    def _add(self, path: str, named: Mapping[str, Any]) -> None:
        wanted = self.context.wants(path or self.root_name)
        if ".zarray" in named and "zarr.json" not in named and not wanted:
            return
        documents = {name: _json_object(value, f"{path}/{name}") for name, value in named.items()}
        v3 = documents.get("zarr.json")
        node_type = None if v3 is None else v3.get("node_type")
        if v3 is not None and wanted and node_type not in ("array", "group"):
            raise MalformedFileError(
                f"{path}/zarr.json: node_type {node_type!r} is neither 'array' nor 'group'".lstrip("/")
            )
        if v3 is not None and node_type == "group":
            with translated(TypeError, MalformedFileError, f"{path}/zarr.json: attributes".lstrip("/")):
                self.groups[path] = netcdf_attributes(object_from_json(v3.get("attributes")))
        elif v3 is None and ".zarray" not in documents:
            self.groups[path] = netcdf_attributes(documents.get(".zattrs", {}))
        elif wanted:
            self.refused.add(path)
            self.arrays[path] = _array_node(path, documents)
            self.refused.remove(path)

    def array_of_chunks(self, place: str) -> tuple[str, str] | None:
        """The array that the chunks in a directory belong to, and what their keys begin with below its path.

        Parameters
        ----------
        place
            Path of the directory, below the root of the store (not of the group asked for).
        """
        start = f"{self.context.group}/" if self.context.group else ""
        if not f"{place}/".startswith(start):
            return None
        below = place[len(start) :]
        path = below
        while path not in self.arrays:
            if not path:
                return None
            path = path.rpartition("/")[0]
        inner = below[len(path) :].lstrip("/")
        return path, f"{inner}/" if inner else ""

    def tree(self, columns: Mapping[str, ReferenceColumns], locations: LocationTable) -> VirtualGroup:
        """The tree of these groups, and of the arrays whose references were found."""
        files, arrays = locations.table(), {}
        for path, references in columns.items():
            with self.context.isolate(path):
                arrays[path] = VirtualArray(self.arrays[path].metadata, references.manifest(files, self.context.budget))
        return self.tree_of(arrays, locations.provenance)

    def tree_of(self, arrays: Mapping[str, VirtualArray], provenance: Sequence[Provenance] = ()) -> VirtualGroup:
        """The tree of these groups and of finished arrays."""
        root = _Branch()
        for path, attributes in self.groups.items():
            root.descend(path, self.context.limits).attributes = attributes
        for path, array in arrays.items():
            parent, _, name = path.rpartition("/")
            root.descend(parent, self.context.limits).arrays[name or self.root_name] = array
        return root.group().with_(provenance=tuple(provenance))


def _array_node(path: str, documents: Mapping[str, Mapping[str, Any]]) -> ArrayNode:
    v3 = documents.get("zarr.json")
    if v3 is not None and v3.get("storage_transformers"):
        raise UnsupportedFeatureError(f"storage transformers {v3['storage_transformers']!r}", path)
    keys = ChunkKeys.of_v2(documents[".zarray"]) if v3 is None else ChunkKeys.of_v3(v3)
    return ArrayNode(path, metadata_from_documents(documents, path), keys)


def _is_array(named: Mapping[str, Any]) -> bool:
    """Whether documents by their names are those of an array, as far as can be read."""
    with suppress(MalformedFileError):
        document = _json_object(named.get("zarr.json", {}), "zarr.json")
        return ".zarray" in named or document.get("node_type") == "array"
    return False


def _json_object(value: Any, where: str) -> Mapping[str, Any]:
    """A document as JSON value; ``NaN`` in it, which others write, is understood."""
    if isinstance(value, str | bytes):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise MalformedFileError(f"{where}: is not JSON: {error}") from error
    if not isinstance(value, Mapping):
        raise MalformedFileError(f"{where}: is not a JSON object")
    return value


@dataclass(slots=True)
class _Branch:
    """A group under construction."""

    attributes: Mapping[str, Any] = field(default_factory=dict)
    arrays: dict[str, VirtualArray] = field(default_factory=dict)
    groups: dict[str, _Branch] = field(default_factory=dict)

    def descend(self, path: str, limits: Limits) -> _Branch:
        branch = self
        parts = path.split("/") if path else []
        if len(parts) > limits.max_depth:
            raise MalformedFileError(f"{path[:80]}…: lies deeper than the limit of {limits.max_depth} groups")
        for part in parts:
            branch = branch.groups.setdefault(part, _Branch())
        return branch

    def group(self) -> VirtualGroup:
        groups = {name: branch.group() for name, branch in self.groups.items()}
        return VirtualGroup(self.arrays, groups=groups, attributes=self.attributes)


def _coordinate_text(text: str, count: int, keys: ChunkKeys) -> str:
    """All coordinates, each followed by the separator; nothing when a key has not the prefix."""
    start = "\n" + keys.prefix
    text = "\n" + text
    if text.count("\n") != count or text.count(start) != count:
        return ""
    return text.replace(start, keys.separator).removeprefix(keys.separator) + keys.separator


def _whole_numbers(text: str, separator: str) -> NDArray[np.int64]:
    """The numbers of a text in which each is followed by the separator; nothing when it is anything else.

    Written by hand over the bytes, since numpy's own text parser takes signs, blanks and leading zeros.
    """
    nothing = np.empty(0, "i8")
    try:
        data = np.frombuffer(text.encode("ascii"), "u1")
    except UnicodeEncodeError:
        return nothing
    ends = np.flatnonzero(data == ord(separator))
    digits = data - np.uint8(ord("0"))  # what is no digit wraps around to more than nine
    if not ends.size or np.count_nonzero(digits > 9) != ends.size or ends[-1] != data.size - 1:
        return nothing
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts
    longest = int(lengths.max())
    if int(lengths.min()) < 1 or longest > 18 or bool(((lengths > 1) & (digits[starts] == 0)).any()):
        return nothing
    numbers: NDArray[np.int64] = digits[starts].astype("i8")
    for place in range(1, longest):
        more = np.flatnonzero(lengths > place)
        numbers[more] = numbers[more] * 10 + digits[starts[more] + place]
    return numbers
