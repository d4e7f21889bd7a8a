"""The sources that provenance names: whether they are unchanged, what a new parse says of them, and their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import zarr

from manifestry.combine.compatibility.differences import inherited_attributes
from manifestry.errors import AmbiguousFormatError, SourceError, UnknownFormatError, UnsupportedFeatureError
from manifestry.formats.contracts import NativeReader
from manifestry.formats.descriptors import Capability
from manifestry.formats.detection import detect
from manifestry.formats.loading import FormatRegistry
from manifestry.formats.options import make_options
from manifestry.formats.plugin_errors import PluginCall
from manifestry.model.attributes import Attributes
from manifestry.model.files import SourceFile
from manifestry.model.provenance import Provenance
from manifestry.model.tree import VirtualGroup
from manifestry.reading import TRUST_OPTIONS, CommonOptions, parse_source
from manifestry.storage.policy import ReferencePolicy
from manifestry.storage.registry import StoreRegistry
from manifestry.verification.oracles import open_oracle
from manifestry.verification.report import Oracle, SourceCheck
from manifestry.views import open_store
from manifestry.zarr_store.ranges import difference

__all__ = ["Origin", "Origins"]

_CHECKS: Final = 32  # sources that are asked at once whether they have changed
_MAX_OPEN: Final = 32  # an output may have more sources than a process may have open files


class Origin:
    """One source, as provenance describes it.

    Attributes
    ----------
    url
        Its canonical URL.
    """

    def __init__(
        self,
        part: Provenance,
        file: SourceFile,
        policy: ReferencePolicy,
        formats: FormatRegistry,
        opened: _OpenReaders,
    ) -> None:
        self.url = file.url
        self._opened = opened
        # Whoever wrote the output wrote the options too: they do not say what the source may point at.
        options = {name: value for name, value in part.options.items() if name not in TRUST_OPTIONS}
        self._part = replace(part, options=options)
        self._file = file
        self._source = policy.source(file.url)
        self._formats = formats
        self._oracle = Oracle.NONE

    def check(self) -> SourceCheck:
        """Whether it is still the one that was parsed."""
        try:
            change = difference(self._file, self._source.file)
        except SourceError as error:
            return SourceCheck(self.url, "missing", str(error))
        return SourceCheck(self.url, "changed" if change else "unchanged", change)

    @cached_property
    def is_parsed(self) -> bool:
        """Whether this is what the parser was given, not a file that such a document points at."""
        try:
            return detect(self._source, self._formats).descriptor.name == self._part.parser.rpartition(":")[2]
        except (UnknownFormatError, AmbiguousFormatError, SourceError):
            return False

    @cached_property
    def tree(self) -> VirtualGroup:
        """What the parser says of it now, with the options of then."""
        return parse_source(self._source, self._part.parser, "skip", self._part.options, formats=self._formats)

    @cached_property
    def inherited(self) -> Mapping[str, Attributes]:
        """What bounds have from the variables that they belong to, by path."""
        return inherited_attributes(dict(self.tree.walk_arrays()))

    @cached_property
    def _reader(self) -> tuple[NativeReader, Oracle]:
        entry = self._formats.parser(self._part.parser)
        if Capability.NATIVE in entry.descriptor.capabilities:
            own = {k: v for k, v in self._part.options.items() if k not in CommonOptions.__struct_fields__}
            options = make_options(entry.options_type(), own, entry.descriptor.name)
            try:
                with PluginCall(f"{self.url}: opening it with the library of {entry.label}"):
                    return open_oracle(self._source, entry, options), Oracle.NATIVE
            except UnsupportedFeatureError:
                pass  # the library is not installed, or cannot open this source: the second best oracle then
        return self._afresh, Oracle.PARSED_AFRESH

    @cached_property
    def _afresh(self) -> NativeReader:
        return _ParsedReader(self.tree, self._source.registry)

    @property
    def oracle(self) -> Oracle:
        """What has read the values, the last time that some were read."""
        return self._oracle

    def read(self, path: str, region: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        """The raw elements of a region of the array at `path` of `tree`."""
        self._opened.use(self)
        reader, self._oracle = self._reader
        group = str(self._part.options.get("group", "")).strip("/")
        if self._oracle is Oracle.NATIVE:
            inside = f"{group}/{path}" if group else path
            try:
                with PluginCall(f"{self.url}: reading {inside} (native)"):
                    return np.asarray(reader.read(inside, region))
            except UnsupportedFeatureError:  # the library cannot read these values
                reader, self._oracle = self._afresh, Oracle.PARSED_AFRESH
        with PluginCall(f"{self.url}: reading {path} (parsed afresh)"):
            return np.asarray(reader.read(path, region))

    def close(self) -> None:
        """Release the source; it is opened again when it is read again."""
        if "_reader" in self.__dict__:
            reader, _ = self.__dict__.pop("_reader")
            reader.close()


class _OpenReaders:
    """The sources that are open: of many, the one unused for longest is closed when another is opened."""

    def __init__(self) -> None:
        self._origins: dict[Origin, None] = {}

    def use(self, origin: Origin) -> None:
        self._origins.pop(origin, None)
        self._origins[origin] = None
        if len(self._origins) > _MAX_OPEN:
            self._close(next(iter(self._origins)))

    def close(self) -> None:
        for origin in list(self._origins):
            self._close(origin)

    def _close(self, origin: Origin) -> None:
        del self._origins[origin]
        with PluginCall(f"{origin.url}: closing it"):
            origin.close()


class _ParsedReader:
    """A fresh parse as an oracle: its values through Zarr."""

    def __init__(self, tree: VirtualGroup, registry: StoreRegistry) -> None:
        self._root = zarr.open_group(open_store(tree, stores=registry), mode="r")

    def read(self, path: str, selection: tuple[slice, ...]) -> np.ndarray[Any, Any]:
        array = self._root[path]
        assert isinstance(array, zarr.Array)
        return np.asarray(array[selection])

    def close(self) -> None:
        """Nothing is open."""


class Origins:
    """All sources of an output; a context that closes what it opened."""

    def __init__(self, provenance: Sequence[Provenance], policy: ReferencePolicy, formats: FormatRegistry) -> None:
        self._opened = _OpenReaders()
        self._parts = [
            [Origin(part, file, policy, formats, self._opened) for file in part.sources] for part in provenance
        ]

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[Origin]:
        return (origin for part in self._parts for origin in part)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._opened.close()

    def check(self) -> tuple[SourceCheck, ...]:
        """Whether each is still the one that was parsed; asked for concurrently."""
        with ThreadPoolExecutor(_CHECKS) as pool:
            return tuple(pool.map(lambda origin: origin.check(), self))

    @cached_property
    def parsed(self) -> list[Origin]:
        """Those that the parsers were given, in order."""
        return [origin for part in self._parts for origin in _documents(part) if self._owner(origin.url) is None]

    @cached_property
    def _by_url(self) -> dict[str, Origin]:
        return {origin.url: origin for origin in self}

    def of_file(self, url: str) -> Origin | None:
        """The source whose parse refers to the file of a URL: that file itself, or a document that points at it."""
        owner = self._owner(url)
        if owner is not None:
            return owner
        own = self._by_url.get(url)
        if own is not None and own.is_parsed:
            return own
        return next((o for o in self.parsed if o.url == url or url in o.tree.files.urls), None)

    def _owner(self, url: str) -> Origin | None:
        """The source of whose name that of a file is a longer one (``a.tif``, ``a.tif.ovr``), and whose parse refers to it.

        Such a file may be of the same format, and would else be taken for a source of its own.
        """
        ends = [at for at, letter in enumerate(url) if letter == "." and at > url.rfind("/")]
        owners = [self._by_url[url[:at]] for at in ends if url[:at] in self._by_url]
        return next((owner for owner in owners if owner.is_parsed and url in owner.tree.files.urls), None)


def _documents(part: Sequence[Origin]) -> list[Origin]:
    """What was parsed, of the sources of one parser; all of them where the format cannot be detected."""
    return [origin for origin in part if origin.is_parsed] or list(part)
