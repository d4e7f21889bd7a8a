"""`verify`: what it finds, and that it finds it."""

import json
import os
import pickle
from pathlib import Path

import manifestry as mf
import numpy as np
import pytest
from hypothesis import given, strategies as st
from manifestry.cli.application import run
from manifestry.formats.loading import installed_formats
from manifestry.formats.report import pluralise
from manifestry.model.manifest import ChunkManifest
from manifestry.model.provenance import Provenance
from manifestry.testing.building import TreeBuilder
from manifestry.verification import origins
from manifestry.verification.comparing import sample_chunks
from manifestry.verification.correspondence import chunk_region
from manifestry.verification.metadata import _different
from manifestry.verification.report import ArrayCheck, Oracle, VerifyReport
from manifestry.verification.values import identical

VALUES = np.arange(40, dtype="i4").reshape(10, 4)


@pytest.fixture
def raw(toy_formats, tmp_path):
    """A raw file, and a function that writes a tree made of it as a box."""
    return toy_formats.raw_file(tmp_path / "a.raw", VALUES)


def boxed(tree: mf.VirtualGroup, target: Path, provenance=None) -> Path:
    """Write an output, right or wrong, without going through any check."""
    metadata = Provenance.to_json(tree.provenance if provenance is None else provenance)
    target.write_bytes(b"BOXF" + pickle.dumps((tree.with_(provenance=()), metadata)))
    return target


def changed(tree: mf.VirtualGroup, **columns) -> mf.VirtualGroup:
    """The tree with other columns in the manifest of its array, or other metadata."""
    array = tree.arrays["v"]
    old = array.manifest
    fields = ("grid_shape", "files", "file_index", "offsets", "lengths", "inline")
    kept = {name: columns.pop(name, getattr(old, name)) for name in fields}
    return tree.with_(
        arrays={"v": mf.VirtualArray(array.metadata.with_(**columns), ChunkManifest.from_columns(**kept))}
    )


@pytest.mark.parametrize(("fmt", "oracle"), [("raw", "native"), ("plain", "parsed afresh")])
@pytest.mark.parametrize(("samples", "compared"), [(1, 1), (4, 4), (16, 10), ("all", 10)])
def test_right_output(raw, tmp_path, fmt, oracle, samples, compared):
    mf.convert(raw, tmp_path / "a.box", format=fmt)
    report = mf.verify(tmp_path / "a.box", samples=samples)
    assert report.ok
    assert report.format == "box"
    (array,) = report.arrays
    assert (array.path, array.compared, array.chunks, array.mismatches) == ("v", compared, 10, ())
    assert array.oracle == oracle
    assert [(s.url, s.status) for s in report.sources] == [(f"file://{raw}", "unchanged")]
    assert report.summary() == f"verified: {pluralise(compared, 'chunk')} of 1 array compared, 1 source looked at"


def swap(tree):
    offsets = np.array(tree.arrays["v"].manifest.offsets)
    offsets[[3, 7]] = offsets[[7, 3]]
    return changed(tree, offsets=offsets)


def shift(tree):
    offsets = np.array(tree.arrays["v"].manifest.offsets)
    offsets[5] += np.uint64(4)
    return changed(tree, offsets=offsets)


def lose(tree):
    lengths = np.broadcast_to(tree.arrays["v"].manifest.lengths, 10).copy()
    lengths[9] = 0
    return changed(tree, lengths=lengths)


def invent(tree):
    index = np.zeros(10, "u4")
    index[2] = 0xFFFFFFFF
    offsets = np.array(tree.arrays["v"].manifest.offsets)
    offsets[2] = 0
    return changed(tree, file_index=index, offsets=offsets, inline=bytes(16))


def reverse(tree):
    return changed(tree, codecs=(mf.Codec("bytes", {"endian": "big"}),))


@pytest.mark.parametrize("fmt", ["raw", "plain"])
@pytest.mark.parametrize(
    ("damage", "wrong"),
    [
        (swap, ("3.0", "7.0")),
        (shift, ("5.0",)),
        (lose, ("9.0",)),
        (invent, ("2.0",)),
        (reverse, tuple(f"{i}.0" for i in range(10))),
    ],
)
def test_wrong_output(raw, tmp_path, fmt, damage, wrong):
    tree = mf.parse(raw, format=fmt)
    report = mf.verify(boxed(damage(tree), tmp_path / "a.box"), samples="all")
    assert not report.ok
    (array,) = report.arrays
    assert array.mismatches == wrong
    assert array.compared == 10
    assert report.wrong == (array,)
    assert report.summary().startswith("NOT verified: 1 array wrong or unreadable; ")


