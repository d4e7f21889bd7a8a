"""What is still asked of libhdf5, and what is checked before it is asked.

Outside of this package its handles are used to open objects (`walk`), for attributes of unusual types, for the extent and
the mappings of virtual datasets, for values that are copied, and where headers are in a metadata cache image.

=================  =======================================================================
`files`            the file opened by libhdf5; its exceptions as errors of ours
`opening`          opening files, each once, and where they may point
`file_bytes`       the bytes of a file, by position
`damage_checks`    structures in which damage would end the process or take all its memory
`object_contents`  links and attribute messages of its objects
`fill`             fill values where only libhdf5 reads the header
`reencoding`       chunks that are stored unlike the others, encoded anew
`sequences`        members of variable-length sequences in their true byte order
`chunk_iter`       the table of chunks through ``H5Dchunk_iter``, its coordinates repaired
=================  =======================================================================
"""
