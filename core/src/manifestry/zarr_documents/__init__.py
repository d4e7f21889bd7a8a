"""The model as Zarr v3 and v2 metadata and back, and what readers of it have to install."""
