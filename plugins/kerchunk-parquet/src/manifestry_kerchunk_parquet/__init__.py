"""Kerchunk Parquet writer and parser."""
