"""The structures of a TIFF file: header, directories, tags, and the images that they describe."""
