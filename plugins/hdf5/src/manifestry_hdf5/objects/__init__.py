"""Datasets, attributes and what they consist of."""
