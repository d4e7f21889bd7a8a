"""How trees are combined where they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from manifestry.formats.loading import installed_formats
from manifestry.formats.options import make_options

__all__ = ["CombineOptions"]


class CombineOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What to do where the trees that are combined differ. The defaults change no value and hide no difference."""

    on_conflict: Annotated[
        Literal["raise", "harmonise", "drop"],
        Meta(
            description="Arrays that decode differently: raise an error, harmonise (copy small ones, encoded as those "
            "of the first source), or drop the variable."
        ),
    ] = "raise"
    missing: Annotated[
        Literal["raise", "fill", "drop"],
        Meta(description="Variables that some sources lack: raise an error, fill with missing chunks, or drop them."),
    ] = "raise"
    attributes: Annotated[
        Literal["first", "drop", "raise"],
        Meta(
            description="Attributes that differ and do not change what values mean: keep those of the first source, "
            "drop them, or raise an error."
        ),
    ] = "first"
    compat: Annotated[
        Literal["equals", "close", "override"],
        Meta(
            description="Arrays without the combined dimension: compare their values (equals), also take those of the "
            "first source where others differ by rounding only (close; never times or whole numbers), or take those of the first source unread, "
            "whatever the others hold (override)."
        ),
    ] = "equals"
    stack: Annotated[
        tuple[str, ...],
        Meta(
            description="Names or paths of variables without the combined dimension that get it, so that each source "
            "keeps its own values: coordinates of swaths, for example."
        ),
    ] = ()
    load: Annotated[
        tuple[str, ...],
        Meta(
            description="Names of further variables to copy into the output, beside the coordinate of the combined "
            "dimension, which is always copied."
        ),
    ] = ()
    partial: Annotated[
        Literal["inline", "rectilinear", "raise"],
        Meta(
            description="Chunks that end inside the combined dimension and cannot be split: copy them re-encoded "
            "(inline), use a rectilinear chunk grid, or raise an error."
        ),
    ] = "inline"
    inline_limit: Annotated[
        int, Meta(ge=0, description="Bytes of one array that may be read and copied while combining.")
    ] = 64 << 20
    index_chunk: (
        Annotated[int, Meta(ge=1, description="Elements in a chunk of the copied coordinate; all in one by default.")]
        | None
    ) = None

    @classmethod
    def of(
        cls,
        given: Mapping[str, Any] | CombineOptions | None,
        owner: str = "combine",
        call: Callable[..., Any] | None = None,
    ) -> CombineOptions:
        """The options that a caller gave: by name (see `make_options`), or these already.

        Whoever combines comes by here, so plugins are asked here what they know of codecs of their own: that decides
        what of two pipelines has to be equal.

        Raises
        ------
        OptionError
            A name is unknown, or a value is not allowed.
        """
        installed_formats()
        if isinstance(given, CombineOptions):
            return given
        chosen: CombineOptions = make_options(cls, {} if given is None else given, owner, call=call)
        return chosen
