"""The structures of a TIFF file: header, directories, tags, and the images that they describe.

==================  ==================================================================================
`file`              bytes of the file in few requests, and limits for looks into its data
`tags`              numbers of tags and of their values, by the names of the specifications
`ifd`               header, chain of directories, and the values of tags
`beside`            what files beside the TIFF say of its image, as plain data
`image`             what a directory says about how its image is stored
`levels`            images with their overviews, and what decides which place an image has
`masks`             which image a mask belongs to
`pyramids`          which image is a full resolution, an overview or a mask
`segments`          where tiles or strips are: offsets and byte counts as columns
`stream_headers`    what compressed streams say about themselves before anything is decoded
==================  ==================================================================================
"""
