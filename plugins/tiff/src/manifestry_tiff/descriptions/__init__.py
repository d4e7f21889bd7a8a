"""What text in a file says of its images: attributes, GDAL metadata, OME-XML, series."""
