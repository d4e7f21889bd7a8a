"""What documents contain beyond plain HDF5 datasets, one feature after the other."""

from __future__ import annotations

import base64
import zlib

import manifestry as mf
import numpy as np
import pytest


def b64(data):
    return base64.b64encode(data).decode()


def chunk(offset, size, position="", extra=""):
    at = f' chunkPositionInArray="{position}"' if position else ""
    return f'<dmrpp:chunk offset="{offset}" nBytes="{size}"{at} {extra}/>'


def contiguous(kind, name, dims, size, properties="", offset=0):
    return f'<{kind} name="{name}">{dims}<dmrpp:chunks {properties}>{chunk(offset, size)}</dmrpp:chunks></{kind}>'


def test_direct_child_chunk_big_endian_and_all_fill(documents):
    data = np.arange(6, dtype=">i2").tobytes()
    got = documents.values(
        '<Dimension name="x" size="6"/>'
        '<Int16 name="old"><Dim name="/x"/><dmrpp:chunk offset="0" nBytes="12"/></Int16>'
        + contiguous("Int16", "big", '<Dim name="x"/>', 12, 'byteOrder="BE"')
        + '<Float32 name="fill"><Dim size="2"/><dmrpp:chunks fillValue="-9999.9"/></Float32>'
        + '<Int8 name="negative"><Dim size="2"/><dmrpp:chunks fillValue="-1"/></Int8>'
        + '<Byte name="byte"><Dim size="1"/><dmrpp:chunks fillValue="-1"/></Byte>'
        + '<Int32 name="none"><Dim size="3"/><Dim size="0"/></Int32>',
        data,
    )
    assert got["old"].tolist() == np.frombuffer(data, "<i2").tolist()
    assert got["big"].tolist() == list(range(6))
    assert got["fill"].tolist() == [np.float32(-9999.9)] * 2
    assert (got["negative"].tolist(), got["byte"].tolist(), got["none"].shape) == ([-1, -1], [255], (3, 0))


def test_values_in_the_document(documents):
    floats = np.arange(4, dtype="<f4")
    got = documents.values(
        f'<Float32 name="compact"><Dim size="4"/><dmrpp:compact>{b64(floats.tobytes())}</dmrpp:compact></Float32>'
        f'<Float32 name="zipped"><Dim size="4"/>'
        f"<dmrpp:missingdata>{b64(zlib.compress(floats.tobytes()))}</dmrpp:missingdata></Float32>"
        f'<Byte name="one"><dmrpp:missingdata>{b64(b"x")}</dmrpp:missingdata></Byte>'
        f'<String name="text"><dmrpp:compact>{b64(b"hello")}</dmrpp:compact></String>'
        f'<String name="texts"><Dim size="2"/><dmrpp:compact>{b64(b"ab cd ")}</dmrpp:compact>'
        '<dmrpp:FixedLengthStringArray string_length="3" pad="space_pad"/></String>'
        '<String name="runs"><Dim size="5"/><dmrpp:vlsa><v>a b</v><v c="3"/>'
        f'<v s="600">{b64(zlib.compress(b"x" * 600))}</v></dmrpp:vlsa></String>'
    )
    assert got["compact"].tolist() == got["zipped"].tolist() == [0, 1, 2, 3]
    assert (got["one"][()], got["text"][()]) == (ord("x"), b"hello")
    assert got["texts"].tolist() == [b"ab", b"cd"]
    assert got["runs"].tolist() == ["a b", "", "", "", "x" * 600]


def test_fixed_length_strings_by_their_padding(documents):
    data = b"ab\0x" + b"cd  "
    body = "".join(
        f'<String name="{pad}"><Dim size="2"/><dmrpp:chunks>{chunk(0, 8)}</dmrpp:chunks>'
        f'<dmrpp:FixedLengthStringArray string_length="4" pad="{pad}"/></String>'
        for pad in ("null_term", "null_pad", "space_pad")
    )
    got = documents.values(body + f'<String name="scalar"><dmrpp:chunks>{chunk(4, 2)}</dmrpp:chunks></String>', data)
    assert got["null_term"].tolist() == [b"ab", b"cd  "]
    assert got["null_pad"].tolist() == [b"ab\0x", b"cd  "]
    assert got["space_pad"].tolist() == [b"ab\0x", b"cd"]
    assert got["scalar"][()] == b"cd"


