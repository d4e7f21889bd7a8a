"""Names that look like parts of a Zarr store: those that are none work in every output, the others are refused by name."""

import h5py
import manifestry as mf
import numpy as np
import pytest
import zarr

from tests.support.printed_lines import read_printed

OUTPUTS = {
    "a.icechunk": {},
    "a.json": {},
    "three.json": {"zarr_format": 3},
    "both.json": {"zarr_format": "both"},
    "a.parq": {},
}
LOOK_ALIKE = (
    "zarr.json5", "zarr", "c", "0", "0.0", "c0", ".zattr", ".zattrs_", ".zarray.x", ".z", "x.zarray", ".manifestry_", "refs",
)  # fmt: skip
DOCUMENTS = (".zarray", ".zattrs", ".zgroup", ".zmetadata")


def made(path, names):
    with h5py.File(path, "w") as file:
        for number, name in enumerate(names):
            file[name] = np.arange(3) + number
            file[f"group/{name}/{name}"] = np.arange(2) + number
    return mf.parse(path)


def test_names_that_only_look_like_documents_work(tmp_path):
    tree = made(tmp_path / "a.h5", LOOK_ALIKE)
    opened = {}
    for output, options in OUTPUTS.items():
        named = [n for n in LOOK_ALIKE if not (output.endswith(".parq") and n.startswith(".z"))]
        report = mf.write(made(tmp_path / f"{output}.h5", named), tmp_path / output, **options)
        opened[output] = report.reader, named
    found = read_printed({output: lines for output, (lines, _) in opened.items()}, tmp_path)
    for output, (_, named) in opened.items():
        kind, arrays = found[output]
        assert kind != "error", (output, arrays)
        assert arrays.keys() == {*named, *(f"group/{n}/{n}" for n in named)}
        for number, name in enumerate(named):
            assert arrays[name][1].tolist() == [number, number + 1, number + 2]
            assert arrays[f"group/{name}/{name}"][1].tolist() == [number, number + 1]
    store = zarr.open_group(mf.open_store(tree), mode="r")
    assert all(store[name][0] == number for number, name in enumerate(LOOK_ALIKE))


@pytest.mark.parametrize("output", ["a.json", "both.json", "a.parq"])
def test_names_of_documents_are_refused_where_they_are_documents(output, tmp_path):
    for number, name in enumerate((*DOCUMENTS[1:], DOCUMENTS[0])):
        tree = made(tmp_path / f"{number}.h5", [name])
        with pytest.raises(mf.UnsupportedFeatureError) as caught:
            mf.write(tree, tmp_path / output, overwrite=True, **OUTPUTS[output])
        assert all(part in str(caught.value) for part in (name, f"group/{name}", "reserved name", "tree.rename"))
        free = tree.rename({name: "free", f"group/{name}": "inner"}).rename({f"group/inner/{name}": "free"})
        mf.write(free, tmp_path / output, overwrite=True, **OUTPUTS[output])
        assert {path for path, _ in mf.parse(tmp_path / output).walk_arrays()} == {"free", "group/inner/free"}


@pytest.mark.parametrize("output", ["a.icechunk", "three.json"])
def test_names_of_documents_of_version_two_work_in_version_three(output, tmp_path):
    report = mf.write(made(tmp_path / "a.h5", DOCUMENTS), tmp_path / output, **OUTPUTS[output])
    kind, arrays = read_printed({"": report.reader}, tmp_path)[""]
    assert kind != "error", arrays
    assert arrays.keys() == {*DOCUMENTS, *(f"group/{name}/{name}" for name in DOCUMENTS)}


def test_one_refusal_says_why(tmp_path):
    with pytest.raises(
        mf.UnsupportedFeatureError, match=r"'\.manifestry' holds what the output says of its sources; give it"
    ):
        mf.write(made(tmp_path / "a.h5", [".manifestry"]).select(include=[".manifestry"]), tmp_path / "a.parq")
    with pytest.raises(
        mf.UnsupportedFeatureError, match=r"fsspec takes what is below '\.zattrs_' in Parquet for metadata"
    ):
        mf.write(made(tmp_path / "b.h5", [".zattrs_"]).select(include=[".zattrs_"]), tmp_path / "a.parq")