def test_what_cannot_be_decoded_costs_its_array_only(raw, tmp_path):
    tree = mf.parse(raw)
    array = tree.arrays["v"]
    garbled = mf.VirtualArray(
        array.metadata.with_(codecs=(*array.metadata.codecs, mf.Codec("gzip", {"level": 1}))), array.manifest
    )
    report = mf.verify(boxed(tree.with_(arrays={"v": array, "w": garbled}), tmp_path / "a.box"))
    good, bad = report.arrays
    assert not good.failed
    assert bad.failed
    assert "reading it through zarr" in bad.message


def several(toy_formats, tmp_path, count=3):
    paths = [toy_formats.raw_file(tmp_path / f"{i}.raw", VALUES + 100 * i) for i in range(count)]
    trees = [mf.parse(path) for path in paths]
    return mf.concat(trees, dim="y"), paths


def test_joined_sources(toy_formats, tmp_path):
    tree, _ = several(toy_formats, tmp_path)
    report = mf.verify(boxed(tree, tmp_path / "a.box"), samples="all")
    assert report.ok
    assert report.arrays[0].compared == 30
    assert len(report.sources) == 3


def test_sources_joined_in_the_wrong_order_inside_one_of_them(toy_formats, tmp_path):
    tree, _ = several(toy_formats, tmp_path)
    offsets = tree.arrays["v"].manifest.columns()[1].copy()
    offsets[10:20] = offsets[10:20][::-1]
    report = mf.verify(boxed(changed(tree, offsets=offsets), tmp_path / "a.box"), samples="all")
    assert len(report.arrays[0].mismatches) == 10
    assert "lies at another place" in report.arrays[0].message


def test_no_more_sources_are_open_than_a_process_may_have(toy_formats, tmp_path, monkeypatch):
    tree, _ = several(toy_formats, tmp_path, count=5)
    is_open, most = set(), []
    make, close = toy_formats.RawReader.__init__, toy_formats.RawReader.close
    monkeypatch.setattr(origins, "_MAX_OPEN", 2)
    monkeypatch.setattr(
        toy_formats.RawReader, "__init__", lambda r, s: (make(r, s), is_open.add(r), most.append(len(is_open)))[0]
    )
    monkeypatch.setattr(toy_formats.RawReader, "close", lambda r: (close(r), is_open.discard(r))[0])
    assert mf.verify(boxed(tree, tmp_path / "a.box"), samples="all").ok
    assert len(most) == 5
    assert max(most) <= 2
    assert not is_open


def test_renamed_array_is_found_by_its_references(raw, tmp_path):
    tree = mf.parse(raw).rename({"v": "w"})
    report = mf.verify(boxed(tree, tmp_path / "a.box"))
    assert report.ok
    assert report.arrays[0].compared == 10


def test_inline_chunks_are_found_by_shape(raw, tmp_path):
    tree = mf.parse(raw)
    inline = ChunkManifest.from_inline((10, 1), [VALUES[i].tobytes() for i in range(10)])
    copied = mf.VirtualArray(tree.arrays["v"].metadata, inline)
    report = mf.verify(boxed(tree.with_(arrays={"v": copied}), tmp_path / "a.box"), samples=4)
    assert report.ok
    assert report.arrays[0].compared == 4
    elsewhere = mf.verify(boxed(tree.with_(arrays={"other": copied}), tmp_path / "a.box"), samples=4)
    assert (elsewhere.arrays[0].compared, elsewhere.arrays[0].skipped) == (0, 4)
    assert "4 chunks not compared" in elsewhere.arrays[0].message
    assert "4 chunks could not be compared" in elsewhere.summary()


def test_inline_chunks_of_joined_sources(toy_formats, tmp_path):
    tree, _ = several(toy_formats, tmp_path)
    whole = np.concatenate([VALUES + 100 * i for i in range(3)])
    for wrong in ((), ("17.0",)):
        chunks = [whole[i if f"{i}.0" not in wrong else 0].tobytes() for i in range(30)]
        array = mf.VirtualArray(tree.arrays["v"].metadata, ChunkManifest.from_inline((30, 1), chunks))
        report = mf.verify(boxed(tree.with_(arrays={"v": array}), tmp_path / "a.box"), samples="all")
        assert report.arrays[0].mismatches == wrong