def test_strings_without_a_declared_length_have_that_of_their_chunks(documents):
    at = f"{chunk(0, 10, '[0]')}{chunk(10, 10, '[2]')}"
    body = (
        '<String name="s"><Dim size="3"/><dmrpp:chunks {}><dmrpp:chunkDimensionSizes>2</dmrpp:chunkDimensionSizes>{}'
        "</dmrpp:chunks></String>"
    )
    data = b"abcdefghijkl\0\0\0?????"
    assert documents.values(body.format("", at), data)["s"].tolist() == [b"abcde", b"fghij", b"kl"]
    for broken in (at.replace('nBytes="10"', 'nBytes="9"'), at.replace('nBytes="10"', 'nBytes="12"', 1)):
        with pytest.raises(mf.MalformedFileError, match="for elements of one size"):
            documents.parse(body.format("", broken), data)
    with pytest.raises(mf.UnsupportedFeatureError, match="String without a length"):
        documents.parse(body.format('compressionType="deflate"', at), data)


@pytest.mark.parametrize("size", [12, 16])
def test_strings_that_may_be_references_are_refused(documents, size):
    body = f'<String name="s"><Dim size="2"/><dmrpp:chunks>{chunk(0, 2 * size)}</dmrpp:chunks></String>'
    data = b"sixteen letters." * 2
    assert documents.values(body, data)["s"].tolist() == [data[:size], data[size : 2 * size]]
    with pytest.raises(mf.UnsupportedFeatureError, match=f"strings of {size} bytes in a document without a version"):
        documents.parse(body, version=None)


def test_dimensions_without_a_variable_are_no_arrays(documents):
    tree = documents.parse(
        '<Dimension name="x" size="2"/><Float32 name="x"><Dim name="/x"/></Float32>'
        '<Group name="g"><Dimension name="y" size="2"/><Float32 name="y"><Dim name="/g/y"/></Float32></Group>'
    )
    assert list(tree.walk_arrays()) == []
    assert [(i.path, i.feature, i.severity) for i in tree.issues] == [
        ("g/y", "dimension without a variable", "reported"),
        ("x", "dimension without a variable", "reported"),
    ]
    with pytest.raises(mf.UnsupportedFeatureError, match="values the document does not have"):
        documents.parse('<Dimension name="x" size="2"/><Float32 name="v"><Dim name="/x"/></Float32>')


def test_structures_with_and_without_gaps(documents):
    packed = np.zeros(2, [("a", "<i4"), ("b", "<f8")])
    packed["a"], packed["b"] = [1, 2], [3, 4]
    gaps = np.zeros(2, {"names": ["a", "b"], "formats": [">i2", ">f8"], "offsets": [0, 8], "itemsize": 24})
    gaps["a"], gaps["b"] = [5, 6], [7, 8]
    members = '<Int{} name="a"/><Float64 name="b"/><Dim size="2"/>'
    got = documents.values(
        f'<Structure name="packed">{members.format(32)}<dmrpp:chunks>{chunk(0, 24)}</dmrpp:chunks></Structure>'
        f'<Structure name="gaps">{members.format(16)}<dmrpp:chunks byteOrder="BE" structOffset="8 24" '
        f'fillValue="3 4.5">{chunk(24, 48)}</dmrpp:chunks></Structure>'
        f'<Structure name="special">{members.format(32)}<String name="s"/><dmrpp:specialstructuredata>'
        f"{b64(packed[0].tobytes() + b64(b'abc').encode() + b';' + packed[1].tobytes() + b64(b'').encode() + b';')}"
        "</dmrpp:specialstructuredata></Structure>"
        '<Structure name="filled"><Int16 name="a"/><Float64 name="b"/><Dim size="2"/>'
        '<dmrpp:chunks fillValue="3 4.5"/></Structure>',
        packed.tobytes() + gaps.tobytes(),
    )
    assert got["packed"].tolist() == [(1, 3.0), (2, 4.0)]
    assert got["gaps"].tolist() == [(5, 7.0), (6, 8.0)]
    assert got["special"].tolist() == [(1, 3.0, b"abc"), (2, 4.0, b"")]
    assert got["filled"].tolist() == [(3, 4.5), (3, 4.5)]


