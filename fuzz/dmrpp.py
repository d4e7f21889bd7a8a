"""Elements and attributes of DMR++ documents."""

import copy
import random
from pathlib import Path
from xml.etree import ElementTree as ET

import h5py
from dmrpp_documents import describe_hdf5
from random_netcdf import write_random_netcdf

from fuzz.values import TEXTS, damage_bytes, other_number

DMRPP = "{http://xml.opendap.org/dap/dmrpp/1.0.0#}"
DAP = "{http://xml.opendap.org/ns/DAP/4.0#}"
NAMES = ("Int8", "Float64", "String", "Structure", "Group", "Dim", "Dimension", "Attribute", "Enum", "Opaque", "Value")
PARTS = ("chunks", "chunk", "chunkDimensionSizes", "compact", "missingdata", "vlsa", "FillValue", "v")
WORDS = (
    "deflate", "shuffle deflate", "fletcher32", "deflate shuffle fletcher32 deflate", "LE", "BE", "[0]", "[0,0]", "[-1]",
    "[99999999999999999999]", "1 1", "0", "5 x", "/x", "/g/x", "Byte", "Float32", "http://127.0.0.1/x", "data.bin", "AAAA",
)  # fmt: skip


def original(seed: int, folder: Path) -> Path:
    """The document of the next random netCDF-4 file that can be described."""
    path = folder / "file.nc"
    for attempt in range(1000):
        if write_random_netcdf(path, 1000 * seed + attempt).startswith("NETCDF4"):
            return _described(path)
    raise AssertionError("no netCDF-4 file in a thousand")


def _described(path: Path) -> Path:
    with h5py.File(path):
        return describe_hdf5(path)


def mutate(path: Path, rng: random.Random, number: int) -> None:
    """Change, move, double or drop elements and attributes."""
    data = bytearray(path.read_bytes())
    if rng.random() < 0.05:
        damage_bytes(data, rng)
        path.write_bytes(data)
        return
    root = ET.fromstring(bytes(data))
    for _ in range(rng.choice((1, 1, 2, 3))):
        _change(root, rng)
    path.write_bytes(ET.tostring(root, "utf-8"))


def _change(root: ET.Element, rng: random.Random) -> None:
    parents = [(parent, child) for parent in root.iter() for child in parent]
    if not parents:
        return
    tags = sorted({child.tag for _, child in parents})
    tag = rng.choice(tags)  # so that rare elements are changed as often as others
    parent, child = rng.choice([one for one in parents if one[1].tag == tag])
    kind = rng.randrange(9)
    if kind == 0:
        parent.remove(child)
    elif kind == 1:
        parent.insert(rng.randrange(len(parent) + 1), copy.deepcopy(child))
    elif kind == 2:
        rng.choice(parents)[0].append(copy.deepcopy(child))
    elif kind == 3:
        child.tag = rng.choice([DAP + name for name in NAMES] + [DMRPP + name for name in PARTS] + tags)
    elif kind == 4 or not child.attrib:
        child.text = _other(child.text or "", rng)
    elif kind == 5:
        del child.attrib[rng.choice(sorted(child.attrib))]
    elif kind == 6:
        child.set(
            rng.choice([*TEXTS[1:2], "name", "size", "offset", "nBytes", "fillValue", "href", "type", "enum"]), "1"
        )
    else:
        key = rng.choice(sorted(child.attrib))
        child.set(key, _other(child.attrib[key], rng))


def _other(text: str, rng: random.Random) -> str:
    try:
        number = int(text)
    except ValueError:
        return rng.choice([*WORDS, *(t for t in TEXTS if t.isprintable() and "\ud800" not in t), text * 2, text[:-1]])
    return str(rng.choice((other_number(abs(number), 63, rng), -number, 2**64, 10**30)))
