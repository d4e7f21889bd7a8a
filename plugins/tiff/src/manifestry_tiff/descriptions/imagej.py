"""ImageDescription of ImageJ: lines ``key=value``, of which some say how far apart pixels, slices and frames are."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from manifestry_tiff.structure.ifd import Directory
from manifestry_tiff.structure.tags import Tag

__all__ = ["Axis", "imagej_axes", "is_imagej"]

_START: Final = "ImageJ="
_PIXELS: Final = frozenset({"", "pixel", "pixels"})
_NAMES: Final = {
    "um": "micrometer", "µm": "micrometer", "μm": "micrometer", "\\u00b5m": "micrometer", "micron": "micrometer",
    "microns": "micrometer", "sec": "second", "s": "second",
}  # fmt: skip
"""Names of units that programs know, for those that ImageJ writes; others stay as they are."""


class Axis(NamedTuple):
    """Where the elements along a dimension lie: ``origin + step * i``, in a unit, which may be ``""``."""

    origin: float
    step: float
    unit: str


def is_imagej(directory: Directory) -> bool:
    """Whether ImageJ's text describes the file."""
    return directory.text(Tag.IMAGE_DESCRIPTION).startswith(_START)


def imagej_axes(directory: Directory) -> dict[str, Axis]:
    """The axes that the text of the first directory, and its resolution, give a measure for.

    ``x`` and ``y`` where there is a unit of length, in pixels per unit; ``z`` by ``spacing``; ``t`` by ``finterval``, or by
    the frames per second. Origins are in pixels.
    """
    values = dict(line.split("=", 1) for line in directory.text(Tag.IMAGE_DESCRIPTION).splitlines() if "=" in line)
    unit = values.get("unit", "").strip().lower()
    unit = "" if unit in _PIXELS else _NAMES.get(unit, values["unit"].strip())
    axes = {}
    for dim, tag in (("x", Tag.X_RESOLUTION), ("y", Tag.Y_RESOLUTION)):
        resolution = directory.numbers(tag)
        if unit and resolution is not None and math.isfinite(resolution[0]) and resolution[0] > 0:
            step = 1.0 / float(resolution[0])
            axes[dim] = Axis(-_number(values, f"{dim}origin") * step, step, _unit_of(values, dim, unit))
    spacing = abs(_number(values, "spacing"))
    if spacing:
        axes["z"] = Axis(-_number(values, "zorigin") * spacing, spacing, _unit_of(values, "z", unit))
    rate = _number(values, "fps")
    interval = _number(values, "finterval") or (1.0 / rate if rate > 0 else 0.0)
    if interval > 0:
        time_unit = values.get("tunit", "sec").strip()
        axes["t"] = Axis(0.0, interval, _NAMES.get(time_unit.lower(), time_unit))
    return axes


def _unit_of(values: dict[str, str], dim: str, unit: str) -> str:
    """The unit of an axis, which may have one of its own."""
    own = values.get(f"{dim}unit", "").strip()
    return _NAMES.get(own.lower(), own) if own else unit


def _number(values: dict[str, str], key: str) -> float:
    try:
        number = float(values.get(key, "0"))
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0
