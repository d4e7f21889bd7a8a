"""TIFF, COG and GeoTIFF parser."""

from collections.abc import Iterator

from manifestry.formats import hookimpl
from manifestry.formats.descriptors import Capability, Magic, ParserDescriptor


@hookimpl
def manifestry_parsers() -> Iterator[ParserDescriptor]:
    """TIFF 6.0 and BigTIFF in both byte orders."""
    yield ParserDescriptor(
        name="tiff",
        title="TIFF, BigTIFF, GeoTIFF and COG",
        parser="manifestry_tiff.parser:TiffParser",
        options="manifestry_tiff.options:TiffOptions",
        magic=(Magic(b"II*\0"), Magic(b"MM\0*"), Magic(b"II+\0"), Magic(b"MM\0+")),
        extensions=(".tif", ".tiff", ".gtiff", ".btf", ".tf8"),
        capabilities=frozenset({Capability.GROUPS, Capability.NATIVE, Capability.REMOTE}),
    )