@pytest.mark.parametrize("names", [("a", "a"), ("", "a")])
@pytest.mark.parametrize("payload", ["chunks", "specialstructuredata"])
def test_members_need_names_of_their_own(documents, names, payload):
    """numpy would choose one for a member without a name."""
    content = {"chunks": chunk(0, 8), "specialstructuredata": b64(bytes(8))}[payload]
    members = "".join(f'<Int32 name="{name}"/>' for name in names)
    with pytest.raises(mf.UnsupportedFeatureError, match="members named"):
        documents.parse(
            f'<Structure name="s">{members}<dmrpp:{payload}>{content}</dmrpp:{payload}></Structure>', bytes(8)
        )


def test_structures_with_members_that_are_arrays(documents):
    stored = np.dtype(
        {
            "names": ["a", "b", "c", "n"],
            "formats": [">i2", (">f4", (2, 3)), ("u1", (2,)), ([("x", ">i4"), ("y", ">u2", (2,))], (2,))],
            "offsets": [0, 4, 28, 32],
            "itemsize": 48,
        }
    )
    gaps = np.frombuffer(np.random.default_rng(1).integers(0, 60, 2 * 48).astype("u1").tobytes(), stored)
    packed = gaps.astype(
        [("a", "<i2"), ("b", "<f4", (2, 3)), ("c", "u1", (2,)), ("n", gaps["n"].dtype.newbyteorder("<"), (2,))]
    )
    members = (
        '<Int16 name="a"/><Float32 name="b"><Dim name="/two"/><Dim size="3"/></Float32><Byte name="c"><Dim name="two"/></Byte>'
        '<Structure name="n"><Int32 name="x"/><UInt16 name="y"><Dim size="2"/></UInt16><Dim size="2"/></Structure><Dim size="2"/>'
    )
    texts = b"".join(base64.b64encode(t) + b";" for t in (b"a", b"", b"abc"))
    tree = documents.parse(
        '<Dimension name="two" size="2"/>'
        f'<Structure name="packed">{members}<dmrpp:chunks>{chunk(0, 2 * 44)}</dmrpp:chunks></Structure>'
        f'<Structure name="gaps">{members}<dmrpp:chunks byteOrder="BE" structOffset="4 28 32 48">{chunk(88, 96)}</dmrpp:chunks></Structure>'
        '<Structure name="filled"><Int16 name="a"><Dim size="2"/></Int16><Float32 name="b"/><Dim size="2"/>'
        '<dmrpp:chunks fillValue="3 4 0.5"/></Structure>'
        '<Structure name="special"><Int16 name="a"><Dim size="2"/></Int16><String name="s"><Dim size="3"/></String><Float32 name="f"/>'
        f"<dmrpp:specialstructuredata>{b64(np.array([1, 2], '<i2').tobytes() + texts + np.float32(0.5).tobytes())}"
        "</dmrpp:specialstructuredata></Structure>",
        packed.tobytes() + gaps.tobytes(),
    )
    got = documents_values(tree)
    assert got["packed"].dtype == got["gaps"].dtype == packed.dtype
    assert got["packed"].tobytes() == got["gaps"].tobytes() == packed.tobytes()
    assert got["filled"]["a"].tolist() == [[3, 4], [3, 4]]
    assert got["filled"]["b"].tolist() == [0.5, 0.5]
    assert got["special"]["s"].tolist() == [b"a", b"", b"abc"]
    assert (got["special"]["a"].tolist(), float(got["special"]["f"])) == ([1, 2], 0.5)
    with pytest.raises(mf.UnsupportedFeatureError, match="missing chunks with the fill value '3 4'"):
        documents.parse(
            '<Structure name="v"><Int16 name="a"><Dim size="2"/></Int16><Float32 name="b"/><dmrpp:chunks fillValue="3 4"/></Structure>'
        )


