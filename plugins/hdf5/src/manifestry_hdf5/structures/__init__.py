"""Structures of the file format, read from the bytes of the file: data in, plain values out.

They are read as the HDF5 File Format Specification describes them (version 3.0, and 4.0 for what HDF5 2.0 writes); the
packages are its chapters, and each module names its section:

================  ===================================================================================  ========
`file_metadata`   where everything in a file begins                                                    II
`infrastructure`  trees, tables and heaps                                                              III
`fractal_heap`    objects of any length by their IDs                                                   III.G
`data_objects`    object headers, their messages, and what these say of an object together             IV
`chunk_indexes`   where the chunks of a dataset are                                                    III.A, VII
`encodings`       selections and references as they are written into other structures                 VIII
`checksum`        signatures and checksums of version 2 of the format                                  Appendix
`fields`          integers, texts and runs of bytes
`batched_reads`   reading many structures at once, one round trip for each level of all
================  ===================================================================================  ========

A reader of many places is a generator: it yields the blocks it needs next and is sent their bytes. So one piece of code
reads a memory-mapped file without waiting and a remote one with all requests together. Nothing is allocated for a count or
a length that the bytes of the file cannot hold, and whatever leads from one structure to another is bounded.
"""
