"""The conformance kit on a parser and a writer that are right, and on ones that are wrong in one way each."""

import importlib
import json
import shutil
import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import numpy as np
import pytest
import zarr
from manifestry.errors import MalformedFileError, PluginError, TargetExistsError
from manifestry.formats import hookimpl, loading
from manifestry.formats.descriptors import Capability, Confidence, Magic, ParserDescriptor, WriterDescriptor
from manifestry.formats.report import WriteReport
from manifestry.formats.targets import Mode
from manifestry.model.codecs import Codec
from manifestry.model.manifest import ChunkManifest
from manifestry.model.metadata import ArrayMetadata, RegularGrid
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.storage.source import Source
from manifestry.testing.conformance import Found, ParserCase, ParserTests, WriterTests
from manifestry.testing.trees import make_sample
from manifestry.zarr_documents.v3 import array_document, group_document

MODULE = "manifestry_conformance_toys"


class NumbersParser:
    """``NUMB``, columns (u1), and columns of little-endian int32 one after the other; the last is in group ``g``."""

    def parse(self, source, options, context):
        head = source.head()
        columns, rest = head[4:5], source.size - 5
        if head[:4] != b"NUMB" or not columns or not columns[0] or rest % (4 * columns[0]):
            raise MalformedFileError(f"{source.url}: no whole columns after byte 5")
        rows, groups = rest // (4 * columns[0]), {"": {}, "g": {}}
        for i in range(columns[0]):
            group, name = ("g" if i == columns[0] - 1 else ""), f"c{i}"
            path = f"{group}/{name}".strip("/")
            if context.group and not path.startswith(context.group + "/"):
                continue
            if not context.wants(path.removeprefix(context.group).strip("/")):
                continue
            metadata = ArrayMetadata(
                shape=(rows,),
                dtype=np.dtype("i4"),
                chunk_grid=RegularGrid((max(rows, 1),)),
                codecs=(Codec("bytes", {"endian": "little"}),),
                fill_value=0,
                dims=("row",),
            )
            start = 5 + 4 * rows * i
            stored = ChunkManifest.single(source.file, start, 4 * rows, (1,)) if rows else ChunkManifest.missing((0,))
            groups[group][name] = VirtualArray(metadata, stored)
        if context.group:
            return VirtualGroup(groups[context.group])
        return VirtualGroup(groups[""], groups={"g": VirtualGroup(groups["g"])} if groups["g"] else {})

    def open_native(self, source, options):
        return NativeNumbers(source)


class NativeNumbers:
    def __init__(self, source):
        data = source.range(0, source.size)
        self._columns = np.frombuffer(data[5:], "<i4").reshape(data[4], -1)

    def read(self, path, selection):
        return self._columns[int(path.rpartition("c")[2])][selection]

    def close(self):
        pass


class CopySession:
    """Copies every chunk into a Zarr directory beside the target, and renames it."""

    def __init__(self, target, mode):
        self._target, self._staged = target, target.with_name(f".{target.name}.new")
        if target.exists() and (mode is Mode.CREATE or not (target / "zarr.json").exists()):
            raise TargetExistsError(f"{target}: exists")

    def check(self, tree, at=None):
        return []

    def write(self, tree, at=None):
        self._tree = tree
        for path, group in tree.walk():
            self._put(f"{path}/zarr.json", json.dumps(group_document(group.attributes)[0]).encode())
        for path, array in tree.walk_arrays():
            self._put(f"{path}/zarr.json", json.dumps(array_document(array.metadata)[0]).encode())
            for key, found in array.manifest.to_dict().items():
                name = "/".join([path, "c", *(key.split(".") if array.shape else [])])
                self._put(name, found.data or Source(found.file.url).range(found.offset, found.offset + found.length))

    def _put(self, name, data):
        path = self._staged / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def commit(self, metadata):
        shutil.rmtree(self._target, ignore_errors=True)
        self._staged.rename(self._target)
        return WriteReport.of(str(self._target), "copy", [self._tree], reader="zarr.open_group(...)")

    def abort(self):
        shutil.rmtree(self._staged, ignore_errors=True)


class CopyWriter:
    def open(self, target, mode, options, context):
        return CopySession(target.local_path.resolve(), mode)


def sniff(head, source):
    return Confidence.CERTAIN if head[:4] == b"NUMB" else Confidence.NO


@hookimpl
def manifestry_parsers():
    yield ParserDescriptor(
        name="numbers",
        title="Columns of numbers",
        parser=f"{MODULE}:NumbersParser",
        magic=(Magic(b"NUMB"),),
        extensions=(".numbers",),
        capabilities=frozenset({Capability.GROUPS, Capability.REMOTE, Capability.NATIVE}),
    )


@hookimpl
def manifestry_writers():
    yield WriterDescriptor(name="copy", title="Copies", writer=f"{MODULE}:CopyWriter", extensions=(".copy",))


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    """The formats of this module, and no others, are installed; a test may replace what they are."""
    module = ModuleType(MODULE)
    names = ("NumbersParser", "CopyWriter", "sniff", "manifestry_parsers", "manifestry_writers")
    module.__dict__.update({name: globals()[name] for name in names})
    monkeypatch.setitem(sys.modules, MODULE, module)
    monkeypatch.setattr(loading, "entry_points", lambda group: [EntryPoint("toys", MODULE, "manifestry")])
    loading.installed_formats.cache_clear()
    yield module
    loading.installed_formats.cache_clear()


