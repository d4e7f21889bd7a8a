"""Repositories: where they are, how they are opened, locked and configured, what they store and what their commits say.

==============  =================================================================================
`constructors`  calls of icechunk's constructors, made here and printed for readers
`storages`      from a URL and settings to icechunk's storages, stores and credentials
`locations`     canonical URLs as locations of virtual references
`containers`    virtual chunk containers: the URL prefixes that readers authorise
`repositories`  creating, opening and configuring repositories
`nodes`         Zarr documents and native chunks of a store
`retrying`      how long servers get, in settings that a repository keeps and for its own objects
`locking`       one writer at a time in a local repository
`provenance`    what commits say of their sources: all of it, or since another snapshot
`errors`        icechunk's exceptions and panics as errors of manifestry
==============  =================================================================================
"""
