"""A writer of TIFF files tag by tag: what libraries refuse to write, and what is malformed."""

import struct

import pytest

FORMATS = {1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 12: "d", 16: "Q"}


def tiff_bytes(directories, data=b"", *, order="<", big=False, loop=None):
    """A file: header, `data` (at offset 16), directories one behind the other.

    Parameters
    ----------
    directories
        For each a list of ``(tag, type, values)``; ``(tag, type, count, offset)`` places a value anywhere.
    loop
        Index of the directory that the last one points back to.
    """
    entry, word = ("HHQ", "Q") if big else ("HHI", "I")
    width = 8 if big else 4
    out = bytearray(b"\0" * 16 + data)
    starts, links = [], []
    for tags in directories:
        blobs, fields = [], []
        for tag, kind, *rest in sorted(tags, key=lambda t: t[0]):
            if len(rest) == 2:
                fields.append((tag, kind, rest[0], struct.pack(order + word, rest[1])))
                continue
            values = rest[0]
            if kind == 2:
                count, value = len(values) + 1, values.encode() + b"\0"
            else:
                values = values if isinstance(values, list | tuple) else [values]
                count = len(values) // len(FORMATS[kind])  # of a fraction there are two numbers
                value = struct.pack(f"{order}{len(values)}{FORMATS[kind][0]}", *values)
            if len(value) > width:
                blobs.append((len(fields), value))
                value = b""
            fields.append((tag, kind, count, value))
        for at, value in blobs:
            out += b"\0" * (len(out) % 2)
            tag, kind, count, _ = fields[at]
            fields[at] = (tag, kind, count, struct.pack(order + word, len(out)))
            out += value
        out += b"\0" * (len(out) % 2)
        starts.append(len(out))
        out += struct.pack(order + ("Q" if big else "H"), len(fields))
        for tag, kind, count, value in fields:
            out += struct.pack(order + entry, tag, kind, count) + value.ljust(width, b"\0")
        links.append(len(out))
        out += b"\0" * width
    for link, start in zip(links[:-1], starts[1:], strict=True):
        struct.pack_into(order + word, out, link, start)
    if loop is not None:
        struct.pack_into(order + word, out, links[-1], starts[loop])
    mark = b"II" if order == "<" else b"MM"
    first = starts[0] if starts else 0
    head = struct.pack(order + "HHHQ", 43, 8, 0, first) if big else struct.pack(order + "HI", 42, first)
    out[: 2 + len(head)] = mark + head
    return bytes(out)


def gray(width, length, offsets, counts, *more, rows=None, bits=8, compression=1):
    """The tags of a grayscale image in strips; `more` replaces tags or adds some."""
    tags = {
        256: (256, 4, width), 257: (257, 4, length), 258: (258, 3, bits), 259: (259, 3, compression),
        262: (262, 3, 1), 273: (273, 4, offsets), 277: (277, 3, 1), 278: (278, 4, rows or length), 279: (279, 4, counts),
    }  # fmt: skip
    tags |= {tag[0]: tag for tag in more}
    return [tag for tag in tags.values() if len(tag) > 1]


@pytest.fixture
def make_tiff(tmp_path):
    """Writes a file from the arguments of `tiff_bytes` and gives its path."""

    def make(*args, name="made.tif", **options):
        path = tmp_path / name
        path.write_bytes(tiff_bytes(*args, **options))
        return path

    make.gray = gray
    return make
