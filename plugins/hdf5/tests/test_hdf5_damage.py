"""Damage that libhdf5 does not survive, and machines with little room: bounded time and memory, and a named error."""

import resource
import subprocess
import sys

import h5py
import manifestry as mf
import numpy as np
import pytest
import zarr
from h5py import h5d, h5p, h5s, h5t
from obstore.store import MemoryStore

SECONDS = 60


def in_a_process(text, *arguments, limit=None):
    """Standard output of a Python text: a process of its own may hang, or have little address space."""

    def confine():
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    done = subprocess.run(
        [sys.executable, "-c", text, *map(str, arguments)],
        capture_output=True, text=True, timeout=SECONDS, check=False, preexec_fn=confine if limit else None,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(params=["earliest", "latest"])
def endless(request, tmp_path):
    """A file whose global heap has a free object without a size: libhdf5 goes round in circles there."""
    path = tmp_path / "endless.h5"
    with h5py.File(path, "w", libver=request.param) as file:
        texts = file.create_dataset("texts", data=np.array(["one", "two"], object), dtype=h5py.string_dtype())
        file.create_dataset("sequences", (3,), h5py.vlen_dtype("i4"))[0] = [1, 2]
        records = file.create_dataset("records", (3,), [("a", h5py.string_dtype()), ("b", "i4")])
        records[0] = ("text", 1)
        file["numbers"] = np.arange(5)
        for n in range(12):  # more than a header holds in the latest format: then libhdf5 reads them
            texts.attrs[f"text{n}"] = "value"
        texts.attrs["sequence"] = np.array([np.arange(3), np.arange(2)], object).astype(h5py.vlen_dtype("i4"))
    data = bytearray(path.read_bytes())
    at, found = -1, 0
    while (at := data.find(b"GCOL\1\0\0\0", at + 1)) >= 0:
        place, end = at + 16, at + int.from_bytes(data[at + 8 : at + 16], "little")
        while int.from_bytes(data[place : place + 2], "little"):
            place += 16 + -(-int.from_bytes(data[place + 8 : place + 16], "little") // 8) * 8
        assert place < end
        data[place + 8 : place + 16] = bytes(8)
        found += 1
    assert found
    path.write_bytes(data)
    return path


PARSE = """
import sys, manifestry as mf
tree = mf.parse(sys.argv[1], on_unsupported="skip")
print(sorted(tree.arrays))
for issue in tree.issues:
    print(issue.path, issue.message)
"""


def test_a_heap_without_an_end(endless):
    names, *issues = in_a_process(PARSE, endless).splitlines()
    assert names == "['numbers']"
    for wanted in ("texts", "sequences", "records"):
        [issue] = [i for i in issues if i.startswith(f"{wanted} ")]
        assert "global heap collection at 0x" in issue
        assert "object 0 of 0 bytes is empty or reaches over the end" in issue
    assert {f"texts@text{n}" for n in range(12)} <= {i.split()[0] for i in issues}


REMOTE = """
import sys, manifestry as mf
from pathlib import Path
from obstore.store import MemoryStore
store = MemoryStore()
store.put("file.h5", Path(sys.argv[1]).read_bytes())
tree = mf.parse("memory://here/file.h5", stores={"memory://here": store}, on_unsupported="skip")
print(sorted(tree.arrays))
"""


def test_a_remote_heap_without_an_end(endless):
    assert in_a_process(REMOTE, endless).strip() == "['numbers']"


ROOM = """
import sys, manifestry as mf, zarr
tree = mf.parse(sys.argv[1])
values = zarr.open_group(mf.open_store(tree), mode="r", zarr_format=3)["d"][...]
print(values.sum(), tree.arrays["d"].attributes["text"])
"""


def test_a_file_larger_than_the_address_space_is_not_mapped(tmp_path):
    path = tmp_path / "large.h5"
    with h5py.File(path, "w") as file:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_alloc_time(h5d.ALLOC_TIME_EARLY)
        properties.set_fill_time(h5d.FILL_TIME_NEVER)
        h5d.create(file.id, b"hole", h5t.STD_U8LE, h5s.create_simple((9 << 29,)), properties)
        data = np.arange(2000).reshape(40, 50)
        file.create_dataset("d", data=data, chunks=(3, 4), compression="gzip").attrs["text"] = "here"
    assert path.stat().st_size > 4 << 30
    assert path.stat().st_blocks < 4096  # a hole: it takes no room on disk
    assert in_a_process(ROOM, path, limit=5 << 30).split() == [str(data.sum()), "here"]


def test_values_of_variable_length_are_bounded(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=np.array(["x" * 1000] * 500, object), dtype=h5py.string_dtype())
        file.create_dataset("few", data=np.array(["x"] * 5, object), dtype=h5py.string_dtype())
        kind = [("a", h5py.string_dtype()), ("b", "i4")]
        records = file.create_dataset("records", (5000,), kind)
        records[0] = ("x" * 1000, 1)  # every record gets room for the longest text
    tree = mf.parse(path, on_unsupported="skip", limits=mf.Limits(max_inline_bytes=100_000))
    assert sorted(tree.arrays) == ["few"]
    assert [issue.path for issue in tree.issues] == ["d", "records"]
    assert all("more than the 100000 bytes that may be copied" in str(issue) for issue in tree.issues)


@pytest.mark.parametrize("kind", [">f4", ">i2", ">c16", "<u8"])
def test_sequences_of_both_byte_orders(tmp_path, kind):
    """h5py reads the members of big-endian sequences with their bytes swapped; the file is right, and so are we."""
    path = tmp_path / "file.h5"
    members = np.array([1, 2, 300]).astype(kind)
    with h5py.File(path, "w") as file:
        file.create_dataset("d", (2,), h5py.vlen_dtype(np.dtype(kind)))[0] = members
        file.create_dataset("one", (), h5py.vlen_dtype(np.dtype(kind)))[()] = members
        attribute = h5py.h5a.create(
            file.id, b"sequence", h5t.py_create(h5py.vlen_dtype(np.dtype(kind)), logical=True), h5s.create_simple((1,))
        )
        held = np.empty(1, object)
        held[0] = members
        attribute.write(held.astype(h5py.vlen_dtype(np.dtype(kind))))
    tree = mf.parse(path)
    root = zarr.open_group(mf.open_store(tree), mode="r", zarr_format=3)
    assert root["d"][...][0].tolist() == members.tolist()
    assert root["d"][...][1].tolist() == []
    assert root["one"][...].tolist() == members.tolist()
    assert np.asarray(tree.attributes["sequence"][0]).tolist() == members.tolist()


def test_references_of_another_kind_cost_only_the_names(tmp_path):
    """HDF5 1.12 has references that h5py cannot read; in DIMENSION_LIST they leave the dimensions without names."""
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("d", data=np.arange(6).reshape(2, 3))
        # a list of texts where references should be: as little readable as those
        data.attrs.create("DIMENSION_LIST", np.array(["a", "b"], object), dtype=h5py.string_dtype())
    tree = mf.parse(path)
    assert tree.arrays["d"].dims == ("phony_dim_0", "phony_dim_1")
    assert tree.arrays["d"].attributes == {}


def test_stores_of_variable_length_survive_icechunk_and_kerchunk(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("sequences", (3,), h5py.vlen_dtype("i4"))[0] = [1, 2]
        file.create_dataset("records", (3,), [("a", h5py.string_dtype()), ("b", "<f8", (2,))])[1] = ("x", (1, 2))
    for target, options in (("a.json", {"zarr_format": 3}), ("b.icechunk", {})):
        mf.write(mf.parse(path), tmp_path / target, **options)
        root = zarr.open_group(mf.open_store(mf.parse(tmp_path / target)), mode="r", zarr_format=3)
        assert [v.tolist() for v in root["sequences"][...]] == [[1, 2], [], []]
        assert root["records"][1].tolist()[0] == "x"
        assert root["records"][...]["b"].tolist() == [[0, 0], [1, 2], [0, 0]]
        assert mf.verify(tmp_path / target, samples="all").ok


def test_memory_store_is_what_a_remote_file_is_read_from(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("texts", data=np.array(["one", "two"], object), dtype=h5py.string_dtype())
    store = MemoryStore()
    store.put("file.h5", path.read_bytes())
    tree = mf.parse("memory://here/file.h5", stores={"memory://here": store})
    root = zarr.open_group(mf.open_store(tree), mode="r", zarr_format=3)
    assert root["texts"][...].tolist() == ["one", "two"]


def test_mappings_of_a_virtual_dataset_without_their_checksum(tmp_path):
    path = tmp_path / "file.h5"
    layout = h5py.VirtualLayout((6,), "i4")
    layout[:] = h5py.VirtualSource(".", "source", (6,))
    with h5py.File(path, "w", libver="latest") as file:
        file["source"] = np.arange(6, dtype="i4")
        file.create_virtual_dataset("d", layout)
        file["soft"] = h5py.SoftLink("/d")
    data = bytearray(path.read_bytes())
    data[data.index(b"source\0", data.index(b"GCOL")) + 8] ^= 0x40
    path.write_bytes(data)
    names, *issues = in_a_process(PARSE, path).splitlines()
    assert names == "['source']"
    assert len(issues) == 2
    assert all("virtual dataset: its checksum does not match" in issue for issue in issues)


def test_a_fill_value_that_is_no_element(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("d", (3,), "<f8", fillvalue=1.5)
    data = bytearray(path.read_bytes())
    at = data.index(b"\x08\0\0\0" + np.float64(1.5).tobytes())
    data[at] = 7
    path.write_bytes(data)
    names, issue = in_a_process(PARSE, path).splitlines()
    assert names == "[]"
    assert "fill value message: 7 bytes are too few for elements of 8" in issue


def test_an_index_at_an_impossible_address(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=np.arange(10, dtype="i4"), chunks=(5,))
        file["e"] = 1
    data = bytearray(path.read_bytes())
    at = data.index(b"TREE\x01")  # the index itself
    where = data.index(at.to_bytes(8, "little"))  # and where the layout says that it is
    data[where + 7] = 0x80
    path.write_bytes(data)
    names, issue = in_a_process(PARSE, path).splitlines()
    assert names == "['e']"
    assert "data at 0x80" in issue


def test_variable_length_types_of_no_known_kind(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        texts = file.create_dataset("d", data=np.array(["one", "two"], object), dtype=h5py.string_dtype())
        texts.attrs["text"] = "three"
        file["e"] = 1
        file["e"].attrs["text"] = "four"
    data = bytearray(path.read_bytes())
    at, found = -1, 0
    while (at := data.find(b"\x19\x01\x01\0\x10\0\0\0", at + 1)) >= 0:  # class 9: a text of variable length
        data[at + 1] = 5
        found += 1
    assert found == 3
    path.write_bytes(data)
    names, *issues = in_a_process(PARSE, path).splitlines()
    assert names == "['e']"
    assert [issue.split()[0] for issue in issues] == ["d@text", "d", "e@text"]
    assert all("neither a sequence nor a text" in issue for issue in issues)


def test_shuffled_elements_of_no_bytes(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=np.arange(10, dtype="i4"), chunks=(5,), shuffle=True)
    data = bytearray(path.read_bytes())
    at = data.index(b"shuffle\0")
    assert data[at + 8] == 4
    data[at + 8] = 0
    path.write_bytes(data)
    with pytest.raises(mf.MalformedFileError, match="shuffle filter: elements of 0 bytes"):
        mf.parse(path)


def objects(path):
    """A small file of the old format: a group of two datasets and one of texts."""
    with h5py.File(path, "w") as file:
        file["group/aaaa"] = np.arange(5)
        file["group/bbbb"] = np.arange(6.0)
        file.create_dataset("texts", data=np.array(["one", "two"], object), dtype=h5py.string_dtype())
        kind = h5py.vlen_dtype("<i4")
        held = np.empty(1, object)
        held[0] = np.arange(5, dtype="<i4")
        attribute = h5py.h5a.create(file.id, b"held", h5t.py_create(kind, logical=True), h5s.create_simple((1,)))
        attribute.write(held.astype(kind))
        return file["texts"].id.get_offset(), h5py.h5o.get_info(file["group/bbbb"].id).addr


def long_text(data, texts, _):
    data[texts : texts + 4] = b"\xff\xff\xff\x7f"


def long_sequence(data, *_):
    where = data.index(b"\x05\0\0\0" + data.index(b"GCOL").to_bytes(8, "little"))  # its length and place
    data[where : where + 4] = b"\xff\xff\xff\x7f"


def long_header(data, _, header):
    data[header + 8 : header + 12] = b"\xff\xff\xff\x7f"


def long_names(data, *_):
    at = data.rindex(b"HEAP") + 8
    data[at : at + 4] = b"\xff\xff\xff\x7f"


def same_names(data, *_):
    at = data.index(b"bbbb")
    data[at : at + 4] = b"aaaa"


@pytest.mark.parametrize(
    ("damage", "refused", "message"),
    [
        (long_text, ["texts"], "2147483647 members of 1 bytes do not fit in an object of 3"),
        (long_sequence, ["@held"], "2147483647 members of 4 bytes do not fit in an object of 20"),
        (long_header, ["group/bbbb"], "lies beyond the end of the file"),
        (long_names, ["group"], "2147483647 bytes are more than the"),
        (same_names, ["group/aaaa"], "group group: 2 links have the name 'aaaa'"),
    ],
)
def test_what_libhdf5_would_make_room_for_or_mix_up(tmp_path, damage, refused, message):
    path = tmp_path / "file.h5"
    places = objects(path)
    data = bytearray(path.read_bytes())
    damage(data, *places)
    path.write_bytes(data)
    tree = mf.parse(path, on_unsupported="skip")
    assert sorted({issue.path for issue in tree.issues}) == refused
    assert all(message in issue.message for issue in tree.issues)
    assert {"group/aaaa", "group/bbbb", "texts"} - {name for name, _ in tree.walk_arrays()} >= {
        name for name in refused if name not in ("group", "@held")
    }


def test_a_fill_value_in_a_heap_without_an_end(tmp_path):
    """libhdf5 reads it as soon as it is asked for the creation properties."""
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("d", (3,), h5py.string_dtype(), fillvalue="abc")
        file["e"] = 1
    data = bytearray(path.read_bytes())
    at = data.index(b"GCOL") + 16
    at += 16 + -(-int.from_bytes(data[at + 8 : at + 16], "little") // 8) * 8
    assert data[at : at + 2] == b"\0\0"
    data[at + 8 : at + 16] = bytes(8)
    path.write_bytes(data)
    names, issue = in_a_process(PARSE, path).splitlines()
    assert names == "['e']"
    assert "object 0 of 0 bytes is empty or reaches over the end" in issue


def test_an_attribute_of_many_rows_without_elements(tmp_path):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file.attrs["empty"] = np.empty((5, 0), "i4")
        for name, rows in (("rows", 1 << 40), ("cube", 1 << 20)):
            h5py.h5a.create(file.id, name.encode(), h5t.STD_I32LE, h5s.create_simple((rows, 0, rows)))
    tree = mf.parse(path)
    assert tree.attributes["empty"].shape == (5, 0)
    assert [(issue.path, issue.message) for issue in tree.issues] == [
        ("@rows", f"shape {(1 << 40, 0, 1 << 40)}: the value is larger than the file"),
        ("@cube", f"shape {(1 << 20, 0, 1 << 20)}: the value is larger than the file"),
    ]
