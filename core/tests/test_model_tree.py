"""VirtualGroup: paths, selecting, renaming, relocating, equality, provenance."""

import pickle
from datetime import UTC, datetime

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from manifestry.errors import ManifestError
from manifestry.issues import Issue
from manifestry.model.codecs import Codec
from manifestry.model.files import FileTable, SourceFile
from manifestry.model.manifest import ChunkManifest
from manifestry.model.metadata import ArrayMetadata, RegularGrid
from manifestry.model.provenance import Provenance
from manifestry.model.tree import VirtualArray, VirtualGroup
from manifestry.testing.strategies import file_tables, virtual_groups

FILES = FileTable([SourceFile("file:///data/a.nc", 100, "x"), SourceFile("file:///other/b.nc", 100)])


def array(*dims, row=0):
    metadata = ArrayMetadata(
        shape=(2,) * len(dims),
        dtype=np.dtype("i1"),
        chunk_grid=RegularGrid((2,) * len(dims)),
        codecs=(Codec("bytes"),),
        fill_value=0,
        dims=dims,
    )
    return VirtualArray(metadata, ChunkManifest.from_columns((1,) * len(dims), FILES, row, 5, 2 ** len(dims)))


def tree():
    inner = VirtualGroup({"t": array("time"), "lat": array("y")}, attributes={"level": 2})
    child = VirtualGroup({"t": array("time", "x")}, groups={"h": inner, "void": VirtualGroup()})
    return VirtualGroup({"t": array("time"), "a[0]": array("x", row=1)}, groups={"g": child}, attributes={"title": "x"})


def paths(group):
    return [path for path, _ in group.walk_arrays()]


def test_paths():
    root = tree()
    assert [path for path, _ in root.walk()] == ["", "g", "g/h", "g/void"]
    assert paths(root) == ["t", "a[0]", "g/t", "g/h/t", "g/h/lat"]
    assert root["g/h/t"] is root["/g/h/"]["t"]
    assert root[""] is root
    for missing in ("x", "g/x", "t/t", "g/h/t/x"):
        with pytest.raises(KeyError, match=missing):
            root[missing]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({}, ["t", "a[0]", "g/t", "g/h/t", "g/h/lat"]),
        ({"include": ["t"]}, ["t", "g/t", "g/h/t"]),
        ({"include": ["/t"]}, ["t"]),
        ({"include": ["g/t"]}, ["g/t"]),
        ({"include": ["g"]}, ["g/t", "g/h/t", "g/h/lat"]),
        ({"include": ["g/h"]}, ["g/h/t", "g/h/lat"]),
        ({"include": ["g/*"], "exclude": ["lat"]}, ["g/t", "g/h/t"]),
        ({"include": ["l?t"]}, ["g/h/lat"]),
        ({"include": ["a[0]"]}, ["a[0]"]),
        ({"exclude": ["h"]}, ["t", "a[0]", "g/t"]),
        ({"group": "g/h"}, ["t", "lat"]),
        ({"group": "g", "include": ["h/t"]}, ["h/t"]),
    ],
    ids=range(12),
)
def test_select(selection, expected):
    picked = tree().select(**selection)
    assert paths(picked) == expected


def test_select_keeps_groups_that_were_empty_and_drops_those_that_became_so():
    assert [path for path, _ in tree().select(include=["/t"]).walk()] == ["", "g", "g/void"]
    assert [path for path, _ in tree().select(exclude=["h"]).walk()] == ["", "g", "g/void"]


@pytest.mark.parametrize("selection", [{"include": ["tt"]}, {"exclude": ["g/x"]}, {"group": "x"}, {"group": "t"}])
def test_select_names_what_is_not_there(selection):
    with pytest.raises(KeyError, match=r"tt|g/x|x|t is an array"):
        tree().select(**selection)


def test_rename():
    renamed = tree().rename({"t": "T", "g/h": "H", "g/h/lat": "LAT", "time": "when"})
    assert paths(renamed) == ["T", "a[0]", "g/t", "g/H/t", "g/H/LAT"]
    assert renamed["g/t"].dims == ("when", "x")
    assert renamed["T"].manifest == tree()["t"].manifest
    assert renamed.rename({"T": "t", "g/H": "h", "g/H/LAT": "lat", "when": "time"}) == tree()


def test_swapping_names():
    assert paths(tree().rename({"t": "a[0]", "a[0]": "t"})) == ["a[0]", "t", "g/t", "g/h/t", "g/h/lat"]


