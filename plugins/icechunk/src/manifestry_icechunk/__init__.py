"""Icechunk writer and parser.

================  ==============================================================================================
`options`         what the caller may choose
`parser`          a repository as a tree
`writer`          the write session of the plugin interface: check, stage, commit
`distributed`     several processes write one commit
`repository`      where repositories are, how they are opened, locked and configured, and what their commits say
`reading`         stored chunks as manifests
`writing`         trees on their way into a repository: transactions, documents, references
`reader_snippet`  the lines of Python that open what was written
================  ==============================================================================================
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
