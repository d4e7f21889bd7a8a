"""Icechunk writer and parser.

=================  =====================================================================================
`options`          what the caller may choose
`calls`            icechunk's own constructors, made and printed: the reader's lines come from what was run
`storages`         where a repository is: URL → icechunk storage
`locations`        canonical URL → location of a virtual reference
`containers`       virtual chunk containers: the prefixes that readers authorise
`splitting`        how many references one manifest file holds
`nodes`            Zarr documents and native chunks of a store
`references`       virtual references of an array in few calls, with the checksum of each file
`placement`        append and region: everything that is checked before anything is changed
`comparing`        whether two arrays have the same values
`locking`          one writer at a time in a local repository
`repositories`     creating, opening and configuring repositories
`transactions`     session, parts, commit
`borrowed`         the caller's session instead
`staging`          trees into a transaction: documents, native chunks, references
`checks`           what a repository cannot hold
`lines`            the Python that opens what was written
`writer`           the write session of the plugin interface
`distributed`      several processes write one commit
`parser`           a repository as a tree
`chunks`           stored chunks as a manifest
`histories`        provenance of a snapshot from its commits
`faults`           icechunk's exceptions and panics as errors of manifestry
=================  =====================================================================================
"""

from __future__ import annotations

from collections.abc import Iterator

from manifestry.plugin import Capability, ParserDescriptor, WriterDescriptor, hookimpl


@hookimpl
def manifestry_parsers() -> Iterator[ParserDescriptor]:
    """The Icechunk parser."""
    yield ParserDescriptor(
        name="icechunk",
        title="Icechunk repository",
        parser="manifestry_icechunk.parser:IcechunkParser",
        options="manifestry_icechunk.options:IcechunkReadOptions",
        extensions=(".icechunk",),
        sentinels=("snapshots", "transactions"),
        capabilities=frozenset({Capability.GROUPS, Capability.REMOTE}),
    )


@hookimpl
def manifestry_writers() -> Iterator[WriterDescriptor]:
    """The Icechunk writer."""
    yield WriterDescriptor(
        name="icechunk",
        title="Icechunk repository with virtual references",
        writer="manifestry_icechunk.writer:IcechunkWriter",
        options="manifestry_icechunk.options:IcechunkWriteOptions",
        extensions=(".icechunk",),
        objects=(
            "icechunk.repository.Repository",
            "icechunk.session.Session",
            "icechunk.session.ForkSession",
            "icechunk.store.IcechunkStore",
        ),
        capabilities=frozenset(
            {
                Capability.APPEND,
                Capability.GROUPS,
                Capability.OBJECTS,
                Capability.REGION,
                Capability.REMOTE,
                Capability.SLABS,
            }
        ),
    )
