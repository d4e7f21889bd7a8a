"""ManifestStore: what zarr calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest

from manifestry.errors import one_line
from manifestry.model.manifest import ChunkReference
from manifestry.storage.registry import StoreRegistry, Stores
from manifestry.zarr_store.keys import KeySpace
from manifestry.zarr_store.ranges import RangeReader

if TYPE_CHECKING:
    from zarr.abc.buffer import Buffer, BufferPrototype
    from zarr.abc.store import ByteRequest

    from manifestry.model.tree import VirtualGroup

__all__ = ["ManifestStore"]


class ManifestStore(Store):
    """A tree as a read-only Zarr store that reads the archives.

    Parameters
    ----------
    tree
        What the store shows.
    stores
        Object stores by URL prefix, an ``ObjectStoreRegistry`` or a `StoreRegistry`, as for `manifestry.parse`.

    Notes
    -----
    Metadata documents are made when first asked for. Chunks that zarr asks for together are fetched together,
    neighbouring ones with one request. Reading from an archive that has changed since it was parsed is a `SourceError`.
    A pickled store carries its tree and its object stores.

    Examples
    --------
    >>> import xarray as xr
    >>> import manifestry as mf
    >>> ds = xr.open_zarr(mf.ManifestStore(mf.parse("scene.nc")), consolidated=False)  # doctest: +SKIP
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = True
    supports_consolidated_metadata = False  # every document is at hand

    def __init__(self, tree: VirtualGroup, *, stores: Stores = None) -> None:
        super().__init__(read_only=True)
        self._tree = tree
        self._registry = StoreRegistry.of(stores)
        self._prepare()

    def _prepare(self) -> None:
        self._keys = KeySpace(self._tree)
        self._reader = RangeReader(self._registry)

    @property
    def tree(self) -> VirtualGroup:
        """What the store shows."""
        return self._tree

    def __getstate__(self) -> tuple[VirtualGroup, StoreRegistry]:
        return self._tree, self._registry

    def __setstate__(self, state: tuple[VirtualGroup, StoreRegistry]) -> None:
        super().__init__(read_only=True)
        self._tree, self._registry = state
        self._prepare()

    def __eq__(self, other: object) -> bool:
        """Whether both show equal trees, read from equal object stores."""
        if not isinstance(other, ManifestStore):
            return NotImplemented
        return (self._tree is other._tree or self._tree == other._tree) and self._registry == other._registry

    def __hash__(self) -> int:
        return hash(self._tree)

    def __repr__(self) -> str:
        # zarr asks for this whenever it opens an array: nothing here may depend on how large the tree is.
        sources = [part.sources.urls for part in self._tree.provenance[:1]]
        what = next((one_line(urls[0]) for urls in sources if urls), f"{len(self._tree.arrays)} arrays")
        return f"<ManifestStore of {what}>"

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """The bytes of a key, or a part of them; None where there is no such key.

        Raises
        ------
        SourceError
            The archive cannot be read, or has changed since it was parsed.
        ManifestError
            The array contradicts itself.
        """
        found = self._keys.find(key)
        if found is None:
            return None
        start, stop = _bounds(byte_range, _length(found))
        data: Any
        if not isinstance(found, ChunkReference):
            data = memoryview(found)[start:stop]
        elif found.file is None:
            data = memoryview(found.data or b"")[start:stop]
        elif start == stop:
            data = b""
        else:
            data = await self._reader.read(found.file, found.offset + start, found.offset + stop)
        return prototype.buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Parts of many keys, in the order asked for; fetched together."""
        return await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges))

    async def exists(self, key: str) -> bool:
        """Whether there is a document or a stored chunk of that key."""
        return key in self._keys

    async def getsize(self, key: str) -> int:
        """Bytes of a key, known without reading it.

        Raises
        ------
        FileNotFoundError
            There is no such key.
        """
        found = self._keys.find(key)
        if found is None:
            raise FileNotFoundError(key)
        return _length(found)

    async def list(self) -> AsyncIterator[str]:
        """All keys: documents and stored chunks."""
        for key in self._keys.walk():
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """All keys that begin with a text."""
        for key in self._keys.walk(prefix):
            yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """The names directly below a path."""
        for name in self._keys.children(prefix):
            yield name

    async def set(self, key: str, value: Buffer) -> NoReturn:  # noqa: ARG002 zarr's signature
        """Raise ValueError: the store is read-only."""
        raise ValueError(_READ_ONLY)

    async def delete(self, key: str) -> NoReturn:  # noqa: ARG002 zarr's signature
        """Raise ValueError: the store is read-only."""
        raise ValueError(_READ_ONLY)


_READ_ONLY = "store was opened in read-only mode and does not support writing"  # the words of zarr's own stores


def _length(found: bytes | ChunkReference) -> int:
    return found.length if isinstance(found, ChunkReference) else len(found)


def _bounds(byte_range: ByteRequest | None, length: int) -> tuple[int, int]:
    """The part of a value of `length` bytes that a request means, cut at its end."""
    match byte_range:
        case None:
            return 0, length
        case RangeByteRequest(start, end):
            return _in_order(min(start, length), min(end, length))
        case OffsetByteRequest(offset):
            return min(offset, length), length
        case SuffixByteRequest(suffix):
            return max(0, length - suffix), length
    raise ValueError(f"Unexpected byte_range, got {byte_range}")


def _in_order(start: int, stop: int) -> tuple[int, int]:
    return start, max(start, stop)
