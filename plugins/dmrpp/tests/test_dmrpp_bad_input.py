"""Documents made to harm: a named error, within seconds and 500 MB, and no file or host touched that is not theirs."""

from __future__ import annotations

import ast
import base64
import multiprocessing
import resource
import zlib
from functools import cache

import manifestry as mf
import pytest
from examples import examples
from hypothesis import HealthCheck, given, settings, strategies as st


def variable(inside, dims='<Dim size="10"/>', kind="Int8"):
    return f'<{kind} name="v">{dims}{inside}</{kind}>'


def chunked(position, sizes="5", extra=""):
    at = f'<dmrpp:chunk offset="0" nBytes="5" chunkPositionInArray="{position}" {extra}/>'
    return variable(f"<dmrpp:chunks><dmrpp:chunkDimensionSizes>{sizes}</dmrpp:chunkDimensionSizes>{at}</dmrpp:chunks>")


@cache
def bomb(size):
    """Zeros, compressed; a million of them once, and that again and again."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = squeeze.compress(bytes(1 << 20)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    whole, rest = divmod(size, 1 << 20)
    checksum = (size % 65521 << 16 | 1).to_bytes(4, "big")
    stream = b"\x78\xda" + block * whole + squeeze.compress(bytes(rest)) + squeeze.flush() + checksum
    return base64.b64encode(stream).decode()


def test_a_bomb_is_a_stream_of_zeros():
    assert zlib.decompress(base64.b64decode(bomb((1 << 21) + 9))) == bytes((1 << 21) + 9)


HUGE = '<Dim size="9000000000000000000"/>'
BODIES = {
    "position beyond the array": chunked("[50000000]"),
    "position far beyond the array": chunked("[5000000000]"),
    "position beyond 64 bits": chunked("[99999999999999999999999999]"),
    "position not on a chunk": chunked("[3]"),
    "position of no numbers": chunked("[a]"),
    "position with a gap": chunked("[5,]"),
    "negative position": chunked("[-5]"),
    "position of other rank": chunked("[0,1,2]"),
    "chunk of size 0": chunked("[0]", "0"),
    "chunks of an array without elements": variable('<dmrpp:chunk offset="0" nBytes="5"/>', '<Dim size="0"/>'),
    "chunk of other rank": chunked("[0]", "5 5"),
    "twice the same chunk": variable(
        "<dmrpp:chunks><dmrpp:chunkDimensionSizes>5</dmrpp:chunkDimensionSizes>"
        + 2 * '<dmrpp:chunk offset="0" nBytes="5" chunkPositionInArray="[0]"/>'
        + "</dmrpp:chunks>"
    ),
    "chunk without an offset": variable('<dmrpp:chunks><dmrpp:chunk nBytes="10"/></dmrpp:chunks>'),
    "negative offset": variable('<dmrpp:chunks><dmrpp:chunk offset="-1" nBytes="10"/></dmrpp:chunks>'),
    "chunk of other length": variable('<dmrpp:chunks><dmrpp:chunk offset="0" nBytes="7"/></dmrpp:chunks>'),
    "several contiguous chunks": variable(
        "<dmrpp:chunks>" + 2 * '<dmrpp:chunk offset="0" nBytes="5"/>' + "</dmrpp:chunks>"
    ),
    "range beyond 64 bits": variable(
        '<dmrpp:chunks><dmrpp:chunk offset="18446744073709551615" nBytes="10"/></dmrpp:chunks>'
    ),
    "a grid of mostly nothing": variable(
        "<dmrpp:chunks><dmrpp:chunkDimensionSizes>1</dmrpp:chunkDimensionSizes>"
        '<dmrpp:chunk offset="0" nBytes="1" chunkPositionInArray="[7]"/></dmrpp:chunks>',
        '<Dim size="200000000"/>',
    ),
    "a grid beyond the limit": variable(
        "<dmrpp:chunks><dmrpp:chunkDimensionSizes>1</dmrpp:chunkDimensionSizes>"
        '<dmrpp:chunk offset="0" nBytes="1" chunkPositionInArray="[7]"/></dmrpp:chunks>',
        HUGE,
    ),
    "mask beyond 64 bits": chunked("[0]", extra='fm="99999999999999999999999"'),
    "vlsa count": variable('<dmrpp:vlsa><v c="10000000000">x</v></dmrpp:vlsa>', kind="String"),
    "vlsa count for a huge array": variable(
        '<dmrpp:vlsa><v c="9000000000000000000">x</v></dmrpp:vlsa>', HUGE, kind="String"
    ),
    "vlsa repeats a long text": variable(
        f'<dmrpp:vlsa><v c="1000000">{"x" * 1000}</v></dmrpp:vlsa>', '<Dim size="1000000"/>', kind="String"
    ),
    "vlsa bomb": variable(f'<dmrpp:vlsa><v s="20">{bomb(1 << 28)}</v></dmrpp:vlsa>', "", kind="String"),
    "vlsa of a huge size": variable(f'<dmrpp:vlsa><v s="99999999999">{bomb(9)}</v></dmrpp:vlsa>', "", kind="String"),
    "missingdata bomb": variable(f"<dmrpp:missingdata>{bomb(1 << 28)}</dmrpp:missingdata>"),
    "missingdata for a huge array": variable(f"<dmrpp:missingdata>{bomb(1 << 28)}</dmrpp:missingdata>", HUGE),
    "missingdata too short": variable(f"<dmrpp:missingdata>{bomb(9)}</dmrpp:missingdata>"),
    "missingdata not compressed": variable("<dmrpp:missingdata>AAAA</dmrpp:missingdata>"),
    "compact of no base64": variable("<dmrpp:compact>ä!</dmrpp:compact>"),
    "compact of other length": variable("<dmrpp:compact>AAAA</dmrpp:compact>"),
    "records that end early": variable(
        '<Int32 name="a"/><dmrpp:specialstructuredata>AAAA</dmrpp:specialstructuredata>', kind="Structure"
    ),
    "structOffset of overlapping members": variable(
        '<Int32 name="a"/><Int32 name="b"/><dmrpp:chunks structOffset="2 6">'
        '<dmrpp:chunk offset="0" nBytes="60"/></dmrpp:chunks>',
        kind="Structure",
    ),
    "member of a huge shape": variable(
        '<Int8 name="a"><Dim size="9000000000"/></Int8><dmrpp:chunks fillValue="0"/>', kind="Structure"
    ),
    "member of millions of records": variable(
        '<Structure name="a"><Int8 name="b"/><Int16 name="c"/><Dim size="5000000"/></Structure>'
        '<dmrpp:chunks fillValue="0"/>',
        kind="Structure",
    ),
    "members that multiply": variable(
        '<Structure name="a">' * 60 + '<Int8 name="b"/>' + '<Dim size="9"/></Structure>' * 60 + "<dmrpp:chunks/>",
        kind="Structure",
    ),
    "structOffset of a huge record": variable(
        '<Int8 name="a"/><dmrpp:chunks structOffset="99999999999" fillValue="0"/>', kind="Structure"
    ),
    "texts of a huge member": variable(
        '<String name="a"><Dim size="9000000000000000000"/></String>'
        "<dmrpp:specialstructuredata>YQ==</dmrpp:specialstructuredata>",
        kind="Structure",
    ),
    "records of nothing without end": variable(
        '<Int8 name="a"><Dim size="0"/></Int8><dmrpp:specialstructuredata/>', HUGE, kind="Structure"
    ),
    "strings of a huge length": variable(
        '<dmrpp:chunks/><dmrpp:FixedLengthStringArray string_length="99999999999"/>', kind="String"
    ),
    "dimension of no number": variable("<dmrpp:chunks/>", '<Dim size="ten"/>'),
    "dimension that is not there": variable("<dmrpp:chunks/>", '<Dim name="/g/x"/>'),
    "enumeration that is not there": '<Enum name="v" enum="/E"><dmrpp:chunks/></Enum>',
    "linked blocks of a huge size": variable(
        '<dmrpp:chunks><dmrpp:block offset="0" nBytes="99999999999"/><dmrpp:block offset="9" nBytes="1"/></dmrpp:chunks>'
    ),
    "cut off": "<Int8>",
    "deep groups": '<Group name="g">' * 100_000,
    "deep elements": '<Int8 name="v">' + "<a>" * 100_000,
    "deep containers": '<Attribute name="a" type="Container">' * 100_000,
}
WHOLE = {
    "truncated": '<?xml version="1.0"?><Dataset xmlns:dmrpp="d"><Int8 na',
    "quadratic blow-up": f'<!DOCTYPE Dataset [<!ENTITY a "{"x" * 70_000}">]><Dataset name="dmrpp">{"&a;" * 2_300_000}</Dataset>',
    "external entity": '<!DOCTYPE Dataset [<!ENTITY e SYSTEM "file:///etc/passwd">]><Dataset name="dmrpp">&e;</Dataset>',
    "external DTD": '<!DOCTYPE Dataset SYSTEM "http://127.0.0.1/x.dtd"><Dataset name="dmrpp"/>',
    "other root": '<html><Dataset name="dmrpp"/></html>',
    "unknown encoding": '<?xml version="1.0" encoding="x-none"?><Dataset name="dmrpp"/>',
    "no XML": "<<<Dataset dmrpp",
}  # fmt: skip


def _parse_all(paths, answers):
    import manifestry_dmrpp.parser  # noqa: F401 what is imported does not count

    with open("/proc/self/statm") as statm:
        base = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    resource.setrlimit(resource.RLIMIT_AS, (base + (500 << 20),) * 2)
    for path in paths:
        try:
            tree = mf.parse(path, format="dmrpp")
        except mf.ManifestryError as error:
            answers.put((path, type(error).__name__, str(error)))
        else:
            answers.put((path, "accepted", str(tree)))


def test_harmful_documents_are_refused_within_limits(tmp_path, documents):
    """One process for all, spawned, with 60 s of processor time and 500 MB for the lot."""
    paths = []
    documents.data_path.write_bytes(bytes(100))
    for name, body in BODIES.items():
        text = documents.write(body).read_text(encoding="latin-1")
        paths.append(str(tmp_path / f"{name}.dmrpp"))
        (tmp_path / f"{name}.dmrpp").write_text(text, encoding="latin-1")
        (tmp_path / name).write_bytes(bytes(100))
    for name, text in WHOLE.items():
        paths.append(str(tmp_path / f"{name}.dmrpp"))
        (tmp_path / f"{name}.dmrpp").write_text(text)
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=_parse_all, args=(paths, answers))
    process.start()
    got = [answers.get(timeout=100) for _ in paths]
    process.join(60)
    assert process.exitcode == 0
    named = {"MalformedFileError", "UnsupportedFeatureError", "ManifestError"}
    assert [answer for answer in got if answer[1] not in named] == []
    assert [path for path, _, message in got if "root:" in message] == []


@pytest.mark.parametrize(
    "href",
    [
        "http://127.0.0.1/x", "http://localhost/x", "http://10.0.0.7:8080/x", "http://[::1]/x",
        "http://%31%32%37.0.0.1/x", "http://①②⑦.⓪.⓪.①/x", "http://127。0。0。1/x", "http://127.0.0.1\\@example.org/x",
        "http://[::ffff:127.0.0.1]/x", "http://example.org@127.0.0.1/x", "http://0177.0.0.1/x", "http://0/x",
        "http://169.254.169.254/latest", "http://2130706433/x", "http://0x7f.1/x", "http://intranet/x", "https://a.internal/x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["dataset", "chunk"])
def test_hrefs_to_private_hosts_are_refused(documents, href, where):
    inner = f'href="{href}"' if where == "chunk" else ""
    body = variable(f'<dmrpp:chunks><dmrpp:chunk offset="0" nBytes="10" {inner}/></dmrpp:chunks>')
    outer = href if where == "dataset" else "data.bin"
    with pytest.raises(mf.UnsupportedFeatureError, match="an href that is not allowed") as caught:
        documents.parse(body, href=outer)
    [prefix] = ast.literal_eval(str(caught.value).partition("add allow=")[2].rpartition("]")[0] + "]")
    directory = href.rpartition("/")[0] + "/"
    if "@" in href:  # who would log in is not shown
        assert prefix == "http://***@" + href.partition("@")[2]
        prefix = href
    assert prefix == (href if directory.count("/") == 3 else directory)
    allowed = documents.parse(body, href=outer, allow=[prefix])
    assert allowed["v"].manifest[0].file.url == href


def test_remote_documents_point_at_their_own_host_only(documents):
    from obstore.store import MemoryStore

    body = variable('<dmrpp:chunks><dmrpp:chunk offset="0" nBytes="10"/></dmrpp:chunks>')
    for href, allowed in {
        "x.bin": "memory://a/d/x.bin",
        "memory://a/other/x.bin": "memory://a/other/x.bin",
        "file:///etc/passwd": None,
        "https://example.org/x": None,
        "s3://secret/x": None,
    }.items():
        memory = MemoryStore()
        memory.put("d/x.bin.dmrpp", documents.write(body, href=href).read_bytes())
        if allowed is None:
            with pytest.raises(mf.UnsupportedFeatureError, match="not allowed"):
                mf.parse("memory://a/d/x.bin.dmrpp", stores={"memory://a": memory})
        else:
            tree = mf.parse("memory://a/d/x.bin.dmrpp", stores={"memory://a": memory})
            assert tree["v"].manifest.files.urls == (allowed,)


@pytest.mark.parametrize(
    ("href", "options", "expected"),
    [
        ("OPeNDAP_DMRpp_DATA_ACCESS_URL", {}, "data.bin"),
        (None, {}, "data.bin"),
        ("data.bin", {}, "data.bin"),
        ("some/server/root/data.bin", {}, "data.bin"),
        ("/some/server/root/data.bin", {}, "data.bin"),
        ("../../../etc/passwd", {}, "passwd"),
        ("sub/there.bin", {}, "sub/there.bin"),
        ("https://example.org/a/x.bin?q=1", {}, "https://example.org/a/x.bin?q=1"),
        ("file:///etc/passwd", {"data_url": "/elsewhere/y.bin"}, "/elsewhere/y.bin"),
        ("file:///etc/passwd", {"href_map": {"file:///etc/passwd": "s3://b/y.bin"}}, "s3://b/y.bin"),
        ("http://old/a/y.bin", {"href_map": {"http://old/": "s3://b"}}, "s3://b/a/y.bin"),
    ],
)
def test_where_the_data_is(documents, href, options, expected):
    (documents.directory / "sub").mkdir()
    (documents.directory / "sub/there.bin").write_bytes(bytes(10))
    body = variable('<dmrpp:chunks><dmrpp:chunk offset="0" nBytes="10"/></dmrpp:chunks>')
    tree = documents.parse(body, href=href, **options)
    if "://" not in expected:
        expected = "file://" + str(documents.directory / expected)
    assert tree["v"].manifest.files.urls == (expected,)


@pytest.mark.parametrize(
    ("href", "options", "expected"),
    [
        ("https://example.org/x.bin", {}, "https://example.org/x.bin"),
        ("https://example.org/x.bin", {"prefer_s3": True}, "s3://archive/x.bin"),
        (None, {}, "s3://archive/x.bin"),
        ("https://example.org/x.bin", {"prefer_s3": True, "href_map": {"s3://archive/": "s3://mine"}}, "s3://mine/x.bin"),
        ("https://example.org/x.bin", {"prefer_s3": True, "data_url": "s3://own/x.bin"}, "s3://own/x.bin"),
    ],
)  # fmt: skip
def test_the_bucket_that_a_document_names(documents, href, options, expected):
    body = variable('<dmrpp:chunks><dmrpp:chunk offset="0" nBytes="10"/></dmrpp:chunks>')
    same = variable(f'<dmrpp:chunks><dmrpp:chunk offset="0" nBytes="10" href="{href}"/></dmrpp:chunks>')
    for text in (body, same) if href else (body,):
        tree = documents.parse(text, href=href, s3="s3://archive/x.bin", **options)
        assert tree["v"].manifest.files.urls == (expected,)
    with pytest.raises(mf.UnsupportedFeatureError, match="not allowed"):
        documents.parse(body, href="file:///etc/passwd", s3="file:///etc/shadow", prefer_s3=True, untrusted=True)


def test_hrefs_of_chunks_and_the_companion_of_missing_values(documents):
    at = '<dmrpp:chunk offset="{}" nBytes="5" chunkPositionInArray="[{}]" {}/>'
    body = variable(
        "<dmrpp:chunks><dmrpp:chunkDimensionSizes>5</dmrpp:chunkDimensionSizes>"
        + at.format(1, 0, "")
        + at.format(2, 5, 'dmrpp:href="OPeNDAP_DMRpp_SC_DATA_ACCESS_URL"')
        + at.format(3, 10, 'href="other.bin"')
        + at.format(4, 15, 'href="data.bin"')
        + "</dmrpp:chunks>",
        '<Dim size="20"/>',
    )
    manifest = documents.parse(body, href="data.bin", data=bytes(20))["v"].manifest
    found = [(manifest[i].file.url.rpartition("/")[2], manifest[i].offset) for i in range(4)]
    assert found == [("data.bin", 1), ("data.bin_mvs.h5", 2), ("other.bin", 3), ("data.bin", 4)]


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 5000), st.binary(min_size=1, max_size=3)), min_size=1, max_size=4))
def test_damaged_documents_never_end_in_anything_but_a_named_error(documents, damage):
    body = (
        '<Dimension name="x" size="10"/><Enumeration name="E" basetype="Byte"><EnumConst name="A" value="1"/></Enumeration>'
        + chunked("[5]")
        + '<Structure name="s"><Int8 name="a"/><Int16 name="b"/><dmrpp:chunks structOffset="2 4" fillValue="1 2"/></Structure>'
        '<Enum name="e" enum="/E"><dmrpp:chunks/></Enum><String name="t"><Dim name="x"/><dmrpp:vlsa><v c="10">a</v></dmrpp:vlsa>'
        '</String><Float32 name="m"><Dim size="1"/><Attribute name="f" type="Float32"><Value>1</Value></Attribute>'
        f"<dmrpp:missingdata>{base64.b64encode(bytes(4)).decode()}</dmrpp:missingdata></Float32>"
    )
    data = bytearray(documents.write(body, bytes(20)).read_bytes())
    for position, replacement in damage:
        at = position % len(data)
        data[at : at + len(replacement)] = replacement
    documents.path.write_bytes(data)
    try:
        mf.parse(documents.path, format="dmrpp", on_unsupported="skip")
    except (mf.MalformedFileError, mf.UnsupportedFeatureError, mf.ManifestError):
        return
    except mf.SourceError as error:
        assert "no DMR++ document" in str(error)  # noqa: PT017 the damage is in the first characters
