"""DMR++ sidecars: what a document beside the file says, in place of the file itself.

The document is found and read by the parser of its own format, through the core.
"""

from __future__ import annotations

from typing import Any

import manifestry as mf
from manifestry.plugin import (
    MalformedFileError,
    OptionError,
    ParseContext,
    Source,
    SourceError,
    UnsupportedFeatureError,
    VirtualGroup,
)

__all__ = ["tree_of_sidecar"]


def tree_of_sidecar(source: Source, context: ParseContext) -> VirtualGroup | None:
    """The tree that a DMR++ document beside a file describes, or None where the file has to be read itself.

    That is so when there is no document, or none that can be read, and when it cannot express all arrays that are
    wanted: then the file may do better. What stood in the way is reported.

    Raises
    ------
    UnsupportedFeatureError
        No parser of DMR++ is installed.
    """
    selection = context.selection
    options: dict[str, Any] = {
        "group": context.group,
        "include": selection.include,
        "exclude": selection.exclude,
        "chunk_bytes": context.chunk_bytes,
        "inline_below": context.inline_below,
    }
    try:
        tree = mf.parse(source, format="dmrpp", on_unsupported="skip", limits=context.limits, **options)
    except mf.UnknownFormatError as error:
        raise UnsupportedFeatureError("prefer_sidecar", source.url, "pip install manifestry-dmrpp") from error
    except (SourceError, MalformedFileError, UnsupportedFeatureError, OptionError) as error:
        context.report("", "DMR++ sidecar that is not used", str(error))
        return None
    refused = [issue for issue in tree.issues if issue.severity == "refused"]
    if refused:
        context.report(
            "", "DMR++ sidecar that is not used", f"it cannot express {refused[0].path}: {refused[0].feature}"
        )
        return None
    return tree
