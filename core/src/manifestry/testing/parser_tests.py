"""What every parser must keep, as a test class to subclass: see `manifestry.testing.conformance`."""

from __future__ import annotations

import json
import pickle
import random
import tracemalloc
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pytest
import zarr

from manifestry.errors import OptionError
from manifestry.formats.descriptors import Capability
from manifestry.formats.detection import matches
from manifestry.formats.loading import Entry, installed_formats
from manifestry.formats.options import make_options
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.model.validation import validate_tree
from manifestry.reading import parse
from manifestry.storage.source import Source
from manifestry.testing.comparing import Values, assert_identical
from manifestry.testing.refusing import refusal
from manifestry.testing.servers import range_server
from manifestry.testing.stranger_tests import StrangerTests
from manifestry.views import open_store
from manifestry.zarr_documents.v3 import array_document, group_document

__all__ = ["ParserCase", "ParserTests"]

_FOREIGN: Final = {
    "text.txt": b"no archive at all\n",
    "random.bin": bytes(range(256)) * 4,
    "archive.zip": b"PK\x03\x04" + bytes(60),
    "image.png": b"\x89PNG\r\n\x1a\n" + bytes(60),
    "message.grib": b"GRIB\0\0\0\2" + bytes(60),
    "image.fits": b"SIMPLE  =                    T" + b" " * 80,
    "page.html": b"<!DOCTYPE html><html></html>",
    "zeros.bin": bytes(4096),
}
"""Files of no format of ours, which nobody may claim."""


@dataclass(frozen=True, slots=True)
class ParserCase:
    """One source for a parser.

    Attributes
    ----------
    path
        A local file or directory.
    values
        The raw elements of arrays by path, read by something that is not the parser. Arrays that are not listed are
        compared with the native reader only.
    options
        Options to parse with.
    """

    path: Path
    values: Mapping[str, Values] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


