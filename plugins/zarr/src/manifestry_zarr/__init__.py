"""Native Zarr stores as sources."""
