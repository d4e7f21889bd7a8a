"""Files of less than a megabyte that are made into much more: each is refused, or read within 500 MB and some seconds.

A child process parses one after the other and has the bound of memory, so that one that is passed fails here and nowhere
else. What is kept of one counts for those that follow.
"""

import json
import subprocess
import sys
from select import select

import netCDF4
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
from backports import zstd

LIMIT_MB = 500
SECONDS = 100
PARSE = """
import resource, sys
import manifestry as mf

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

resource.setrlimit(resource.RLIMIT_DATA, (3 << 30, 3 << 30))
idle = peak()
for path in sys.stdin:
    with open("/proc/self/clear_refs", "w") as control:
        control.write("5")  # the peak from here on (proc_pid_clear_refs(5))
    try:
        mf.parse(path.rstrip("\\n"))
        said = "read"
    except mf.PluginError as error:
        said = f"unnamed {error}"
    except mf.ManifestryError as error:
        said = f"{type(error).__name__} {error}"
    print((peak() - idle) // 1024, said.replace("\\n", " "), flush=True)
"""
V2 = {"zarr_format": 2, "dtype": "<i4", "compressor": None, "filters": None, "order": "C", "fill_value": 0}
V3 = {
    "zarr_format": 3,
    "node_type": "array",
    "data_type": "int32",
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "fill_value": 0,
    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    "attributes": {},
}
GROUP = {"zarr_format": 3, "node_type": "group", "attributes": {}}


def zarray(shape, chunks):
    return json.dumps({**V2, "shape": shape, "chunks": chunks})


