"""The model as Zarr v3 and v2 metadata and back, and what readers of it have to install.

=================  ================================================================================
`nodes`            the documents of an array or group in the version asked for, and back
`v3`               ``zarr.json``
`v2`               ``.zarray``, ``.zattrs`` and ``.zgroup``
`masking`          ``_FillValue`` and ``missing_value``, as readers mask by them
`packing`          arrays that readers unpack to another type than from the file
`nczarr`           what netCDF-C adds to documents
`v2_codecs`        the pipeline of codecs as filters and compressor, and back
`numcodecs_chain`  codecs of Zarr v2 without a name in Zarr v3, as one codec that carries them
`requirements`     distributions that readers need
=================  ================================================================================
"""
