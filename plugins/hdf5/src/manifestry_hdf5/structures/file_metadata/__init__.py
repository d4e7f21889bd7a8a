"""Level 0 of the format: where everything in a file begins (specification, chapter II).

====================  ================================================================  ===========
`superblock`          base address, sizes of addresses, the root group                  II.A
`driver_information`  whether a file is one of several that are one                     II.B
`file_space`          whether metadata lies in pages of its own                         IV.A.2.x
`cache_image`         structures that a program left in one block                       IV.A.2.y
====================  ================================================================  ===========
"""
