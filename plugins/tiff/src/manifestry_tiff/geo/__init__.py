"""GeoTIFF: coordinate systems, transforms, coordinates.

=================  ===================================================================================
`geokeys`          the directory of GeoKeys and their values
`transform`        the affine transform of an image, from tie points, scales or a matrix
`citations`        what citations call systems and units
`units`            units of lengths and angles
`projections`      projection methods, by the names and parameters of WKT 1
`geodetic`         geographic systems as WKT 1: unit, prime meridian, datum, ellipsoid
`heights`          vertical systems
`system`           a coordinate reference system and its CF attributes
`crs`              GeoKeys → coordinate reference systems
`wkt`              systems that files beside a TIFF state as text
`geozarr`          the conventions ``proj:``, ``spatial:`` and ``multiscales`` as attributes
`georeference`     all of that together: where an image lies, in GeoZarr and in CF
=================  ===================================================================================
"""
