"""Fuzzing that knows the formats: ``uv run python -m fuzz`` tries mutants of files of every format.

Each mutant has to end in a tree or in an error of ours that names no broken plugin, in bounded time and memory; and where the
format's own library reads it too, it has to find the same values. What fails is kept as a generator in a test of its format.

===================== ==================================================================
`__main__`            the command: which formats, how many or how long; the counts
`targets`             the formats: how files are made, changed, and read by their own library
`trying`              one mutant after the other in watched processes with limits
`watched_processes`   processes that may die or hang
`values`              numbers and texts that parsers tend to get wrong
`json_documents`      changes of JSON documents, also of those that stand in texts
`hdf5`                HDF5 files; `hdf5_structures` finds and changes their structures
`netcdf3`             headers of netCDF classic files
`tiff`                directories and tags of TIFF files
`dmrpp`               elements and attributes of DMR++ documents
`kerchunk`            Kerchunk JSON and Parquet
`zarr_stores`         documents of Zarr stores, version 2 and 3
`icechunk_stores`     snapshots and manifests of Icechunk repositories
===================== ==================================================================
"""