def one_inline_chunk(values, attributes) -> mf.VirtualGroup:
    codecs = (mf.Codec("bytes", {"endian": "little"}),)
    metadata = mf.ArrayMetadata(
        shape=values.shape,
        dtype=values.dtype,
        chunk_grid=mf.RegularGrid(values.shape),
        codecs=codecs,
        fill_value=0,
        dims=("y", "x"),
        attributes=attributes,
    )
    return mf.VirtualGroup({"v": mf.VirtualArray(metadata, ChunkManifest.from_inline((1, 1), [values.tobytes()]))})


@pytest.mark.parametrize("wrong", [False, True])
def test_one_chunk_copied_from_several_sources(toy_formats, tmp_path, wrong):
    tree, _ = several(toy_formats, tmp_path)
    whole = np.concatenate([VALUES + 100 * i for i in range(3)])
    whole[15, 2] += wrong
    target = boxed(one_inline_chunk(whole, {}), tmp_path / "a.box", tree.provenance)
    report = mf.verify(target)
    assert report.ok is not wrong
    assert report.arrays[0].compared == 1
    assert report.arrays[0].mismatches == (("0.0",) if wrong else ())


@pytest.mark.parametrize(
    ("mine", "theirs", "convert"),
    [
        ({"units": "days since 2000-01-01"}, {"units": "days since 2000-01-11"}, lambda v: v + 10),
        ({"scale_factor": 0.5}, {"scale_factor": 2.0}, lambda v: v * 4),
    ],
)
@pytest.mark.parametrize("wrong", [False, True])
def test_copies_that_were_encoded_anew_mean_the_same(toy_formats, tmp_path, mine, theirs, convert, wrong):
    """Each source counts its days from another day: the copy has those of the first."""
    first = mf.parse(toy_formats.raw_file(tmp_path / "1.raw", VALUES, own=mine))
    second = mf.parse(toy_formats.raw_file(tmp_path / "2.raw", VALUES, own=theirs))
    whole = np.concatenate([VALUES, VALUES if wrong else convert(VALUES)]).astype("i4")
    target = boxed(one_inline_chunk(whole, mine), tmp_path / "a.box", (*first.provenance, *second.provenance))
    assert mf.verify(target).ok is not wrong


def grow(path):
    with path.open("ab") as file:
        file.write(b"x")


def touch(path):
    os.utime(path, (1, 1))


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        (grow, "changed", "bytes, and has"),
        (touch, "changed", "last changed"),
        (Path.unlink, "missing", "does not exist"),
    ],
)
def test_changed_sources(toy_formats, tmp_path, change, status, message):
    tree, paths = several(toy_formats, tmp_path)
    target = boxed(tree, tmp_path / "a.box")
    change(paths[1])
    report = mf.verify(target, samples="all")
    assert not report.ok
    (source,) = report.changed
    assert (source.url, source.status) == (f"file://{paths[1]}", status)
    assert message in source.message
    assert report.arrays[0].mismatches == ()
    assert report.arrays[0].compared == 20
    assert "1 source changed" in report.summary()


def test_output_that_does_not_say_what_it_was_made_from(raw, tmp_path):
    target = boxed(mf.parse(raw), tmp_path / "a.box", provenance=())
    with pytest.raises(mf.UnsupportedFeatureError, match="output without provenance"):
        mf.verify(target)
    with pytest.raises(mf.OptionError, match="number of chunks or 'all'"):
        mf.verify(target, samples=0)


def test_open_object_is_not_verified_before_it_is_committed(raw):
    with pytest.raises(mf.OptionError, match="commit first"):
        mf.convert(raw, object(), to="box", verify=4)


def test_options_of_the_parser_are_those_of_then(raw, tmp_path):
    mf.convert(raw, tmp_path / "a.box", read={"rows": 5, "name": "w"})
    report = mf.verify(tmp_path / "a.box")
    assert report.ok
    assert (report.arrays[0].path, report.arrays[0].compared) == ("w", 2)


class TestCommandLine:
    def test_exit_codes_and_table(self, raw, tmp_path, capsys):
        target = str(tmp_path / "a.box")
        assert run(["convert", str(raw), target, "--verify", "3"]) == 0
        assert "verified: 3 chunks of 1 array compared" in capsys.readouterr().out
        assert run(["verify", target, "--samples", "all"]) == 0
        out = capsys.readouterr().out
        assert " ".join(out.splitlines()[1].split()) == "v 10 0 native"
        boxed(swap(mf.parse(raw)), tmp_path / "a.box")
        assert run(["verify", target]) == 1
        assert "NOT verified" in capsys.readouterr().out

    def test_json(self, raw, tmp_path, capsys):
        target = str(boxed(swap(mf.parse(raw)), tmp_path / "a.box"))
        assert run(["verify", target, "--json"]) == 1
        report = json.loads(capsys.readouterr().out)["report"]
        assert report["ok"] is False
        assert report["arrays"][0]["mismatches"] == ["3.0", "7.0"]

    def test_changed_source_is_named(self, raw, tmp_path, capsys):
        target = str(boxed(mf.parse(raw), tmp_path / "a.box"))
        grow(raw)
        assert run(["verify", target]) == 1
        assert f"changed: file://{raw}: it had" in capsys.readouterr().out

    def test_no_provenance(self, raw, tmp_path):
        assert run(["verify", str(boxed(mf.parse(raw), tmp_path / "a.box", provenance=()))]) == 4


