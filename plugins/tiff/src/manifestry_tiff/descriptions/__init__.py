"""What text in a file says about its images: attributes, GDAL metadata, OME-XML, series.

=================  ===================================================================================
`xml_text`         XML in text tags, element by element, without entities
`gdal_metadata`    GDAL_METADATA: scales, offsets, units and names of bands, items of other domains
`plain_tags`       texts, resolution, orientation, RPC, by the names of GDAL
`ome`              OME-XML: which files hold an image, and what its axes measure
`imagej`           ImageJ's text: how far apart pixels, slices and frames are
`series`           series of pages with named axes, as tifffile knows their conventions
`slides`           pyramids of slide scanners, whose levels do not say that they are reduced
`colors`           what components of a pixel are, and the colours of indices
`attributes`       what an image shows, as attributes of its array
=================  ===================================================================================
"""
