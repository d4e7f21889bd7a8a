"""A document in blocks is the document, wherever it is cut."""

from __future__ import annotations

import json

import pytest
from examples import examples
from hypothesis import given, settings, strategies as st
from manifestry import Budget
from manifestry.plugin import MalformedFileError, Source
from manifestry_kerchunk_json.blocks import MemberBlocks
from manifestry_kerchunk_json.document import read_document
from manifestry_kerchunk_json.reference import Reference

TEXTS = st.text(st.sampled_from('ab],":{}[\\\né'), max_size=12)
REFERENCES = st.tuples(TEXTS, st.integers(0, 2**63 - 1), st.integers(0, 9)).map(list) | TEXTS.map(lambda url: [url])
VALUES = REFERENCES | TEXTS | st.dictionaries(TEXTS, REFERENCES | st.integers(), max_size=2)
DOCUMENTS = st.dictionaries(TEXTS.map(lambda text: f"k{text}"), VALUES, min_size=1, max_size=30)


def plain(value):
    if not isinstance(value, Reference):
        return value
    return [value.url] if value.length < 0 else [value.url, value.offset, value.length]


def together(document):
    blocks = list(document.blocks())
    found = {key: plain(value) for members in blocks for key, value in members.items()}
    assert sum(map(len, blocks)) == len(found)
    return found


@settings(max_examples=examples(200), deadline=None)
@given(DOCUMENTS, st.sampled_from([None, 1, "\t"]), st.integers(8, 200), st.booleans())
def test_nothing_is_lost_between_the_blocks(references, indent, block, ascii_only):
    text = json.dumps(references, indent=indent, ensure_ascii=ascii_only)
    assert together(MemberBlocks(data=text.encode(), block=block)) == references
    around = {"version": 1, "templates": {"u": "a],"}}, {"gen": [], "manifestry": '"],"'}
    text = json.dumps({**around[0], "refs": references, **around[1]}, indent=indent, ensure_ascii=ascii_only)
    blocks = MemberBlocks(data=text.encode(), block=block)
    assert together(blocks) == references
    assert blocks.has_refs
    assert blocks.around == around[0] | around[1]


def test_members_are_decoded_block_by_block():
    references = {f"v/{i}": ["s3://bucket/x", i, 1] for i in range(1000)}
    for document in (references, {"version": 1, "refs": references}):
        sizes = [len(members) for members in MemberBlocks(data=json.dumps(document).encode(), block=2000).blocks()]
        assert len(sizes) > 15
        assert max(sizes) < 100


@pytest.mark.parametrize(
    "text",
    [
        '{"a":["u",0,1],"b":["u",0,1]',
        '{"a":["u",0,1]}]',
        '{"a":["u",0,1] "b":["u",0,1]}',
        '{"version":1,"refs":{"a":["u",0,1]}',
        '{"version":1,"refs":{"a":["u",0,1]}}}',
        '{"version":1,"refs":{"a":["u",0,1]},}',
        '{"version":1,"refs":{"a":["u",0,1]}x}',
        '["a"]',
        "",
    ],
)
@pytest.mark.parametrize("block", [4, 1000])
def test_what_is_no_json_is_none_in_blocks(tmp_path, text, block):
    with pytest.raises(ValueError):
        list(MemberBlocks(data=text.encode(), block=block).blocks())
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(MalformedFileError, match="is not JSON"):
        read_document(Source(tmp_path / "a.json"), {}, Budget())


def test_refs_behind_much_else(tmp_path):
    document = {"templates": {"u": "x" * 100_000}, "version": 1, "refs": {"v/0": ["{{u}}", 0, 1]}}
    (tmp_path / "a.json").write_text(json.dumps(document))
    found = read_document(Source(tmp_path / "a.json"), {}, Budget())
    assert found.templates.location("{{u}}") == document["templates"]["u"]
    assert list(found.members.references.locations) == ["{{u}}"]
