"""`verify`: samples of every array of an output, compared element by element with their sources."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from manifestry.combine.compatibility.differences import inherited_attributes
from manifestry.errors import ManifestryError, OptionError, UnsupportedFeatureError
from manifestry.formats.contracts import ParseContext
from manifestry.formats.descriptors import ParserDescriptor
from manifestry.formats.detection import detect
from manifestry.formats.loading import Entry, FormatRegistry, installed_formats
from manifestry.formats.options import make_options
from manifestry.formats.plugin_errors import PluginCall
from manifestry.model.attributes import Attributes
from manifestry.model.manifest import ChunkManifest
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.model.validation import validate_tree
from manifestry.reading import marked
from manifestry.storage.access import Access
from manifestry.storage.policy import ReferencePolicy
from manifestry.storage.registry import Stores
from manifestry.storage.source import Source
from manifestry.verification.correspondence import Correspondence, Counterpart, chunk_region
from manifestry.verification.metadata import array_differences, group_differences
from manifestry.verification.origins import Origins
from manifestry.verification.report import ArrayCheck, Difference, Oracle, VerifyReport
from manifestry.verification.values import matches
from manifestry.views import open_store

__all__ = ["sample_chunks", "verify", "verify_source"]

type Samples = int | Literal["all"]

_MISSING_SAMPLES: Final = 2  # chunks that are not stored, besides those that are
_MAX_SOURCES: Final = 64  # that are parsed for the sake of chunks that refer to none of them
_SEED: Final = 20_112_026  # the same samples every time


def verify(
    target: str | os.PathLike[str] | Source,
    *,
    samples: Samples = 16,
    format: str | None = None,  # noqa: A002 the field's word, and only a keyword
    stores: Stores = None,
    allow: Sequence[str] | None = None,
    untrusted: bool = False,
) -> VerifyReport:
    """Compare an output with the sources that it was made from.

    The output says itself what it was made from. Of every array, chunks are read from the output through Zarr, and from
    the sources by the library of their own format, and compared bit by bit. Data type, dimensions and attributes are
    compared, as Zarr can hold them, with those of the source that the first chunk comes from, and attributes of groups
    with those of the first source: what says what values mean must be the same, everything else that differs is listed,
    since combining, renaming and ``preprocess`` may change it, and so are arrays of the first source that are missing.

    Parameters
    ----------
    target
        Path or URL of the output.
    samples
        How many stored chunks of each array to compare, the first and the last among them; or ``"all"``.
    format
        Format of the output; found from the content when not given.
    stores
        Object stores by URL prefix, as for `manifestry.parse`.
    allow
        URL prefixes of sources that may be looked at. Without it, an output on a server may name sources on its own host,
        in its own bucket and in `stores`; one on this computer local files, object stores and public hosts.
    untrusted
        An output on this computer came from elsewhere: it may name sources beside and below it, and in `stores`.

    Raises
    ------
    SourceError, UnknownFormatError, OptionError, MalformedFileError, PluginError
        The output cannot be read, or it names sources that it may not make us look at.
    UnsupportedFeatureError
        It does not say what it was made from.
    """
    source = target if isinstance(target, Source) else Source(target, stores)
    source = source.with_access(Access.of(allow, untrusted=untrusted))
    return verify_source(source, samples, format, formats=installed_formats())


def verify_source(
    source: Source,
    samples: Samples,
    fmt: str | None,
    *,
    formats: FormatRegistry,
    options: Mapping[str, Any] | None = None,
    given: Collection[str] = (),
) -> VerifyReport:
    """As `verify`, with the formats that are known, and options of the parser that reads the output.

    Parameters
    ----------
    given
        URLs of sources that the caller named, which therefore may be read.
    """
    source = source.with_access(source.registry.access.naming(given))
    if samples != "all" and samples < 1:
        raise OptionError(f"samples={samples!r} is not allowed; expected a positive number of chunks or 'all'")
    entry = detect(source, formats) if fmt is None else formats.parser(fmt)
    tree = _read_output(source, entry, options or {})
    if not tree.provenance:
        raise UnsupportedFeatureError(
            "output without provenance", source.url, "only what manifestry wrote says what it was made from"
        )
    root = zarr.open_group(open_store(tree, stores=source.registry), mode="r")
    # Whoever made the output wrote its provenance, which is trusted no more than references are.
    with Origins(tree.provenance, ReferencePolicy.of(source), formats) as origins:
        sources = origins.check()
        bad = {check.url for check in sources if check.status != "unchanged"}
        inherited = inherited_attributes(dict(tree.walk_arrays()))
        arrays = tuple(
            _check(path, array, root, origins=origins, samples=samples, bad=bad, inherited=inherited.get(path, {}))
            for path, array in tree.walk_arrays()
        )
        groups = tuple(_group_differences(tree, origins, bad))
    return VerifyReport(target=source.url, format=entry.descriptor.name, sources=sources, arrays=arrays, groups=groups)


def _read_output(source: Source, entry: Entry[ParserDescriptor], options: Mapping[str, Any]) -> VirtualGroup:
    """The tree of an output, with the provenance that it carries itself and no other."""
    own = make_options(entry.options_type(), options, entry.descriptor.name)
    context = ParseContext(on_unsupported="skip")
    with PluginCall(f"{source.url}: the parser {entry.label} {entry.version}"):
        tree: VirtualGroup = entry.load().parse(source, own, context)
    validate_tree(tree)
    return marked(tree, source)


def _check(
    path: str,
    array: VirtualArray,
    root: zarr.Group,
    *,
    origins: Origins,
    samples: Samples,
    bad: set[str],
    inherited: Attributes,
) -> ArrayCheck:
    """Compare samples of one array; what goes wrong with it costs the others nothing."""
    correspondence = Correspondence(path, array, origins, None if samples == "all" else _MAX_SOURCES)
    compared = skipped = 0
    wrong: list[str] = []
    differences: tuple[Difference, ...] | None = None
    oracle = Oracle.NONE
    remark = ""
    failed = False
    try:
        for at in sample_chunks(array.manifest, samples):
            counterpart = correspondence.counterpart(at)
            if counterpart is None or any(part.origin.url in bad for part in counterpart.parts):
                skipped += 1
                continue
            values = _read(root, path, chunk_region(array.metadata, at))
            same = matches(_in_shape(values, counterpart), {**inherited, **array.attributes}, counterpart)
            oracle = counterpart.parts[0].origin.oracle
            if differences is None:
                differences = tuple(_array_differences(path, array, counterpart))
            compared += 1
            if counterpart.misplaced or not same:
                wrong.append(".".join(map(str, at)) or "0")
                remark = remark or counterpart.misplaced
    except ManifestryError as error:
        remark, failed = str(error), True
    if skipped and not remark:
        remark = f"{skipped} chunks not compared: their place in a source is not known, or the source has changed"
    found_wrong = failed or bool(wrong) or any(difference.alters for difference in differences or ())
    return ArrayCheck(
        path=path,
        chunks=array.manifest.size,
        compared=compared,
        skipped=skipped,
        mismatches=tuple(wrong),
        oracle=oracle,
        message=remark,
        failed=found_wrong,
        differences=differences or (),
    )


def _array_differences(path: str, array: VirtualArray, counterpart: Counterpart) -> Iterator[Difference]:
    part = counterpart.parts[0]
    there = part.origin.tree[part.path]
    assert isinstance(there, VirtualArray)
    return array_differences(path, array, there, copied=counterpart.copied)


def _group_differences(tree: VirtualGroup, origins: Origins, bad: set[str]) -> Iterator[Difference]:
    """Of groups, where the first source can be parsed: that it cannot be is reported with its arrays."""
    first = next((origin for origin in origins if origin.is_parsed), None)
    if first is None or first.url in bad:
        return iter(())
    try:
        return group_differences(tree, first.tree)
    except ManifestryError:
        return iter(())


def _in_shape(found: np.ndarray[Any, Any], counterpart: Counterpart) -> np.ndarray[Any, Any]:
    """A chunk of a stack without the dimensions of length 1 that its source has not."""
    shape = tuple(part.stop - part.start for part in counterpart.parts[0].region)
    added = found.ndim - len(shape)
    stacked = len(counterpart.parts) == 1 and added > 0 and found.shape == (*(1 for _ in range(added)), *shape)
    return found.reshape(shape) if stacked else found


def _read(root: zarr.Group, path: str, region: tuple[slice, ...]) -> np.ndarray[Any, Any]:
    """A region of the output as readers see it; whatever a codec raises is an error of this array."""
    with PluginCall(f"{path}: reading it through zarr"):
        array = root[path]
        assert isinstance(array, zarr.Array)
        return np.asarray(array[region])


def sample_chunks(manifest: ChunkManifest, samples: Samples) -> Iterator[tuple[int, ...]]:
    """Coordinates of the chunks to compare: of those that are stored, and a few that are not."""
    rng = np.random.default_rng(_SEED)
    if manifest.lengths.ndim:
        stored, missing = np.flatnonzero(manifest.stored), np.flatnonzero(~manifest.stored)
        picked = [stored[_pick(rng, stored.size, samples)], missing[_pick(rng, missing.size, _MISSING_SAMPLES)]]
    else:
        wanted = samples if manifest.stored_count else _MISSING_SAMPLES
        picked = [_pick(rng, manifest.size, wanted)]
    for flat in np.sort(np.concatenate(picked)).tolist():
        yield tuple(int(i) for i in np.unravel_index(flat, manifest.grid_shape)) if manifest.grid_shape else ()


def _pick(rng: np.random.Generator, count: int, samples: Samples) -> NDArray[np.int64]:
    """Positions below `count`: the first, the last, and some between."""
    if samples == "all" or count <= samples:
        return np.arange(count)
    ends = [0, count - 1][:samples]
    return np.concatenate([ends, rng.choice(count - 2, samples - len(ends), replace=False) + 1]).astype("i8")
