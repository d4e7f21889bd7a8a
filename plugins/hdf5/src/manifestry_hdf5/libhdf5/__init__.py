"""What is still asked of libhdf5, and what is checked before it is asked.

=================  =======================================================================
`files`            the file opened by libhdf5; its exceptions as errors of ours
`file_bytes`       the bytes of a file, by position
`damage_checks`    structures in which damage would end the process or take all its memory
`object_contents`  links and attribute messages of its objects
`chunk_iter`       the table of chunks through ``H5Dchunk_iter``, its coordinates repaired
=================  =======================================================================
"""
