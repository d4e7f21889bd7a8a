"""The provenance that outputs of references carry: where it is, and what it says."""

from __future__ import annotations

import json
from typing import Any, Final

from manifestry.plugin import ManifestError, ParseContext, Provenance

__all__ = ["PROVENANCE_KEY", "read_provenance"]

PROVENANCE_KEY: Final = ".manifestry/provenance.json"
"""Key of the document in stores that are directories."""


def read_provenance(document: Any, context: ParseContext) -> tuple[Provenance, ...]:
    """The provenance that an output carries, as JSON or as a text of it; what cannot be understood is reported.

    Parameters
    ----------
    document
        What the writer put there; None where there is nothing.
    """
    if document is None:
        return ()
    try:
        value = json.loads(document) if isinstance(document, str | bytes) else document
        return Provenance.from_json(value["manifestry"])
    except (ManifestError, LookupError, TypeError, ValueError, RecursionError) as error:
        context.report("", "provenance not understood", str(error))
        return ()
