"""What callers may choose about repositories."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

__all__ = ["IcechunkReadOptions", "IcechunkWriteOptions", "StoreSettings"]


class StoreSettings(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How an object store is reached. Credentials are never among it: they come from the environment or `stores`."""

    region: Annotated[str, Meta(description="Region of the bucket (s3).")] | None = None
    endpoint_url: Annotated[str, Meta(description="Endpoint of an S3 compatible service.")] | None = None
    anonymous: Annotated[bool, Meta(description="Requests are not signed.")] | None = None
    allow_http: Annotated[bool, Meta(description="Plain http is allowed.")] | None = None
    force_path_style: Annotated[bool, Meta(description="The bucket is part of the path (s3).")] | None = None
    requester_pays: Annotated[bool, Meta(description="The reader pays for requests (s3).")] | None = None
    account: Annotated[str, Meta(description="Storage account (az).")] | None = None


class IcechunkWriteOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Options of the Icechunk writer."""

    branch: Annotated[
        str, Meta(min_length=1, description="Branch that is written; made from the tip of main when it is new.")
    ] = "main"
    tag: (
        Annotated[str, Meta(min_length=1, description="Tag given to the last commit of the run; must not exist yet.")]
        | None
    ) = None
    message: Annotated[str, Meta(description="Commit message.")] | None = None
    metadata: Annotated[dict[str, Any], Meta(description="JSON kept with the commit, beside the provenance.")] = (
        msgspec.field(default_factory=dict)
    )
    checksums: Annotated[
        bool,
        Meta(description="Keep each source's entity tag or time of last change, so that readers notice other bytes."),
    ] = True
    relative: Annotated[
        bool, Meta(description="Locations relative to a named container (vcc://), so that the sources can move.")
    ] = False
    references_per_manifest: (
        Annotated[
            int,
            Meta(
                ge=1000,
                le=20_000_000,
                description="About how many references one manifest file holds; without it an eighth of the array's, "
                "but 50,000 at least and 500,000 at most.",
            ),
        ]
        | None
    ) = None
    references_per_commit: Annotated[
        int, Meta(ge=1000, description="After this many references what was staged is stored, to bound memory.")
    ] = 1_000_000
    rewrite_below: Annotated[
        int,
        Meta(
            ge=0, description="Append and region store arrays of up to this many bytes anew when chunks do not align."
        ),
    ] = 8 << 20
    on_conflict: (
        Annotated[
            Literal["raise", "retry"],
            Meta(
                description="What to do when somebody else committed a change that contradicts this one; without it "
                "convert appends after what was added, and all else is an error."
            ),
        ]
        | None
    ) = None
    lock_timeout: Annotated[
        float, Meta(ge=0, description="Seconds to wait for another writer of a local repository.")
    ] = 600.0
    storage: Annotated[StoreSettings, Meta(description="How the repository is reached, as JSON.")] = StoreSettings()
    sources: Annotated[StoreSettings, Meta(description="How readers reach the sources, as JSON.")] = StoreSettings()


class IcechunkReadOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Options of the Icechunk parser."""

    branch: (
        Annotated[str, Meta(min_length=1, description="Branch to read; main unless a tag or snapshot is given.")] | None
    ) = None
    tag: Annotated[str, Meta(min_length=1, description="Tag to read.")] | None = None
    snapshot: Annotated[str, Meta(min_length=1, description="Snapshot to read, by its identifier.")] | None = None
    storage: Annotated[StoreSettings, Meta(description="How the repository is reached, as JSON.")] = StoreSettings()
