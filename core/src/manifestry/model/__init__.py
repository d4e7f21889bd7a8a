"""The canonical model: what a parser says about an archive and a writer stores. No I/O happens here.

===============  ====================================================================================
`files`          the distinct source objects that references point into
`columns`        columns over a chunk grid: checked, constant where they can be
`manifest`       ChunkManifest: for every chunk, which bytes of which file
`datatypes`      numpy dtypes and scalars as Zarr v3 metadata and back
`elements`       single elements, as fill values are: converted exactly or refused
`metadata`       ArrayMetadata: shape, data type, chunk grid, codecs, fill value, dimensions, attributes
`records`        records as archives store them → packed ones with one byte order
`attributes`     typed attributes, and the one rule that makes JSON of them
`division`       arrays of contiguous bytes divided into chunks, exactly
`zarr_v3`        the Zarr v3 documents of arrays and groups, made on demand, and read back
`tree`           VirtualArray and VirtualGroup
`validation`     the one gate that every tree passes before it is written or combined
`issues`         what was left out and why
`provenance`     where a tree came from
===============  ====================================================================================
"""
