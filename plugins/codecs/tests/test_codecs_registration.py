"""Every codec is found by name in a process that imports nothing of ours."""

import json
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import numcodecs
import numpy as np
import pytest
from zarr.dtype import data_type_registry
from zarr.registry import get_codec_class

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]["entry-points"]
NAMES = sorted(PROJECT["zarr.codecs"])


def test_both_registries_have_the_same_names():
    assert sorted(PROJECT["numcodecs.codecs"]) == NAMES
    for group in ("zarr.codecs", "numcodecs.codecs"):
        installed = {e.name: e.value for e in entry_points(group=group) if e.name.startswith("manifestry.")}
        assert installed == PROJECT[group]


def test_the_data_type_is_found_by_its_name():
    (found,) = (e for e in entry_points(group="zarr.data_type") if e.name.startswith("manifestry."))
    assert {found.name: found.value} == PROJECT["zarr.data_type"]
    document = {"name": "manifestry.array", "configuration": {"data_type": "int16", "shape": [2, 3]}}
    kind = data_type_registry.match_json(document, zarr_format=3)
    assert kind.to_native_dtype() == np.dtype(("i2", (2, 3)))
    assert kind.to_json(3) == document
    assert data_type_registry.match_dtype(np.dtype("V6")).to_native_dtype() == np.dtype("V6")
    with pytest.raises(TypeError, match="is not a list of 6 values"):
        kind.from_json_scalar([1, 2], zarr_format=3)
    with pytest.raises(TypeError, match="does not have the shape"):
        kind.cast_scalar([1, 2])


@pytest.mark.parametrize("name", NAMES)
def test_entry_points_lead_to_a_class_of_that_name(name):
    work = next(e for e in entry_points(group="numcodecs.codecs") if e.name == name).load()
    assert work.codec_id == name
    assert get_codec_class(name).numcodec is work


SCRIPT = """
import json, sys
import numcodecs, numpy as np, zarr
from zarr.storage import MemoryStore
from zarr.core.buffer import default_buffer_prototype
store = MemoryStore()
codecs = [{"name": "bytes", "configuration": {"endian": "little"}},
          {"name": "manifestry.shuffle", "configuration": {"elementsize": 4}}]
array = zarr.create_array(store, shape=(5,), chunks=(5,), dtype="int32", serializer=codecs[0], compressors=codecs[1:])
array[:] = np.arange(5)
read = zarr.open_array(store, mode="r")
v2 = numcodecs.get_codec({"id": "manifestry.shuffle", "elementsize": 4})
print(json.dumps({
    "values": read[:].tolist(),
    "codecs": [c.to_dict() for c in read.metadata.codecs],
    "config": v2.get_config(),
    "ours": sorted(m for m in sys.modules if m.startswith("manifestry.")),
}))
"""


def test_a_fresh_process_finds_them():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["values"] == [0, 1, 2, 3, 4]
    assert found["codecs"][1] == {"name": "manifestry.shuffle", "configuration": {"elementsize": 4}}
    assert found["config"] == {"id": "manifestry.shuffle", "elementsize": 4}
    assert found["ours"] == []


CONFIGURATIONS = {
    "manifestry.bits": {"itemsize": 2, "precision": 12, "offset": 0, "signed": True, "order": "little"},
    "manifestry.bitshuffle": {"client_data": [0, 2, 4, 0, 2]},
    "manifestry.blosc2": {},
    "manifestry.fixed_string": {"length": 5, "padding": "space"},
    "manifestry.lzf": {"size": 4096},
    "manifestry.nbit": {"client_data": [8, 0, 100, 1, 2, 0, 12, 0]},
    "manifestry.numcodecs": {"filters": [{"id": "shuffle", "elementsize": 2}], "compressor": None, "dtype": ">i2"},
    "manifestry.optional": {"size": 400, "codec": {"id": "zlib", "level": 4}},
    "manifestry.record": {"itemsize": 16, "fields": [[0, 4, 0], [8, 8, 1]]},
    "manifestry.scaleoffset": {"client_data": [2, 0, 100, 0, 4, 1, 0, 0]},
    "manifestry.sequences": {"dtype": [["a", "<i4"], ["b", ">f8", [2]]]},
    "manifestry.shuffle": {"elementsize": 8},
    "manifestry.zfp": {"client_data": [1, 2, 3], "order": "big"},
}


@pytest.mark.parametrize("name", sorted(CONFIGURATIONS))
def test_configuration_survives_both_registries(name):
    configuration = CONFIGURATIONS[name]
    v2 = numcodecs.get_codec({"id": name, **configuration}).get_config()
    assert v2 == {"id": name, **configuration}
    document = {"name": name, "configuration": configuration}
    assert get_codec_class(name).from_dict(document).to_dict() == document
    json.dumps(v2, allow_nan=False)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("manifestry.shuffle", {"elementsize": 0}),
        ("manifestry.bits", {"itemsize": 2, "precision": 17, "offset": 0, "signed": False, "order": "little"}),
        ("manifestry.bits", {"itemsize": 2, "precision": 12, "offset": 0, "signed": False, "order": "middle"}),
        ("manifestry.bitshuffle", {"client_data": [0, 2, 4, 3]}),
        ("manifestry.fixed_string", {"length": 5, "padding": "tab"}),
        ("manifestry.nbit", {"client_data": [8, 0, 100, 1, 2, 0, 12, 9]}),
        ("manifestry.optional", {"size": 8, "codec": {"id": "pickle"}}),
        ("manifestry.optional", {"size": 0, "codec": {"id": "zlib"}}),
        ("manifestry.record", {"itemsize": 8, "fields": [[4, 8, 0]]}),
        ("manifestry.scaleoffset", {"client_data": [2, 0, 100, 0, 3, 1, 0, 0]}),
        ("manifestry.zfp", {"client_data": [1], "order": "middle"}),
    ],
)
def test_impossible_configurations_are_refused(name, wrong):
    with pytest.raises(ValueError):
        numcodecs.get_codec({"id": name, **wrong})
