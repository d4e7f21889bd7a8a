"""Runs of chunks as boxes of the grid, groups of checksums, locations."""

import math
from datetime import UTC, datetime

import icechunk
import manifestry as mf
import numpy as np
from examples import examples
from hypothesis import assume, given, settings, strategies as st
from manifestry.plugin import INLINE, ChunkManifest
from manifestry_icechunk.reading.chunks import canonical_location
from manifestry_icechunk.repository.containers import choose_containers, containers_of
from manifestry_icechunk.repository.locations import encode, location_fault
from manifestry_icechunk.writing.references import boxes, checksum_groups
from manifestry_icechunk.writing.splitting import split_sizes

SHAPES = st.lists(st.integers(1, 6), max_size=4).map(tuple)
SEGMENTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=8)
PATHS = st.lists(SEGMENTS.filter(lambda s: s not in (".", "..")), min_size=2, max_size=4)


@given(SHAPES, st.data())
def test_boxes_are_a_run_in_order_and_few(shape, data):
    size = math.prod(shape)
    start = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(start, size))
    found = list(boxes(start, stop, shape))
    grid = np.arange(size).reshape(shape)
    pieces = [grid[tuple(slice(o, o + n) for o, n in zip(b.offset, b.shape, strict=True))].ravel() for b in found]
    assert [int(p[0]) for p in pieces] == [b.start for b in found]
    assert np.concatenate([[], *pieces]).tolist() == list(range(start, stop))
    assert len(found) <= max(1, 2 * len(shape) - 1)


@given(SHAPES, st.integers(1, 50))
def test_manifests_hold_no_more_than_was_asked_for(shape, references):
    sizes = split_sizes(shape, references)
    if sizes is None:
        assert math.prod(shape) <= references
    else:
        assert math.prod(sizes) <= references
        assert all(n <= m for n, m in zip(sizes, shape, strict=True))


@given(PATHS, st.sampled_from(["file://", "s3://bucket", "gs://bucket", "az://container"]))
def test_locations_come_back_as_the_urls_they_were(parts, origin):
    url = f"{origin}/{'/'.join(parts)}"
    assume(not location_fault(url))
    location = encode(url)
    assert location.isascii()
    assert canonical_location(location) == url


@given(st.lists(PATHS, min_size=1, max_size=5), st.sampled_from(["file://", "s3://bucket"]))
def test_every_url_has_a_container_that_icechunk_takes(paths, origin):
    urls = [f"{origin}/{'/'.join(parts)}" for parts in paths]
    assume(not any(map(location_fault, urls)))
    chosen = choose_containers(urls, [], relative=False)
    assert all(any(container.covers(url) for container in chosen) for url in urls)
    config = icechunk.RepositoryConfig.default()
    for container in chosen:
        local = origin == "file://"
        store = icechunk.local_filesystem_store("/") if local else icechunk.s3_store(region="us-east-1")
        config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(container.prefix, store))


def test_checksums_are_tags_where_they_work_and_times_rounded_up_elsewhere():
    when = datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    files = mf.FileTable(
        [
            mf.SourceFile("s3://b/x", etag='"tag"', last_modified=when),
            mf.SourceFile("file:///d/x", etag='"tag"', last_modified=when),
            mf.SourceFile("file:///d/y", last_modified=when.replace(microsecond=0, second=1)),
            mf.SourceFile("https://h/x", etag='"tag"'),
        ]
    )
    groups, checksums = checksum_groups(files, wanted=True)
    assert [checksums[g] for g in groups] == ['"tag"', *[when.replace(microsecond=0, second=1)] * 2, None]
    assert checksum_groups(files, wanted=False)[1] == [None]


@settings(max_examples=examples(25), deadline=None)
@given(st.data())
def test_any_manifest_comes_back(tmp_path_factory, data):
    """Files that alternate, missing and inline chunks, each file with a checksum of its own."""
    shape = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple))
    size = math.prod(shape)
    kinds = data.draw(st.lists(st.sampled_from([0, 0, 0, 1, 2, INLINE, None]), min_size=size, max_size=size))
    base = tmp_path_factory.mktemp("any")
    files = [
        mf.SourceFile(f"file://{base}/f {i}.bin", 1 << 20, None, datetime.fromtimestamp(1e9 + i // 2, UTC))
        for i in range(3)
    ]
    index = np.array([0 if kind is None else kind for kind in kinds], "u4")
    lengths = np.array([0 if kind is None else 4 for kind in kinds], "u8")
    offsets = np.arange(size, dtype="u8") * 4
    manifest = ChunkManifest.from_columns(shape, files, index, offsets, lengths, inline=bytes(range(256)) * 2)
    codecs = (mf.Codec("bytes", {"endian": "little"}),)
    metadata = mf.ArrayMetadata(
        shape=shape,
        dtype=np.dtype("i4"),
        chunk_grid=mf.RegularGrid((1,) * len(shape)),
        codecs=codecs,
        fill_value=np.int32(0),
    )
    tree = mf.VirtualGroup({"x": mf.VirtualArray(metadata, manifest)})
    mf.write(tree, base / "out.icechunk", references_per_commit=1000)
    found = mf.parse(base / "out.icechunk")["x"].manifest
    known = manifest.files.relocate({})
    plain = ChunkManifest.from_columns(
        shape, [mf.SourceFile(url) for url in known.urls], index, offsets, lengths, inline=manifest.inline
    )
    assert found == plain


def test_long_runs_that_begin_and_end_anywhere_come_back(tmp_path):
    shape, size = (7, 10, 11), 770
    files = [
        mf.SourceFile(f"file://{tmp_path}/{i}", None, None, datetime.fromtimestamp(1e9 + i, UTC)) for i in range(5)
    ]
    index = np.repeat(np.arange(5, dtype="u4"), [37, 200, 3, 417, 113])
    index[100:140:3] = INLINE
    lengths = np.full(size, 4, "u8")
    lengths[[0, 36, 37, 500, 769]] = 0
    offsets = np.where(index == INLINE, 8, np.arange(size) * 4).astype("u8")
    codecs = (mf.Codec("bytes", {"endian": "little"}),)
    metadata = mf.ArrayMetadata(
        shape=shape, dtype=np.dtype("i4"), chunk_grid=mf.RegularGrid((1, 1, 1)), codecs=codecs, fill_value=np.int32(0)
    )

    def tree(table):
        manifest = ChunkManifest.from_columns(shape, table, index, offsets, lengths, inline=bytes(range(64)))
        return mf.VirtualGroup({"x": mf.VirtualArray(metadata, manifest)})

    mf.write(tree(files), tmp_path / "out.icechunk")
    assert mf.parse(tmp_path / "out.icechunk") == tree([mf.SourceFile(file.url) for file in files])


def test_containers_come_longest_first():
    """Readers match the longest prefix, whatever the order in which prefixes were registered."""
    prefixes = ["file:///data/", "file:///data/deeper/still/", "file:///data/deeper/", "s3://bucket/"]
    config = icechunk.RepositoryConfig.default()
    for prefix in prefixes:
        store = icechunk.s3_store() if prefix.startswith("s3") else icechunk.local_filesystem_store(prefix[7:])
        config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, store))
    assert [container.prefix for container in containers_of(config)] == sorted(prefixes, key=len, reverse=True)