def numbers_file(path, values):
    path.write_bytes(b"NUMB" + bytes([len(values)]) + values.astype("<i4").tobytes())
    return path


class TestNumbers(ParserTests):
    format = "numbers"

    def make_cases(self, directory):
        values = np.arange(30, dtype="i4").reshape(3, 10)
        path = numbers_file(directory / "a.numbers", values)
        yield ParserCase(path, {"c0": values[0], "c1": values[1], "g/c2": values[2]})
        yield ParserCase(numbers_file(directory / "b.numbers", values[:1]), {"g/c0": values[0]})

    def make_pointers(self, directory, url):
        return ()  # a file of numbers names none


class TestCopy(WriterTests):
    format = "copy"
    ending = ".copy"

    def read(self, target):
        with zarr.config.set({"array.rectilinear_chunks": True}):
            root = zarr.open_group(target, mode="r")
            found = {"": Found(None, root.attrs.asdict())}
            for path, member in root.members(max_depth=None):
                values = np.asarray(member[...], member.dtype) if isinstance(member, zarr.Array) else None
                found[path] = Found(values, member.attrs.asdict())
        return found


def cases(directory):
    return list(TestNumbers().make_cases(directory))


class Restless(NumbersParser):
    turn = 0

    def parse(self, source, options, context):
        Restless.turn += 1
        return super().parse(source, options, context).with_(attributes={"turn": Restless.turn})


class Fragile(NumbersParser):
    def parse(self, source, options, context):
        if source.head()[4] > 5:
            raise IndexError("boom")
        return super().parse(source, options, context)


class Shifted(NumbersParser):
    def parse(self, source, options, context):
        tree = super().parse(source, options, context)
        return tree.map_arrays(
            lambda _, array: VirtualArray(
                array.metadata, ChunkManifest.single(source.file, 4, 4 * array.shape[0], (1,))
            )
        )


class Deaf(NumbersParser):
    def parse(self, source, options, context):
        return super().parse(source, options, type(context)(limits=context.limits))


class Greedy(NumbersParser):
    def parse(self, source, options, context):
        _ = bytearray(300 << 20)
        return super().parse(source, options, context)


@pytest.mark.parametrize(
    ("parser", "test"),
    [
        (Restless, "test_parsing_is_deterministic"),
        (Fragile, "test_damaged_copies_raise_only_errors_of_ours"),
        (Greedy, "test_damaged_copies_raise_only_errors_of_ours"),
        (Shifted, "test_values_through_the_store"),
        (Shifted, "test_values_of_the_native_reader"),
        (Deaf, "test_include_exclude_and_group"),
    ],
)
def test_wrong_parsers_are_found(parser, test, toys, tmp_path):
    toys.NumbersParser = parser
    made = cases(tmp_path)
    more = (tmp_path / "copies",) if "damaged" in test else ()
    (tmp_path / "copies").mkdir()
    with pytest.raises((AssertionError, PluginError, pytest.fail.Exception)):
        getattr(TestNumbers(), test)(made, *more)


def test_wrong_claims_are_found(toys, tmp_path):
    made = cases(tmp_path)

    @hookimpl
    def manifestry_parsers():
        yield ParserDescriptor(name="numbers", title="", parser=f"{MODULE}:NumbersParser", sniff=f"{MODULE}:claim")

    toys.manifestry_parsers, toys.claim = manifestry_parsers, lambda head, source: Confidence.CERTAIN
    loading.installed_formats.cache_clear()
    with pytest.raises(AssertionError, match="claims"):
        TestNumbers().test_detection(made, tmp_path)


class Ruthless(CopySession):
    def __init__(self, target, mode):
        self._target, self._staged = target, target.with_name(f".{target.name}.new")
        if target.is_file():
            target.unlink()


class Careless(CopySession):
    def abort(self):
        pass


class Careful(CopySession):
    def write(self, tree, at=None):
        super().write(
            tree.map_arrays(lambda _, array: VirtualArray(array.metadata.with_(fill_value=7), array.manifest))
        )


@pytest.mark.parametrize(
    ("session", "test"),
    [
        (Ruthless, "test_existing_targets_are_refused"),
        (Ruthless, "test_what_is_no_output_is_never_replaced"),
        (Careless, "test_aborting_leaves_nothing"),
        (Careless, "test_aborting_leaves_what_was_there"),
        (Careful, "test_round_trip"),
    ],
)
def test_wrong_writers_are_found(session, test, toys, tmp_path):
    writer = type("Writer", (), {"open": lambda self, target, mode, *_: session(target.local_path, mode)})
    toys.CopyWriter = writer
    target = tmp_path / "out" / "output.copy"
    target.parent.mkdir()
    made = make_sample("sparse", tmp_path / "made")
    arguments = {
        "test_round_trip": ("sparse", target, tmp_path),
        "test_aborting_leaves_what_was_there": (target, made, tmp_path),
    }.get(test, (target, made))
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(TestCopy(), test)(*arguments)


def test_the_kit_imports_nothing_of_its_users():
    module = importlib.import_module("manifestry.testing.conformance")
    assert "hypothesis" not in vars(module)
