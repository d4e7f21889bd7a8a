"""Trees made of numpy arrays: chunks are encoded into local files, and the manifest says where they went."""

from __future__ import annotations

import gzip
import itertools
import math
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from manifestry.model.attributes import Attributes
from manifestry.model.codecs import Codec, serializer
from manifestry.model.datatypes import default_fill
from manifestry.model.files import FileTable
from manifestry.model.manifest import INLINE, ChunkManifest
from manifestry.model.metadata import ArrayMetadata, ChunkGrid, RectilinearGrid, RegularGrid
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.storage.source import Source

__all__ = ["DATA_FILE", "TreeBuilder", "encode_chunk", "native_codecs"]

DATA_FILE = "data.bin"

type Values = NDArray[Any]


def native_codecs(dtype: np.dtype[Any], endian: Literal["little", "big"] = "little") -> tuple[Codec, ...]:
    """The pipeline that stores elements as they are: ``bytes`` with an explicit endian, or ``vlen-utf8``."""
    return (serializer(dtype, endian),)


def encode_chunk(chunk: Values, codecs: Sequence[Codec]) -> bytes:
    """One chunk through a codec pipeline, by numpy, the standard library, and numcodecs where these have no such codec.

    Parameters
    ----------
    chunk
        Elements in native byte order, of the full chunk shape.
    codecs
        Any of Zarr v3 except sharding, and those of numcodecs.

    Raises
    ------
    ValueError
        A codec is none of these.
    """
    data = b""
    for codec in codecs:
        match codec.name:
            case "transpose":
                chunk = chunk.transpose(codec.configuration["order"]).copy()  # numcodecs looks at the order in memory
            case "bytes":
                order: Literal[">", "<"] = ">" if codec.configuration.get("endian") == "big" else "<"
                data = chunk.astype(chunk.dtype.newbyteorder(order)).tobytes()
            case "vlen-utf8" | "vlen-bytes":
                data = _encode_items(chunk)
            case "numcodecs.shuffle":
                width = codec.configuration["elementsize"]
                data = np.frombuffer(data, "u1").reshape(-1, width).T.tobytes()
            case "numcodecs.zlib":
                data = zlib.compress(data, codec.configuration["level"])
            case "gzip":
                data = gzip.compress(data, codec.configuration["level"], mtime=0)
            case "numcodecs.delta" | "numcodecs.fixedscaleoffset":
                chunk = _numcodecs(codec).encode(chunk)
            case "manifestry.numcodecs":
                data = bytes(_numcodecs(codec).encode(chunk))
            case _:
                data = bytes(_numcodecs(codec).encode(data))
    return data


def _numcodecs(codec: Codec) -> Any:
    import numcodecs.registry  # noqa: PLC0415 few trees have codecs that only it can encode

    configuration = dict(codec.configuration)
    if codec.name == "blosc":
        configuration["shuffle"] = ("noshuffle", "shuffle", "bitshuffle").index(configuration["shuffle"])
    return numcodecs.registry.get_codec({"id": codec.name.removeprefix("numcodecs."), **configuration})


def _encode_items(chunk: Values) -> bytes:
    """Items as numcodecs' VLenUTF8 and VLenBytes store them: count, then length and bytes of each; little-endian u4."""
    items = [item.encode() if isinstance(item, str) else bytes(item) for item in chunk.ravel().tolist()]
    parts = [len(items).to_bytes(4, "little")]
    for item in items:
        parts += (len(item).to_bytes(4, "little"), item)
    return b"".join(parts)


@dataclass(kw_only=True)
class _Planned:
    """An array whose chunks are written, waiting for its files to be complete."""

    metadata: ArrayMetadata
    values: Values
    positions: list[int] = field(default_factory=list)
    files: list[str | None] = field(default_factory=list)  # None: inline
    offsets: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    inline: bytearray = field(default_factory=bytearray)