def regular(shape, chunks):
    return {**V3, "shape": shape, "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}}}


def write_json(path, refs, **around):
    path.write_text(json.dumps({"version": 1, "refs": {".zgroup": '{"zarr_format": 2}', **refs}, **around}))
    return path


def one_sparse_array(folder):
    return write_json(folder / "k.json", {"a/.zarray": zarray([10**8], [1]), "a/0": ["x", 0, 4]})


def many_sparse_arrays(folder):
    """Each within the limit, all together not."""
    refs = {f"a{i}/.zarray": zarray([10**7 // 2], [1]) for i in range(100)}
    return write_json(folder / "k.json", {**refs, **{f"a{i}/0": ["x", 0, 4] for i in range(100)}})


def sparse_array_of_many_dimensions(folder):
    shape = [10] * 8
    return write_json(folder / "k.json", {"a/.zarray": zarray(shape, [1] * 8), "a/" + ".".join("0" * 8): ["x", 0, 4]})


def sparse_array_of_zarr_v3(folder):
    refs = {"zarr.json": json.dumps(GROUP), "a/zarr.json": json.dumps(regular([10**8], [1])), "a/c/5": ["x", 0, 4]}
    (folder / "k.json").write_text(json.dumps({"version": 1, "refs": refs}))
    return folder / "k.json"


def runs_of_a_rectilinear_grid(folder):
    grid = {"name": "rectilinear", "configuration": {"kind": "inline", "chunk_shapes": [[[1, 10**7]], [[1, 10**7]]]}}
    array = {**V3, "shape": [10**7, 10**7], "chunk_grid": grid}
    refs = {"zarr.json": json.dumps(GROUP), "a/zarr.json": json.dumps(array), "a/c/0/0": ["x", 0, 4]}
    (folder / "k.json").write_text(json.dumps({"version": 1, "refs": refs}))
    return folder / "k.json"


def templates_that_hold_each_other(folder):
    templates = {"t0": "A" * 10} | {f"t{i}": f"{{{{t{i - 1}}}}}" * 10 for i in range(1, 10)}
    return write_json(folder / "k.json", {"a/.zarray": zarray([1], [1]), "a/0": ["{{t9}}", 0, 4]}, templates=templates)


def templates_that_make_nothing(folder):
    """Not the length counts but the work."""
    templates = {"t0": ""} | {f"t{i}": f"{{{{t{i - 1}}}}}" * 10 for i in range(1, 10)}
    return write_json(folder / "k.json", {"a/.zarray": zarray([1], [1]), "a/0": ["x{{t9}}", 0, 4]}, templates=templates)


def a_template_that_is_called(folder):
    templates = {"f0": "{{c}}{{c}}"} | {f"f{i}": f'{{{{f{i - 1}(c="{{c}}{{c}}")}}}}' * 20 for i in range(1, 9)}
    refs = {"a/.zarray": zarray([1], [1]), "a/0": ['{{f8(c="text")}}', 0, 4]}
    return write_json(folder / "k.json", refs, templates=templates)


def generated_references(folder):
    rule = {"key": "a/{{i}}", "url": "x", "offset": "{{i}}", "length": 4, "dimensions": {"i": {"stop": 2 * 10**7}}}
    return write_json(folder / "k.json", {"a/.zarray": zarray([2 * 10**7], [1])}, gen=[rule])


def generated_by_many_rules(folder):
    rule = {"key": "b/{{i}}", "url": "x", "dimensions": {"i": {"stop": 10**5}}}
    return write_json(folder / "k.json", {"a/.zarray": zarray([1], [1])}, gen=[rule] * 100)


def generated_from_templates(folder):
    rule = {"key": "a/{{i}}", "url": "{{t}}", "dimensions": {"i": {"stop": 9 * 10**5}}}
    return write_json(folder / "k.json", {"a/.zarray": zarray([10**6], [1])}, templates={"t": "A" * 10**4}, gen=[rule])


def documents_in_zstd(folder):
    head, tail = json.dumps({"version": 1, "refs": {".zgroup": '{"zarr_format": 2}', "x": "|"}}).split("|")
    with zstd.open(folder / "k.json.zst", "w") as file:
        file.write(head.encode())
        for _ in range(600):
            file.write(b"a" * 1_000_000)
        file.write(tail.encode())
    return folder / "k.json.zst"


def nested_json(folder):
    (folder / "k.json").write_text(
        '{"version": 1, "refs": {"a/.zattrs": ' + '{"a":' * 50_000 + "1" + "}" * 50_000 + "}}"
    )
    return folder / "k.json"


def nested_groups(folder):
    return write_json(folder / "k.json", {"g/" * 20_000 + ".zgroup": '{"zarr_format": 2}'})


def parquet(folder, rows, *, missing=False):
    store = folder / "p.parquet"
    (store / "a").mkdir(parents=True)
    metadata = {".zgroup": {"zarr_format": 2}, "a/.zarray": json.loads(zarray([rows], [1])), "a/.zattrs": {}}
    record_size = 1 if missing else rows
    (store / ".zmetadata").write_text(json.dumps({"metadata": metadata, "record_size": record_size}))
    (store / ".zgroup").write_text('{"zarr_format": 2}')
    return store


def runs_of_parquet(folder):
    store = parquet(folder, 5 * 10**7)
    with pq.ParquetWriter(
        store / "a" / "refs.0.parq",
        pa.schema({"path": pa.string(), "offset": pa.int64(), "size": pa.int64()}),
        compression="zstd",
    ) as writer:
        part = pa.table({"path": ["x"] * 10**6, "offset": np.zeros(10**6, "i8"), "size": np.full(10**6, 4)})
        for _ in range(50):
            writer.write_table(part, row_group_size=10**6)
    return store


def tables_that_are_missing(folder):
    return parquet(folder, 2 * 10**8, missing=True)


def sparse_zarr_store(folder):
    (folder / "z.zarr" / "a" / "c").mkdir(parents=True)
    (folder / "z.zarr" / "zarr.json").write_text(json.dumps(GROUP))
    (folder / "z.zarr" / "a" / "zarr.json").write_text(json.dumps(regular([10**8], [1])))
    (folder / "z.zarr" / "a" / "c" / "3").write_bytes(bytes(4))
    return folder / "z.zarr"


def records_of_netcdf3(folder):
    """A header that says there are two thousand million records."""
    with netCDF4.Dataset(folder / "f.nc", "w", format="NETCDF3_CLASSIC") as file:
        file.createDimension("time", None)
        file.createVariable("v", "f4", ("time",))[:] = [0]
    data = bytearray((folder / "f.nc").read_bytes())
    data[4:8] = (2**31 - 2).to_bytes(4, "big")
    (folder / "f.nc").write_bytes(data)
    return folder / "f.nc"


def tiles_of_a_tiff(folder):
    """Width and length that mean many more tiles than the file lists."""
    tifffile.imwrite(folder / "f.tif", np.zeros((16, 16), "u1"), tile=(16, 16), metadata=None)
    with tifffile.TiffFile(folder / "f.tif") as file:
        places = [file.pages[0].tags[code].valueoffset for code in (256, 257)]
    data = bytearray((folder / "f.tif").read_bytes())
    for place in places:
        data[place : place + 4] = (2**20 - 1).to_bytes(4, "little")
    (folder / "f.tif").write_bytes(data)
    return folder / "f.tif"


def sparse_hdf5(folder):
    import h5py

    with h5py.File(folder / "f.h5", "w") as file:
        for i in range(30):
            file.create_dataset(f"v{i}", (4_000_000,), "u1", chunks=(1,))[5] = 1
    return folder / "f.h5"


def virtual_hdf5(folder):
    import h5py

    with h5py.File(folder / "f.h5", "w") as file:
        file.create_dataset("s", (100,), "u1", chunks=(1,))[:] = 1
        for i in range(30):
            layout = h5py.VirtualLayout((4_000_000,), "u1")
            layout[:100] = h5py.VirtualSource(file["s"])
            file.create_virtual_dataset(f"v{i}", layout, fillvalue=0)
    return folder / "f.h5"


def sparse_dmrpp(folder):
    head = (
        '<Dataset xmlns="http://xml.opendap.org/ns/DAP/4.0#" name="d" dapVersion="4.0" '
        'xmlns:dmrpp="http://xml.opendap.org/dap/dmrpp/1.0.0#" dmrpp:href="d.nc">'
    )
    variables = "".join(
        f'<Int32 name="v{i}"><Dim size="4000000"/><dmrpp:chunks><dmrpp:chunkDimensionSizes>1</dmrpp:chunkDimensionSizes>'
        f'<dmrpp:chunk offset="0" nBytes="4" chunkPositionInArray="[0]"/></dmrpp:chunks></Int32>'
        for i in range(40)
    )
    (folder / "d.nc").write_bytes(bytes(64))
    (folder / "d.nc.dmrpp").write_text(f"<?xml version='1.0'?>{head}{variables}</Dataset>")
    return folder / "d.nc.dmrpp"


INPUTS = [
    one_sparse_array,
    many_sparse_arrays,
    sparse_array_of_many_dimensions,
    sparse_array_of_zarr_v3,
    runs_of_a_rectilinear_grid,
    templates_that_hold_each_other,
    templates_that_make_nothing,
    a_template_that_is_called,
    generated_references,
    generated_by_many_rules,
    generated_from_templates,
    documents_in_zstd,
    nested_json,
    nested_groups,
    runs_of_parquet,
    tables_that_are_missing,
    sparse_zarr_store,
    records_of_netcdf3,
    tiles_of_a_tiff,
    sparse_hdf5,
    virtual_hdf5,
    sparse_dmrpp,
]


@pytest.fixture(scope="module")
def parse(tmp_path_factory):
    """What a child says of parsing a file: how many megabytes it took, and what came of it."""
    errors = tmp_path_factory.mktemp("child") / "errors"
    children = []

    def said(path):
        if not children or children[-1].poll() is not None:
            command = [sys.executable, "-c", PARSE]
            with errors.open("w") as handle:
                pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": handle}
                children.append(subprocess.Popen(command, text=True, **pipes))
        child = children[-1]
        child.stdin.write(f"{path}\n")
        child.stdin.flush()
        if not select([child.stdout], [], [], SECONDS)[0]:
            child.kill()
        answer = child.stdout.readline()
        assert answer, f"killed, or it ended by itself: {errors.read_text()[-2000:]}"
        return answer

    yield said
    for child in children:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("make", INPUTS, ids=lambda make: make.__name__)
def test_what_grows_is_refused_or_stays_small(tmp_path, make, parse):
    path = make(tmp_path)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 10**6
    said = parse(path)
    megabytes, outcome = said.split(" ", 1)
    assert int(megabytes) < LIMIT_MB, said
    assert not outcome.startswith("unnamed"), said
    assert outcome.startswith(
        ("read", "UnsupportedFeatureError", "MalformedFileError", "ManifestError", "UnknownFormat")
    ), said