@given(st.integers(1, 12), st.sets(st.integers(0, 39), max_size=40), st.booleans())
def test_samples_are_stored_chunks_and_a_few_others(samples, missing, everything):
    lengths = np.ones(40, "u8")
    lengths[list(missing)] = 0
    manifest = ChunkManifest.from_columns((8, 5), [mf.SourceFile("file:///x")], 0, 0, lengths)
    picked = [a * 5 + b for a, b in sample_chunks(manifest, "all" if everything else samples)]
    stored = sorted({*range(40)} - missing)
    taken = [i for i in picked if i not in missing]
    assert picked == sorted({*picked})
    assert len(taken) == (len(stored) if everything else min(samples, len(stored)))
    assert len(picked) - len(taken) == min(2, len(missing))
    if taken:
        assert taken[0] == stored[0]
    if len(taken) > 1:
        assert taken[-1] == stored[-1]
    again = [a * 5 + b for a, b in sample_chunks(manifest, "all" if everything else samples)]
    assert again == picked


def test_sampling_a_grid_of_any_size_costs_nothing():
    size = 1 << 50
    for length, count in ((1, 16), (0, 2)):
        manifest = ChunkManifest.from_columns((size,), [mf.SourceFile("file:///x")], 0, 0, length)
        assert len(list(sample_chunks(manifest, 16))) == count


def test_regions_of_chunks(tmp_path):
    builder = TreeBuilder(tmp_path)
    builder.array("regular", np.zeros((5, 7)), (2, 3))
    builder.array("rectilinear", np.zeros((5, 7)), mf.RectilinearGrid(((1, 4), (7,))))
    builder.array("scalar", np.array(1.0))
    arrays = builder.tree().arrays
    assert chunk_region(arrays["regular"].metadata, (2, 2)) == (slice(4, 5), slice(6, 7))
    assert chunk_region(arrays["rectilinear"].metadata, (1, 0)) == (slice(1, 5), slice(0, 7))
    assert chunk_region(arrays["scalar"].metadata, ()) == ()


PACKED = np.dtype([("a", "i2"), ("b", "f8")])
PADDED = np.dtype([("a", "i2"), ("b", "f8")], align=True)
NAN = np.array([np.nan, 1.0])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (NAN, NAN.copy(), True),
        (NAN, np.array([0x7FF8000000000001, 0x3FF0000000000000], "u8").view("f8"), True),
        (np.array([0.0]), np.array([-0.0]), False),
        (np.array([1, 2], "<i4"), np.array([1, 2], ">i4"), True),
        (np.array([1, 2], "i4"), np.array([1, 2], "i8"), False),
        (np.array([1, 2], "i4"), np.array([[1, 2]], "i4"), False),
        (np.array([True]), np.array([1], "i1"), True),
        (np.array([1], "u1"), np.array([1], "i1"), False),
        (np.array([complex(np.nan, 1)]), np.array([complex(np.nan, 1)]), True),
        (np.array([complex(np.nan, 1)]), np.array([complex(np.nan, 2)]), False),
        (np.array([(1, 2.0)], PACKED), np.array([(1, 2.0)], PADDED), True),
        (np.array([(1, 2.0)], PACKED), np.array([(1, 3.0)], PADDED), False),
        (np.array(["ä", ""], np.dtypes.StringDType()), np.array(["ä", ""], object), True),
        (np.array(["ä"], np.dtypes.StringDType()), np.array(["ä".encode()], object), True),
        (np.array([b"ab"], "S5"), np.array([b"ab"], "S2"), True),
        (np.array(["a"], object), np.array(["b"], object), False),
        (np.array([], "f4"), np.array([], "f4"), True),
    ],
)
def test_what_is_identical(one, other, same):
    assert identical(one, other) is same
    assert identical(other, one) is same


