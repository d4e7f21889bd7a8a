"""Icechunk writer and parser."""
