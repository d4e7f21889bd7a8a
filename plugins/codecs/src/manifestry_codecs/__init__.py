"""Codecs that exist nowhere else, for Zarr v3 and numcodecs."""
