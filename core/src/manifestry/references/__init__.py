"""Reading documents that point at other files: a hierarchy from the documents below one root, and its references.

===========  =======================================================================
`hierarchy`  a tree from the documents found below one root
`columns`    the file table of references that were read, every location looked at
===========  =======================================================================
"""
