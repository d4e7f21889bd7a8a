"""What a stranger's document may not do in any format: make us read what it may not name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import zarr
from obstore.store import LocalStore

from manifestry.model.codecs import serializer
from manifestry.model.files import SourceFile
from manifestry.model.manifest import ChunkManifest
from manifestry.model.metadata import ArrayMetadata, RegularGrid
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.reading import parse
from manifestry.testing.refusing import refusal
from manifestry.testing.servers import RangeServer, range_server
from manifestry.views import open_store

__all__ = ["POINTED_AT", "Pointer", "StrangerTests", "tree_pointing_at"]

_PRIVATE: Final = (
    "http://169.254.169.254/latest/meta-data/x", "http://localhost.:9/x", "http://2130706433:9/x",
    "http://0177.0.0.1:9/x", "http://[::ffff:127.0.0.1]:9/x", "http://[::1]:9/x", "http://intranet/x",
)  # fmt: skip
"""Hosts that no document may reach unasked, in some of the spellings that clients take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """A document that names another file.

    Attributes
    ----------
    path
        The document: a local file or directory.
    target
        What the other file has to hold so that its values can be read.
    options
        Options to parse with.
    """

    path: Path
    target: bytes
    options: Mapping[str, Any] = field(default_factory=dict)


POINTED_AT: Final = b"secret of others"
"""What `tree_pointing_at` refers to."""


def tree_pointing_at(url: str) -> VirtualGroup:
    """A tree with one array, the bytes of the file at a URL: for formats that manifestry writes itself."""
    count = len(POINTED_AT)
    metadata = ArrayMetadata(
        shape=(count,),
        dtype=np.dtype("u1"),
        chunk_grid=RegularGrid((count,)),
        codecs=(serializer(np.dtype("u1")),),
        fill_value=0,
        dims=("x",),
    )
    return VirtualGroup({"v": VirtualArray(metadata, ChunkManifest.single(SourceFile(url, count), 0, count, (1,)))})


class StrangerTests(ABC):
    """Tests of the one rule for what documents may point at (`manifestry.storage.policy`), for one parser."""

    format: ClassVar[str]

    @abstractmethod
    def make_pointers(self, directory: Path, url: str) -> Iterable[Pointer]:
        """Make documents in an empty directory that name the file at a URL, one for each way in which they can.

        A format in which no source names another file gives none: ``return ()``.
        """

    def _pointers(self, directory: Path, url: str) -> list[Pointer]:
        directory.mkdir()
        return list(self.make_pointers(directory, url))

    def test_a_remote_document_reaches_no_other_place(self, tmp_path: Path) -> None:
        with range_server({}) as other:
            places = [f"file://{tmp_path}/secret", f"{other.url}/secret", "s3://other-bucket/secret", *_PRIVATE]
            for number, url in enumerate(places):
                for pointer in self._pointers(tmp_path / str(number), url):
                    (tmp_path / "secret").write_bytes(pointer.target)
                    other.objects["/secret"] = pointer.target
                    source, stores = _remote(pointer)
                    assert not self._reads(pointer, source, stores=stores), (pointer.path.name, url)
            assert other.requests == []

    def test_a_local_document_reaches_no_private_host_and_no_device(self, tmp_path: Path) -> None:
        with range_server({}) as other:
            places = [f"{other.url}/secret", *_PRIVATE, "file:///dev/zero", "file:///proc/self/environ"]
            for number, url in enumerate(places):
                for pointer in self._pointers(tmp_path / str(number), url):
                    other.objects["/secret"] = pointer.target
                    assert not self._reads(pointer, pointer.path), (pointer.path.name, url)
            assert other.requests == []

    def test_an_untrusted_document_reaches_what_is_beside_it(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        for pointer in self._pointers(tmp_path / "documents", f"file://{secret}"):
            secret.write_bytes(pointer.target)
            assert not self._reads(pointer, pointer.path, untrusted=True), pointer.path.name
            assert self._reads(pointer, pointer.path), pointer.path.name
        beside = tmp_path / "more" / "beside"
        for pointer in self._pointers(beside.parent, f"file://{beside}"):
            beside.write_bytes(pointer.target)
            assert self._reads(pointer, pointer.path, untrusted=True), pointer.path.name

    def test_what_the_caller_allows_is_read(self, tmp_path: Path) -> None:
        with range_server({}) as other:
            for pointer in self._pointers(tmp_path / "documents", f"{other.url}/data/target"):
                other.objects["/data/target"] = pointer.target
                assert self._reads(pointer, pointer.path, allow=[f"{other.url}/data/"]), pointer.path.name
                assert not self._reads(pointer, pointer.path, allow=[f"{other.url}/dat"]), pointer.path.name

    def test_its_own_host_leads_it_nowhere_else(self, tmp_path: Path) -> None:
        with range_server({}) as own, range_server({}) as other:
            own.redirects["/moved"] = f"{other.url}/secret"
            for pointer in self._pointers(tmp_path / "documents", f"{own.url}/moved"):
                if pointer.path.is_dir():
                    continue
                other.objects["/secret"] = pointer.target
                own.objects[f"/{pointer.path.name}"] = pointer.path.read_bytes()
                source = f"{own.url}/{pointer.path.name}"
                assert not self._reads(pointer, source), pointer.path.name
                assert other.requests == []
                # To a place on its own host it may, and to one that the caller allows too.
                assert self._reads(pointer, source, allow=[own.url, other.url]), pointer.path.name
                other.requests.clear()
            self._straight(tmp_path / "straight", own)

    def _straight(self, directory: Path, own: RangeServer) -> None:
        own.redirects["/here"] = "/there"
        for pointer in self._pointers(directory, f"{own.url}/here"):
            if not pointer.path.is_dir():
                own.objects |= {"/there": pointer.target, f"/{pointer.path.name}": pointer.path.read_bytes()}
                assert self._reads(pointer, f"{own.url}/{pointer.path.name}"), pointer.path.name

    def _reads(self, pointer: Pointer, source: Any, **options: Any) -> bool:
        """Whether values of a document's arrays can be read, later or when they are copied at once."""
        found = {
            self._reads_with(pointer, source, options, {"inline_below": limit} if limit else {})
            for limit in (0, 1 << 20)
        }
        assert len(found) == 1, "values are copied from a file that they cannot be read from"
        return found.pop()

    def _reads_with(
        self, pointer: Pointer, source: Any, options: Mapping[str, Any], copying: Mapping[str, int]
    ) -> bool:
        """The same; what cannot be read must be refused by an error of ours."""
        more = {name: value for name, value in options.items() if value is not None}
        trees: list[VirtualGroup] = []
        with refusal():
            trees += [
                parse(source, format=self.format, on_unsupported="skip", **{**pointer.options, **more, **copying})
            ]
        if not trees:
            return False
        tree = trees[0]
        own = {"stores": options.get("stores"), "allow": options.get("allow")}
        root = zarr.open_group(open_store(tree, **own), mode="r")
        return any(_readable(root, path) for path, array in tree.walk_arrays() if array.manifest.stored_count)


def _remote(pointer: Pointer) -> tuple[str, dict[str, Any]]:
    """Where a document is as if it lay in a bucket, and the store for that."""
    return f"memory://stranger/{pointer.path.name}", {"memory://stranger": LocalStore(pointer.path.parent)}


def _readable(root: zarr.Group, path: str) -> bool:
    array = root[path]
    assert isinstance(array, zarr.Array)
    values = []
    with refusal():
        values.append(np.asarray(array[...]))
    return bool(values)
