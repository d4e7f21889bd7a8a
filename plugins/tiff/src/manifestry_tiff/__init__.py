"""TIFF, BigTIFF, COG and GeoTIFF as a format of manifestry.

====================  ======================================================================================
`parser`              from a file to a tree: the order of work
`options`             options that only TIFF files have
`structure`           header, directories, tags, and the images that they describe
`pixels`              from an image to a virtual array
`geo`                 coordinate systems, transforms, coordinates
`descriptions`        what text in a file says about its images
`sidecars`            files beside a TIFF that GDAL reads with it
`layout`              images as a tree of groups and arrays
`series_layout`       series of pages as arrays with an axis for each of their dimensions
`native`              pixels as tifffile decodes them, for `verify`
`tifffile_guard`      tifffile's log silenced, its exceptions translated
====================  ======================================================================================
"""

from collections.abc import Iterator

from manifestry.plugin import Capability, Magic, ParserDescriptor, hookimpl


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
