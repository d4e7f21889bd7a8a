"""Documents as sources: ours, those of others, and those that lie."""

from __future__ import annotations

import json

import manifestry as mf
import numpy as np
import pytest
import zarr
from examples import examples
from hypothesis import given, settings, strategies as st
from manifestry.plugin import Confidence, MalformedFileError, OptionError, Source, SourceError, UnsupportedFeatureError
from manifestry.testing.refusing import refusal, refuses
from manifestry.testing.trees import SAMPLES, make_sample
from manifestry_kerchunk_json import from_references
from manifestry_kerchunk_json.sniffing import sniff
from obstore.store import MemoryStore

ZARRAY = {
    "zarr_format": 2, "shape": [4], "chunks": [2], "dtype": "<i4", "compressor": None, "fill_value": None,
    "order": "C", "filters": None,
}  # fmt: skip


def array(**changes):
    return json.dumps({**ZARRAY, **changes})


def references(**chunks):
    return {".zgroup": '{"zarr_format": 2}', "v/.zarray": array(), **{f"v/{k[1:]}": v for k, v in chunks.items()}}


def locations(array):
    """Where the chunks are, whatever else is known of the files."""
    return {
        key: (found.data if found.file is None else (found.file.url, found.offset, found.length))
        for key, found in array.manifest.to_dict().items()
    }


@pytest.mark.parametrize("zarr_format", [2, 3, "both"])
def test_what_was_written_is_read(tmp_path, zarr_format):
    for name in SAMPLES:
        sample = make_sample(name, tmp_path / name)
        target = tmp_path / f"{name}.json"
        report = mf.write(sample.tree, target, zarr_format=zarr_format, on_unsupported="skip")
        found = mf.parse(target)
        refused = {issue.path for issue in report.issues if issue.severity == "refused"}
        for path, before in sample.tree.walk_arrays():
            if path in refused:
                continue
            after = found[path]
            assert (after.dtype, after.shape, after.dims) == (before.dtype, before.shape, before.dims)
            assert locations(before).items() <= locations(after).items()
            if zarr_format != 2:
                assert after.metadata.codecs == before.metadata.codecs
                assert after.metadata.with_(attributes={}) == before.metadata.with_(attributes={})
        assert {path for path, _ in found.walk()} == {path for path, _ in sample.tree.walk()}
        for path, expected in sample.attributes.items():
            got = {k: v for k, v in found[path].attributes.items() if k != "_FillValue"}
            assert got == expected


def test_files_and_provenance_come_back(tmp_path):
    sample = make_sample("sparse", tmp_path)
    first = tmp_path / "first.json"
    mf.write(sample.tree, first, zarr_format=3)
    tree = mf.parse(first)
    second = tmp_path / "second.json.zst"
    mf.write(tree, second, zarr_format=3)
    again = mf.parse(second)
    assert again == tree
    assert again.provenance == tree.provenance
    assert [part.parser for part in again.provenance] == ["kerchunk-json"]


def test_version_0_and_values_of_every_kind():
    chunks = {"c0": ["s3://bucket/a.bin", 0, 8], "c1": "base64:AAAAAAAAAAE="}
    found = from_references(references(**chunks))
    assert locations(found["v"]) == {"0": ("s3://bucket/a.bin", 0, 8), "1": b"\0\0\0\0\0\0\0\1"}
    text = from_references(references(c0="abcdefgh", c1=b"base64:AAAAAAAAAAE="))
    assert locations(text["v"]) == {"0": b"abcdefgh", "1": b"\0\0\0\0\0\0\0\1"}
    nested = from_references({**references(c0=b"12345678"), "v/.zarray": ZARRAY, "v/.zattrs": {"limit": float("nan")}})
    assert np.isnan(nested["v"].attributes["limit"])


def test_whole_files(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"12345678")
    found = from_references(references(c0=[str(tmp_path / "a.bin")], c1=["s3://b/c", 0, 8]))
    assert locations(found["v"])["0"] == (f"file://{tmp_path}/a.bin", 0, 8)
    with pytest.raises(SourceError, match="does not exist"):
        from_references(references(c0=[str(tmp_path / "b.bin")]))


def test_templates_generated_references_and_targets():
    document = {
        "version": 1,
        "templates": {"u": "bucket/path", "f": "s3://{{u}}/{{c}}"},
        "gen": [
            {
                "key": "v/{{i}}", "url": "{{f(c='x')}}_{{i}}", "offset": "{{(i + 1) * 1000}}", "length": "8",
                "dimensions": {"i": {"stop": 2}},
            }
        ],
        "refs": {"v/.zarray": array(), "w/.zarray": array(), "w/0": ["s3://{{ u }}/y", 5, 8], "w/1": [None, 7, 8]},
    }  # fmt: skip
    found = from_references(document, target="gs://other/z")
    assert locations(found["v"]) == {"0": ("s3://bucket/path/x_0", 1000, 8), "1": ("s3://bucket/path/x_1", 2000, 8)}
    assert locations(found["w"]) == {"0": ("s3://bucket/path/y", 5, 8), "1": ("gs://other/z", 7, 8)}
    other = from_references(document, target="gs://other/z", templates={"u": "mirror"})
    assert locations(other["v"])["0"] == ("s3://mirror/x_0", 1000, 8)


