"""Zarr v2 metadata of the model, and the model of Zarr v2 metadata: what both Kerchunk formats and native stores share.

=============  ======================================================================================
`datatypes`    numpy dtypes and fill values as ``.zarray`` has them
`codecs`       codec pipelines as ``filters``, ``compressor`` and ``order``, and back
`chains`       codecs that Zarr v3 has no name for, carried there as they are
`documents`    ``.zarray``, ``.zattrs`` and ``.zgroup``, made from the model and read back
=============  ======================================================================================

Source: Zarr storage specification version 2. A codec or type that version 2 cannot express is refused by name.
"""
