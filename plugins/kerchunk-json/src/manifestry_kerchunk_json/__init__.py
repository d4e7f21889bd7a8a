"""Kerchunk JSON writer and parser."""
