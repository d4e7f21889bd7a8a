"""OME-XML (OME-TIFF 6.0, schema 2016-06): which files an image is spread over, and what its axes measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from manifestry_tiff.descriptions.xml_text import parse_xml

__all__ = ["OmeDocument", "OmeImage", "ngff_attributes", "parse_ome"]

_UNITS: Final = {
    "m": "meter", "cm": "centimeter", "mm": "millimeter", "µm": "micrometer", "μm": "micrometer", "nm": "nanometer",
    "pm": "picometer", "Å": "angstrom", "in": "inch", "ft": "foot",
    "s": "second", "ms": "millisecond", "µs": "microsecond", "μs": "microsecond", "ns": "nanosecond", "min": "minute",
    "h": "hour", "d": "day",
}  # fmt: skip
"""UDUNITS names, as NGFF wants them, of the symbols of OME; others, like ``pixel``, are not units there."""

_MEASURES: Final = {"x": "PhysicalSizeX", "y": "PhysicalSizeY", "z": "PhysicalSizeZ", "t": "TimeIncrement"}
_AXIS_TYPES: Final = {"t": "time", "c": "channel", "band": "channel", "z": "space", "y": "space", "x": "space"}
_ORDER: Final = ("time", "channel", "space")


@dataclass(frozen=True, slots=True)
class OmeImage:
    """One image.

    Attributes
    ----------
    name
        As its author calls it.
    steps
        Distance of neighbours along an axis and the symbol of its unit, by dimension, where the document says it.
    """

    name: str
    steps: Mapping[str, tuple[float, str]]


@dataclass(slots=True)
class OmeDocument:
    """The document of a file.

    Attributes
    ----------
    uuid
        Of the file that holds the document.
    uuids
        Of the files that hold planes.
    images
        In their order.
    """

    uuid: str = ""
    uuids: set[str] = field(default_factory=set)
    images: list[OmeImage] = field(default_factory=list)

    @property
    def spread(self) -> bool:
        """Whether other files hold some of the planes."""
        return bool(self.uuids - {self.uuid})


def parse_ome(text: str) -> OmeDocument:
    """The document of an ImageDescription tag.

    Raises
    ------
    ValueError
        It is not XML.
    """
    document = OmeDocument()
    names: list[str] = []

    def start(element: str, attributes: Mapping[str, str]) -> None:
        if element == "OME":
            document.uuid = attributes.get("UUID", "").strip()
        elif element == "Image":
            names.append(attributes.get("Name", ""))
        elif element == "Pixels" and names:
            document.images.append(OmeImage(names[-1], dict(_steps(attributes))))

    def end(element: str, content: str) -> None:
        if element == "UUID":
            document.uuids.add(content)

    parse_xml(text, start, end)
    return document


def _steps(attributes: Mapping[str, str]) -> list[tuple[str, tuple[float, str]]]:
    steps = []
    for dim, name in _MEASURES.items():
        try:
            step = float(attributes.get(name, ""))
        except ValueError:
            continue
        if 0 < step < float("inf"):
            steps.append((dim, (step, attributes.get(f"{name}Unit", "s" if dim == "t" else "µm"))))
    return steps


def ngff_attributes(image: OmeImage, levels: Sequence[tuple[str, tuple[int, ...], tuple[str, ...]]]) -> dict[str, Any]:
    """The attribute ``ome`` (OME-NGFF 0.5) of a group; none where its axes are not what NGFF allows.

    Parameters
    ----------
    levels
        Path below the group, shape and dimension names of the arrays, from fine to coarse.
    """
    _, shape, dims = levels[0]
    types = [_AXIS_TYPES.get(dim, "") for dim in dims]
    in_order = "" not in types and types == sorted(types, key=_ORDER.index) and types.count("channel") <= 1
    if not in_order or any(level_dims != dims for _, _, level_dims in levels):
        return {}
    axes: list[dict[str, str]] = []
    for dim, axis_type in zip(dims, types, strict=True):
        unit = _UNITS.get(image.steps[dim][1]) if dim in image.steps else None
        axes.append({"name": dim, "type": axis_type} | ({"unit": unit} if unit else {}))
    steps = [image.steps.get(dim, (1.0, ""))[0] for dim in dims]
    datasets = [
        {
            "path": path,
            "coordinateTransformations": [
                {"type": "scale", "scale": [s * n / m for s, n, m in zip(steps, shape, own, strict=True)]}
            ],
        }
        for path, own, _ in levels
    ]
    multiscale = {"name": image.name, "axes": axes, "datasets": datasets}
    return {"ome": {"version": "0.5", "multiscales": [multiscale]}}
