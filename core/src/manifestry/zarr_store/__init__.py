"""The model as a read-only zarr Store that reads the archives themselves.

===========  ======================================================================================
`store`      ManifestStore: what zarr calls
`keys`       which document or chunk a key means, and which keys there are
`ranges`     byte ranges of many objects: concurrent, coalesced, checked against what was parsed
===========  ======================================================================================
"""

from manifestry.zarr_store.store import ManifestStore

__all__ = ["ManifestStore"]