@pytest.mark.parametrize(
    ("names", "error"),
    [
        ({"nothing": "x"}, KeyError),
        ({"t": "a[0]"}, ValueError),
        ({"t": "g"}, ValueError),
        ({"time": "x"}, ValueError),
        ({"t": "g/x"}, ValueError),
        ({"t": ""}, ValueError),
    ],
    ids=range(6),
)
def test_renaming_that_cannot_be(names, error):
    with pytest.raises(error):
        tree().rename(names)


def test_relocate():
    origin = Provenance("toy", "1", {}, FILES)
    moved = (
        tree()
        .with_(provenance=(origin,))
        .relocate({"file:///": "s3://all/", "file:///data/": "https://host/d/", "nothing": "x"})
    )
    assert moved["t"].manifest[0].file.url == "https://host/d/a.nc"
    assert moved["a[0]"].manifest[0].file.url == "s3://all/other/b.nc"
    assert moved["t"].manifest[0].file.size == 100
    assert moved["t"].manifest.files is moved["g/h/lat"].manifest.files
    assert moved.provenance[0].sources.urls == ("https://host/d/a.nc", "s3://all/other/b.nc")
    assert tree()["t"].relocate({"file:///data": "s3://b"}).manifest.files.urls[0] == "s3://b/a.nc"
    with pytest.raises(ManifestError, match=r"would give two files the same URL: s3://x$"):
        tree().relocate({"file:///data/a.nc": "s3://x", "file:///other/b.nc": "s3://x"})


def test_relocating_forgets_tags_of_the_original():
    moved = FILES.relocate({"file:///data/": "s3://b/"})
    assert moved.etags == (None, None)
    assert FILES.relocate({"file:///none": "s3://b/"}) == FILES


def test_size_counts_a_shared_table_once():
    alone = VirtualGroup({"t": array("time")}).nbytes
    assert VirtualGroup({"t": array("time"), "u": array("time")}).nbytes < alone + FILES.nbytes
    assert alone > FILES.nbytes


@given(virtual_groups())
@settings(max_examples=examples(30), deadline=None)
def test_pickle_and_equality(group):
    copy = pickle.loads(pickle.dumps(group))
    assert copy == group
    assert hash(copy) == hash(group)
    assert copy.issues == group.issues
    assert group.with_(attributes={**group.attributes, "another": 1}) != group
    assert (
        VirtualGroup({**group.arrays, "another name": array("x")}, groups=group.groups, attributes=group.attributes)
        != group
    )
    assert group.relocate({}) == group
    assert group.map_arrays(lambda _, member: member) == group
    assert set(group.files.urls) == {u for _, member in group.walk_arrays() for u in member.manifest.files.urls}


def test_order_does_not_count():
    root = tree()
    other = root.with_(arrays=dict(reversed(root.arrays.items())), issues=(Issue(path="t", feature="note"),))
    assert other == root
    assert hash(other) == hash(root)
    assert root != "tree"
    assert "1 issues" in repr(other)


@given(file_tables())
def test_provenance_round_trip(files):
    parts = (Provenance("hdf5", "1.2", {"group": "x"}, files), Provenance("tiff", "3"))
    assert Provenance.from_json(Provenance.to_json(parts)) == parts


def test_provenance_is_merged_by_parser_and_options():
    one = Provenance("hdf5", "1", {}, FileTable([SourceFile("s3://b/1")]))
    two = Provenance("hdf5", "1", {}, FileTable([SourceFile("s3://b/2")]))
    other = Provenance("hdf5", "1", {"group": "x"}, FileTable([SourceFile("s3://b/1")]))
    merged = Provenance.merge([one, other, two, one])
    assert [(part.options, part.sources.urls) for part in merged] == [
        ({}, ("s3://b/1", "s3://b/2")),
        ({"group": "x"}, ("s3://b/1",)),
    ]


@pytest.mark.parametrize(
    "document",
    [
        {}, {"schema_version": 2, "parsed": []}, {"schema_version": 1}, {"schema_version": 1, "parsed": [3]},
        {"schema_version": 1, "parsed": [{"parser": "x", "version": "1", "options": {}, "sources": [{}]}]},
        {"schema_version": 1, "parsed": [{"parser": "x", "version": "1", "options": {}, "sources": [{"url": "u", "last_modified": "x"}]}]},
    ],
    ids=range(6),
)  # fmt: skip
def test_provenance_documents_that_are_none(document):
    with pytest.raises(ManifestError):
        Provenance.from_json(document)


def test_times_are_kept_to_the_microsecond():
    when = datetime(2021, 3, 4, 5, 6, 7, 891234, UTC)
    assert FileTable([SourceFile("u", 1, None, when)])[0].last_modified == when
