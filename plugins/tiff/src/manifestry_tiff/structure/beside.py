"""What files beside a TIFF say of its first image, as plain data; they count before what the file says itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Beside", "GdalItem"]


@dataclass(frozen=True, slots=True)
class GdalItem:
    """One item of GDAL's metadata.

    Attributes
    ----------
    band
        From 0, None for the whole file.
    role
        ``"scale"``, ``"offset"``, ``"description"``, ``"unittype"`` ..., or ``""``.
    domain
        ``"IMAGERY"`` ..., ``""`` is the default one.
    """

    name: str
    value: str
    band: int | None
    role: str = ""
    domain: str = ""

    @property
    def key(self) -> tuple[int | None, str, str, str]:
        """What only one item has: names do not matter where there is a role."""
        return self.band, self.role, self.domain, "" if self.role else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What GDAL's metadata file and a world file say.

    Attributes
    ----------
    items
        Metadata, scales, offsets, units, descriptions and colours of bands.
    nodata
        As text, by band from 0.
    colors
        Rows ``(red, green, blue, alpha)`` from 0 to 255 of the colours of the first band.
    categories
        Names of the values 0, 1, ... by band from 0.
    system
        Coordinate reference system as text, None where nothing is said.
    axis_mapping
        Which axes of it columns and rows run along, counted from 1; ``()`` where nothing is said.
    epoch
        Of the coordinates, in years.
    transform
        ``(a, b, c, d, e, f)`` of pixel corners, which counts before that of the file.
    world
        The same of a world file, which counts where nothing else says it.
    area_or_point
        ``"Area"``, ``"Point"`` or ``""``.
    """

    items: tuple[GdalItem, ...] = ()
    nodata: Mapping[int, str] = field(default_factory=dict)
    colors: tuple[tuple[int, ...], ...] = ()
    categories: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    system: str | None = None
    axis_mapping: tuple[int, ...] = ()
    epoch: float | None = None
    transform: tuple[float, ...] = ()
    world: tuple[float, ...] = ()
    area_or_point: str = ""
