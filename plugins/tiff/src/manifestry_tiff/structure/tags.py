"""Numbers of tags and of their values, by the names of the specifications.

TIFF 6.0; Adobe's TIFF Technical Notes and Photoshop supplement; GeoTIFF 1.1 (OGC 19-008r4); private tags of GDAL and of
Hamamatsu's NDPI.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = [
    "BYTE_COMPRESSIONS",
    "JPEG_COMPRESSIONS",
    "Compression",
    "ExtraSample",
    "FieldType",
    "Photometric",
    "Planar",
    "Predictor",
    "SampleFormat",
    "Tag",
]


class FieldType(IntEnum):
    """Types of tag values (TIFF 6.0 section 2; 16 to 18 from BigTIFF)."""

    BYTE = 1
    ASCII = 2
    SHORT = 3
    LONG = 4
    RATIONAL = 5
    SBYTE = 6
    UNDEFINED = 7
    SSHORT = 8
    SLONG = 9
    SRATIONAL = 10
    FLOAT = 11
    DOUBLE = 12
    IFD = 13
    LONG8 = 16
    SLONG8 = 17
    IFD8 = 18


class Tag(IntEnum):
    """Tags that say how an image is stored and what it shows."""

    NEW_SUBFILE_TYPE = 254
    SUBFILE_TYPE = 255
    IMAGE_WIDTH = 256
    IMAGE_LENGTH = 257
    BITS_PER_SAMPLE = 258
    COMPRESSION = 259
    PHOTOMETRIC_INTERPRETATION = 262
    FILL_ORDER = 266
    DOCUMENT_NAME = 269
    IMAGE_DESCRIPTION = 270
    STRIP_OFFSETS = 273
    ORIENTATION = 274
    SAMPLES_PER_PIXEL = 277
    ROWS_PER_STRIP = 278
    STRIP_BYTE_COUNTS = 279
    MIN_SAMPLE_VALUE = 280
    MAX_SAMPLE_VALUE = 281
    X_RESOLUTION = 282
    Y_RESOLUTION = 283
    PLANAR_CONFIGURATION = 284
    T4_OPTIONS = 292
    RESOLUTION_UNIT = 296
    SOFTWARE = 305
    DATE_TIME = 306
    ARTIST = 315
    HOST_COMPUTER = 316
    PREDICTOR = 317
    COLOR_MAP = 320
    TILE_WIDTH = 322
    TILE_LENGTH = 323
    TILE_OFFSETS = 324
    TILE_BYTE_COUNTS = 325
    SUB_IFDS = 330
    EXTRA_SAMPLES = 338
    SAMPLE_FORMAT = 339
    JPEG_TABLES = 347
    JPEG_PROCESS = 512
    JPEG_INTERCHANGE_FORMAT = 513
    JPEG_INTERCHANGE_FORMAT_LENGTH = 514
    JPEG_RESTART_INTERVAL = 515
    JPEG_Q_TABLES = 519
    JPEG_DC_TABLES = 520
    JPEG_AC_TABLES = 521
    YCBCR_COEFFICIENTS = 529
    YCBCR_SUBSAMPLING = 530
    REFERENCE_BLACK_WHITE = 532
    IMAGE_DEPTH = 32997
    TILE_DEPTH = 32998
    COPYRIGHT = 33432
    MODEL_PIXEL_SCALE = 33550
    UIC2 = 33629
    MODEL_TIEPOINT = 33922
    MODEL_TRANSFORMATION = 34264
    CZ_LSM_INFO = 34412
    GEO_KEY_DIRECTORY = 34735
    GEO_DOUBLE_PARAMS = 34736
    GEO_ASCII_PARAMS = 34737
    GDAL_METADATA = 42112
    GDAL_NODATA = 42113
    LERC_PARAMETERS = 50674
    RPC_COEFFICIENTS = 50844
    NDPI_FORMAT = 65420
    NDPI_SOURCE_LENS = 65421
    NDPI_CAPTURE_MODE = 65441


class Compression(IntEnum):
    """Values of the Compression tag."""

    NONE = 1
    CCITT_RLE = 2
    CCITT_T4 = 3
    CCITT_T6 = 4
    LZW = 5
    OLD_JPEG = 6
    JPEG = 7
    ADOBE_DEFLATE = 8
    JPEG_XR_NDPI = 22610
    NEXT = 32766
    PACKBITS = 32773
    THUNDERSCAN = 32809
    DEFLATE = 32946
    APERIO_JP2000_YCBC = 33003
    APERIO_JP2000_LOSSY = 33004
    APERIO_JP2000_RGB = 33005
    ALT_JPEG = 33007
    SGI_LOG = 34676
    SGI_LOG_24 = 34677
    JPEG_2000 = 34712
    LERC = 34887
    LOSSY_JPEG = 34892
    LZMA = 34925
    PNG = 34933
    JPEG_XR = 34934
    ZSTD = 50000
    WEBP = 50001
    JPEG_XL = 50002
    PIXTIFF = 50013
    JPEG_XL_DNG = 52546


BYTE_COMPRESSIONS: Final = frozenset(
    {
        Compression.NONE,
        Compression.LZW,
        Compression.ADOBE_DEFLATE,
        Compression.PACKBITS,
        Compression.DEFLATE,
        Compression.LZMA,
        Compression.ZSTD,
        Compression.PIXTIFF,
    }
)
"""Those that compress the bytes of rows, whatever these mean; all others compress pixels."""


JPEG_COMPRESSIONS: Final = frozenset({Compression.JPEG, Compression.ALT_JPEG, Compression.LOSSY_JPEG})
"""JPEG as in Technical Note 2; the old style is another."""


class Predictor(IntEnum):
    """Values of the Predictor tag; those from 34892 on are of DNG 1.4, with a distance of two or four pixels."""

    NONE = 1
    HORIZONTAL = 2
    FLOATING_POINT = 3
    HORIZONTAL_X2 = 34892
    HORIZONTAL_X4 = 34893
    FLOATING_POINT_X2 = 34894
    FLOATING_POINT_X4 = 34895


class Photometric(IntEnum):
    """Values of the PhotometricInterpretation tag that concern decoding or attributes."""

    MIN_IS_WHITE = 0
    MIN_IS_BLACK = 1
    RGB = 2
    PALETTE = 3
    MASK = 4
    SEPARATED = 5
    YCBCR = 6
    CIELAB = 8
    CFA = 32803
    LOGL = 32844
    LOGLUV = 32845
    LINEAR_RAW = 34892


class Planar(IntEnum):
    """Values of the PlanarConfiguration tag."""

    CHUNKY = 1
    PLANAR = 2


class SampleFormat(IntEnum):
    """Values of the SampleFormat tag."""

    UINT = 1
    INT = 2
    FLOAT = 3
    VOID = 4
    COMPLEX_INT = 5
    COMPLEX_FLOAT = 6


class ExtraSample(IntEnum):
    """Values of the ExtraSamples tag."""

    UNSPECIFIED = 0
    ASSOCIATED_ALPHA = 1
    UNASSOCIATED_ALPHA = 2
