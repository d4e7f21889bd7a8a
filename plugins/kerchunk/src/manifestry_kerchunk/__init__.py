"""What the Kerchunk JSON and Kerchunk Parquet formats share; a library, no plugin.

================  ===========================================================================
`documents`       the documents and chunk references of a tree, as keys below one root
`inlining`        chunks that are copied into the output: fill chunks of Zarr v2, small ones
`session`         what the write sessions of both have in common
`provenance`      what outputs say of their sources
`reader_snippet`  lines of Python that open an output
================  ===========================================================================
"""