def test_complex_numbers(documents):
    data = np.array([1 + 2j, 3 - 4j], "<c8")
    member = '<Float32 name="r"/><Float32 name="i"/>'
    got = documents.values(
        f'<Structure name="v">{member}<Dim size="2"/><dmrpp:chunks fillValue="0">{chunk(0, 16)}</dmrpp:chunks></Structure>'
        f'<Structure name="big">{member}<Dim size="2"/><dmrpp:chunks byteOrder="BE">{chunk(16, 16)}</dmrpp:chunks></Structure>'
        f'<Structure name="in"><Int8 name="a"/><Structure name="z">{member}<Dim size="2"/></Structure>'
        f'<dmrpp:chunks structOffset="4 20">{chunk(32, 20)}</dmrpp:chunks></Structure>'
        f'<Structure name="none">{member}<Dim size="2"/><dmrpp:chunks fillValue="1 2"/></Structure>'
        f'<Structure name="gap">{member}<dmrpp:chunks structOffset="8 16">{chunk(0, 16)}</dmrpp:chunks></Structure>',
        data.tobytes() + data.astype(">c8").tobytes() + b"\7???" + data.tobytes(),
    )
    assert got["v"].dtype == np.dtype("c8")
    assert got["v"].tolist() == got["big"].tolist() == got["in"]["z"].tolist() == data.tolist()
    assert got["in"]["a"] == 7
    assert got["none"].tolist() == [1 + 2j] * 2
    assert got["gap"].dtype.names == ("r", "i")


def test_enumerations_and_opaques(documents):
    tree = documents.parse(
        '<Enumeration name="Color" basetype="Byte"><EnumConst name="DARK RED" value="0"/>'
        '<EnumConst name="BLUE" value="2"/></Enumeration>'
        '<Enumeration name="BOOL" basetype="Int8"><EnumConst name="FALSE" value="0"/>'
        '<EnumConst name="TRUE" value="1"/></Enumeration><Group name="g">'
        + contiguous("Enum", "c", '<Dim size="2"/>', 2).replace("<Enum ", '<Enum enum="/Color" ')
        + "</Group>"
        + contiguous("Enum", "b", '<Dim size="2"/>', 2).replace("<Enum ", '<Enum enum="BOOL" ')
        + contiguous("Opaque", "o", "", 3),
        b"\x00\x01\x02",
    )
    assert tree["g/c"].attributes["flag_meanings"] == "DARK_RED BLUE"
    assert tree["g/c"].attributes["flag_values"].tolist() == [0, 2]
    assert (tree["g/c"].dtype, tree["b"].dtype, tree["o"].dtype) == (np.dtype("u1"), np.dtype("?"), np.dtype("V3"))


