"""DMR++ documents of HDF5 files, as build_dmrpp makes them; written from the schema, with h5py and no code of the parser."""

from __future__ import annotations

import base64
from xml.sax.saxutils import escape, quoteattr

import h5py
import numpy as np

__all__ = ["HEADER", "describe_hdf5"]

HEADER = (
    '<?xml version="1.0" encoding="ISO-8859-1"?>\n'
    '<Dataset xmlns="http://xml.opendap.org/ns/DAP/4.0#" xmlns:dmrpp="http://xml.opendap.org/dap/dmrpp/1.0.0#" '
    'dapVersion="4.0" dmrVersion="1.0" name="data.bin"{href}{version}>\n'
)
DAP_TYPES = {
    "u1": "UInt8", "i1": "Int8", "i2": "Int16", "u2": "UInt16", "i4": "Int32", "u4": "UInt32", "i8": "Int64",
    "u8": "UInt64", "f4": "Float32", "f8": "Float64",
}  # fmt: skip


def describe_hdf5(path, suffix=".dmrpp"):
    """The DMR++ document of an HDF5 file: it is written beside the file, and its path returned."""
    with h5py.File(path) as file:
        body = "".join(_group(file, file, _lengths(file)))
    document = path.with_name(path.name + suffix)
    header = HEADER.format(href=' dmrpp:href="OPeNDAP_DMRpp_DATA_ACCESS_URL"', version=' dmrpp:version="3.21.0"')
    document.write_text(header + body + "</Dataset>", encoding="latin-1", errors="xmlcharrefreplace")
    return document


def _lengths(file):
    """The lengths of dimensions by the paths of their scales: of unlimited ones as netCDF has them."""
    lengths = {}

    def measure(_, item):
        if isinstance(item, h5py.Dataset):
            for axis, size in enumerate(item.shape or ()):
                scales = [scale.name for scale in item.dims[axis].values()]
                for scale in scales or [item.name] * (item.is_scale and not axis):
                    if file[scale].maxshape[0] is None or scale == item.name:
                        lengths[scale] = max(lengths.get(scale, 0), size)

    file.visititems(measure)
    return lengths


def _group(file, group, lengths):
    """Written from the schema and from documents of build_dmrpp, with h5py: no code of the parser is used."""
    for name, item in group.items():
        if isinstance(item, h5py.Dataset) and item.is_scale:
            yield f"<Dimension name={quoteattr(name)} size='{lengths[item.name]}'/>"
    for name, item in group.items():
        if isinstance(item, h5py.Dataset) and _labels(item.dtype):
            labels = _labels(item.dtype).items()
            constants = "".join(f"<EnumConst name={quoteattr(k)} value='{v}'/>" for k, v in labels)
            base = DAP_TYPES["i1" if item.dtype.kind == "b" else item.dtype.str[1:]]
            yield f"<Enumeration name={quoteattr(name + '_t')} basetype='{base}'>{constants}</Enumeration>"
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            yield f"<Group name={quoteattr(name)}>"
            yield from _group(file, item, lengths)
            yield "</Group>"
        elif bytes(item.attrs.get("NAME", b"")).startswith(b"This is a netCDF dimension but not"):
            yield f"<Float32 name={quoteattr(name)}><Dim name={quoteattr(item.name)}/></Float32>"
        else:
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


def _dtype(item):
    """The type in the file: complex numbers are records there."""
    if item.dtype.kind != "c":
        return item.dtype
    part = f"{item.dtype.str[0]}f{item.dtype.itemsize // 2}"
    return np.dtype([("r", part), ("i", part)])


def _dataset(name, item):
    kind = _kind(_dtype(item))
    enum = f" enum={quoteattr(item.parent.name.rstrip('/') + '/' + name + '_t')}" if kind == "Enum" else ""
    yield f"<{kind} name={quoteattr(name)}{enum}>"
    if kind == "Structure":
        yield from _members(_dtype(item))
    for axis, size in enumerate(item.shape):
        scale = item.dims[axis][0].name if len(item.dims[axis]) else item.name if item.is_scale and not axis else None
        yield f"<Dim name={quoteattr(scale)}/>" if scale else f"<Dim size='{size}'/>"
    yield from _attributes(item)
    yield from _data(item, kind)
    yield f"</{kind}>"


def _kind(dtype):
    if dtype.names:
        return "Structure"
    if _labels(dtype):
        return "Enum"
    return {"S": "String", "O": "String", "V": "Opaque"}.get(dtype.kind) or DAP_TYPES[dtype.newbyteorder("<").str[1:]]


def _labels(dtype):
    return {"FALSE": 0, "TRUE": 1} if dtype.kind == "b" else h5py.check_enum_dtype(dtype)


def _members(dtype):
    for name in dtype.names:
        kind = _kind(dtype[name].base)
        yield f"<{kind} name={quoteattr(name)}>"
        if kind == "Structure":
            yield from _members(dtype[name].base)
        yield "".join(f"<Dim size='{n}'/>" for n in dtype[name].shape) + f"</{kind}>"


def _data(item, kind):
    if item.dtype.kind == "O":
        texts = [t.decode() for t in np.asarray(item[()], object).reshape(-1).tolist()]
        yield "<dmrpp:vlsa>" + "".join(f"<v>{escape(t)}</v>" for t in texts) + "</dmrpp:vlsa>"
        return
    if item.id.get_create_plist().get_layout() == h5py.h5d.COMPACT:
        packed = np.asarray(item[()]).astype(item.dtype.newbyteorder("<"))
        yield f"<dmrpp:compact>{base64.b64encode(packed.tobytes()).decode()}</dmrpp:compact>"
    else:
        yield from _chunks(item)
    if kind == "String" and item.shape:
        pad = {h5py.h5t.STR_NULLTERM: "null_term", h5py.h5t.STR_NULLPAD: "null_pad", h5py.h5t.STR_SPACEPAD: "space_pad"}
        padding = pad[item.id.get_type().get_strpad()]
        yield f"<dmrpp:FixedLengthStringArray string_length='{item.dtype.itemsize}' pad='{padding}'/>"


def _fill(item):
    """As C++ prints it: six digits."""
    if _dtype(item).names:
        return "0"
    if item.dtype.kind == "S":
        return item.fillvalue.decode()
    if item.dtype.kind == "f":
        return f"{item.fillvalue:g}"
    return "0" if item.dtype.kind == "V" else str(int(item.fillvalue))


def _chunks(item):
    pipeline = item.id.get_create_plist()
    names, levels = [], []
    for position in range(pipeline.get_nfilters()):
        number, _, data, _ = pipeline.get_filter(position)
        names.append({1: "deflate", 2: "shuffle", 3: "fletcher32"}[number])
        levels += [str(data[0])] if number == 1 else []
    dtype = _dtype(item)
    first = dtype[0].base if dtype.names else dtype
    order = "BE" if first.byteorder == ">" else "LE"
    yield f"<dmrpp:chunks fillValue={quoteattr(_fill(item))} byteOrder='{order}'"
    if names:
        yield f" compressionType='{' '.join(names)}'" + (f" deflateLevel='{' '.join(levels)}'" if levels else "")
    if dtype.names:
        ends = [dtype.fields[n][1] for n in dtype.names[1:]]
        yield f" structOffset='{' '.join(map(str, [*ends, dtype.itemsize]))}'"
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
    yield "</dmrpp:chunks>"
