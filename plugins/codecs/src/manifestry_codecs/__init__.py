"""The few codecs that virtual Zarr stores need and that exist nowhere else.

Every codec is known by one name, ``manifestry.<codec>``, and one configuration in both registries: numcodecs (Zarr v2,
Kerchunk) and zarr-python (Zarr v3). Names and configurations are written into stores, so they never change.

===================  =======================================================================================
`base`               what the codecs share: bytes in, bytes (or an array) out
`zarr_v3`            what makes a Zarr v3 codec of one of them
`hdf5_filters`       filters of HDF5: scaleoffset, nbit, bitshuffle, blosc2, lzf, tolerant shuffle
`zfp`                a filter of HDF5 that keeps the header of its streams apart
`hdf5_storage`       how HDF5 stores elements: skipped filters, reduced precision, padded records and strings
`hdf5_v3`            the codecs of these three in Zarr v3 pipelines
`numcodecs_chain`    codecs of numcodecs that Zarr v3 has no names for
`numcodecs_v3`       these codecs in Zarr v3 pipelines
`strided`            pieces at equal distances: records of netCDF classic
`strided_v3`         the same in Zarr v3 pipelines
`tiff`               bit order, superfluous bytes, predictors, masked LERC and complex integers of TIFF
`libtiff`            compressions of TIFF that libtiff alone decodes: old-style JPEG, NeXT, ThunderScan, SGI LogLuv ...
`tiff_v3`            the codecs of TIFF in Zarr v3 pipelines
`array_field_v3`     the one data type: fields of structs that are arrays
===================  =======================================================================================

A new codec takes three steps: a subclass of `base.BytesCodec` or `base.ArrayCodec` with its ``codec_id``; a class of
one line that derives from `zarr_v3.BytesToBytes` or `zarr_v3.ToArray`; and a line for each registry in
``pyproject.toml``.
"""
