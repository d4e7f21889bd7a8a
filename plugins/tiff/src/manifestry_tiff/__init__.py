"""TIFF, COG and GeoTIFF parser."""