def test_filter_order_of_documents_without_a_version(documents):
    data = np.arange(100, dtype="<i4")
    stored = zlib.compress(data.view("u1").reshape(100, 4).T.tobytes())
    body = contiguous("Int32", "v", '<Dim size="100"/>', len(stored), 'compressionType="deflate shuffle"')
    assert documents.values(body, stored, version=None)["v"].tolist() == data.tolist()
    shuffled = np.frombuffer(zlib.compress(data.tobytes()), "u1")
    shuffled = shuffled[: len(shuffled) // 4 * 4]
    names = [c.name for c in documents.parse(body, stored)["v"].metadata.codecs]
    assert names == ["bytes", "numcodecs.zlib", "manifestry.shuffle"]
    assert len(shuffled) % 4 == 0


@pytest.mark.parametrize("filters", ["deflate deflate", "shuffle deflate deflate", "fletcher32 deflate deflate"])
def test_chunks_that_were_deflated_once_although_the_list_says_twice(documents, filters):
    import numcodecs

    data = np.arange(32, dtype="<i4").reshape(2, 16)
    parts = []
    for row, times in zip(data, (1, 2), strict=True):
        raw = row.view("u1").reshape(16, 4).T.tobytes() if "shuffle" in filters else row.tobytes()
        if "fletcher32" in filters:
            raw = bytes(numcodecs.Fletcher32().encode(raw))
        for _ in range(times):
            raw = zlib.compress(raw)
        parts.append(raw)
    body = (
        f'<Int32 name="v"><Dim size="2"/><Dim size="16"/><dmrpp:chunks compressionType="{filters}">'
        "<dmrpp:chunkDimensionSizes>1 16</dmrpp:chunkDimensionSizes>"
        f"{chunk(0, len(parts[0]), '[0,0]')}{chunk(len(parts[0]), len(parts[1]), '[1,0]')}</dmrpp:chunks></Int32>"
    )
    assert documents.values(body, b"".join(parts))["v"].tolist() == data.tolist()
    told = documents.parse(body.replace("<dmrpp:chunks", '<dmrpp:chunks deflateLevel="4 1"'))["v"].metadata.codecs
    assert [codec.configuration for codec in told[-2:]] == [{"level": 4}, {"level": 1}]


def test_linked_blocks_of_hdf4(documents):
    data = np.arange(12, dtype=">i4")
    raw = data.tobytes()
    file = b"??" + raw[:16] + b"!" + raw[16:32] + b"!" + raw[32:]
    zipped = zlib.compress(raw)
    blocks = "".join(f'<dmrpp:block offset="{o}" nBytes="16"/>' for o in (2, 19, 36))
    uneven = "".join(f'<dmrpp:block offset="{o}" nBytes="{n}"/>' for o, n in ((2, 16), (19, 16), (36, 4), (40, 12)))
    dims = '<Dim size="6"/><Dim size="2"/>'
    at = len(file)
    linked = "".join(
        chunk(o, n, "[0,0]", f'LinkedBlockIndex="{i}"') for i, (o, n) in enumerate([(at, 9), (at + 9, len(zipped) - 9)])
    )
    tree = documents.parse(
        f'<Int32 name="rows">{dims}<dmrpp:chunks byteOrder="BE">{blocks}</dmrpp:chunks></Int32>'
        f'<Int32 name="uneven">{dims}<dmrpp:chunks byteOrder="BE">{uneven}</dmrpp:chunks></Int32>'
        f'<Int32 name="chunked">{dims}<dmrpp:chunks byteOrder="BE" compressionType="deflate" LBChunk="true">'
        f"<dmrpp:chunkDimensionSizes>6 2</dmrpp:chunkDimensionSizes>{linked}</dmrpp:chunks></Int32>",
        file + zipped,
    )
    from_store = {name: values.tolist() for name, values in documents_values(tree).items()}
    assert from_store == dict.fromkeys(["rows", "uneven", "chunked"], data.reshape(6, 2).tolist())
    assert tree["rows"].manifest.grid_shape == (3, 1)
    assert tree["rows"].manifest.inline == b""
    assert tree["chunked"].manifest.inline == zipped


def documents_values(tree):
    import zarr

    root = zarr.open_group(mf.open_store(tree), mode="r")
    return {path: root[path][...] for path, _ in tree.walk_arrays()}


def test_dimensions(documents):
    tree = documents.parse(
        '<Dimension name="x" size="2"/><Group name="g"><Dimension name="x" size="3"/>'
        '<Int8 name="near"><Dim name="x"/><dmrpp:chunks fillValue="0"/></Int8><Int8 name="far"><Dim name="/x"/><dmrpp:chunks fillValue="0"/></Int8>'
        '<Int8 name="cov"><Dim name="x"/><Dim name="x"/><dmrpp:chunks fillValue="0"/></Int8>'
        '<Int8 name="lost"><Dim name="z"/><dmrpp:chunks fillValue="0"/></Int8></Group>'
        '<Int8 name="child"><Dim name="g/x"/><dmrpp:chunks fillValue="0"/></Int8>'
        '<Int8 name="anonymous"><Dim size="2"/><Dim size="7"/><Dim size="7"/><dmrpp:chunks fillValue="0"/></Int8>',
        on_unsupported="skip",
    )
    shapes = {path: (array.shape, array.dims) for path, array in tree.walk_arrays()}
    assert shapes == {
        "g/near": ((3,), ("x",)),
        "g/far": ((2,), ("x",)),
        "g/cov": ((3, 3), ("x", "x")),
        "child": ((3,), ("x",)),
        "anonymous": ((2, 7, 7), ("x", "phony_dim_2", "phony_dim_3")),
    }
    assert [(issue.path, issue.feature) for issue in tree.issues] == [("g/lost", "malformed")]


def test_attributes(documents):
    tree = documents.parse(
        '<Attribute name="HDF5_GLOBAL" type="Container"><Attribute name="title" type="String"><Value>t</Value>'
        "</Attribute></Attribute>"
        '<Attribute name="build_dmrpp_metadata" type="Container"/>'
        '<Attribute name="DODS_EXTRA" type="Container"><Attribute name="Unlimited_Dimension" type="String"/></Attribute>'
        '<Attribute name="Nested" type="Container"><Attribute name="n" type="Int16"><Value>3</Value></Attribute>'
        "</Attribute>"
        '<Attribute name="xml" type="OtherXML"><a:b xmlns:a="u" c="&lt;1"> x &amp; y<d/></a:b></Attribute>'
        '<Int16 name="v"><Dimension/><Dim size="1"/><Map name="/lat"/><Map name="/g/lon"/>'
        '<Attribute name="_FillValue" type="Float64"><Value>-9</Value></Attribute>'
        '<Attribute name="f" type="Float32"><Value>1e-3</Value><Value>NaN</Value></Attribute>'
        '<Attribute name="b" type="Byte" value="7"/>'
        '<Attribute name="broken" type="Int8"><Value>300</Value></Attribute>'
        '<Attribute name="null" type="null"><Value>?</Value></Attribute>'
        '<Attribute name="empty" type="String"><Value/></Attribute>'
        '<Attribute name="texts" type="String"><Value> a</Value><Value>b </Value></Attribute>'
        '<Attribute name="DIMENSION_LIST" type="String"><Value>/x</Value></Attribute>'
        '<Attribute name="origname" type="String"><Value>v</Value></Attribute>'
        '<Attribute name="fullnamepath" type="String"><Value>/other/v</Value></Attribute>'
        '<dmrpp:chunks fillValue="0"/></Int16>'
    )
    assert dict(tree.attributes) == {
        "title": "t",
        "Nested": {"n": np.int16(3)},
        "xml": '<a:b xmlns:a="u" c="&lt;1"> x &amp; y<d></d></a:b>',
    }
    got = dict(tree["v"].attributes)
    assert got.pop("f").tobytes() == np.array([1e-3, np.nan], "f4").tobytes()
    assert got == {
        "_FillValue": np.int16(-9), "b": np.uint8(7), "broken": "300", "null": "?", "empty": "",
        "texts": [" a", "b "], "coordinates": "lat /g/lon", "fullnamepath": "/other/v",
    }  # fmt: skip
    assert got["_FillValue"].dtype == np.int16


@pytest.mark.parametrize(
    ("text", "attribute", "expected"),
    [
        ("-1.26765e+30", "-1.2676506e30", -1.2676506e30),
        ("9.96921e+36", None, 9.969209968386869e36),
        ("-9999.9", None, -9999.9),
        ("-9999", "-9999.0001", -9999.0001),
        ("3.40282e+38", None, 3.4028234663852886e38),
        ("-3.40282e+38", None, -3.4028234663852886e38),
        ("-9999.900391", None, -9999.9),
        ("-9999.000000", None, -9999),
        ("0.000000", "1e-10", 1e-10),
        ("0.000000", None, 0),
        ("1.234568", "1.2345678", 1.2345678),
        ("1.234568", None, None),
        ("123456", None, None),
        ("nan", None, np.nan),
        ("1.23457", "7.5", None),
        ("unsupported-array", None, None),
        (None, None, None),
    ],
)
def test_fill_values_get_their_digits_back_or_are_refused(documents, text, attribute, expected):
    attr = f'<Attribute name="_FillValue" type="Float32"><Value>{attribute}</Value></Attribute>' if attribute else ""
    stated = "" if text is None else f'fillValue="{text}"'
    body = f'<Float32 name="v"><Dim size="2"/>{attr}<dmrpp:chunks {stated}>{{}}</dmrpp:chunks></Float32>'
    if expected is None:
        with pytest.raises(mf.UnsupportedFeatureError, match="missing chunks with the fill value"):
            documents.parse(body.format(""))
        assert documents.values(body.format(chunk(0, 8)), np.ones(2, "<f4").tobytes())["v"].tolist() == [1, 1]
    else:
        np.testing.assert_array_equal(documents.values(body.format(""))["v"], np.full(2, expected, "f4"))


@pytest.mark.parametrize(
    ("body", "feature"),
    [
        ('<Sequence name="v"/>', "a variable whose values"),
        ('<Sequence name="v"><dmrpp:chunks/></Sequence>', "variables of type Sequence"),
        ('<Int8 name="v"><Dim size="2"/></Int8>', "a variable whose values"),
        ('<Opaque name="v"><Dim size="2"/><dmrpp:chunks compressionType="deflate"><dmrpp:chunk offset="0" nBytes="32"/></dmrpp:chunks></Opaque>', "Opaque without a length"),
        ('<Structure name="v"><String name="a"/><dmrpp:chunks/></Structure>', "a Structure with a String"),
        ('<Structure name="v"><Int8 name="a"><Dim size="0"/></Int8><dmrpp:chunks/></Structure>', "records without fields"),
        ('<Structure name="v"><Structure name="a"><Int8 name="b"/></Structure><dmrpp:chunks structOffset="4"/></Structure>', "a Structure in a Structure"),
        ('<Int8 name="v"><dmrpp:chunks compressionType="szip"><dmrpp:chunk offset="0" nBytes="1"/></dmrpp:chunks></Int8>', "compressionType szip"),
        ('<Int8 name="..."><dmrpp:chunks fillValue="0"/></Int8>', "the name '...'"),
    ],
)  # fmt: skip
def test_refusals_are_named_and_cost_one_variable(documents, body, feature):
    tree = documents.parse(body + '<Int8 name="good"><dmrpp:chunks fillValue="0"/></Int8>', on_unsupported="skip")
    assert list(tree.arrays) == ["good"]
    assert [issue.feature.startswith(feature) for issue in tree.issues if issue.severity == "refused"] == [True]


def test_other_namespaces_and_prefixes(documents):
    documents.write(contiguous("Int16", "v", '<Dim size="2"/>', 4), b"\1\0\2\0")
    text = documents.path.read_text()
    for old, new in (("http://xml.opendap.org/dap/dmrpp/1.0.0#", "https://x/removed-version#"), ("dmrpp:", "q:")):
        text = text.replace(old, new)
    documents.path.write_text(text.replace("xmlns:q:", "xmlns:").replace("xmlns:dmrpp", "xmlns:q"))
    tree = mf.parse(documents.path, format="dmrpp")
    assert documents_values(tree)["v"].tolist() == [1, 2]
