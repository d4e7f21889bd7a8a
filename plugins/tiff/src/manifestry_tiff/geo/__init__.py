"""GeoTIFF: coordinate systems, transforms, coordinates."""