class ParserTests(StrangerTests, ABC):
    """Tests of a parser that is installed.

    Attributes
    ----------
    format
        Name of the format.
    damaged
        Truncated and bit-flipped copies that are tried of each case.
    memory
        Bytes that parsing a damaged copy may allocate at most.
    """

    format: ClassVar[str]
    damaged: ClassVar[int] = 40
    memory: ClassVar[int] = 256 << 20

    @abstractmethod
    def make_cases(self, directory: Path) -> Iterable[ParserCase]:
        """Make the sources in an empty directory: small ones that together show what the format has."""

    @pytest.fixture
    def cases(self, tmp_path: Path) -> list[ParserCase]:
        """The sources, made for each test."""
        (tmp_path / "cases").mkdir()
        found = list(self.make_cases(tmp_path / "cases"))
        assert found, "make_cases gives no case"
        return found

    def parse(self, case: ParserCase, source: Any = None, **options: Any) -> VirtualGroup:
        """The tree of a case, or of another source with the options of the case."""
        return parse(case.path if source is None else source, format=self.format, **{**case.options, **options})

    def test_parsing_is_deterministic(self, cases: list[ParserCase]) -> None:
        for case in cases:
            first, second = self.parse(case), self.parse(case)
            assert first == second
            assert first.issues == second.issues
            assert pickle.dumps(first) == pickle.dumps(second)

    def test_trees_are_valid_and_have_documents(self, cases: list[ParserCase]) -> None:
        for case in cases:
            tree = self.parse(case)
            validate_tree(tree)
            assert [part.parser for part in tree.provenance]
            for path, array in tree.walk_arrays():
                json.dumps(array_document(array.metadata, path)[0], allow_nan=False)
            for path, group in tree.walk():
                json.dumps(group_document(group.attributes, path)[0], allow_nan=False)

    def test_trees_survive_pickling(self, cases: list[ParserCase]) -> None:
        for case in cases:
            tree = self.parse(case)
            copy = pickle.loads(pickle.dumps(tree))  # noqa: S301 our own
            assert copy == tree
            assert (copy.issues, copy.provenance) == (tree.issues, tree.provenance)

    def test_values_through_the_store(self, cases: list[ParserCase]) -> None:
        for case in cases:
            root = _open(self.parse(case))
            for path, expected in case.values.items():
                assert_identical(_read(root, path), expected, f"{case.path.name}: {path}")

    def test_values_of_the_native_reader(self, cases: list[ParserCase]) -> None:
        entry = installed_formats().parser(self.format)
        if Capability.NATIVE not in entry.descriptor.capabilities:
            pytest.skip("the parser has no native reader")
        for case in cases:
            tree = self.parse(case)
            root = _open(tree)
            options = make_options(entry.options_type(), _own_options(entry, case), self.format)
            native = entry.load().open_native(Source(case.path), options)
            try:
                for path, array in tree.walk_arrays():
                    expected = np.asarray(native.read(path, tuple(slice(0, n) for n in array.shape)))
                    found = _read(root, path)
                    assert_identical(found, expected.astype(found.dtype, copy=False), f"{case.path.name}: {path}")
            finally:
                native.close()

    def test_include_exclude_and_group(self, cases: list[ParserCase]) -> None:
        for case in cases:
            tree = self.parse(case)
            paths = [path for path, _ in tree.walk_arrays()]
            for path in paths:
                alone = self.parse(case, include=[f"/{path}"])
                assert [found for found, _ in alone.walk_arrays()] == [path]
                assert alone[path] == tree[path]
                without = self.parse(case, exclude=[f"/{path}"])
                assert [found for found, _ in without.walk_arrays()] == [other for other in paths if other != path]
            with pytest.raises(OptionError):
                self.parse(case, include=["there is no such array"])
            for path, group in tree.walk():
                if path and group.arrays:
                    below = [found.removeprefix(path + "/") for found in paths if found.startswith(path + "/")]
                    assert [found for found, _ in self.parse(case, group=path).walk_arrays()] == below

    def test_remote_sources_give_the_same_tree(self, cases: list[ParserCase]) -> None:
        entry = installed_formats().parser(self.format)
        if Capability.REMOTE not in entry.descriptor.capabilities:
            pytest.skip("the parser reads local files only")
        for case in cases:
            if case.path.is_dir():
                continue
            name = f"/{case.path.name}"
            with range_server({name: case.path.read_bytes()}) as server:
                remote = self.parse(case, server.url + name)
            local = self.parse(case)
            assert [path for path, _ in remote.walk_arrays()] == [path for path, _ in local.walk_arrays()]
            for path, array in local.walk_arrays():
                other = remote[path]
                assert isinstance(other, VirtualArray)
                assert other.metadata == array.metadata, path
                assert _ranges(other) == _ranges(array), path

    def test_detection(self, cases: list[ParserCase], tmp_path: Path) -> None:
        formats = installed_formats()
        for case in cases:
            assert [entry.descriptor.name for entry in matches(Source(case.path), formats)] == [self.format]
        for name, data in _FOREIGN.items():
            (tmp_path / name).write_bytes(data)
            claims = [entry.descriptor.name for entry in matches(Source(tmp_path / name), formats)]
            assert self.format not in claims, f"claims {name}"

    def test_damaged_copies_raise_only_errors_of_ours(self, cases: list[ParserCase], tmp_path: Path) -> None:
        for case in cases:
            if case.path.is_dir():
                continue
            copy = tmp_path / case.path.name
            for data in _damaged(case.path.read_bytes(), self.damaged):
                copy.write_bytes(data)
                peak = self._parse_damaged(case, copy)
                assert peak < self.memory, f"{peak} bytes for a damaged copy of {case.path.name}"

    def _parse_damaged(self, case: ParserCase, copy: Path) -> int:
        """The most bytes that parsing allocated at once; what it raises must be a refusal, and what it gives valid."""
        tracemalloc.start()
        try:
            with refusal():
                validate_tree(self.parse(case, copy, on_unsupported="skip"))
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return peak


def _own_options(entry: Entry[Any], case: ParserCase) -> dict[str, Any]:
    """The options of a case that are the format's own."""
    struct = entry.options_type()
    return {name: value for name, value in case.options.items() if name in getattr(struct, "__struct_fields__", ())}


def _open(tree: VirtualGroup) -> zarr.Group:
    with zarr.config.set({"array.rectilinear_chunks": True}):
        return zarr.open_group(open_store(tree), mode="r")


def _read(root: zarr.Group, path: str) -> Values:
    with zarr.config.set({"array.rectilinear_chunks": True}):
        array = root[path]
        assert isinstance(array, zarr.Array)
        return np.asarray(array[...], array.dtype)  # zarr gives a scalar without its length for no dimensions


def _ranges(array: VirtualArray) -> dict[str, Any]:
    """Where the chunks of an array are, whatever the URL of the file."""
    found = array.manifest.to_dict().items()
    return {key: (reference.offset, reference.length, reference.data) for key, reference in found}


def _damaged(data: bytes, count: int) -> Iterator[bytes]:
    """Copies that end too early and copies with wrong bits, the same for the same data, more of them near the beginning."""
    chance = random.Random(len(data))  # noqa: S311 no secret
    for i in range(count // 3):
        yield data[: len(data) * i // max(1, count // 3)]
    for _ in range(count - count // 3):
        copy = bytearray(data)
        for _ in range(chance.choice([1, 1, 4])):
            reach = len(copy) if chance.random() < 0.5 else min(len(copy), 512)
            copy[chance.randrange(reach)] ^= 1 << chance.randrange(8)
        yield bytes(copy)