@pytest.mark.parametrize(
    "expression", ["__import__('os').system('true')", "u.upper()", "9**9**9", "(1).real", "u[0]", "1/0", "x", "1 +"]
)
def test_templates_run_no_code(expression):
    document = {"version": 1, "templates": {"u": "a"}, "refs": references(c0=[f"s3://b/{{{{{expression}}}}}", 0, 8])}
    with pytest.raises(MalformedFileError, match="template"):
        from_references(document)


def test_generated_references_have_a_limit():
    rule = {"key": "v/{{i}}{{j}}", "url": "s3://b/c", "dimensions": {"i": {"stop": 10**9}, "j": {"stop": 10**9}}}
    with pytest.raises(UnsupportedFeatureError, match=r"too many generated references .*max_generated_references"):
        from_references({"version": 1, "gen": [rule], "refs": references()})
    endless = {"version": 1, "templates": {"u": "{{u}}"}, "refs": references(c0=["{{u}}", 0, 8])}
    with pytest.raises(MalformedFileError, match="contain each other"):
        from_references(endless)


@pytest.mark.parametrize("number", [float("inf"), 1.5, True, "1", None])
def test_generated_references_count_in_whole_numbers(number):
    for change in ({"dimensions": {"i": {"stop": number}}}, {"dimensions": {"i": [number]}}):
        rule = {"key": "v/{{i}}", "url": "s3://b/c"} | change
        with pytest.raises(MalformedFileError, match="is not a whole number"):
            from_references({"version": 1, "gen": [rule], "refs": references()})


@pytest.mark.parametrize("separator", [".", "/"])
@pytest.mark.parametrize("version", [2, 3])
def test_separators_and_nested_groups(separator, version):
    if version == 2:
        doc = {"g/v/.zarray": array(shape=[4, 6], chunks=[2, 2], dimension_separator=separator)}
        prefix = "g/v/"
    else:
        tree = from_references(references())
        from manifestry.plugin import documents_of

        meta = tree["v"].metadata.with_(shape=(4, 6), chunk_grid=mf.RegularGrid((2, 2)))
        document = dict(documents_of(meta).json["zarr.json"])
        document["chunk_key_encoding"]["configuration"]["separator"] = separator
        doc, prefix = {"g/v/zarr.json": document}, f"g/v/c{separator}"
    chunks = {f"{prefix}{i}{separator}{j}": ["s3://b/x", 10 * i + j, 16] for i in range(2) for j in range(3)}
    found = from_references({**doc, **chunks})
    assert locations(found["g/v"]) == {f"{i}.{j}": ("s3://b/x", 10 * i + j, 16) for i in range(2) for j in range(3)}
    assert locations(from_references({**doc, **chunks}, group="g")["v"]) == locations(found["g/v"])


def test_consolidated_metadata():
    document = {".zmetadata": json.dumps({"metadata": {"v/.zarray": ZARRAY}}), "v/0": ["s3://b/x", 0, 8]}
    assert locations(from_references(document)["v"]) == {"0": ("s3://b/x", 0, 8)}
    with pytest.raises(MalformedFileError, match="zmetadata"):
        from_references({**document, ".zmetadata": "[]"})


def test_an_array_that_is_the_root_gets_a_name(tmp_path):
    document = {".zarray": array(), "0": ["s3://b/x", 0, 8], "1": ["s3://b/x", 8, 8]}
    assert locations(from_references(document)["array"]) == {"0": ("s3://b/x", 0, 8), "1": ("s3://b/x", 8, 8)}
    assert not from_references(document, exclude=["array"]).arrays
    (tmp_path / "image.json").write_text(json.dumps(document))
    assert list(mf.parse(tmp_path / "image.json").arrays) == ["image"]


def test_order_f_becomes_a_transpose():
    found = from_references({"v/.zarray": array(shape=[4, 6], chunks=[4, 6], order="F"), "v/0.0": ["s3://b/x", 0, 96]})
    assert found["v"].metadata.codecs[0] == mf.Codec("transpose", {"order": [1, 0]})


def test_relative_paths_lie_beside_the_document(tmp_path):
    (tmp_path / "ref.json").write_text(json.dumps(references(c0=["data/a b.bin", 0, 8], c1=["/abs/c.bin", 0, 8])))
    found = locations(mf.parse(tmp_path / "ref.json")["v"])
    assert found == {"0": (f"file://{tmp_path}/data/a b.bin", 0, 8), "1": ("file:///abs/c.bin", 0, 8)}


