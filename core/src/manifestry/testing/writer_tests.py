"""What every writer must keep, as a test class to subclass: see `manifestry.testing.conformance`."""

from __future__ import annotations

import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from manifestry.errors import TargetExistsError, UnsupportedFeatureError
from manifestry.formats.contracts import WriteContext, Writer
from manifestry.formats.loading import installed_formats
from manifestry.formats.options import make_options
from manifestry.formats.report import WriteReport
from manifestry.formats.targets import Mode, Target
from manifestry.model.tree import VirtualGroup
from manifestry.testing.comparing import Values, assert_identical
from manifestry.testing.trees import SAMPLES, SampleTree, make_sample
from manifestry.writing import write

__all__ = ["Found", "WriterTests"]


@dataclass(frozen=True, slots=True)
class Found:
    """What a reader finds at one path of an output: elements (None for a group) and attributes as JSON."""

    values: Values | None
    attributes: Mapping[str, Any]


class WriterTests(ABC):
    """Tests of a writer that is installed.

    Attributes
    ----------
    format
        Name of the format.
    ending
        Ending of the names of outputs.
    options
        Options to write with.
    refused
        Samples (`manifestry.testing.trees.SAMPLES`) that the format cannot hold and must refuse by name.
    """

    format: ClassVar[str]
    ending: ClassVar[str] = ""
    options: ClassVar[Mapping[str, Any]] = {}
    refused: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def read(self, target: Path) -> Mapping[str, Found]:
        """What readers that know nothing of manifestry find in an output, by path; ``""`` is the root."""

    def write(self, tree: VirtualGroup, target: Path, **options: Any) -> WriteReport:
        """Write a tree with this format."""
        return write(tree, target, format=self.format, **{**self.options, **options})

    @pytest.fixture
    def target(self, tmp_path: Path) -> Path:
        """Where nothing is yet."""
        (tmp_path / "out").mkdir()
        return tmp_path / "out" / f"output{self.ending}"

    @pytest.fixture
    def sample(self, tmp_path: Path) -> SampleTree:
        """One tree for tests that need any."""
        return make_sample("sparse", tmp_path / "sample")

    @pytest.mark.parametrize("name", SAMPLES)
    def test_round_trip(self, name: str, target: Path, tmp_path: Path) -> None:
        made = make_sample(name, tmp_path / "sample")
        if name in self.refused:
            with pytest.raises(UnsupportedFeatureError):
                self.write(made.tree, target)
            assert not list(target.parent.iterdir()), "something was written although the tree was refused"
            return
        report = self.write(made.tree, target)
        assert report.arrays == len(made.values)
        assert report.reader
        json.dumps(report.to_json(), allow_nan=False)
        found = self.read(target)
        for path, expected in made.values.items():
            values = found[path].values
            assert values is not None
            assert_identical(values, expected, path)
        for path, attributes in made.attributes.items():
            assert {key: found[path].attributes.get(key) for key in attributes} == attributes

    def test_metadata_is_strict_json(self, target: Path, tmp_path: Path) -> None:
        made = make_sample("attributes", tmp_path / "sample")
        self.write(made.tree, target)
        files = [target] if target.is_file() else [path for path in target.rglob("*") if path.is_file()]
        for path in files:
            data = path.read_bytes()
            if data[:1] in (b"{", b"["):
                _check_strict(json.loads(data, parse_constant=_no_constant))

    def test_existing_targets_are_refused(self, target: Path, sample: SampleTree) -> None:
        self.write(sample.tree, target)
        before = _contents(target)
        with pytest.raises(TargetExistsError):
            self.write(sample.tree, target)
        assert _contents(target) == before
        self.write(sample.tree, target, overwrite=True)
        assert {path for path, found in self.read(target).items() if found.values is not None} == set(sample.values)

    def test_what_is_no_output_is_never_replaced(self, target: Path, sample: SampleTree) -> None:
        for make in (_make_file, _make_directory):
            make(target)
            before = _contents(target)
            for overwrite in (False, True):
                with pytest.raises(TargetExistsError):
                    self.write(sample.tree, target, overwrite=overwrite)
                assert _contents(target) == before
            shutil.rmtree(target) if target.is_dir() else target.unlink()

    def test_what_a_link_points_at_is_replaced(self, target: Path, sample: SampleTree, tmp_path: Path) -> None:
        real = tmp_path / "real" / target.name
        real.parent.mkdir()
        self.write(make_sample("zeros", tmp_path / "other").tree, real)
        target.symlink_to(real)
        with pytest.raises(TargetExistsError):
            self.write(sample.tree, target)
        self.write(sample.tree, target, overwrite=True)
        assert target.is_symlink()
        for place in (target, real):
            assert {path for path, found in self.read(place).items() if found.values is not None} == set(sample.values)
            assert [path.name for path in place.parent.iterdir()] == [target.name]

    def test_aborting_leaves_nothing(self, target: Path, sample: SampleTree) -> None:
        self._abort(target, sample, Mode.CREATE)
        assert not list(target.parent.iterdir())

    def test_aborting_leaves_what_was_there(self, target: Path, sample: SampleTree, tmp_path: Path) -> None:
        other = make_sample("zeros", tmp_path / "other")
        self.write(other.tree, target)
        self._abort(target, sample, Mode.OVERWRITE)
        found = self.read(target)
        for path, expected in other.values.items():
            values = found[path].values
            assert values is not None
            assert_identical(values, expected, path)
        assert [path.name for path in target.parent.iterdir()] == [target.name]

    def _abort(self, target: Path, sample: SampleTree, mode: Mode) -> None:
        entry = installed_formats().writer(self.format)
        writer: Writer = entry.load()
        options = make_options(entry.options_type(), self.options, self.format)
        session = writer.open(Target.of(target), mode, options, WriteContext())
        assert not [issue for issue in session.check(sample.tree) if issue.severity == "refused"]
        session.write(sample.tree)
        session.abort()
        session.abort()


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def _check_strict(value: Any) -> None:
    """Also of documents that documents hold as text."""
    if isinstance(value, Mapping):
        for inner in value.values():
            _check_strict(inner)
    elif isinstance(value, str) and value[:1] == "{":
        json.loads(value, parse_constant=_no_constant)


def _contents(target: Path) -> dict[str, bytes]:
    paths = [target] if target.is_file() else sorted(path for path in target.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in paths}


def _make_file(target: Path) -> None:
    target.write_bytes(b"a thesis, the only copy")


def _make_directory(target: Path) -> None:
    target.mkdir()
    (target / "thesis.txt").write_bytes(b"the only copy")
