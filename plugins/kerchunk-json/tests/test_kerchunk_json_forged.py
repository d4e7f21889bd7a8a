"""Documents in which some values are others: each is read, or refused by an error of ours that names no broken plugin.

What is read goes on: as a store, and into both versions of Kerchunk JSON.
"""

import copy
import json
import random

import manifestry as mf
import pytest
from manifestry.testing.refusing import refuses
from manifestry_kerchunk_json import from_references

V3 = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [4, 6],
    "data_type": "int16",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 3]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "fill_value": 0,
    "codecs": [
        {"name": "transpose", "configuration": {"order": [1, 0]}},
        {"name": "bytes", "configuration": {"endian": "little"}},
        {
            "name": "blosc",
            "configuration": {"typesize": 2, "cname": "lz4", "clevel": 5, "shuffle": "shuffle", "blocksize": 0},
        },
        {"name": "zstd", "configuration": {"level": 1, "checksum": False}},
    ],
    "attributes": {"units": "m", "_FillValue": 3, "coordinates": "x y"},
    "dimension_names": ["y", "x"],
}
EDGES = {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": [[[2, 2]], [3, 3]]}}
ARRAYS_V3 = [
    V3,
    V3 | {"data_type": "float32", "fill_value": "NaN", "chunk_grid": EDGES, "codecs": V3["codecs"][1:2]},
    V3 | {"data_type": "string", "fill_value": "", "codecs": [{"name": "vlen-utf8"}]},
]
V2 = {
    "zarr_format": 2,
    "shape": [4, 6],
    "chunks": [2, 3],
    "dtype": "<i2",
    "compressor": {"id": "zlib", "level": 4},
    "filters": [{"id": "shuffle", "elementsize": 2}],
    "order": "C",
    "fill_value": 7,
    "dimension_separator": ".",
}
OFFSET = {"id": "fixedscaleoffset", "offset": 0, "scale": 1, "dtype": "<f4", "astype": "<i2"}
ARRAYS_V2 = [
    V2,
    V2 | {"dtype": "<f4", "filters": [OFFSET]},
    V2 | {"dtype": [["a", "<i2"], ["b", "<f4"]], "filters": None, "fill_value": None, "order": "F"},
    V2 | {"dtype": "|O", "filters": [{"id": "vlen-utf8"}], "fill_value": ""},
    V2 | {"compressor": {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}, "filters": None},
]
ATTRIBUTES = {"_ARRAY_DIMENSIONS": ["y", "x"], "units": "m", "_FillValue": 7}
GROUP = {"zarr_format": 3, "node_type": "group", "attributes": {"title": "t"}}
RULE = {"key": "g/a/0.{{i}}", "url": "u", "offset": 0, "length": 4, "dimensions": {"i": {"stop": 2}}}
VALUES = [
    *(None, True, 0, -1, 2**31, 2**64, 10**400, 1.5, float("nan"), float("inf"), -(2**63)),
    *("", "x", "\x1b[2J", "a/b", "..", "zarr.json", "\ud800", "<i2", "|O", "r24", "int8", "zlib", "{{u}}"),
    *([], [1], [[]], [None], [{}], ["x"], [["a", "<i2"]], [1, 0], [0.0, 1]),
    *(
        {},
        {"name": "x"},
        {"name": {}},
        {"a": {}},
        {"name": "bytes"},
        {"configuration": None},
        {"id": "zlib"},
        {"id": {}},
    ),
]


def places(value, at=()):
    """The paths of all values inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*at, key)
        yield from places(inner, (*at, key))


def forged(value, rng):
    """A copy in which one value, or a few, are others, or gone."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        *way, last = rng.choice(list(places(value)) or [()]) or (None,)
        inner = value
        for key in way:
            inner = inner[key]
        if last is None:
            return rng.choice(VALUES)
        if rng.random() < 0.15:
            del inner[last]
        else:
            inner[last] = copy.deepcopy(rng.choice(VALUES))
    return value


def document(rng):
    """A document of one array, forged somewhere."""
    if rng.random() < 0.5:
        node, group = rng.choice(ARRAYS_V3), GROUP if rng.random() < 0.7 else forged(GROUP, rng)
        refs = {"zarr.json": json.dumps(group), "g/a/zarr.json": json.dumps(forged(node, rng)), "g/a/c/0/0": "ab"}
    else:
        attributes = ATTRIBUTES if rng.random() < 0.7 else forged(ATTRIBUTES, rng)
        refs = {".zgroup": '{"zarr_format": 2}', "g/a/.zarray": json.dumps(forged(rng.choice(ARRAYS_V2), rng))}
        refs |= {"g/a/.zattrs": json.dumps(attributes), "g/a/0.0": ["file:///x", 0, 12]}
    whole = {"version": 1, "refs": refs}
    if rng.random() < 0.3:
        more = {"templates": {"u": "file:///x"}, "gen": [RULE], "manifestry": {"sources": []}}
        whole |= {name: value for name, value in forged(more, rng).items() if rng.random() < 0.5}
        refs[rng.choice(list(refs))] = rng.choice(VALUES)
    return whole


def follow(references, folder):
    """Read references, and what is read as users would."""
    tree = from_references(references, on_unsupported="skip")
    assert repr(tree).isprintable()
    for path, array in tree.walk_arrays():
        assert repr(array).isprintable(), path
    for zarr_format in (2, 3):
        mf.write(
            tree,
            folder / "o.json",
            format="kerchunk-json",
            zarr_format=zarr_format,
            overwrite=True,
            on_unsupported="skip",
        )
        mf.parse(folder / "o.json", format="kerchunk-json", on_unsupported="skip")


@pytest.mark.parametrize("start", range(0, 150, 50))
def test_forged_documents_end_in_errors_of_ours(tmp_path, start):
    outcomes = {"read": 0, "refused": 0}
    for seed in range(start, start + 50):
        try:
            follow(document(random.Random(seed)), tmp_path)
            outcomes["read"] += 1
        except mf.PluginError as error:
            pytest.fail(f"{seed}: {error}")
        except mf.ManifestryError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 2, outcomes


@pytest.mark.parametrize("place", ["codec", "attributes", "group"])
@pytest.mark.parametrize("value", [{}, [], 1, True, {"a": 1}])
def test_what_must_be_a_text_or_an_object_is_one(value, place):
    array, group = copy.deepcopy(V3), copy.deepcopy(GROUP)
    if place == "codec":
        array["codecs"][2]["name"] = value
    elif place == "attributes":
        array["attributes"] = [value]
    else:
        group["attributes"] = [value]
    references = {"zarr.json": json.dumps(group), "a/zarr.json": json.dumps(array)}
    with refuses(match=r"not the name of a codec|not an object") as caught:
        from_references(references)
    assert not isinstance(caught.value, mf.PluginError)
