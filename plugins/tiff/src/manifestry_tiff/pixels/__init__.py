"""From an image to a virtual array: compression, predictors, chunks, fill.

=================  ===================================================================================
`arrays`           an image as a virtual array: all of the below together
`pipeline`         the codecs of an image, from pixels to the bytes of a tile or strip
`compression`      compression schemes as codecs that readers already have
`schemes`          what is known of a scheme: its codec, and how a stream is decoded while parsing
`libtiff`          what only libtiff decodes: chroma in blocks, NeXT, ThunderScan, SGI LogLuv
`old_jpeg`         old-style JPEG: the header of its streams, of which tags hold the parts
`decoding`         single tiles or strips, decoded and made again losslessly while parsing
`inspection`       a look into tiles and strips for what the tags do not say
`chunking`         chunk grids and manifests, and what is done about a short last strip
`coordinates`      coordinates and other small arrays, whose values are in the manifest
`nodata`           the nodata value and the fill value, from text
`stacking`         pages that are alike as one array of more dimensions
=================  ===================================================================================
"""
