"""An image as a virtual array."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from manifestry.plugin import ArrayMetadata, ParseContext, UnsupportedFeatureError, VirtualArray, default_fill

from manifestry_tiff.options import TiffOptions
from manifestry_tiff.pixels.chunking import lay_out
from manifestry_tiff.pixels.nodata import nearest_value, parse_nodata
from manifestry_tiff.pixels.pipeline import make_pipeline
from manifestry_tiff.structure.image import Image
from manifestry_tiff.structure.segments import Segments, read_segments
from manifestry_tiff.structure.tags import Tag

__all__ = ["image_array", "plane_array"]


def image_array(image: Image, path: str, options: TiffOptions, context: ParseContext) -> VirtualArray:
    """The array of an image.

    Parameters
    ----------
    path
        Of the array, for what is reported.

    Raises
    ------
    MalformedFileError, UnsupportedFeatureError, ManifestError
        The array cannot be expressed exactly.
    """
    nodata = image_nodata(image, path, context)
    texts = _nodata_texts(image)
    fill = nearest_value(texts[0], image.dtype) if nodata is None else nodata
    pipeline = make_pipeline(image)
    segments = read_segments(image, context.limits.max_chunks)
    if len(texts) > 1 and not segments.lengths.all():
        raise UnsupportedFeatureError(
            "sparse tiles of bands whose nodata differ", image.label, "an array has one fill value; leave out sidecars"
        )
    grid, manifest, pipeline = lay_out(
        image,
        pipeline,
        segments,
        rectilinear=options.rectilinear,
        chunk_bytes=context.chunk_bytes,
        max_inline_bytes=context.limits.max_inline_bytes,
    )
    metadata = ArrayMetadata(
        shape=image.shape,
        dtype=image.dtype,
        chunk_grid=grid,
        codecs=pipeline.codecs,
        fill_value=fill,
        dims=image.dims,
        attributes={} if nodata is None else {"_FillValue": nodata},
    )
    return VirtualArray(metadata, manifest)


def plane_array(image: Image, offset: int, path: str, context: ParseContext) -> VirtualArray:
    """The array of an image whose uncompressed pixels follow each other from an offset on.

    Parameters
    ----------
    path
        Of the array, for what is reported.

    Raises
    ------
    UnsupportedFeatureError
        They are compressed.
    """
    pipeline = make_pipeline(image)
    if pipeline.scheme is not None:
        raise UnsupportedFeatureError("compressed pages without directories", image.label, "read the pages with ifd=N")
    nodata = image_nodata(image, path, context)
    planes = image.samples if image.planar else 1
    length = image.length * image.row_bytes
    whole = replace(image, segment_length=image.length, segment_width=image.width, tiled=False)
    lengths = np.full(planes, length, "u8")
    segments = Segments(np.uint64(offset) + np.arange(planes, dtype="u8") * np.uint64(length), lengths)
    grid, manifest, pipeline = lay_out(whole, pipeline, segments)
    metadata = ArrayMetadata(
        shape=image.shape,
        dtype=image.dtype,
        chunk_grid=grid,
        codecs=pipeline.codecs,
        fill_value=default_fill(image.dtype) if nodata is None else nodata,
        dims=image.dims,
        attributes={} if nodata is None else {"_FillValue": nodata},
    )
    return VirtualArray(metadata, manifest)


def image_nodata(image: Image, path: str, context: ParseContext) -> np.generic | None:
    """The nodata value in the type of the array; one that has no such form is reported and left out."""
    texts = _nodata_texts(image)
    if len(texts) > 1:
        context.report(path, "nodata left out", f"it differs between bands: {', '.join(map(repr, texts))}")
    if len(texts) > 1 or not texts[0]:
        return None
    text = texts[0]
    try:
        value = parse_nodata(text, image.dtype)
    except ValueError:
        value = None
    if value is None:
        context.report(path, "nodata left out", f"{text!r} is not a value of type {image.dtype}")
    return value


def _nodata_texts(image: Image) -> list[str]:
    """What is said of nodata, ``""`` for nothing: once, or several times where bands differ."""
    own = image.directory.text(Tag.GDAL_NODATA)
    beside = (image.directory.full or image.directory).beside
    if beside is None:
        return [own]
    texts = list(dict.fromkeys(beside.nodata.get(band, own) for band in range(image.samples)))
    return texts[:1] if len({_meaning(text, image.dtype) for text in texts}) == 1 else texts


def _meaning(text: str, dtype: np.dtype[Any]) -> object:
    """What tells whether two texts name one value: ``-9999`` and ``-9.99900000000000E+03`` do."""
    try:
        value = parse_nodata(text, dtype) if text else None
    except ValueError:
        value = None
    return text if value is None else value.tobytes()