class TreeBuilder:
    """Collects arrays and groups, writes their chunks into files of one directory, and makes the tree.

    Parameters
    ----------
    directory
        Where the files go; it exists.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     builder = TreeBuilder(Path(directory))
    ...     builder.array("group/t", np.arange(6.0), (2,), dims=("time",), missing=[(1,)])
    ...     tree = builder.tree()
    >>> tree
    <VirtualGroup group/: 1 arrays>
    >>> builder.values["group/t"]
    array([0., 1., 0., 0., 4., 5.])
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._planned: dict[str, _Planned] = {}
        self._groups: dict[str, Attributes] = {"": {}}

    @property
    def values(self) -> dict[str, Values]:
        """The elements that each array must read as, by path."""
        return {path: planned.values for path, planned in self._planned.items()}

    def group(self, path: str, attributes: Attributes) -> None:
        """Add a group, or give attributes to one (``""`` for the root)."""
        self._groups[path] = attributes

    def array(
        self,
        path: str,
        values: Values,
        chunks: tuple[int, ...] | ChunkGrid | None = None,
        *,
        codecs: Sequence[Codec] | None = None,
        fill: Any = None,
        dims: tuple[str | None, ...] | None = None,
        attributes: Attributes | None = None,
        missing: Collection[tuple[int, ...]] = (),
        inline: Collection[tuple[int, ...]] = (),
        files: Sequence[str] = (DATA_FILE,),
        gap: int = 3,
    ) -> None:
        """Add an array and write its chunks.

        Parameters
        ----------
        chunks
            Chunk shape or grid; one chunk when None. Edge chunks of a regular grid are filled up with the fill value.
        codecs
            Pipeline; `native_codecs` when None.
        fill
            Zarr's fill value; that of the type when None.
        missing, inline
            Grid coordinates of the chunks that are not stored (the values there become `fill`), and of those that are
            copied into the manifest.
        files
            Names of the files, taken in turn by the chunks.
        gap
            Bytes left empty before every chunk.
        """
        grid = chunks if isinstance(chunks, RegularGrid | RectilinearGrid) else _grid(values.shape, chunks)
        pipeline = native_codecs(values.dtype) if codecs is None else tuple(codecs)
        filler = default_fill(values.dtype) if fill is None else fill
        metadata = ArrayMetadata(
            shape=values.shape,
            dtype=values.dtype,
            chunk_grid=grid,
            codecs=pipeline,
            fill_value=filler,
            dims=dims,
            attributes=attributes or {},
        )
        planned = _Planned(metadata=metadata, values=values.copy())
        turns = itertools.cycle(files)
        for position, at in enumerate(np.ndindex(*metadata.grid_shape)):
            region, shape = _region(grid, at, values.shape)
            if at in missing:
                planned.values[region] = filler
                continue
            chunk = np.full(shape, filler, values.dtype)
            chunk[tuple(slice(0, s.stop - s.start) for s in region)] = values[region]
            data = encode_chunk(chunk, pipeline)
            planned.positions.append(position)
            planned.lengths.append(len(data))
            if at in inline:
                planned.files.append(None)
                planned.offsets.append(len(planned.inline))
                planned.inline += data
            else:
                planned.files.append(name := next(turns))
                planned.offsets.append(self._append(name, data, gap))
        self._planned[path] = planned
        self._groups.setdefault(path.rpartition("/")[0], {})

    def _append(self, name: str, data: bytes, gap: int) -> int:
        with (self._directory / name).open("ab") as file:
            file.truncate(file.seek(0, 2) + gap)  # a hole, so gaps of gigabytes cost nothing
            offset = file.seek(0, 2)
            file.write(data)
        return offset

    def tree(self) -> VirtualGroup:
        """The tree of everything that was added; the files are complete now."""
        names = sorted({name for planned in self._planned.values() for name in planned.files if name is not None})
        table = FileTable([Source(self._directory / name).file for name in names])
        rows: dict[str | None, int] = {None: INLINE} | {name: row for row, name in enumerate(names)}
        arrays = {path: _finish(planned, table, rows) for path, planned in self._planned.items()}
        return _nest("", arrays, self._groups)


def _grid(shape: tuple[int, ...], chunks: tuple[int, ...] | None) -> RegularGrid:
    return RegularGrid(tuple(max(n, 1) for n in shape) if chunks is None else chunks)


def _region(grid: ChunkGrid, at: tuple[int, ...], shape: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[int, ...]]:
    """The elements of the array that a chunk holds, and the shape of the chunk."""
    if isinstance(grid, RegularGrid):
        starts = [i * c for i, c in zip(at, grid.chunk_shape, strict=True)]
        chunk = grid.chunk_shape
    else:
        starts = [sum(edges[:i]) for i, edges in zip(at, grid.edges, strict=True)]
        chunk = tuple(edges[i] for i, edges in zip(at, grid.edges, strict=True))
    return tuple(slice(a, min(a + c, n)) for a, c, n in zip(starts, chunk, shape, strict=True)), chunk


def _finish(planned: _Planned, table: FileTable, rows: Mapping[str | None, int]) -> VirtualArray:
    grid = planned.metadata.grid_shape
    if math.prod(grid) == 0 or not planned.positions:
        return VirtualArray(planned.metadata, ChunkManifest.missing(grid))
    index = np.array([rows[name] for name in planned.files], "u4")
    offsets, lengths = np.array(planned.offsets, "u8"), np.array(planned.lengths, "u8")
    positions = np.array(planned.positions)
    manifest = ChunkManifest.from_sparse(
        grid, table, positions, offsets, lengths, file_index=index, inline=bytes(planned.inline)
    )
    return VirtualArray(planned.metadata, manifest)


def _nest(path: str, arrays: Mapping[str, VirtualArray], groups: Mapping[str, Attributes]) -> VirtualGroup:
    """The group at `path` of flat arrays and groups; parents need not be listed."""
    prefix = f"{path}/" if path else ""
    below = {p.removeprefix(prefix) for p in (*arrays, *groups) if p.startswith(prefix) and p != path}
    own = {name: arrays[prefix + name] for name in sorted(below) if "/" not in name and prefix + name in arrays}
    children = dict.fromkeys(part.partition("/")[0] for part in sorted(below) if "/" in part or prefix + part in groups)
    return VirtualGroup(
        own,
        groups={name: _nest(prefix + name, arrays, groups) for name in children if name},
        attributes=groups.get(path, {}),
    )