@pytest.mark.parametrize(
    ("fmt", "ending"), [("icechunk", ".icechunk"), ("kerchunk-json", ".json"), ("kerchunk-parquet", ".parq")]
)
def test_outputs_of_the_real_writers(tmp_path, fmt, ending):
    """Groups, compression, a scalar, missing chunks and a joined dimension, through every writer that is installed."""
    h5py = pytest.importorskip("h5py")
    if not {fmt, "hdf5"} <= {*installed_formats().parsers} or fmt not in installed_formats().writers:
        pytest.skip("not installed")
    for i in range(2):
        with h5py.File(tmp_path / f"{i}.h5", "w") as file:
            time = file.create_dataset("time", data=np.arange(4.0) + 4 * i)
            time.make_scale("time")
            v = file.create_dataset("v", data=VALUES[:4] + i, chunks=(2, 4), compression="gzip", fillvalue=-1)
            v.dims[0].attach_scale(time)
            sparse = file.create_dataset("g/sparse", (4, 4), "f4", chunks=(2, 4))
            sparse[3] = i
            sparse.dims[0].attach_scale(time)
            file["crs"] = np.int16(7)
    target = tmp_path / f"out{ending}"
    mf.convert([tmp_path / "0.h5", tmp_path / "1.h5"], target, concat_dim="time")
    report = mf.verify(target, samples="all")
    assert report.ok, report
    assert {a.path: a.mismatches for a in report.arrays} == dict.fromkeys(("v", "time", "crs", "g/sparse"), ())
    assert all(a.compared for a in report.arrays)
    grow(tmp_path / "1.h5")
    assert [s.status for s in mf.verify(target).sources] == ["unchanged", "changed"]


@pytest.fixture
def described(toy_formats, tmp_path):
    """The tree of a raw file with attributes."""
    own = {"units": "K", "long_name": "temperature"}
    return mf.parse(toy_formats.raw_file(tmp_path / "a.raw", VALUES, attributes={"title": "raw"}, own=own))


def other(**changes):
    """A change of some metadata of the array."""
    return lambda tree: tree.map_arrays(lambda _, a: mf.VirtualArray(a.metadata.with_(**changes), a.manifest))


@pytest.mark.parametrize(
    ("change", "told", "wrong"),
    [
        (other(attributes={"long_name": "temperature"}), 'v: attribute units is nothing, in the source "K"', True),
        (other(attributes={"units": "K"}), 'v: attribute long_name is nothing, in the source "temperature"', False),
        (
            other(attributes={"units": "K", "long_name": "temperature", "scale_factor": np.float32(0.5)}),
            "v: attribute scale_factor is 0.5, in the source nothing",
            True,
        ),
        (other(dims=("x", "y")), "v: dimensions is x, y, in the source ", False),
        (other(dtype=np.dtype("u4"), fill_value=np.uint32(0)), "v: data type is uint32, in the source int32", True),
        (lambda tree: tree.with_(attributes={}), '/: attribute title is nothing, in the source "raw"', False),
        (lambda tree: tree.rename({"v": "w"}), "v: array is missing, in the source there", False),
    ],
)
def test_metadata_is_compared(described, tmp_path, capsys, change, told, wrong):
    target = boxed(change(described), tmp_path / "a.box")
    report = mf.verify(target)
    assert [str(d).startswith(told) for d in report.differences] == [True]
    assert report.ok is not wrong
    assert run(["verify", str(target)]) == wrong
    assert f"{'WRONG' if wrong else 'differs'}: {told}" in capsys.readouterr().out


def test_metadata_that_is_the_same_is_not_told(described, tmp_path):
    report = mf.verify(boxed(described, tmp_path / "a.box"))
    assert (report.ok, report.differences) == (True, ())


@pytest.mark.parametrize(("count", "shown"), [(5, "0, 1, 2, 3, 4"), (6, "0, 1, 2, 3, 4, …"), (1, "0")])
def test_a_problem_names_a_few_chunks(count, shown):
    names = tuple(map(str, range(count)))
    check = ArrayCheck(path="v", chunks=9, compared=9, skipped=0, mismatches=names, oracle=Oracle.NATIVE, message="",
                       failed=True, differences=())  # fmt: skip
    report = VerifyReport(target="t", format="f", sources=(), arrays=(check,), groups=())
    assert list(report.problems()) == [f"wrong: v: values differ in {pluralise(count, 'chunk')}: {shown}"]


def test_differences_come_in_order():
    names = [f"name{number}" for number in range(20)]
    assert [
        name for name, *_ in _different(dict.fromkeys(names[:15], 1), dict.fromkeys(reversed(names[5:]), 2))
    ] == sorted(names)