def remote(document):
    store = MemoryStore()
    store.put("docs/ref.json", json.dumps(document).encode())
    return {"memory://there": store}


def test_a_remote_document_may_not_point_everywhere():
    for url, prefix in (
        ("/etc/passwd", "file:///etc/"),
        ("file:///etc/passwd", "file:///etc/"),
        ("http://169.254.169.254/latest", "http://169.254.169.254/latest"),
        ("s3://other/a/x", "s3://other/a/"),
        ("memory://elsewhere/x", "memory://elsewhere/x"),
    ):
        stores = remote(references(c0=[url, 0, 8]))
        with pytest.raises(SourceError) as caught:
            mf.parse("memory://there/docs/ref.json", stores=stores)
        assert str(caught.value).endswith(f"is not allowed; if you trust it, add allow=['{prefix}']")
        assert "v" in mf.parse("memory://there/docs/ref.json", stores=stores, allow=[prefix]).arrays
    stores = remote(references(c0=["../data/x", 0, 8]))
    found = mf.parse("memory://there/docs/ref.json", stores=stores)
    assert locations(found["v"])["0"] == ("memory://there/data/x", 0, 8)
    stores = remote(references(c0=["s3://other/data/x", 0, 8]))
    found = mf.parse("memory://there/docs/ref.json", stores=stores, allow=["s3://other/data"])
    assert locations(found["v"])["0"] == ("s3://other/data/x", 0, 8)
    stores = remote(references(c0=["s3://other/database", 0, 8]))
    with pytest.raises(SourceError, match="not allowed"):
        mf.parse("memory://there/docs/ref.json", stores=stores, allow=["s3://other/data"])
    with pytest.raises(SourceError, match="not allowed"):
        from_references(references(c0=["/etc/passwd", 0, 8]), allow=["/data"])


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ({"c0": ["s3://b/x", 0, 0]}, "offset 0 and the length 0; .* must be positive"),
        ({"c0": ["s3://b/x", -1, 8]}, "Expected `int` >= 0"),
        ({"c0": ["s3://b/x", 0.5, 8]}, "Expected `int`"),
        ({"c0": ["s3://b/x", 2**70, 8]}, "is not a reference|beyond"),
        ({"c0": ["s3://b/x", 8]}, "offset 8 and the length -1; .* must be positive"),
        ({"c0": [None, 0, 8]}, "option target"),
        ({"c0": ""}, "no bytes"),
        ({"c0": "base64:!"}, "is not valid base64"),
        ({"c0": 5}, "int is not a reference"),
        ({"c7": ["s3://b/x", 0, 8]}, "chunk 7 along dimension 0 is beyond the 2 of the grid"),
        ({"c00": ["s3://b/x", 0, 8]}, "not chunk keys of 1 dimensions"),
        ({"c-1": ["s3://b/x", 0, 8]}, "not chunk keys of 1 dimensions"),
        ({"c0.0": ["s3://b/x", 0, 8]}, "not chunk keys of 1 dimensions"),
        ({"c0": ["s3://b/x", 0, 4]}, "4 bytes, expected 8"),
        ({"c0": ["ftp://b/x", 0, 8]}, "no store for ftp"),
        ({"c0": ["a\0b", 0, 8]}, "character NUL"),
    ],
)
def test_references_that_lie_are_refused(chunks, message):
    with refuses(match=message):
        from_references(references(**chunks))


def test_one_bad_array_costs_itself_only(tmp_path):
    document = references(c0=["s3://b/x", 0, 8])
    document |= {"w/.zarray": array(filters=[{"id": "unheard-of"}]), "x/.zarray": "{", "y/.zarray": array(), "y/9": "?"}
    document |= {"z/.zarray": array(), "z/.zattrs": "[" * 100_000, "node/zarr.json": '{"node_type": "link"}'}
    document |= {"dims/.zarray": array(), "dims/.zattrs": '{"_ARRAY_DIMENSIONS": "n"}'}
    (tmp_path / "ref.json").write_text(json.dumps({"version": 1, "refs": document}))
    found = mf.parse(tmp_path / "ref.json", on_unsupported="skip")
    assert list(found.arrays) == ["v"]
    assert [issue.path for issue in found.issues] == ["w", "x", "z", "node", "dims", "y"]
    with pytest.raises(UnsupportedFeatureError, match="6 parts"):
        mf.parse(tmp_path / "ref.json")
    assert list(from_references(document, on_unsupported="skip").arrays) == ["v"]
    assert list(mf.parse(tmp_path / "ref.json", include=["v"]).arrays) == ["v"]


