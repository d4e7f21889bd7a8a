"""Structures of the file format that are read from the bytes of the file.

libhdf5 offers chunk addresses one by one, through a callback, and for one kind of index with wrong coordinates; and it
takes a dozen calls to read an attribute. The structures are simple and dense, so they are read here directly, as the
HDF5 File Format Specification (version 3.0, and 4.0 for layout version 5) describes them:

===================  ==================================================================  ============
`superblock`         base address and sizes of addresses                                 II.A
`object_header`      the messages of an object                                           IV.A.1
`dataspace`          dimensions                                                          IV.A.2.b
`messages`           types, fill values and filters of datasets                          IV.A.2
`attribute_message`  attributes of the usual types                                       IV.A.2.m
`global_heap`        where variable-length data is                                       III.E
`dense`              checks of dense storage of links and attributes                     III.G
`layout`             data layout message: which index, where                             IV.A.2.i
`btree_v1`           version 1 B-tree of chunks                                          III.A.1
`btree_v2`           version 2 B-tree, and that of chunks                                III.A.2
`fixed_array`        fixed array, paged or not                                           VII.C
`extensible_array`   extensible array, with its super blocks and pages                   VII.D
`array_elements`     what fixed and extensible arrays hold for a chunk                   VII.C, VII.D
`checksum`           signatures and checksums of version 2 of the format                 Appendix C
`chunks`             the index of one dataset as a table of chunks
`order`              whether the keys of a B-tree are where a search finds them
`batched_reads`      reading many indexes at once, one round trip for each level of all
===================  ==================================================================  ============

A reader of an index is a generator: it yields the blocks it needs next and is sent their bytes. So one piece of code
reads a memory-mapped file without waiting and a remote one with all datasets' requests together.
"""
