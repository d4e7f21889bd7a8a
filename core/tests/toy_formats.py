"""Formats for tests of the frame: `raw` and `plain` are read, `box` and `crate` are written and read.

A raw file is ``RAWF``, a line of JSON, and the elements (little-endian int32, chunks of one row). Its header may ask for
what formats do: ``refuse``, ``crash``, ``interrupt``, ``sleep``. A plain file is the same with ``PLNF``, and has no
native reader. A box is a pickled tree with its provenance, a crate a directory with one box.

Run as a program, this is the command line with these formats and no others.
"""

import json
import os
import pickle
import sys
import time
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from manifestry.errors import MalformedFileError, TargetExistsError, WriteError
from manifestry.formats import hookimpl, loading
from manifestry.formats.descriptors import Capability, Magic, ParserDescriptor, WriterDescriptor
from manifestry.formats.report import WriteReport
from manifestry.formats.targets import Mode
from manifestry.model.codecs import Codec
from manifestry.model.manifest import ChunkManifest
from manifestry.model.metadata import ArrayMetadata, RegularGrid
from manifestry.model.provenance import Provenance
from manifestry.model.tree import VirtualArray, VirtualGroup

MODULE = "manifestry_toy_formats"


class RawOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    rows: Annotated[int, msgspec.Meta(ge=1, description="Rows of a chunk.")] = 1
    name: Annotated[str, msgspec.Meta(description="Name of the array.")] = "v"


class RawParser:
    def parse(self, source, options, context):
        line, _, _ = source.head().partition(b"\n")
        try:
            header = json.loads(line[4:])
        except ValueError as error:
            raise MalformedFileError(f"{source.url}: the header at byte 4 is no JSON: {error}") from error
        if header.get("crash"):
            raise KeyError("boom")
        if header.get("interrupt"):
            raise KeyboardInterrupt
        if "sleep" in header:
            Path(header["sleep"]).touch()
            time.sleep(100)
        rows, columns = header["shape"]
        start = len(line) + 1
        if source.size < start + 4 * rows * columns:
            raise MalformedFileError(f"{source.url}: truncated: {source.size} of {start + 4 * rows * columns} bytes")
        arrays = {}
        for name in header.get("names", [options.name]):
            with context.isolate(name):
                if context.wants(name):
                    arrays[name] = self._array(source, start, rows, columns, options.rows, header)
        for name in header.get("refuse", ()):
            context.refuse(name, "wobble coding", hint="rewrite it without")
        return VirtualGroup(arrays, attributes=header.get("attributes", {}))

    @staticmethod
    def _array(source, start, rows, columns, height, header):
        codecs = (Codec("bytes", {"endian": "little"}),)
        metadata = ArrayMetadata(
            shape=(rows, columns),
            dtype=np.dtype("i4"),
            chunk_grid=RegularGrid((height, columns)),
            codecs=codecs,
            fill_value=0,
            dims=("y", "x"),
            attributes=header.get("own", {}),
        )
        size = 4 * columns * height
        offsets = start + size * np.arange(rows // height)
        return VirtualArray(metadata, ChunkManifest.from_columns((rows // height, 1), [source.file], 0, offsets, size))

    def open_native(self, source, options):
        return RawReader(source)


class RawReader:
    def __init__(self, source):
        line, _, data = source.range(0, source.size).partition(b"\n")
        self._values = np.frombuffer(data, "<i4").reshape(json.loads(line[4:])["shape"])

    def read(self, path, selection):
        return self._values[selection]

    def close(self):
        pass


class BoxSession:
    def __init__(self, path, mode):
        self._path, self._mode, self._staged = path, mode, None

    def check(self, tree, at=None):
        return []

    def write(self, tree, at=None):
        self._staged = tree

    def commit(self, metadata):
        temporary = self._path.with_name("." + self._path.name)
        try:
            temporary.write_bytes(b"BOXF" + pickle.dumps((self._staged.with_(provenance=()), metadata["manifestry"])))
            temporary.replace(self._path)
        except OSError as error:
            raise WriteError(f"{self._path}: cannot be written: {error.strerror}") from error
        return WriteReport.of(str(self._path), "box", [self._staged], reader="open(...)")

    def abort(self):
        self._staged = None


class BoxWriter:
    def open(self, target, mode, options, context):
        path = target.local_path
        if mode is Mode.CREATE and os.path.lexists(path):
            raise TargetExistsError(f"{path}: exists; replace it with overwrite=True (--overwrite)")
        return BoxSession(path, mode)


class BoxParser:
    def parse(self, source, options, context):
        tree, provenance = pickle.loads(source.range(4, source.size))
        return tree.with_(provenance=Provenance.from_json(provenance) if provenance["parsed"] else ())


class CrateSession(BoxSession):
    def commit(self, metadata):
        self._path.parent.mkdir(exist_ok=True)
        return super().commit(metadata)


class CrateWriter:
    def open(self, target, mode, options, context):
        if mode is Mode.CREATE and os.path.lexists(target.local_path):
            raise TargetExistsError(f"{target.local_path}: exists")
        return CrateSession(target.local_path / "crate.box", mode)


class CrateParser:
    def parse(self, source, options, context):
        return BoxParser().parse(source.child("crate.box"), options, context)


@hookimpl
def manifestry_parsers():
    remote = frozenset({Capability.REMOTE})
    for name, magic, more in (("raw", b"RAWF", {Capability.NATIVE}), ("plain", b"PLNF", set())):
        yield ParserDescriptor(
            name=name,
            title=f"Rows of numbers ({name})",
            parser=f"{MODULE}:RawParser",
            options=f"{MODULE}:RawOptions",
            magic=(Magic(magic),),
            extensions=(f".{name}",),
            capabilities=remote | more,
        )
    yield ParserDescriptor(name="box", title="Boxes", parser=f"{MODULE}:BoxParser", magic=(Magic(b"BOXF"),))
    yield ParserDescriptor(name="crate", title="Crates", parser=f"{MODULE}:CrateParser", sentinels=("crate.box",))


@hookimpl
def manifestry_writers():
    yield WriterDescriptor(name="box", title="Boxes", writer=f"{MODULE}:BoxWriter", extensions=(".box",))
    yield WriterDescriptor(name="crate", title="Crates", writer=f"{MODULE}:CrateWriter", extensions=(".crate",))


def raw_file(path, values, *, magic=b"RAWF", **header):
    """Write a raw file of some values."""
    line = json.dumps({"shape": values.shape, **header}).encode()
    path.write_bytes(magic + line + b"\n" + values.astype("<i4").tobytes())
    return path


def entries(*broken):
    """The entry points of these formats, and of plugins that do not work."""
    return [EntryPoint("toy", MODULE, "manifestry"), *(EntryPoint(n, v, "manifestry") for n, v in broken)]


if __name__ == "__main__":
    sys.modules[MODULE] = sys.modules["__main__"]
    loading.entry_points = lambda group: entries()
    from manifestry.cli import main

    main()