def test_what_is_no_document(tmp_path):
    for content in (b"{", b"[1]", b'{"version": 7, "refs": {".zgroup": "{}"}}', b"\x28\xb5\x2f\xfdxx", b'{"refs": 3}'):
        (tmp_path / "bad.json").write_bytes(content)
        with refuses():
            mf.parse(tmp_path / "bad.json", format="kerchunk-json")
    with pytest.raises(OptionError, match="no group"):
        from_references(references(), group="nowhere")
    with pytest.raises(OptionError):
        from_references(references(), alow=["x"])


def test_a_bomb_does_not_go_off(tmp_path):
    from backports import zstd

    (tmp_path / "bomb.json.zst").write_bytes(zstd.compress(b'{"version":1,"refs":{}}' + b" " * (64 << 20)))
    with pytest.raises(MalformedFileError, match="more than"):
        mf.parse(tmp_path / "bomb.json.zst", format="kerchunk-json")


def test_detection_by_content(tmp_path):
    mf.write(make_sample("zeros", tmp_path).tree, tmp_path / "a.json")
    (tmp_path / "no-ending").write_bytes((tmp_path / "a.json").read_bytes())
    mf.write(make_sample("zeros", tmp_path).tree, tmp_path / "b", format="kerchunk-json", compression="zstd")
    for name in ("no-ending", "b"):
        assert "floats" in mf.parse(tmp_path / name).arrays
    (tmp_path / "package.json").write_text('{"name": "a package"}')
    with pytest.raises(mf.UnknownFormatError):
        mf.parse(tmp_path / "package.json")


def test_what_the_kerchunk_package_makes_of_a_file(tmp_path):
    h5py = pytest.importorskip("h5py")
    from kerchunk.hdf import SingleHdf5ToZarr

    values = np.arange(60, dtype="i4").reshape(6, 10)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("v", data=values, chunks=(4, 4), compression="gzip", shuffle=True)
        file["scalar"] = np.float64(2.5)
        file.create_group("g")["w"] = values
    made = SingleHdf5ToZarr(str(tmp_path / "a.h5"), inline_threshold=0).translate()
    tree = from_references(made)
    mf.write(tree, tmp_path / "out.json", zarr_format=3)
    import fsspec
    import zarr

    system = fsspec.filesystem("reference", fo=str(tmp_path / "out.json"), asynchronous=True, remote_protocol="file")
    root = zarr.open_group(zarr.storage.FsspecStore(system, read_only=True, path=""), mode="r", zarr_format=3)
    assert np.array_equal(root["v"][...], values)
    assert np.array_equal(root["g/w"][...], values)
    assert root["scalar"][...] == 2.5


@settings(max_examples=examples(40), deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            ["v/0", "v/1", "v/.zarray", "v/.zattrs", "zarr.json", "v/zarr.json", ".zgroup", "", "/", "w/0"]
        ),
        st.one_of(
            st.text(max_size=20),
            st.binary(max_size=20),
            st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=5)), max_size=4),
            st.just(array()),
            st.fixed_dictionaries(
                {"zarr_format": st.integers(1, 4), "shape": st.lists(st.integers(-1, 5), max_size=2)}
            ),
        ),
    )
)
def test_nothing_but_our_errors(document):
    with refusal():
        from_references(document, on_unsupported="skip")


def test_the_scalar_key_of_virtualizarr(tmp_path):
    """VirtualiZarr 2.8 writes ``crs/`` for the chunk of a scalar in Zarr v2."""
    (tmp_path / "a.bin").write_bytes(b"\0\7\0\0\0")
    zarray = {
        "zarr_format": 2, "shape": [], "chunks": [], "dtype": "<i4", "compressor": None, "filters": None, "fill_value": 42,
        "order": "C",
    }  # fmt: skip
    refs = {
        ".zgroup": '{"zarr_format":2}',
        "crs/.zarray": json.dumps(zarray),
        "crs/": [f"file://{tmp_path}/a.bin", 1, 4],
    }
    tree = from_references(refs)
    assert zarr.open_array(mf.open_store(tree), path="crs", mode="r")[()] == 7
    with pytest.raises(MalformedFileError, match="not the key of the chunk of a scalar"):
        from_references(refs | {"crs/0": [f"file://{tmp_path}/a.bin", 1, 4]})


def test_a_document_is_known_by_keys_beyond_the_first_bytes(tmp_path):
    text = '{"a note": "' + "x" * 5000 + '", ".zgroup": {"zarr_format": 2}}'
    (tmp_path / "d").write_text(text)
    source = Source(tmp_path / "d")
    for head in (text[:64], " " + text[:64], "{"):
        assert sniff(head.encode(), source) is Confidence.CERTAIN
    (tmp_path / "e").write_text("[" + text[1:])
    assert sniff(b"[", Source(tmp_path / "e")) is Confidence.NO
