"""Putting an output in its place whole or not at all."""
