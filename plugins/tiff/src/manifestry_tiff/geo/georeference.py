"""Georeferencing of an image: GeoZarr conventions and CF side by side, each read by programs that do not read the other."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from manifestry.plugin import ParseContext, VirtualArray

from manifestry_tiff.geo.crs import CoordinateSystem, CrsError, read_crs
from manifestry_tiff.geo.geokeys import GeoKey, read_geo_keys
from manifestry_tiff.geo.geozarr import proj_attributes, spatial_attributes, with_conventions
from manifestry_tiff.geo.transform import Affine, read_transform
from manifestry_tiff.geo.wkt import system_of_text
from manifestry_tiff.options import TiffOptions
from manifestry_tiff.pixels.coordinates import inline_array
from manifestry_tiff.structure.beside import Beside
from manifestry_tiff.structure.image import Image
from manifestry_tiff.structure.tags import Tag

__all__ = ["GRID_MAPPING", "GeoReference", "read_georeference"]

GRID_MAPPING: Final = "spatial_ref"
"""Name of the scalar variable that holds the CF grid mapping."""

_GEO_TAGS: Final = (Tag.GEO_KEY_DIRECTORY, Tag.MODEL_TRANSFORMATION, Tag.MODEL_TIEPOINT, Tag.MODEL_PIXEL_SCALE)
_PIXEL_IS_POINT: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class GeoReference:
    """Where an image lies.

    Attributes
    ----------
    width, length
        Of the image that it was read from, in pixels.
    system, transform
        None where the file does not say.
    point
        Whether values belong to points (PixelIsPoint) rather than areas.
    node
        Whether that is to be said as the registration ``node``.
    epoch
        Of the coordinates, in years (GeoKey 5120); None where the file does not say.
    """

    width: int
    length: int
    system: CoordinateSystem | None
    transform: Affine | None
    point: bool = False
    node: bool = False
    epoch: float | None = None

    def at_size(self, width: int, length: int) -> GeoReference:
        """The same area in an image of another size."""
        if self.transform is None or (width, length) == (self.width, self.length):
            return replace(self, width=width, length=length)
        transform = self.transform.scale(self.width / width, self.length / length)
        return replace(self, width=width, length=length, transform=transform)

    def conventions(self) -> dict[str, Any]:
        """GeoZarr attributes of an array."""
        attributes: dict[str, Any] = {}
        if self.system is not None:
            attributes |= proj_attributes(self.system)
        if self.transform is not None:
            attributes |= spatial_attributes(self.transform, self.width, self.length, node=self.node)
        return attributes

    def group_attributes(self) -> dict[str, Any]:
        """GeoZarr attributes of a group with one image."""
        return with_conventions(self.conventions())

    def array_attributes(self) -> dict[str, Any]:
        """All attributes that say on an array of this image where it lies."""
        attributes = self.group_attributes()
        # Without `coordinates` xarray takes the grid mapping for data, unless it is told decode_coords="all".
        attributes |= {"grid_mapping": GRID_MAPPING, "coordinates": GRID_MAPPING}
        if self.transform is not None:
            attributes["AREA_OR_POINT"] = "Point" if self.point else "Area"
        return attributes

    def value_attributes(self) -> dict[str, Any]:
        """What values are where nothing else says it: heights in the unit of the vertical system, as for GDAL."""
        unit = "" if self.system is None else self.system.height_unit
        return {"units": unit} if unit else {}

    def variables(self, context: ParseContext, *, coordinates: bool) -> dict[str, VirtualArray]:
        """The grid mapping and, where x and y are functions of the column and the row, coordinates of pixel centres."""
        variables = {GRID_MAPPING: inline_array(np.zeros((), "i8"), (), self._grid_mapping_attributes())}
        transform = self.transform
        if not coordinates or transform is None or not transform.axis_aligned:
            return variables
        if 8 * (self.width + self.length) > context.limits.max_inline_bytes:
            message = f"{self.width + self.length} values take more than limits.max_inline_bytes"
            context.report("x", "coordinates left out", message, "raise max_inline_bytes")
            return variables
        x, y = transform.centres(self.width, self.length)
        axes = {"X": {"axis": "X"}, "Y": {"axis": "Y"}} if self.system is None else self.system.axes
        return {"x": inline_array(x, ("x",), axes["X"]), "y": inline_array(y, ("y",), axes["Y"]), **variables}

    def _grid_mapping_attributes(self) -> dict[str, Any]:
        attributes: dict[str, Any] = {} if self.system is None else dict(self.system.grid_mapping)
        if self.epoch is not None:
            attributes["coordinate_epoch"] = self.epoch
        if self.transform is not None:
            a, b, c, d, e, f = self.transform.coefficients
            attributes["GeoTransform"] = " ".join(map(repr, (c, a, b, f, d, e)))
        return attributes


def read_georeference(image: Image, path: str, options: TiffOptions, context: ParseContext) -> GeoReference | None:
    """Where an image lies, None where its tags do not say. What cannot be understood is reported; pixels stay right."""
    directory = image.directory
    beside = directory.beside or Beside()
    placed = beside.system is not None or beside.transform or beside.world
    if not placed and not any(tag in directory for tag in _GEO_TAGS):
        return None
    keys = read_geo_keys(directory)
    try:
        system = read_crs(keys) if beside.system is None else system_of_text(beside.system, beside.axis_mapping)
    except CrsError as error:
        context.report(path, "coordinate reference system left out", str(error))
        system = None
    if system is not None and system.left_out:
        context.report(path, "vertical system left out", system.left_out)
    transform = _transform(beside.transform, path, context) if beside.transform else read_transform(directory, keys)
    if transform is None and beside.world and not beside.transform:
        transform = _transform(beside.world, path, context)
    if transform is None and Tag.MODEL_TIEPOINT in directory:
        context.report(path, "ground control points left out", "tie points without a scale make no affine transform")
    if system is None and transform is None:
        return None
    point = keys.code(GeoKey.GT_RASTER_TYPE) == _PIXEL_IS_POINT
    if beside.area_or_point:
        point = beside.area_or_point == "Point"
    node = point and options.registration == "node"
    return GeoReference(
        width=image.width,
        length=image.length,
        system=system,
        transform=transform,
        point=point,
        node=node,
        epoch=keys.number(GeoKey.COORDINATE_EPOCH) if beside.system is None else beside.epoch,
    )


def _transform(numbers: tuple[float, ...], path: str, context: ParseContext) -> Affine | None:
    """The transform that a file beside the TIFF states; one that is none is reported."""
    a, b, c, d, e, f = numbers
    if not all(map(math.isfinite, numbers)) or a * e == b * d:
        context.report(path, "transform left out", f"{numbers} of the file beside it are no transform")
        return None
    return Affine(a=a, b=b, c=c, d=d, e=e, f=f)
