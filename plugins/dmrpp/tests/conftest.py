"""Documents: by hand, and of HDF5 files as build_dmrpp makes them."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

import h5py
import manifestry as mf
import numpy as np
import pytest
import zarr

HEADER = (
    '<?xml version="1.0" encoding="ISO-8859-1"?>\n'
    '<Dataset xmlns="http://xml.opendap.org/ns/DAP/4.0#" xmlns:dmrpp="http://xml.opendap.org/dap/dmrpp/1.0.0#" '
    'dapVersion="4.0" dmrVersion="1.0" name="data.bin"{href}{version}>\n'
)
DAP_TYPES = {
    "u1": "UInt8", "i1": "Int8", "i2": "Int16", "u2": "UInt16", "i4": "Int32", "u4": "UInt32", "i8": "Int64",
    "u8": "UInt64", "f4": "Float32", "f8": "Float64",
}  # fmt: skip


class Documents:
    """Writes a document and the data file that it describes, and parses it."""

    def __init__(self, directory):
        self.directory = directory
        self.data_path = directory / "data.bin"
        self.path = directory / "data.bin.dmrpp"

    def write(self, body, data=b"", *, href="OPeNDAP_DMRpp_DATA_ACCESS_URL", version="3.21.0"):
        if data:
            self.data_path.write_bytes(data)
        attributes = {
            "href": "" if href is None else f' dmrpp:href="{href}"',
            "version": "" if version is None else f' dmrpp:version="{version}"',
        }
        self.path.write_text(HEADER.format(**attributes) + body + "</Dataset>", encoding="latin-1")
        return self.path

    def parse(self, body, data=b"", *, href="OPeNDAP_DMRpp_DATA_ACCESS_URL", version="3.21.0", **options):
        return mf.parse(self.write(body, data, href=href, version=version), **options)

    def values(self, body, data=b"", **options):
        return read_all(self.parse(body, data, **options))


def read_all(tree):
    root = zarr.open_group(tree.store(), mode="r", zarr_format=3)
    return {path: np.asarray(root[path][...]) for path, _ in tree.walk_arrays()}


@pytest.fixture
def documents(tmp_path):
    return Documents(tmp_path)


@pytest.fixture
def values():
    return read_all


@pytest.fixture
def describe():
    """The DMR++ document of an HDF5 file, and where it was written: beside the file."""

    def make(path, suffix=".dmrpp"):
        with h5py.File(path) as file:
            body = "".join(_group(file, file))
        document = path.with_name(path.name + suffix)
        header = HEADER.format(href=' dmrpp:href="OPeNDAP_DMRpp_DATA_ACCESS_URL"', version=' dmrpp:version="3.21.0"')
        document.write_text(header + body + "</Dataset>", encoding="latin-1", errors="xmlcharrefreplace")
        return document

    return make


def _group(file, group):
    for name, item in group.items():
        if isinstance(item, h5py.Dataset) and item.is_scale:
            yield f"<Dimension name={quoteattr(name)} size='{item.shape[0]}'/>"
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            yield f"<Group name={quoteattr(name)}>"
            yield from _group(file, item)
            yield "</Group>"
        elif not bytes(item.attrs.get("NAME", b"")).startswith(b"This is a netCDF dimension but not"):
            yield from _dataset(name, item)
    yield from _attributes(group)


def _attributes(item):
    for name, value in item.attrs.items():
        array = np.asarray(value)
        if name in ("DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME") or name.startswith("_N"):
            continue
        kind = DAP_TYPES.get(array.dtype.str[1:], "String")
        plain = [v.decode() if isinstance(v, bytes) else v for v in array.reshape(-1).tolist()]
        texts = [repr(v) if array.dtype.kind == "f" else str(v) for v in plain]
        items = "".join(f"<Value>{escape(t)}</Value>" for t in texts)
        yield f"<Attribute name={quoteattr(name)} type='{kind}'>{items}</Attribute>"


def _dataset(name, item):
    kind = DAP_TYPES[item.dtype.newbyteorder("<").str[1:]]
    yield f"<{kind} name={quoteattr(name)}>"
    for axis, size in enumerate(item.shape):
        scale = item.dims[axis][0].name if len(item.dims[axis]) else item.name if item.is_scale and not axis else None
        yield f"<Dim name={quoteattr(scale)}/>" if scale else f"<Dim size='{size}'/>"
    yield from _attributes(item)
    pipeline = item.id.get_create_plist()
    names, levels = [], []
    for position in range(pipeline.get_nfilters()):
        number, _, data, _ = pipeline.get_filter(position)
        names.append({1: "deflate", 2: "shuffle", 3: "fletcher32"}[number])
        levels += [str(data[0])] if number == 1 else []
    order = "BE" if item.dtype.byteorder == ">" else "LE"
    fill = f"{item.fillvalue:g}" if item.dtype.kind == "f" else str(item.fillvalue)
    yield f"<dmrpp:chunks fillValue='{fill}' byteOrder='{order}'"
    if names:
        yield f" compressionType='{' '.join(names)}'" + (f" deflateLevel='{' '.join(levels)}'" if levels else "")
    yield ">"
    if item.chunks:
        yield f"<dmrpp:chunkDimensionSizes>{' '.join(map(str, item.chunks))}</dmrpp:chunkDimensionSizes>"
        for i in range(item.id.get_num_chunks()):
            info = item.id.get_chunk_info(i)
            at = ",".join(map(str, info.chunk_offset))
            mask = f" fm='{info.filter_mask}'" if info.filter_mask else ""
            yield f"<dmrpp:chunk offset='{info.byte_offset}' nBytes='{info.size}' chunkPositionInArray='[{at}]'{mask}/>"
    elif item.id.get_offset() is not None:
        yield f"<dmrpp:chunk offset='{item.id.get_offset()}' nBytes='{item.id.get_storage_size()}'/>"
    yield f"</dmrpp:chunks></{kind}>"
