"""What both Kerchunk formats share, apart from Zarr v2 metadata.

============  ==========================================================================================
`layout`      the documents and chunk references of a tree, as keys below one root
`chunks`      chunks that have to be copied into the output: fill chunks of Zarr v2, and small ones
`session`     what the write sessions of both do alike
`targets`     files and objects that appear at once or not at all
`locations`   URLs as fsspec spells them, and which of them an untrusted document may point at
`hosts`       which hosts are not public, and where dots in paths lead
`nodes`       a tree from the documents found below one root
============  ==========================================================================================
"""
