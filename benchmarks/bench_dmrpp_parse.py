"""DMR++: parsing beside VirtualiZarr and pydap, in one run. Writes docs/benchmarks/dmrpp.md.

.venv/bin/python benchmarks/bench_dmrpp_parse.py [rounds]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from side_by_side import PEER_PYTHON, Subject, compare, write_page

PAGE = Path(__file__).parent.parent / "docs/benchmarks/dmrpp.md"
INTRODUCTION = (
    "Made by `benchmarks/bench_dmrpp_parse.py` on 2 shared cores: every round of every subject in a fresh process, in "
    "turn; imports are not timed. Peers: VirtualiZarr 2.8.0 and pydap 3.5.11, which read one group at a time: they are "
    "called once for each group."
)
HEADER = (
    '<?xml version="1.0" encoding="ISO-8859-1"?>\n<Dataset xmlns="http://xml.opendap.org/ns/DAP/4.0#" '
    'xmlns:dmrpp="http://xml.opendap.org/dap/dmrpp/1.0.0#" dapVersion="4.0" dmrVersion="1.0" name="x.h5" '
    'dmrpp:href="OPeNDAP_DMRpp_DATA_ACCESS_URL" dmrpp:version="3.21.0">\n'
)
GROUPS = 71


def chunk(offset: int, size: int, position: str) -> str:
    return f'<dmrpp:chunk offset="{offset}" nBytes="{size}" chunkPositionInArray="[{position}]"/>\n'


def chunks_open(sizes: str) -> str:
    return (
        '<dmrpp:chunks compressionType="shuffle deflate" deflateLevel="6" fillValue="0" byteOrder="LE">'
        f"<dmrpp:chunkDimensionSizes>{sizes}</dmrpp:chunkDimensionSizes>\n"
    )


def many_chunks(path: Path, rows: int, columns: int) -> None:
    """One variable of rows times columns chunks."""
    with path.open("w") as out:
        out.write(HEADER + f'<Dimension name="y" size="{rows * 10}"/><Dimension name="x" size="{columns * 10}"/>\n')
        out.write('<Float32 name="v"><Dim name="/y"/><Dim name="/x"/>' + chunks_open("10 10"))
        for i in range(rows):
            start = 4000 + i * columns * 300
            out.write("".join(chunk(start + j * 300, 250 + j % 40, f"{i * 10},{j * 10}") for j in range(columns)))
        out.write("</dmrpp:chunks></Float32></Dataset>")


def many_groups(path: Path) -> None:
    """Like an ICESat-2 ATL08 granule: 71 groups, about 600 variables with attributes, about 12,800 chunks."""
    attribute = '<Attribute name="{}" type="String"><Value>{}</Value></Attribute>'
    names = ("contentType", "coordinates", "description", "long_name", "source", "units", "valid_max", "valid_min")
    attributes = "".join(attribute.format(name, "a text of usual length " * 3) for name in names)
    with path.open("w") as out:
        out.write(HEADER)
        for group in range(GROUPS):
            out.write(f'<Group name="g{group}"><Dimension name="n" size="21000"/>\n')
            for variable in range(9):
                out.write(f'<Float32 name="v{variable}"><Dim name="/g{group}/n"/>{attributes}{chunks_open("1000")}')
                out.write("".join(chunk(4000 + 300 * i, 290, str(1000 * i)) for i in range(20)))
                out.write("</dmrpp:chunks></Float32>\n")
            out.write("</Group>")
        out.write("</Dataset>")


def subjects(path: Path, groups: list[str]) -> list[Subject]:
    registry = (
        "from obspec_utils.registry import ObjectStoreRegistry\nfrom obstore.store import LocalStore\n"
        "registry = ObjectStoreRegistry({'file://': LocalStore()})\n"
    )
    loaded = (
        "import manifestry as mf, manifestry.reading, manifestry_dmrpp.parser\n"
        "from manifestry.formats.loading import installed_formats\ninstalled_formats()\n"
    )
    each = f"for group in {groups!r}:"
    return [
        Subject("manifestry", loaded, f"tree = mf.parse({str(path)!r}, format='dmrpp')"),
        Subject(
            "VirtualiZarr 2.8.0",
            registry + "from virtualizarr.parsers import DMRPPParser",
            f"{each} store = DMRPPParser(group=group)('file://{path}', registry)",
            PEER_PYTHON,
        ),
        Subject(
            "pydap 3.5.11",
            registry + "from pydap.virtualizarr.parser import DMRParser",
            f"{each} DMRParser(url='file://{path}', object_store=registry).parse_dataset(group=group)",
            PEER_PYTHON,
        ),
    ]


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as scratch:
        big, wide = Path(scratch, "big.h5.dmrpp"), Path(scratch, "wide.h5.dmrpp")
        for path in (big, wide):
            with path.with_suffix("").open("wb") as data:
                data.truncate(1 << 30)
        many_chunks(big, 1000, 1000)
        many_groups(wide)
        tables = [
            compare("A document of 71 groups", subjects(wide, [f"/g{i}" for i in range(GROUPS)]), rounds),
            compare("1,000,000 chunks of one variable", subjects(big, ["/"]), rounds),
        ]
    write_page(PAGE, "DMR++", INTRODUCTION, tables)


if __name__ == "__main__":
    main()
