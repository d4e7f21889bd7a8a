"""From a URL to bytes: URL → object store → ranges.

==============  ==========================================================================
`urls`          canonical URLs: one spelling for one object
`registry`      which object store serves a URL: the caller's first, then the environment's
`objects`       what stores and the file system say of an object
`source`        Source: one object or prefix as parsers see it
`side_by_side`  many ranges of one object, more at a time than the store library fetches
`blocks`        a seekable reader with a random-access block cache
`errors`        the store library's exceptions as `SourceError`, and which of them may pass
`retrying`      requests that are tried again, and for how long
`access`        what a caller allows documents to point at
`policy`        what a document that points at other files may point at
`redirects`     where servers send us for what a document names
`unfollowed`    one request that follows no redirect
`settings`      what readers have to be told of a store that is no secret
`hosts`         which hosts are not public, and where dots in paths lead
==============  ==========================================================================
"""

from manifestry.storage.blocks import BlockReader
from manifestry.storage.registry import StoreRegistry, Stores
from manifestry.storage.retrying import RetryPolicy
from manifestry.storage.source import Source
from manifestry.storage.urls import canonical_url, join_url, local_path, split_url

__all__ = [
    "BlockReader",
    "RetryPolicy",
    "Source",
    "StoreRegistry",
    "Stores",
    "canonical_url",
    "join_url",
    "local_path",
    "split_url",
]
