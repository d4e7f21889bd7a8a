"""The canonical model: what a parser says about an archive and a writer stores. No I/O happens here.

============  =======================================================================================
`files`       the distinct source objects that references point into
`columns`     columns over a chunk grid: checked, constant where they can be
`manifest`    ChunkManifest: which bytes of which file hold each chunk
`datatypes`   what Zarr v3 and v2 hold of a numpy dtype and its fill values, and back
`codecs`      the catalogue of codecs: what is known of each by its name
`metadata`    ArrayMetadata: shape, data type, chunk grid, codecs, fill value, dimensions, attributes
`records`     records as archives store them → packed ones with one byte order
`attributes`  typed attributes, and the one rule that makes JSON of them
`tree`        VirtualArray and VirtualGroup
`selection`   which arrays of a source the caller wants, decided by path
`limits`      what an untrusted document may make us allocate
`validation`  the one gate that every tree passes before it is written or combined
`provenance`  where a tree came from
============  =======================================================================================
"""
